//! One branch of a request: the client transaction (RFC 3261 §17.1) towards one device.

use std::time::Instant;

use bytes::Bytes;
use locate::NextHop;
use sip::{Message, Name, NameAddr, Status};

use crate::{
    Flow, Target,
    branch::BranchId,
    compose::{self, HopRequest},
    context::Context,
    desk::Desk,
    request::{self, Plan},
};

/// Where a client transaction stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BranchState {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx to an INVITE came; it may be repeated.
    Accepted,
    /// It failed without a word of any user's, and a way to another server is asked for.
    Looking,
    /// Nothing was heard for so long that another server was asked; if this one wakes up, it is told to stop.
    Abandoned,
    /// Over.
    Done,
}

/// Why a branch is no longer wanted: what its CANCEL says (RFC 3326).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// Somebody else answered.
    Elsewhere,
    /// Somebody else declined for all.
    Declined,
    /// The caller hung up; their own words go along.
    Caller,
    /// It rang too long, or the caller's connection is gone.
    GivenUp,
}

/// Where cancelling a branch stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cancel {
    No,
    /// A provisional response must come first (RFC 3261 §9.1).
    Wanted(Why),
    Sent,
}

/// One client transaction: the request on its way to one device.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) hop: NextHop,
    pub(crate) uri: String,
    pub(crate) path: Vec<String>,
    /// What stands in our Record-Route for the caller; see [`request::way`].
    pub(crate) way: Option<u64>,
    /// Bytes of the request as it was sent.
    pub(crate) sent: usize,
    /// How many of them the table counts as not heard yet.
    pub(crate) waiting: usize,
    pub(crate) state: BranchState,
    pub(crate) cancel: Cancel,
    pub(crate) deadline: Instant,
    /// A user may have noticed it: 101 to 199 came.
    pub(crate) rung: bool,
    /// What it takes to begin anew, when other servers would do as well.
    pub(crate) rest: Option<Box<Rest>>,
}

/// What a branch was begun with. Its target names the servers that were not asked yet.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) target: Target,
    pub(crate) plan: Plan,
    pub(crate) breadth: u32,
}

impl Branch {
    pub(crate) const fn flow(&self) -> Flow {
        self.hop.flow()
    }

    /// Whether it leads to another server.
    pub(crate) const fn is_to_server(&self) -> bool {
        match self.hop {
            NextHop::Flow(_) => false,
            NextHop::Server { .. } => true,
        }
    }

    /// Bytes that were sent and that nothing was heard of: they may still be on their way.
    pub(crate) fn unheard(&self) -> usize {
        if self.state == BranchState::Calling { self.sent } else { 0 }
    }

    /// Whether an answer of it is waited for.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.state, BranchState::Calling | BranchState::Proceeding)
    }

    /// Whether it may still come to something.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_sent() || self.state == BranchState::Looking
    }
}

/// What a response context says to its devices besides the request itself.
impl Context {
    /// Cancels every branch that is not over, and starts no more (RFC 3261 §16.10).
    pub(crate) fn cancel_all(&mut self, why: Why, desk: &mut Desk, now: Instant) {
        self.later = None;
        for index in 0..self.branches.len() {
            self.cancel_branch(index, why, desk, now);
        }
    }

    fn cancel_branch(&mut self, index: usize, why: Why, desk: &mut Desk, now: Instant) {
        if !self.is_invite {
            // RFC 3261 §9.1: only an INVITE is worth a CANCEL.
            return;
        }
        let Some(branch) = self.branches.get_mut(index) else { return };
        match (branch.state, branch.cancel) {
            (BranchState::Calling, Cancel::No | Cancel::Wanted(_)) => branch.cancel = Cancel::Wanted(why),
            (BranchState::Proceeding, Cancel::No | Cancel::Wanted(_)) => self.send_cancel(index, why, desk, now),
            (BranchState::Calling | BranchState::Proceeding, Cancel::Sent) => {}
            (BranchState::Looking, _) => branch.state = BranchState::Done,
            (BranchState::Accepted | BranchState::Abandoned | BranchState::Done, _) => {}
        }
    }

