//! The one task that owns the signalling core: events in, messages and closings out to the connections.
//!
//! It works in turns: everything that waits (up to a batch) goes in, then everything that comes out is put into the
//! outboxes, then each connection that got something is woken once. It never waits for a connection.

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Instant,
};

use node::{Arrival, Figures, Node, Output, Registration};
use registrar::{Credential, Flow, UserName};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep_until},
};
use trust::Peer;

use crate::{link::Link, shared::Shared};

/// Events worked off in one turn; what they cause goes out before the next.
const BATCH: usize = 64;

/// What `net` drives. [`Node`] is the one that matters; tests have smaller ones.
pub trait Core: Send + 'static {
    /// A connection passed `trust`.
    fn handle_connected(&mut self, flow: Flow, peer: Peer, arrival: Arrival, now: Instant);
    /// A whole message came in.
    fn handle_message(&mut self, flow: Flow, message: sip::Message, now: Instant);
    /// A connection is gone; told once for each that was connected.
    fn handle_closed(&mut self, flow: Flow, now: Instant);
    /// Time passed.
    fn handle_timeout(&mut self, now: Instant);
    /// When to tell that time passed.
    fn poll_timeout(&self) -> Option<Instant>;
    /// What is to be done next.
    fn poll_output(&mut self) -> Option<Output>;
    /// A new user, or a new password. `false` when the table of users is full.
    fn put_user(&mut self, user: UserName, credential: Credential, now: Instant) -> bool;
    /// The user is gone. `false` when there was none.
    fn remove_user(&mut self, user: &UserName, now: Instant) -> bool;
    /// Who can be reached.
    fn registrations(&self, now: Instant) -> Vec<Registration>;
    /// Who proved who they are, and on which connection.
    fn signed_in(&self) -> Vec<(Flow, UserName)>;
    /// What there is and what was done.
    fn figures(&self) -> Figures;
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

    fn put_user(&mut self, user: UserName, credential: Credential, now: Instant) -> bool {
        self.put_user(user, credential, now)
    }

    fn remove_user(&mut self, user: &UserName, now: Instant) -> bool {
        self.remove_user(user, now)
    }

    fn registrations(&self, now: Instant) -> Vec<Registration> {
        self.registrations(now)
    }

    fn signed_in(&self) -> Vec<(Flow, UserName)> {
        self.signed_in()
    }

    fn figures(&self) -> Figures {
        self.figures()
    }

    fn handle_shutdown(&mut self, now: Instant) {
        self.handle_shutdown(now);
    }
}

/// A question or an order to the core from outside, run in its task.
pub(crate) type Ask = Box<dyn FnOnce(&mut CoreTask, Instant) + Send>;

/// What happens to the core. Most events are messages, so they stand in the queue themselves: a box each would be an
/// allocation each.
#[expect(clippy::large_enum_variant)]
pub(crate) enum Event {
    Connected { link: Arc<Link>, peer: Peer },
    Message { flow: Flow, message: sip::Message },
    Closed { flow: Flow },
    Ask(Ask),
    Shutdown,
}

/// A connection in the core's table.
struct Entry {
    link: Arc<Link>,
    /// The last turn in which it was noted for waking.
    noted_in: u64,
}

/// The core and its surroundings.
pub(crate) struct CoreTask {
    core: Box<dyn Core>,
    shared: Arc<Shared>,
    links: HashMap<Flow, Entry>,
    to_wake: Vec<Arc<Link>>,
    turn: u64,
    ending: bool,
}

impl CoreTask {
    pub(crate) fn new(core: Box<dyn Core>, shared: Arc<Shared>) -> Self {
        Self { core, shared, links: HashMap::new(), to_wake: Vec::new(), turn: 0, ending: false }
    }

