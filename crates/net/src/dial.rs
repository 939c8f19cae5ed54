//! Links that we open to other servers: TCP, TLS, verdict. What is to be sent waits in the outbox meanwhile.
//!
//! Addresses come from the topology or from DNS and are believed in nothing: whoever answers there must prove the name
//! that was called. If one address fails, for whatever reason, the next is tried.

use std::{io, net::SocketAddr, sync::Arc};

use pki::Fqdn;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    connection::Connection,
    core::Event,
    facts::Facts,
    farewell::{Presence, farewell},
    handshake::{Established, Unfinished, handshake},
    link::Link,
    listener::prepare,
    meters::count_dial,
    shared::Shared,
    sources::{Seat, Whence},
    verdicts::Admitted,
    way::{Kind, Way},
};

/// Begins to call `server`. `false` when this server calls nobody; then nothing happens.
pub(crate) fn start(link: Arc<Link>, server: Fqdn, addresses: Vec<SocketAddr>, shared: &Arc<Shared>) -> bool {
    let Some(dialler) = &shared.dialler else { return false };
    let way = Way::Dialled(Arc::clone(dialler), server);
    let presence = Presence::new(link.flow, Kind::Dialled, shared);
    tokio::spawn(Call { way, addresses, link, shared: Arc::clone(shared) }.run(presence));
    true
}

/// One wish of the core's to speak to a server.
struct Call {
    way: Way,
    addresses: Vec<SocketAddr>,
    link: Arc<Link>,
    shared: Arc<Shared>,
}

/// An attempt that led to the server.
struct Answered {
    stream: TcpStream,
    seat: Seat,
    established: Established,
    facts: Facts,
    admitted: Admitted,
}

/// Why an attempt led nowhere.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("every place for links is taken")]
    NoPlace,
    #[error("nobody answered in time")]
    NoAnswer,
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("the TLS handshake failed")]
    Handshake(&'static str),
    #[error("the server was refused")]
    Refused,
}

impl Failed {
    /// The label of the counter.
    fn label(&self) -> &'static str {
        match self {
            Self::NoPlace => "no_place",
            Self::NoAnswer => "no_answer",
            Self::Unreachable(_) => "unreachable",
            Self::Handshake(label) => label,
            Self::Refused => "refused",
        }
    }
}

impl Call {
    /// The whole life of the link. However it ends, the core hears of it once.
    async fn run(self, mut presence: Presence) {
        match Box::pin(self.answer()).await {
            Some(answered) => {
                let Some(mut connection) = Box::pin(self.connect(answered, presence)).await else { return };
                let ended = connection.serve().await;
                Box::pin(connection.end(ended)).await;
            }
            None => presence.report().await,
        }
    }

    /// The first address that leads to the server; `None` when none does in time, or nobody wants it any more.
    async fn answer(&self) -> Option<Answered> {
        tokio::select! {
            _ = self.link.closed() => None,
            answered = timeout(self.shared.limits.dial(), self.try_all()) => answered.unwrap_or_else(|_| {
                count_dial("slow");
                tracing::info!(flow = self.link.flow.0, server = %self.way, "gave up calling a server: it took longer than a call may");
                None
            }),
        }
    }

    async fn try_all(&self) -> Option<Answered> {
        for address in self.addresses.iter().take(self.shared.limits.dial_addresses_max) {
            match self.attempt(*address).await {
                Ok(answered) => {
                    count_dial("open");
                    return Some(answered);
                }
                Err(failed) => {
                    count_dial(failed.label());
                    tracing::info!(flow = self.link.flow.0, server = %self.way, %address, reason = %failed, "server not reached");
                }
            }
        }
        None
    }

    async fn attempt(&self, address: SocketAddr) -> Result<Answered, Failed> {
        let Self { way, link, shared, .. } = self;
        let seat = shared.share(Kind::Dialled).sources.take_seat(address.ip(), Whence::Listed).map_err(|_| Failed::NoPlace)?;
        let connected = timeout(shared.limits.connect(), TcpStream::connect(address)).await;
        let mut stream = connected.map_err(|_| Failed::NoAnswer)??;
        prepare(&stream)?;
        let mut established = match handshake(&mut stream, way, shared, &seat).await {
            Ok(established) => established,
            Err(unfinished) => {
                unfinished.note(shared, way, Some(link.flow), address);
                if matches!(unfinished, Unfinished::Broken(_)) {
                    self.take_leave(stream, seat, Vec::new());
                }
                return Err(Failed::Handshake(unfinished.end().label()));
            }
        };
        let facts = Facts::new(way.clone(), address, stream.local_addr()?, &mut established);
        match shared.verdicts.admit(link.flow, &facts) {
            Some(admitted) => Ok(Answered { stream, seat, established, facts, admitted }),
            None => {
                self.take_leave(stream, seat, established.tls.goodbye());
                Err(Failed::Refused)
            }
        }
    }

    /// Lets the other side read our last words while the next address is tried.
    fn take_leave(&self, mut stream: TcpStream, seat: Seat, last: Vec<u8>) {
        let time = self.shared.limits.closing();
        tokio::spawn(async move {
            farewell(&mut stream, &last, time).await;
            drop(seat);
        });
    }

    /// Tells the core; from here on the link is a connection like any other.
    async fn connect(self, answered: Answered, presence: Presence) -> Option<Connection> {
        let Answered { stream, seat, established, facts, admitted } = answered;
        let Self { link, shared, .. } = self;
        link.opened(facts);
        shared.share(Kind::Dialled).events.send(Event::Connected { link: Arc::clone(&link), admitted }).await.ok()?;
        Some(Connection::new(stream, established, link, shared, seat, presence))
    }
}
