//! The listening socket, and the loop that accepts.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    gate::Gate,
    meters::HandshakeEnd,
    shared::Shared,
    sources::{Full, Seat, Whence},
    task,
    way::{Kind, Way},
};

/// Connections that the kernel has accepted and we have not; the kernel may lower it.
const BACKLOG: i32 = 4096;
/// A connection silent for so long is asked by the kernel whether it lives.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
/// How often it is asked again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How many unanswered questions make it dead.
const KEEPALIVE_PROBES: u32 = 4;
/// Bytes sent and not acknowledged for so long make it dead (RFC 5482).
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// After accepting failed for want of resources: give them time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot listen: what, on which address, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("cannot listen on {0}: another program holds this port; `ss -ltnp 'sport = :{port}'` names it: stop it, or choose another port", port = .0.port())]
    InUse(SocketAddr),
    /// A port below 1024 and no right to it.
    #[error(
        "cannot listen on {0}: this port needs a privilege that the process does not have; choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
    )]
    Privileged(SocketAddr),
    /// The address belongs to another machine, or to an interface that is down.
    #[error("cannot listen on {0}: this machine does not have the address {ip}; `ip address` lists those it has", ip = .0.ip())]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {error}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl BindError {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Privileged(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ => Self::Other { address, error },
        }
    }
}

/// Takes an address, for [`Server::on`](crate::Server::on). Connections wait until the server runs.
///
/// # Errors
/// The address cannot be had.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    open(address).map_err(|error| BindError::of(address, error))
}

fn open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What every connection gets: no waiting for more bytes (Nagle and delayed acknowledgement cost 40 ms a handshake), and
/// an end when the other side is dead.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// Accepts until the server ends.
pub(crate) async fn accept_all(listener: TcpListener, gate: Arc<Gate>, shared: Arc<Shared>) {
    let way = Way::Accepted(gate);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.ended() => return,
        };
        match accepted {
            Ok((stream, remote)) => admit(stream, remote, &way, &shared),
            Err(error) => recover(&error).await,
        }
    }
}

fn admit(stream: TcpStream, remote: SocketAddr, way: &Way, shared: &Arc<Shared>) {
    match shared.share(way.kind()).sources.take_seat(remote.ip(), whence(remote, way)) {
        Ok(seat) => start(stream, remote, seat, way, shared),
        Err(full) => {
            let end = match full {
                Full::Server => HandshakeEnd::ServerFull,
                Full::Source => HandshakeEnd::SourceFull,
            };
            shared.meters.handshake(end);
            tracing::debug!(%remote, result = end.label(), "connection not taken");
        }
    }
}

/// Among clients nobody is listed. On the port for servers, strangers must not take the places of those whom it is for.
fn whence(remote: SocketAddr, way: &Way) -> Whence {
    match way.kind() {
        Kind::Servers if !way.policy().topology.lists_address(remote.ip()) => Whence::Anywhere,
        Kind::Servers | Kind::Dialled => Whence::Listed,
        Kind::Clients => Whence::Anywhere,
    }
}

fn start(stream: TcpStream, remote: SocketAddr, seat: Seat, way: &Way, shared: &Arc<Shared>) {
    match prepare(&stream) {
        Ok(()) => drop(tokio::spawn(task::run(stream, remote, seat, way.clone(), Arc::clone(shared)))),
        // The connection was reset before we looked at it.
        Err(error) => tracing::debug!(%remote, %error, "connection gone before it began"),
    }
}

/// A failed accept is one connection's trouble, or a shortage (open files, memory) that passes when connections end:
/// neither is a reason to stop, nor to spin.
async fn recover(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!(%error, "cannot accept connections for the moment; raise the limit of open files (ulimit -n) if this stays");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(address: &str, kind: io::ErrorKind, expected: &str) {
        let error = BindError::of(address.parse().unwrap(), kind.into()).to_string();
        assert!(error.contains(expected) && error.contains(address), "{error}");
    }

    #[test]
    fn a_socket_that_cannot_listen_says_where_and_what_to_do() {
        check("127.0.0.1:5061", io::ErrorKind::AddrInUse, "sport = :5061");
        check("127.0.0.1:443", io::ErrorKind::PermissionDenied, "choose a port from 1024 on");
        check("192.0.2.1:5061", io::ErrorKind::AddrNotAvailable, "does not have the address 192.0.2.1");
    }

    #[test]
    fn an_address_of_another_machine_is_told_as_such() {
        assert!(matches!(listen("192.0.2.1:21000".parse().unwrap()), Err(BindError::NotOurs(_))));
    }
}
