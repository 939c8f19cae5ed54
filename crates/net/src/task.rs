//! The life of a connection that came in: handshake, `trust`, messages, end.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use crate::{
    connection::Connection,
    core::Event,
    facts::Facts,
    farewell::{Presence, farewell},
    handshake::{Unfinished, handshake},
    link::Link,
    meters::HandshakeEnd,
    shared::Shared,
    sources::Seat,
    way::Way,
};

/// What comes before and after the messages stands in boxes: a connection is idle most of its life, and then its task
/// holds only the [`Connection`].
pub(crate) async fn run(stream: TcpStream, remote: SocketAddr, seat: Seat, way: Way, shared: Arc<Shared>) {
    let Some(mut connection) = Box::pin(admit(stream, remote, seat, way, shared)).await else { return };
    let ended = connection.serve().await;
    Box::pin(connection.end(ended)).await;
}

/// Handshake, verdict, and the core's knowledge of it; `None` when it came to nothing.
async fn admit(mut stream: TcpStream, remote: SocketAddr, seat: Seat, way: Way, shared: Arc<Shared>) -> Option<Connection> {
    let mut established = match handshake(&mut stream, &way, &shared, &seat).await {
        Ok(established) => established,
        Err(unfinished) => {
            give_up(stream, remote, &way, &shared, &unfinished).await;
            return None;
        }
    };
    shared.meters.handshake(HandshakeEnd::Done);
    let (flow, kind) = (shared.new_flow(), way.kind());
    // Only a socket that is gone has no address of its own.
    let local = stream.local_addr().ok()?;
    let facts = Facts::new(way, remote, local, &mut established);
    let Some(admitted) = shared.verdicts.admit(flow, &facts) else {
        let last = established.tls.goodbye();
        farewell(&mut stream, &last, shared.limits.closing()).await;
        return None;
    };
    let link = Arc::new(Link::open(flow, facts));
    shared.share(kind).events.send(Event::Connected { link: Arc::clone(&link), admitted }).await.ok()?;
    let presence = Presence::new(flow, kind, &shared);
    Some(Connection::new(stream, established, link, shared, seat, presence))
}

async fn give_up(mut stream: TcpStream, remote: SocketAddr, way: &Way, shared: &Shared, unfinished: &Unfinished) {
    shared.meters.handshake(unfinished.end());
    unfinished.note(shared, way, None, remote);
    match unfinished {
        Unfinished::Broken(_) => farewell(&mut stream, &[], shared.limits.closing()).await,
        // Nobody is left to be told, or nobody who would understand.
        Unfinished::ClearText | Unfinished::Slow | Unfinished::Gone(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a task of this function holds between two polls, without making one.
    fn held<F: Future>(_: impl Fn(TcpStream, SocketAddr, Seat, Way, Arc<Shared>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 1_536, "{}", size_of::<Connection>());
        assert!(held(run) <= 2 * size_of::<Connection>() + 256, "{}", held(run));
    }
}
