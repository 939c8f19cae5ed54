//! What the connections of one kind may take of the server.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::{Limits, core::Event, sources::Sources, way::Kind};

/// One kind's places. A flood on the port for clients finds the end of the clients' share; the places of server links
/// are others.
pub(crate) struct Share {
    pub(crate) sources: Arc<Sources>,
    /// Handshakes under way.
    pub(crate) handshakes: Semaphore,
    /// Handshakes that compute right now.
    pub(crate) computing: Semaphore,
    /// To the core, in order.
    pub(crate) events: mpsc::Sender<Event>,
}

impl Share {
    pub(crate) fn new(kind: Kind, limits: &Limits, events: mpsc::Sender<Event>) -> Self {
        let limits = limits.of(kind);
        Self {
            sources: Sources::new(&limits),
            handshakes: Semaphore::new(limits.handshakes_max),
            computing: Semaphore::new(limits.handshakes_computing_max),
            events,
        }
    }
}
