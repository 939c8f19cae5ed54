//! All requests under way, found by number, by key, by flow and by the time they fall due.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    time::Instant,
};

use crate::{Flow, FlowLimits, Limits, context::Context, key::ServerKey};

/// Spreads numbers that nobody outside can choose: our own counters, and keyed hashes.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// How much one flow has under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) forwarded: usize,
    pub(crate) answered: usize,
    /// Bytes of the requests.
    pub(crate) held: usize,
}

/// Every response context, found by its number, its server transaction, its flows and its next timer.
#[derive(Default)]
pub(crate) struct Table {
    contexts: Map<u64, Context>,
    by_key: Map<ServerKey, u64>,
    by_flow: BTreeSet<(Flow, u64)>,
    timers: BTreeSet<(Instant, u64)>,
    shares: Map<Flow, Share>,
    /// Which flows are links with servers.
    links: Map<Flow, ()>,
    held: usize,
    /// Bytes of the answers of our own that are remembered.
    remembered: usize,
    /// Bytes sent to each flow that nothing was heard of yet.
    unheard: Map<Flow, usize>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Bytes of the answers of our own that are kept.
    pub(crate) fn remembered(&self) -> usize {
        self.remembered
    }

    /// Bytes of requests on their way to a flow which has said nothing to them yet.
    pub(crate) fn unheard(&self, flow: Flow) -> usize {
        self.unheard.get(&flow).copied().unwrap_or_default()
    }

    fn count_unheard(unheard: &mut Map<Flow, usize>, flow: Flow, before: usize, after: usize) {
        if before == after {
            return;
        }
        let bytes = unheard.entry(flow).or_default();
        *bytes = *bytes + after - before;
        if *bytes == 0 {
            unheard.remove(&flow);
        }
    }

    /// Bytes of all requests kept, and of what was answered to them.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Context> {
        self.contexts.get_mut(&number)
    }

    pub(crate) fn number_of(&self, key: &ServerKey) -> Option<u64> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn add_link(&mut self, flow: Flow) {
        self.links.insert(flow, ());
    }

    pub(crate) fn remove_link(&mut self, flow: Flow) {
        self.links.remove(&flow);
    }

    /// What this flow may take.
    pub(crate) fn limits_of<'l>(&self, flow: Flow, limits: &'l Limits) -> &'l FlowLimits {
        if self.links.contains_key(&flow) { &limits.link } else { &limits.client }
    }

    pub(crate) fn share_of(&self, flow: Flow) -> Share {
        self.shares.get(&flow).copied().unwrap_or_default()
    }

    /// Takes a context in; [`settle`](Self::settle) must follow.
    pub(crate) fn insert(&mut self, number: u64, context: Context) {
        let share = self.shares.entry(context.key.flow).or_default();
        *share.of(&context) += 1;
        if context.is_own_answer {
            self.remembered += context.last.len();
        }
        self.by_flow.insert((context.key.flow, number));
        self.by_key.insert(context.key, number);
        self.contexts.insert(number, context);
    }

    /// Brings the indexes up to date after a context changed.
    pub(crate) fn settle(&mut self, number: u64) {
        let Some(context) = self.contexts.get_mut(&number) else { return };
        for branch in context.branches.iter().skip(context.linked) {
            self.by_flow.insert((branch.flow(), number));
        }
        context.linked = context.branches.len();
        for branch in &mut context.branches {
            let unheard = branch.unheard();
            Self::count_unheard(&mut self.unheard, branch.flow(), branch.waiting, unheard);
            branch.waiting = unheard;
        }
        let size = context.size();
        if context.held != size {
            let share = self.shares.entry(context.key.flow).or_default();
            share.held = share.held + size - context.held;
            self.held = self.held + size - context.held;
            context.held = size;
        }
        let due = context.next_timer();
        if due != context.due {
            if let Some(old) = context.due {
                self.timers.remove(&(old, number));
            }
            if let Some(new) = due {
                self.timers.insert((new, number));
            }
            context.due = due;
        }
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let Some(context) = self.contexts.remove(&number) else { return };
        let flow = context.key.flow;
        // A key may have been taken over by a later request with the same words.
        if self.by_key.get(&context.key) == Some(&number) {
            self.by_key.remove(&context.key);
        }
        self.by_flow.remove(&(flow, number));
        for branch in &context.branches {
            self.by_flow.remove(&(branch.flow(), number));
            Self::count_unheard(&mut self.unheard, branch.flow(), branch.waiting, 0);
        }
        if context.is_own_answer {
            self.remembered -= context.last.len();
        }
        if let Some(due) = context.due {
            self.timers.remove(&(due, number));
        }
        self.held -= context.held;
        if let Some(share) = self.shares.get_mut(&flow) {
            share.held -= context.held;
            *share.of(&context) -= 1;
            if share.forwarded + share.answered == 0 {
                self.shares.remove(&flow);
            }
        }
    }

    /// The contexts that have to do with a flow.
    pub(crate) fn on(&self, flow: Flow) -> Vec<u64> {
        self.by_flow.range((flow, 0)..=(flow, u64::MAX)).map(|(_, number)| *number).collect()
    }

    pub(crate) fn is_busy(&self, flow: Flow) -> bool {
        self.by_flow.range((flow, 0)..=(flow, u64::MAX)).next().is_some()
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// A context whose timer is due.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        self.timers.first().filter(|(due, _)| *due <= now).map(|(_, number)| *number)
    }

    /// Whether nothing at all is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.contexts.is_empty()
            && self.by_key.is_empty()
            && self.by_flow.is_empty()
            && self.timers.is_empty()
            && self.shares.is_empty()
            && self.unheard.is_empty()
            && self.held == 0
            && self.remembered == 0
    }
}

impl Share {
    /// A context without branches is an answer of our own.
    fn of(&mut self, context: &Context) -> &mut usize {
        if context.is_own_answer { &mut self.answered } else { &mut self.forwarded }
    }
}
