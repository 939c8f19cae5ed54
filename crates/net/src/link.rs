//! What the core and the task of one connection share: the outbox, and how much of the connection's input is under way.

use std::{
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

use bytes::Bytes;
use registrar::Flow;

use crate::{facts::Facts, scratch::WRITE_BYTES, way::Kind};

/// One connection as the core sees it. The lock is this connection's alone.
pub(crate) struct Link {
    pub(crate) flow: Flow,
    pub(crate) kind: Kind,
    facts: OnceLock<Facts>,
    in_flight: AtomicU32,
    outbox: Mutex<Outbox>,
}

#[derive(Default)]
struct Outbox {
    queue: Vec<Bytes>,
    bytes: usize,
    closing: Option<Closing>,
    waker: Option<Waker>,
}

/// Why a connection is to end, seen from our side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Closing {
    /// Somebody decided so: what waits is sent, then `close_notify`.
    Orderly(&'static str),
    /// The other side is no longer trusted: nothing that waits is sent or heard, `close_notify` is all.
    Cut(&'static str),
    /// It reads more slowly than it is written to: nothing more can be told.
    Overflow,
}

/// What the outbox says when asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// Everything was taken.
    Nothing,
    /// More is there than fits one run.
    More,
    /// Everything was taken, and then this is to happen.
    Close(Closing),
}

impl Link {
    /// A connection that passed its handshake.
    pub(crate) fn open(flow: Flow, facts: Facts) -> Self {
        let link = Self::new(flow, facts.way.kind());
        link.opened(facts);
        link
    }

    /// A connection that does not exist yet; what is sent to it waits.
    pub(crate) fn dialling(flow: Flow) -> Self {
        Self::new(flow, Kind::Dialled)
    }

    fn new(flow: Flow, kind: Kind) -> Self {
        Self { flow, kind, facts: OnceLock::new(), in_flight: AtomicU32::new(0), outbox: Mutex::default() }
    }

    /// The connection exists now.
    pub(crate) fn opened(&self, facts: Facts) {
        // One task dials, and ends with its first success.
        let _ = self.facts.set(facts);
    }

    /// What its handshake settled; `None` while it is dialled.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.facts.get()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes into the outbox. When they do not fit the connection is to end: others must not pay for it.
    pub(crate) fn push(&self, bytes: Bytes, outbox_bytes_max: usize) {
        let mut outbox = self.outbox();
        match outbox.closing {
            Some(_) => {}
            None if outbox.bytes + bytes.len() > outbox_bytes_max => {
                outbox.closing = Some(Closing::Overflow);
                outbox.queue = Vec::new();
                outbox.bytes = 0;
            }
            None => {
                outbox.bytes += bytes.len();
                outbox.queue.push(bytes);
            }
        }
    }

    /// Ends the connection after what is in the outbox now. The first reason stays.
    pub(crate) fn close(&self, reason: &'static str) {
        self.outbox().closing.get_or_insert(Closing::Orderly(reason));
    }

    /// Ends the connection at once and forgets what waits, whatever else was to happen to it.
    pub(crate) fn cut(&self, reason: &'static str) {
        let mut outbox = self.outbox();
        outbox.closing = Some(Closing::Cut(reason));
        outbox.queue = Vec::new();
        outbox.bytes = 0;
    }

    /// Whether the connection is to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.outbox().closing.is_some()
    }

    /// Comes back when the connection is to end.
    pub(crate) async fn closed(&self) -> Closing {
        poll_fn(|cx| self.register(cx.waker()).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Lets the connection's task look at what is due.
    pub(crate) fn wake(&self) {
        let waker = self.outbox().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task that [`wake`](Self::wake) wakes; says why the connection is to end, if it is.
    pub(crate) fn register(&self, waker: &Waker) -> Option<Closing> {
        let mut outbox = self.outbox();
        if !outbox.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            outbox.waker = Some(waker.clone());
        }
        outbox.closing
    }

    /// Moves what is due behind `plain`, one run at most.
    pub(crate) fn take_into(&self, plain: &mut Vec<u8>) -> Due {
        let mut outbox = self.outbox();
        let room = WRITE_BYTES.saturating_sub(plain.len());
        let mut taken = 0;
        let fitting = outbox.queue.iter().take_while(|bytes| {
            let first = taken == 0;
            taken += bytes.len();
            first || taken <= room
        });
        let count = fitting.count();
        let before = plain.len();
        for bytes in outbox.queue.drain(..count) {
            plain.extend_from_slice(&bytes);
        }
        outbox.bytes -= plain.len() - before;
        match outbox.closing {
            _ if !outbox.queue.is_empty() => Due::More,
            Some(closing) => Due::Close(closing),
            None => {
                outbox.queue = Vec::new();
                Due::Nothing
            }
        }
    }

    /// One more message of this connection is with the core.
    pub(crate) fn begin_message(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// The core has worked off one message of this connection. True when the connection was waiting for that.
    pub(crate) fn end_message(&self, messages_in_flight_max: u32) -> bool {
        self.in_flight.fetch_sub(1, Ordering::AcqRel) >= messages_in_flight_max
    }

    /// Messages of this connection that the core has yet to work off.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    fn link() -> Link {
        Link::dialling(Flow(1))
    }

    fn push(link: &Link, len: usize) {
        link.push(Bytes::from(vec![b'x'; len]), MAX);
    }

    #[test]
    fn what_is_due_goes_out_in_order_and_in_one_run() {
        let link = link();
        for part in ["one ", "two ", "three"] {
            link.push(Bytes::from_static(part.as_bytes()), MAX);
        }
        let mut plain = b"zero ".to_vec();
        assert_eq!(link.take_into(&mut plain), Due::Nothing);
        assert_eq!(plain, b"zero one two three");
    }

    #[test]
    fn a_full_outbox_ends_the_connection_and_holds_nothing() {
        let link = link();
        push(&link, 60);
        push(&link, 60);
        push(&link, 10);
        let mut plain = Vec::new();
        assert_eq!(link.take_into(&mut plain), Due::Close(Closing::Overflow));
        assert!(plain.is_empty());
    }

    #[test]
    fn what_stood_in_the_outbox_is_sent_before_an_orderly_end_and_nothing_after() {
        let link = link();
        push(&link, 5);
        link.close("first");
        link.close("second");
        push(&link, 5);
        let mut plain = Vec::new();
        assert_eq!(link.take_into(&mut plain), Due::Close(Closing::Orderly("first")));
        assert_eq!(plain.len(), 5);
    }

    #[test]
    fn a_cut_forgets_what_waits_and_comes_before_any_other_end() {
        let link = link();
        push(&link, 5);
        link.close("later");
        link.cut("revoked");
        push(&link, 5);
        let mut plain = Vec::new();
        assert_eq!(link.take_into(&mut plain), Due::Close(Closing::Cut("revoked")));
        assert!(plain.is_empty());
    }

    #[test]
    fn room_in_the_outbox_comes_back_when_it_is_taken() {
        let link = link();
        for _ in 0..10 {
            push(&link, MAX);
            assert_eq!(link.take_into(&mut Vec::new()), Due::Nothing);
        }
    }

    #[test]
    fn a_large_outbox_is_taken_in_runs() {
        let link = link();
        for _ in 0..3 {
            link.push(Bytes::from(vec![0; WRITE_BYTES]), 4 * WRITE_BYTES);
        }
        let dues: Vec<Due> = (0..3).map(|_| link.take_into(&mut Vec::new())).collect();
        assert_eq!(dues, [Due::More, Due::More, Due::Nothing]);
    }

    #[test]
    fn only_a_connection_at_its_bound_is_told_that_a_message_is_done() {
        let link = link();
        link.begin_message();
        link.begin_message();
        assert!(link.end_message(2));
        assert!(!link.end_message(2));
    }
}
