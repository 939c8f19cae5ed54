//! What the tasks of all connections of one server have in common.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use registrar::Flow;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{Limits, core::Event, gate::Gate, meters::Meters, sources::Sources};

/// What every connection of a server refers to.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    pub(crate) meters: Meters,
    pub(crate) sources: Arc<Sources>,
    /// Handshakes under way.
    pub(crate) handshakes: Semaphore,
    /// Handshakes that compute right now.
    pub(crate) computing: Semaphore,
    /// To the core, in order.
    pub(crate) events: mpsc::Sender<Event>,
    /// Flows whose task ended without a farewell; one each at most, so the queue is bounded by the connections.
    pub(crate) lost: mpsc::UnboundedSender<Flow>,
    /// Becomes true when the server ends.
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) next_flow: AtomicU64,
}

impl Shared {
    /// Comes back when the server ends.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.clone();
        // Without a sender nobody can end the server any more, and nobody serves it: an end as well.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// A number no connection had before.
    pub(crate) fn new_flow(&self) -> Flow {
        Flow(self.next_flow.fetch_add(1, Ordering::Relaxed))
    }
}
