//! The one task that owns the signalling core: events in, messages and closings out to the connections.
//!
//! It works in turns: everything that waits (up to a batch) goes in, then everything that comes out is put into the
//! outboxes, then each connection that got something is woken once. It never waits for a connection.

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use node::Output;
use registrar::Flow;

use crate::{
    alarm::Alarm,
    core::{Core, Event},
    dial,
    link::Link,
    queues::{Inbox, Item},
    shared::Shared,
    verdicts::Admitted,
};

/// So many turns one after the other in which the core panicked by itself; then it is broken, and the process had better end.
const PANICKING_TURNS_MAX: u32 = 3;

/// A connection in the core's table, open or being dialled.
struct Entry {
    link: Arc<Link>,
    /// The last turn in which it was noted for waking.
    noted_in: u64,
}

/// The core and its surroundings.
pub(crate) struct CoreTask<C> {
    core: C,
    shared: Arc<Shared>,
    links: HashMap<Flow, Entry>,
    to_wake: Vec<Arc<Link>>,
    turn: u64,
    /// How many of the last turns the core panicked in without a message that could be blamed.
    panicking: u32,
    ending: bool,
}

impl<C: Core> CoreTask<C> {
    pub(crate) fn new(core: C, shared: Arc<Shared>) -> Self {
        Self { core, shared, links: HashMap::new(), to_wake: Vec::new(), turn: 0, panicking: 0, ending: false }
    }

    /// Until shutdown, and then until the last connection is gone.
    pub(crate) async fn run(mut self, mut inbox: Inbox<C>) {
        let mut alarm = Alarm::default();
        while !(self.ending && self.links.is_empty()) {
            let items = inbox.next(alarm.wait(self.core.poll_timeout())).await;
            let now = Instant::now();
            self.turn += 1;
            for item in items {
                match item {
                    Item::Event(event) => self.handle_event(event, now),
                    Item::Ask(ask) => self.answer(|core| ask(core, now)),
                }
            }
            let is_whole =
                self.attempt("a timer of the core", |task| task.handle_due(now)) & self.attempt("the core", |task| task.carry_out(now));
            self.panicking = if is_whole { 0 } else { self.panicking + 1 };
            if self.panicking >= PANICKING_TURNS_MAX {
                tracing::error!(turns = self.panicking, "the core panics in turn after turn: it ends");
                return;
            }
        }
    }

    fn handle_due(&mut self, now: Instant) {
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Message { flow, message } => self.handle_message(flow, message, now),
            Event::Connected { link, admitted } => self.handle_connected(link, admitted, now),
            Event::Closed { flow } => self.handle_closed(flow, now),
        }
    }

    /// The verdict was made by the policy of its moment. If another is in force by now, the connection is judged again
    /// here, where it enters the table: whoever re-judges the table after a change of policy misses nobody (N5, N15).
    fn handle_connected(&mut self, link: Arc<Link>, admitted: Admitted, now: Instant) {
        let Some(facts) = link.facts().filter(|_| !link.is_closing()) else { return };
        let is_current = Arc::ptr_eq(&admitted.policy, &facts.way.policy());
        let admitted = if is_current { Some(admitted) } else { self.shared.verdicts.admit(link.flow, facts) };
        let Some(admitted) = admitted else {
            link.cut("no longer trusted when it was to enter");
            return link.wake();
        };
        let (flow, arrival) = (link.flow, facts.arrival());
        if self.ending {
            link.close("the server shuts down");
            self.to_wake.push(Arc::clone(&link));
        }
        self.links.insert(flow, Entry { link, noted_in: 0 });
        self.guarded(flow, |core| core.handle_connected(flow, admitted.peer, arrival, now));
    }

    fn handle_message(&mut self, flow: Flow, message: sip::Message, now: Instant) {
        let Some(entry) = self.links.get(&flow) else { return };
        if entry.link.end_message(self.shared.limits.messages_in_flight_max) {
            self.to_wake.push(Arc::clone(&entry.link));
        }
        self.guarded(flow, |core| core.handle_message(flow, message, now));
    }

    fn handle_closed(&mut self, flow: Flow, now: Instant) {
        if self.links.remove(&flow).is_some() {
            self.guarded(flow, |core| core.handle_closed(flow, now));
        }
    }

    /// A message that breaks the core must not end everybody's service, nor may its sender go on.
    fn guarded(&mut self, flow: Flow, work: impl FnOnce(&mut C)) {
        let core = &mut self.core;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(core))) {
            tracing::error!(flow = flow.0, panic = words_of(&*panic), "the core panicked; the connection that caused it is closed");
            self.close(flow, "internal error");
        }
    }

    /// Nor may a question from outside; it stays unanswered.
    fn answer(&mut self, ask: impl FnOnce(&mut Self)) {
        self.attempt("a question to the core", ask);
    }

    /// Whether it came through without a panic.
    fn attempt(&mut self, what: &str, work: impl FnOnce(&mut Self)) -> bool {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if let Err(panic) = &done {
            tracing::error!(what, panic = words_of(&**panic), "something panicked; the rest goes on");
            metrics::counter!("verbund_core_panics_total").increment(1);
        }
        done.is_ok()
    }

    /// Tells the core and every connection that this is the end.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.ending = true;
        self.core.handle_shutdown(now);
        self.carry_out(now);
        for entry in self.links.values() {
            entry.link.close("the server shuts down");
            entry.link.wake();
        }
    }

    /// Moves everything that the core wants done to the connections, and wakes each of them once.
    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { flow, bytes } => self.send(flow, bytes),
                Output::Close { flow, reason } => self.close(flow, reason),
                Output::Connect { flow, server, addresses } => self.connect(flow, server, addresses, now),
            }
        }
        for link in self.to_wake.drain(..) {
            link.wake();
        }
    }

    fn send(&mut self, flow: Flow, bytes: bytes::Bytes) {
        let Some(entry) = self.links.get_mut(&flow) else { return };
        self.shared.meters.sent(&bytes);
        entry.link.push(bytes, self.shared.limits.outbox(entry.link.kind));
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

    /// What the core sends from now on waits in the outbox; whatever becomes of the attempt, the core is told once.
    fn connect(&mut self, flow: Flow, server: pki::Fqdn, addresses: Vec<std::net::SocketAddr>, now: Instant) {
        if self.links.contains_key(&flow) {
            return tracing::error!(flow = flow.0, %server, "the core asked for a connection under a number that is taken");
        }
        let link = Arc::new(Link::dialling(flow));
        self.links.insert(flow, Entry { link: Arc::clone(&link), noted_in: 0 });
        if self.ending || !dial::start(link, server, addresses, &self.shared) {
            self.handle_closed(flow, now);
        }
    }

    /// Ends a connection that no longer stands. The core hears of it now, not when the connection is gone: nothing that it
    /// said and nobody has heard yet counts any more.
    pub(crate) fn cut(&mut self, link: &Link, reason: &'static str, now: Instant) {
        link.cut(reason);
        link.wake();
        self.handle_closed(link.flow, now);
    }

    /// The core, for questions from outside.
    pub(crate) fn core(&mut self) -> &mut C {
        &mut self.core
    }

    /// Every connection, open or being dialled.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values().map(|entry| &entry.link)
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