    pub(crate) fn send_cancel(&mut self, index: usize, why: Why, desk: &mut Desk, now: Instant) {
        let reason = match why {
            Why::Elsewhere => Some("SIP;cause=200;text=\"Call completed elsewhere\""),
            Why::Declined => Some("SIP;cause=603;text=\"Call declined elsewhere\""),
            Why::Caller => self.caller_reason.as_deref(),
            Why::GivenUp => None,
        };
        let bytes = self.hop_request("CANCEL", index, None, reason, desk);
        let Some(branch) = self.branches.get_mut(index) else { return };
        branch.cancel = Cancel::Sent;
        branch.deadline = now + desk.settings.timers.cancelled;
        if !bytes.is_empty() {
            desk.send(branch.flow(), bytes);
        }
    }

    /// Empty when the request is not kept any more, which it is as long as a branch is open.
    fn hop_request(&self, method: &str, index: usize, to: Option<&str>, reason: Option<&str>, desk: &Desk) -> Bytes {
        let (Some(invite), Some(branch)) = (self.message(), self.branches.get(index)) else { return Bytes::new() };
        let id = BranchId { context: self.number, index: index as u8, route_hash: self.route_hash };
        let mut via = String::with_capacity(128);
        desk.write_via(id, &branch.hop, &mut via);
        let routes: Vec<&str> = request::routes(&invite, &branch.path, desk).collect();
        HopRequest { method, invite: &invite, uri: &branch.uri, via: &via, to, routes: &routes, reason }.write()
    }

    /// A provisional response came on a branch.
    pub(crate) fn handle_provisional(&mut self, index: usize, status: Status, desk: &mut Desk, now: Instant) {
        let ringing = desk.settings.timers.ringing;
        let is_invite = self.is_invite;
        let Some(branch) = self.branches.get_mut(index) else { return };
        let first = branch.state == BranchState::Calling;
        branch.state = BranchState::Proceeding;
        branch.rung |= status != Status::TRYING;
        match branch.cancel {
            Cancel::Wanted(why) => self.send_cancel(index, why, desk, now),
            // RFC 3261 §16.7 step 2: timer C is reset by 101 to 199, and a 100 ends timer B.
            Cancel::No if is_invite && (first || status != Status::TRYING) => branch.deadline = now + ringing,
            Cancel::No | Cancel::Sent => {}
        }
    }

    /// A failure of an INVITE is acknowledged hop by hop.
    pub(crate) fn acknowledge(&mut self, index: usize, response: &Message, desk: &mut Desk) {
        let bytes = self.hop_request("ACK", index, response.first(Name::To), None, desk);
        if let Some(branch) = self.branches.get(index).filter(|_| !bytes.is_empty()) {
            desk.send(branch.flow(), bytes);
        }
    }

    /// A callee answered, but the call must not be: ACK, then BYE, as the caller would have (RFC 3261 §15).
    pub(crate) fn hang_up(&mut self, index: usize, answer: &Message, reason: &str, desk: &mut Desk) {
        let (Some(branch), Ok(cseq)) = (self.branches.get(index), answer.cseq()) else { return };
        let above = self.routes_above_ours(index, answer);
        for (method, number) in [("ACK", cseq.number), ("BYE", cseq.number.saturating_add(1))] {
            let id = BranchId { context: desk.number(), index: 0, route_hash: 0 };
            let mut via = String::with_capacity(128);
            desk.write_via(id, &branch.hop, &mut via);
            let reason = (method == "BYE").then_some(reason);
            let bytes = compose::in_dialog(method, answer, number, &via, reason, above);
            desk.send(branch.flow(), bytes);
        }
    }

    /// How many Record-Route values of a 2xx stand above ours; none if ours is missing. Ours are two with one token where the
    /// sides call us by different names.
    fn routes_above_ours(&self, index: usize, answer: &Message) -> usize {
        let recorded = self.branches.get(index).and_then(|branch| branch.way).map(|_| self.recorded + 1);
        let Some(at) = recorded.and_then(|below| answer.list(Name::RecordRoute).count().checked_sub(below)) else { return 0 };
        let values: Vec<NameAddr<'_>> = answer.addresses(Name::RecordRoute).map_while(Result::ok).collect();
        let token = |at: usize| values.get(at).and_then(|value| value.uri.user);
        match at.checked_sub(1) {
            Some(before) if token(before).is_some() && token(before) == token(at) => before,
            Some(_) | None => at,
        }
    }
}
