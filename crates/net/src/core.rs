//! What `net` drives, and what can happen to it.

use std::{sync::Arc, time::Instant};

use node::{Arrival, Node, Output};
use registrar::Flow;
use trust::Peer;

use crate::{core_task::CoreTask, link::Link, verdicts::Admitted};

/// A signalling core: the verbs by which `net` tells it what happened and asks what is to be done. [`Node`] is the one
/// that matters; tests have smaller ones. Whatever else a core can be asked goes through
/// [`Handle::with`](crate::Handle::with).
pub trait Core: Send + 'static {
    /// A connection passed `trust`: one that came in, or one that was asked for by [`Output::Connect`].
    fn handle_connected(&mut self, flow: Flow, peer: Peer, arrival: Arrival, now: Instant);
    /// A whole message came in.
    fn handle_message(&mut self, flow: Flow, message: sip::Message, now: Instant);
    /// A connection is gone, or one asked for did not come about; told once for each.
    fn handle_closed(&mut self, flow: Flow, now: Instant);
    /// Time passed.
    fn handle_timeout(&mut self, now: Instant);
    /// When to tell that time passed.
    fn poll_timeout(&self) -> Option<Instant>;
    /// What is to be done next.
    fn poll_output(&mut self) -> Option<Output>;
    /// The server is about to end.
    fn handle_shutdown(&mut self, now: Instant);
}

impl Core for Node {
    fn handle_connected(&mut self, flow: Flow, peer: Peer, arrival: Arrival, now: Instant) {
        self.handle_connected(flow, peer, arrival, now);
    }

    fn handle_message(&mut self, flow: Flow, message: sip::Message, now: Instant) {
        self.handle_message(flow, message, now);
    }

    fn handle_closed(&mut self, flow: Flow, now: Instant) {
        self.handle_closed(flow, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }

    fn handle_shutdown(&mut self, now: Instant) {
        self.handle_shutdown(now);
    }
}

/// A question or an order to the core from outside, run in its task.
pub(crate) type Ask<C> = Box<dyn FnOnce(&mut CoreTask<C>, Instant) + Send>;

/// What happens on connections. Most events are messages, so they stand in the queue themselves: a box each would be an
/// allocation each.
#[expect(clippy::large_enum_variant)]
pub(crate) enum Event {
    Connected { link: Arc<Link>, admitted: Admitted },
    Message { flow: Flow, message: sip::Message },
    Closed { flow: Flow },
}
