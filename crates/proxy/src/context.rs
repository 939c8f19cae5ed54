//! The response context of one request (RFC 3261 §16.2): its branches, its best answer, its timers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use locate::NextHop;
use sip::{Message, Name, Reply, Status};
use smallvec::SmallVec;

use crate::{
    Flow, Target, Wanted,
    branch::BranchId,
    client::{Branch, BranchState, Cancel, Rest, Why},
    desk::Desk,
    key::ServerKey,
    request::{self, Outgoing, Plan},
    response::Best,
};

/// Where a server transaction stands (RFC 3261 §17.2, RFC 6026 §7.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// No final response was sent.
    Proceeding,
    /// An INVITE was refused; its ACK is awaited until then.
    Completed(Instant),
    /// A 2xx to an INVITE was sent; more of them may pass until then.
    Accepted(Instant),
}

/// The targets whose turn comes when the present ones have failed, lowest q first.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) targets: Vec<Target>,
    pub(crate) plan: Plan,
}

/// A response context (RFC 3261 §16): one server transaction and the client transactions it caused.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) number: u64,
    pub(crate) key: ServerKey,
    /// The request as it came; empty once nothing can need it any more.
    pub(crate) request: Bytes,
    pub(crate) is_invite: bool,
    pub(crate) is_own_answer: bool,
    pub(crate) state: State,
    pub(crate) caller_gone: bool,
    pub(crate) cancelled: bool,
    /// The Reason of the caller's CANCEL.
    pub(crate) caller_reason: Option<Box<str>>,
    pub(crate) route_hash: u64,
    /// What a response must repeat of the request; see [`request::origin`].
    pub(crate) origin: u64,
    /// How many Record-Route values the request came with.
    pub(crate) recorded: usize,
    /// Bytes of responses passed on.
    pub(crate) told: usize,
    pub(crate) branches: SmallVec<[Branch; 1]>,
    pub(crate) later: Option<Box<Later>>,
    pub(crate) best: Option<Box<Best>>,
    /// The last response sent, for a caller who asks twice.
    pub(crate) last: Bytes,
    /// How many branches the table knows the flows of.
    pub(crate) linked: usize,
    /// How many bytes of it the table counts.
    pub(crate) held: usize,
    /// Under which time the table knows it.
    pub(crate) due: Option<Instant>,
}

/// Whether a context goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Stays,
    Ends,
}

impl Context {
    pub(crate) fn new(number: u64, key: ServerKey, message: &Message, route_hash: u64, origin: u64) -> Self {
        // A request can wait for minutes: it shall not hold the whole read buffer it arrived in.
        let request = Bytes::copy_from_slice(message.as_bytes());
        let recorded = message.list(Name::RecordRoute).count();
        Self { request, is_invite: message.method() == "INVITE", route_hash, origin, recorded, ..Self::blank(number, key) }
    }

    /// Our own refusal of an INVITE, which waits for its ACK.
    pub(crate) fn answered(number: u64, key: ServerKey, response: Bytes, until: Instant) -> Self {
        let state = State::Completed(until);
        Self { is_invite: true, is_own_answer: true, state, last: response, ..Self::blank(number, key) }
    }

    fn blank(number: u64, key: ServerKey) -> Self {
        Self {
            number,
            key,
            request: Bytes::new(),
            is_invite: false,
            is_own_answer: false,
            state: State::Proceeding,
            caller_gone: false,
            cancelled: false,
            caller_reason: None,
            route_hash: 0,
            origin: 0,
            recorded: 0,
            told: 0,
            branches: SmallVec::new(),
            later: None,
            best: None,
            last: Bytes::new(),
            linked: 0,
            held: 0,
            due: None,
        }
    }

    /// The request again, to write something about it. It was read once, so it can be read.
    pub(crate) fn message(&self) -> Option<Message> {
        Message::parse(self.request.clone()).ok()
    }

