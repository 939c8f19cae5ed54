//! The bindings of a user, and the two indexes over everybody's that must always agree with them.

use std::{collections::BTreeSet, time::Instant};

use crate::{
    Flow, UserName,
    binding::Binding,
    contact::{Asked, Order},
};

/// What is known of one user.
#[derive(Default)]
pub(crate) struct Bindings {
    pub(crate) list: Vec<Binding>,
    /// The row of this user in [`Index::due`].
    pub(crate) due: Option<Instant>,
}

/// Which users are touched when a flow dies or time passes.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) flows: BTreeSet<(Flow, UserName)>,
    pub(crate) due: BTreeSet<(Instant, UserName)>,
}

impl Bindings {
    /// Removes what is `gone`; tells how many those were.
    pub(crate) fn sweep(&mut self, user: &UserName, index: &mut Index, gone: impl Fn(&Binding) -> bool) -> usize {
        let before = self.list.len();
        for at in (0..before).rev() {
            if gone(&self.list[at]) {
                let flow = self.list.remove(at).flow;
                self.leave(user, index, flow);
            }
        }
        before - self.list.len()
    }

    /// Forgets that the user is on this flow, unless another binding still is.
    fn leave(&self, user: &UserName, index: &mut Index, flow: Flow) {
        if !self.list.iter().any(|binding| binding.flow == flow) {
            index.flows.remove(&(flow, user.clone()));
        }
    }

    pub(crate) fn reschedule(&mut self, user: &UserName, index: &mut Index) {
        let due = self.list.iter().map(|binding| binding.expires_at).min();
        if due == self.due {
            return;
        }
        if let Some(old) = self.due {
            index.due.remove(&(old, user.clone()));
        }
        if let Some(new) = due {
            index.due.insert((new, user.clone()));
        }
        self.due = due;
    }

    /// Adds or refreshes one; `true` when it is new.
    pub(crate) fn put(&mut self, user: &UserName, index: &mut Index, asked: &Asked<'_>, order: &Order<'_>, at: Mark) -> bool {
        index.join(at.flow, user);
        let Some(binding) = self.list.iter_mut().find(|binding| binding.is_meant_by(asked)) else {
            // Most users have one phone; room for four would be most of what they cost.
            self.list.reserve_exact(1);
            self.list.push(Binding::new(asked, order, at.flow, at.bound, at.now));
            return true;
        };
        let old = binding.flow;
        binding.refresh(asked, order, at.flow, at.bound, at.now);
        self.leave(user, index, old);
        false
    }
}

impl Index {
    fn join(&mut self, flow: Flow, user: &UserName) {
        let row = (flow, user.clone());
        if !self.flows.contains(&row) {
            self.flows.insert(row);
        }
    }
}

/// When and over what a REGISTER came.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) flow: Flow,
    pub(crate) bound: u64,
    pub(crate) now: Instant,
}
