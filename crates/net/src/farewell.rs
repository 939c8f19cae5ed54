//! How a connection ends: the core hears of it once, the other side hears our last words.

use std::{io, sync::Arc, time::Duration};

use registrar::Flow;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{core::Event, shared::Shared, way::Kind};

/// That the core knows of the connection, or waits for it. However the task ends, by panic too, the core hears of it exactly once.
pub(crate) struct Presence {
    flow: Flow,
    kind: Kind,
    shared: Arc<Shared>,
    /// It is among the open ones that are counted.
    open: bool,
    reported: bool,
}

impl Presence {
    pub(crate) fn new(flow: Flow, kind: Kind, shared: &Arc<Shared>) -> Self {
        Self { flow, kind, shared: Arc::clone(shared), open: false, reported: false }
    }

    /// The connection is open.
    pub(crate) fn opened(&mut self) {
        self.open = true;
        self.shared.meters.connections.increment(1.0);
    }

    /// Tells the core, behind everything that the connection said.
    pub(crate) async fn report(&mut self) {
        let closed = Event::Closed { flow: self.flow };
        self.reported = self.shared.share(self.kind).events.send(closed).await.is_ok();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.open {
            self.shared.meters.connections.decrement(1.0);
        }
        if !self.reported {
            // Fails only when the core is gone, and then nobody needs to know.
            let _ = self.shared.lost.send(self.flow);
        }
    }
}

/// Writes what the socket takes at once, and drops that from `last`.
pub(crate) fn write_at_once(stream: &TcpStream, last: &mut Vec<u8>) {
    // A socket that fails here fails again in what follows.
    if let Ok(written) = stream.try_write(last) {
        last.drain(..written);
    }
}

/// Sends the last bytes, then waits until the other side has closed too: closing with unread input would make the
/// kernel throw our last words away. Bounded by `time`; failures do not matter any more.
pub(crate) async fn farewell(stream: &mut TcpStream, last: &[u8], time: Duration) {
    let all = async {
        stream.write_all(last).await?;
        stream.shutdown().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(time, all).await;
}