    /// When something is due: the first open branch, or what the whole waits for once none is open.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let open = self.branches.iter().filter(|branch| branch.is_sent()).map(|branch| branch.deadline).min();
        open.or(match self.state {
            State::Proceeding => None,
            State::Completed(until) | State::Accepted(until) => Some(until),
        })
    }

    /// What it keeps in memory, in bytes. An answer of our own is counted by the table apart.
    pub(crate) fn size(&self) -> usize {
        let best = self.best.as_ref().map_or(0, |best| best.size());
        self.request.len() + best + if self.is_own_answer { 0 } else { self.last.len() }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.branches.iter().any(Branch::is_pending)
    }

    /// Sends a response of ours or one passed on to the caller, if they are still there.
    pub(crate) fn respond(&mut self, response: Bytes, desk: &mut Desk) {
        if !self.caller_gone {
            self.told += response.len();
            self.last = response.clone();
            desk.send(self.key.flow, response);
        }
    }

    /// Starts one branch for each target of the first group; the rest waits.
    pub(crate) fn start(&mut self, message: &Message, mut targets: Vec<Target>, plan: Plan, desk: &mut Desk, now: Instant) -> Fate {
        targets.sort_by_key(|target| target.q);
        if targets.first().is_some_and(|lowest| targets.last().is_some_and(|highest| lowest.q == highest.q)) {
            self.start_group(message, targets, &plan, desk, now);
        } else {
            self.later = Some(Box::new(Later { targets, plan }));
            self.start_next(Some(message), desk, now);
        }
        self.conclude(desk, now)
    }

    /// Starts the targets with the highest q that are left (RFC 3261 §16.6: serial between groups, parallel
    /// within one). `false` when there are none.
    fn start_next(&mut self, message: Option<&Message>, desk: &mut Desk, now: Instant) -> bool {
        let Some(mut later) = self.later.take() else { return false };
        let Some(q) = later.targets.last().map(|target| target.q) else { return false };
        let first = later.targets.partition_point(|target| target.q < q);
        let group = later.targets.split_off(first);
        let again = if message.is_none() { self.message() } else { None };
        if let Some(message) = message.or(again.as_ref()) {
            self.start_group(message, group, &later.plan, desk, now);
        }
        self.later = Some(later).filter(|later| !later.targets.is_empty());
        true
    }

    fn start_group(&mut self, message: &Message, group: Vec<Target>, plan: &Plan, desk: &mut Desk, now: Instant) {
        let breadth = request::breadth(message, desk.settings.limits.breadth_max);
        let wide = u32::try_from(group.len()).unwrap_or(u32::MAX);
        if wide > breadth {
            desk.counters.refused_loops += 1;
            return self.consider(Best::own(Status::MAX_BREADTH_EXCEEDED), desk);
        }
        for (at, target) in (0..).zip(group) {
            // RFC 5393 §5.3.3.2: the shares of all open branches add up to what came in.
            let share = breadth / wide + u32::from(at < breadth % wide);
            self.start_branch(message, target, plan, share, desk, now);
        }
    }

    fn start_branch(&mut self, message: &Message, target: Target, plan: &Plan, breadth: u32, desk: &mut Desk, now: Instant) {
        let Ok(index) = u8::try_from(self.branches.len()) else { return };
        let id = BranchId { context: self.number, index, route_hash: self.route_hash };
        let outgoing = Outgoing { target: &target, source: self.key.flow, id, breadth };
        let (bytes, way) = request::forwarded(message, plan, outgoing, desk, now);
        desk.counters.branches += 1;
        let sent = bytes.len();
        desk.send(target.flow(), bytes);
        let deadline = now + self.patience(&target, desk);
        let rest = (!target.otherwise.is_empty()).then(|| Box::new(Rest { target: target.clone(), plan: plan.clone(), breadth }));
        let Target { hop, uri, path, .. } = target;
        let (state, cancel) = (BranchState::Calling, Cancel::No);
        self.branches.push(Branch { hop, uri, path, way, sent, waiting: 0, state, cancel, deadline, rung: false, rest });
    }

    /// How long a branch waits for the first word (RFC 3261 §17.1, timers B and F).
    fn patience(&self, target: &Target, desk: &Desk) -> Duration {
        let timers = desk.settings.timers;
        match self.is_invite {
            true if !target.otherwise.is_empty() => timers.server,
            true => timers.invite,
            false => timers.non_invite,
        }
    }

    /// A branch is over without a response that could be passed on.
    pub(crate) fn fail(&mut self, index: usize, status: Status, desk: &mut Desk) {
        let Some(branch) = self.branches.get(index) else { return };
        let unheard = branch.state == BranchState::Calling;
        if unheard && self.looks_on(index, desk) {
            return;
        }
        let branch = &mut self.branches[index];
        let unreachable = unheard && status == Status::FLOW_FAILED && branch.is_to_server();
        branch.state = BranchState::Done;
        self.consider(if unreachable { Best::unreachable() } else { Best::own(status) }, desk);
    }

    /// Whether the next server is asked instead (RFC 3263 §4.3). Nobody may have heard of the request yet, and the caller must
    /// still want it.
    pub(crate) fn looks_on(&mut self, index: usize, desk: &mut Desk) -> bool {
        let Some(branch) = self.branches.get_mut(index) else { return false };
        if self.state != State::Proceeding || self.caller_gone || branch.cancel != Cancel::No {
            return false;
        }
        let others = branch.rest.as_mut().map(|rest| &mut rest.target.otherwise);
        let Some(others) = others.filter(|others| !others.is_empty()) else { return false };
        let (server, size) = (others.remove(0), branch.sent);
        branch.state = BranchState::Looking;
        desk.wanted.push_back(Wanted { server, size, context: self.number, index });
        true
    }

    /// The next server can be reached on this connection, or not at all.
    pub(crate) fn reached(&mut self, wanted: Wanted, flow: Option<Flow>, desk: &mut Desk, now: Instant) -> Fate {
        let (index, invite) = (wanted.index, self.is_invite);
        let Some(branch) = self.branches.get_mut(index).filter(|branch| branch.state == BranchState::Looking) else {
            return Fate::Stays;
        };
        let deadline = branch.deadline;
        if let Some(flow) = flow {
            branch.state = if invite && branch.deadline <= now { BranchState::Abandoned } else { BranchState::Done };
            if let (Some(rest), Some(message)) = (branch.rest.take(), self.message()) {
                let Rest { target, plan, breadth } = *rest;
                let target = Target { hop: NextHop::Server { name: wanted.server, flow }, ..target };
                self.start_branch(&message, target, &plan, breadth, desk, now);
                self.inherit(deadline);
            }
        } else if !self.looks_on(index, desk) {
            self.branches[index].state = BranchState::Done;
            self.consider(Best::unreachable(), desk);
        }
        self.conclude(desk, now)
    }

    /// A request that began anew must be answered while its caller waits: the time that is gone is gone. A call is not bound
    /// by it, since its caller hears that it goes on.
    fn inherit(&mut self, deadline: Instant) {
        if let Some(branch) = self.branches.last_mut().filter(|_| !self.is_invite) {
            branch.deadline = deadline;
        }
    }

    /// A final failure joins the others (RFC 3261 §16.7 steps 5 and 6).
    pub(crate) fn consider(&mut self, new: Best, desk: &Desk) {
        if self.state != State::Proceeding {
            return;
        }
        match &mut self.best {
            Some(best) => best.meet(new, desk.settings.limits.challenges_max),
            None => self.best = Some(Box::new(new)),
        }
    }

    /// The caller takes the request back (RFC 3261 §9.2).
    pub(crate) fn handle_cancel(&mut self, reason: Option<&str>, desk: &mut Desk, now: Instant) -> Fate {
        if self.state == State::Proceeding && !self.cancelled {
            self.cancelled = true;
            self.caller_reason = reason.map(Into::into);
            self.cancel_all(Why::Caller, desk, now);
        }
        self.conclude(desk, now)
    }

    /// The caller's connection is gone: nobody waits for an answer.
    pub(crate) fn handle_caller_gone(&mut self, desk: &mut Desk, now: Instant) -> Fate {
        self.caller_gone = true;
        self.cancel_all(Why::GivenUp, desk, now);
        match self.state {
            State::Proceeding if self.is_invite => self.conclude(desk, now),
            State::Accepted(_) if self.is_pending() => Fate::Stays,
            State::Proceeding | State::Completed(_) | State::Accepted(_) => Fate::Ends,
        }
    }

    /// A connection is gone, and with it every branch that runs over it (RFC 5626 §5.3).
    pub(crate) fn handle_flow_gone(&mut self, flow: Flow, desk: &mut Desk) {
        for index in 0..self.branches.len() {
            let branch = &mut self.branches[index];
            if branch.flow() != flow || branch.state == BranchState::Looking {
                continue;
            }
            if branch.is_pending() {
                self.fail(index, Status::FLOW_FAILED, desk);
            } else {
                branch.state = BranchState::Done;
            }
        }
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, desk: &mut Desk, now: Instant) -> Fate {
        for index in 0..self.branches.len() {
            let branch = &self.branches[index];
            if !branch.is_sent() || branch.deadline > now {
                continue;
            }
            match (branch.state, branch.cancel) {
                // Timer C: the device rings on, so it is told to stop, and has a while to say that it did.
                (BranchState::Proceeding, Cancel::No) if self.is_invite => self.send_cancel(index, Why::GivenUp, desk, now),
                _ => self.fail(index, Status::REQUEST_TIMEOUT, desk),
            }
        }
        self.conclude(desk, now)
    }

    /// Goes on to the next targets or to the final response, once no branch is open. A cancelled or declined
    /// request has no next targets: [`cancel_all`](Self::cancel_all) threw them away.
    pub(crate) fn conclude(&mut self, desk: &mut Desk, now: Instant) -> Fate {
        loop {
            if self.is_pending() {
                return Fate::Stays;
            }
            match self.state {
                State::Proceeding => {
                    if !self.start_next(None, desk, now) {
                        return self.finish(desk, now);
                    }
                }
                State::Completed(until) | State::Accepted(until) => {
                    return if now >= until || self.caller_gone { Fate::Ends } else { Fate::Stays };
                }
            }
        }
    }

    /// Sends the one final response.
    fn finish(&mut self, desk: &mut Desk, now: Instant) -> Fate {
        let best = self.best.take();
        if self.caller_gone {
            return Fate::Ends;
        }
        let best = match best {
            Some(best) if !self.cancelled || best.status.class() == 6 => *best,
            _ if self.cancelled => Best::own(Status::REQUEST_TERMINATED),
            _ => Best::own(Status::TEMPORARILY_UNAVAILABLE),
        };
        if let Some(request) = self.message() {
            let tag = desk.tag_of(self.number);
            let response = best.write(&request, &tag, &desk.settings);
            self.respond(response, desk);
        }
        if !self.is_invite {
            return Fate::Ends;
        }
        self.request = Bytes::new();
        self.state = State::Completed(now + desk.settings.timers.acknowledge);
        Fate::Stays
    }

    /// A 2xx to the INVITE goes to the caller; the other branches are no longer wanted (RFC 3261 §16.7 step 10).
    pub(crate) fn accept(&mut self, index: usize, response: Bytes, desk: &mut Desk, now: Instant) -> Fate {
        if let Some(branch) = self.branches.get_mut(index) {
            branch.state = BranchState::Accepted;
        }
        self.told += response.len();
        desk.send(self.key.flow, response);
        if self.state == State::Proceeding {
            self.state = State::Accepted(now + desk.settings.timers.accepted);
            self.best = None;
            self.last = Bytes::new();
            self.cancel_all(Why::Elsewhere, desk, now);
        }
        if !self.is_pending() {
            self.request = Bytes::new();
        }
        self.conclude(desk, now)
    }

    /// The same request once more.
    pub(crate) fn repeat(&self, desk: &mut Desk) {
        if !self.last.is_empty() && !self.caller_gone {
            desk.send(self.key.flow, self.last.clone());
        }
    }

    /// 100 at once: a caller shall know that the call is being worked on (RFC 3261 §17.2.1).
    pub(crate) fn trying(&mut self, message: &Message, desk: &mut Desk) {
        let trying = Reply::to(message, Status::TRYING, "").finish();
        self.respond(trying, desk);
    }
}