    /// Until shutdown, and then until the last connection is gone.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>, mut lost: mpsc::UnboundedReceiver<Flow>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut alarm = Alarm::default();
        while !(self.ending && self.links.is_empty()) {
            tokio::select! {
                count = events.recv_many(&mut batch, BATCH) => if count == 0 { break },
                Some(flow) = lost.recv() => {
                    // What the connection said before it was lost stands in the queue and comes first.
                    batch.extend(std::iter::from_fn(|| events.try_recv().ok()));
                    batch.push(Event::Closed { flow });
                }
                () = alarm.wait(self.core.poll_timeout()) => {}
            }
            let now = Instant::now();
            self.turn += 1;
            for event in batch.drain(..) {
                self.handle_event(event, now);
            }
            if self.core.poll_timeout().is_some_and(|due| due <= now) {
                self.core.handle_timeout(now);
            }
            self.carry_out();
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Message { flow, message } => self.handle_message(flow, message, now),
            Event::Connected { link, peer } => self.handle_connected(link, peer, now),
            Event::Closed { flow } => {
                if self.links.remove(&flow).is_some() {
                    self.guarded(flow, |core| core.handle_closed(flow, now));
                }
            }
            Event::Ask(ask) => ask(self, now),
            Event::Shutdown => self.handle_shutdown(now),
        }
    }

    fn handle_connected(&mut self, link: Arc<Link>, peer: Peer, now: Instant) {
        let (flow, arrival) = (link.flow, link.facts.arrival());
        if self.ending {
            link.close("the server shuts down");
            self.to_wake.push(Arc::clone(&link));
        }
        self.links.insert(flow, Entry { link, noted_in: 0 });
        self.guarded(flow, |core| core.handle_connected(flow, peer, arrival, now));
    }

    fn handle_message(&mut self, flow: Flow, message: sip::Message, now: Instant) {
        let Some(entry) = self.links.get(&flow) else { return };
        if entry.link.end_message(self.shared.limits.messages_in_flight_max) {
            self.to_wake.push(Arc::clone(&entry.link));
        }
        self.guarded(flow, |core| core.handle_message(flow, message, now));
    }

    /// A message that breaks the core must not end everybody's service, nor may its sender go on.
    fn guarded(&mut self, flow: Flow, work: impl FnOnce(&mut dyn Core)) {
        let core = self.core.as_mut();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(core))) {
            tracing::error!(flow = flow.0, panic = words_of(&*panic), "the core panicked; the connection that caused it is closed");
            self.close(flow, "internal error");
        }
    }

    fn handle_shutdown(&mut self, now: Instant) {
        self.ending = true;
        self.core.handle_shutdown(now);
        self.carry_out();
        for entry in self.links.values() {
            entry.link.close("the server shuts down");
            entry.link.wake();
        }
    }

    /// Moves everything that the core wants done to the connections, and wakes each of them once.
    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { flow, bytes } => self.send(flow, bytes),
                Output::Close { flow, reason } => self.close(flow, reason),
                Output::Connect { flow, server, .. } => tracing::warn!(flow = flow.0, %server, "this server does not dial yet"),
            }
        }
        for link in self.to_wake.drain(..) {
            link.wake();
        }
    }

    fn send(&mut self, flow: Flow, bytes: bytes::Bytes) {
        let Some(entry) = self.links.get_mut(&flow) else { return };
        self.shared.meters.sent(&bytes);
        entry.link.push(bytes, self.shared.limits.outbox_bytes_max);
        if entry.noted_in != self.turn {
            entry.noted_in = self.turn;
            self.to_wake.push(Arc::clone(&entry.link));
        }
    }

    fn close(&mut self, flow: Flow, reason: &'static str) {
        if let Some(entry) = self.links.get(&flow) {
            entry.link.close(reason);
            self.to_wake.push(Arc::clone(&entry.link));
        }
    }

    /// The core, for questions from outside.
    pub(crate) fn core(&mut self) -> &mut dyn Core {
        self.core.as_mut()
    }

    /// Every open connection.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values().map(|entry| &entry.link)
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// A timer that is set again only when it would ring too late: deadlines mostly move further away, and ringing early
/// costs less than setting it after every message.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Until `due`, or a little earlier; never when nothing is due.
    async fn wait(&mut self, due: Option<Instant>) {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return std::future::pending().await };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.is_elapsed() || due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().await;
    }
}
