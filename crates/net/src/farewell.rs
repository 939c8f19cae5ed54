//! How a connection ends: the core hears of it once, the other side hears our last words.

use std::{io, sync::Arc, time::Duration};

use registrar::Flow;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{core::Event, shared::Shared};

/// That the core knows of the connection. However the task ends, by panic too, the core hears of it exactly once.
pub(crate) struct Presence {
    flow: Flow,
    shared: Arc<Shared>,
    reported: bool,
}

impl Presence {
    pub(crate) fn new(flow: Flow, shared: &Arc<Shared>) -> Self {
        shared.meters.connections.increment(1.0);
        Self { flow, shared: Arc::clone(shared), reported: false }
    }

    /// Tells the core, behind everything that the connection said.
    pub(crate) async fn report(&mut self) {
        let closed = Event::Closed { flow: self.flow };
        self.reported = self.shared.events.send(closed).await.is_ok();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shared.meters.connections.decrement(1.0);
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
