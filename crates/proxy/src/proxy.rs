//! The state machine itself: messages and time in, messages out.

use std::time::Instant;

use bytes::Bytes;
use sip::{Message, Name, Reply, Status, sdp::Unprotected};

use crate::{
    Counters, End, Flow, Forward, MediaPolicy, NewRequest, Route, Settings, Target, Wanted,
    branch::BranchId,
    context::{Context, Fate, State},
    desk::Desk,
    incoming::{Incoming, check_media},
    key::ServerKey,
    request::{self, Outgoing, Plan},
    response::RETRY_AFTER,
    table::Table,
    token::{self, Names},
};

/// How much of a caller's Reason goes on with the CANCEL, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// A stateful proxy as a pure state machine. Between two calls of `handle_*`, [`forward`](Self::forward) or
/// [`answer`](Self::answer) poll [`poll_output`](Self::poll_output) until it has nothing more.
pub struct Proxy {
    table: Table,
    desk: Desk,
    now: Instant,
}

impl Proxy {
    /// A proxy with nothing under way. All it draws is drawn from `key`, which must be random and of this
    /// start: with a new key the Record-Route tokens of before are void.
    #[must_use]
    pub fn new(settings: Settings, key: &[u8; 32], now: Instant) -> Self {
        Self { table: Table::default(), desk: Desk::new(settings, key, now), now }
    }

    /// Takes a message in. Responses, CANCEL, ACK for failures and repeated requests are matched to what is
    /// under way; a new request is handed back. One that cannot even be told apart from others is answered
    /// 400; for the rest [`Message::validate`] is the caller's to ask, once.
    pub fn handle_message(&mut self, flow: Flow, message: Message, now: Instant) -> Option<NewRequest> {
        self.now = now;
        if !message.is_request() {
            self.handle_response(flow, &message, now);
            return None;
        }
        let Some(key) = self.desk.seed.server_key(flow, &message) else {
            self.refuse_malformed(flow, &message);
            return None;
        };
        match message.method() {
            "CANCEL" => {
                self.handle_cancel(flow, &message, &key, now);
                None
            }
            "ACK" if self.absorbs_ack(&key) => None,
            "ACK" => Some(self.handed_out(flow, message, key)),
            _ => match self.table.number_of(&key).and_then(|number| self.table.get_mut(number)) {
                Some(context) => {
                    self.desk.counters.repeated_requests += 1;
                    context.repeat(&mut self.desk);
                    None
                }
                None => Some(self.handed_out(flow, message, key)),
            },
        }
    }

    fn handed_out(&mut self, flow: Flow, message: Message, key: ServerKey) -> NewRequest {
        self.desk.counters.new_requests += 1;
        NewRequest { flow, message, key }
    }

    fn refuse_malformed(&mut self, flow: Flow, message: &Message) {
        self.desk.counters.malformed_requests += 1;
        // Without a Via nobody could tell what the answer belongs to.
        if message.method() != "ACK" && message.via().is_ok() {
            let tag = self.to_tag();
            self.desk.send(flow, Reply::to(message, Status::BAD_REQUEST, &tag).finish());
        }
    }

    /// Whether an ACK ends here: it belongs to a failure of ours (RFC 3261 §17.2.1), or to a request that
    /// was not answered at all. An ACK for a 2xx is the caller's own and goes on.
    fn absorbs_ack(&mut self, key: &ServerKey) -> bool {
        let Some(number) = self.table.number_of(key) else { return false };
        let Some(context) = self.table.get_mut(number) else { return false };
        match context.state {
            State::Completed(_) => {
                self.settle(number, Fate::Ends);
                true
            }
            State::Proceeding => {
                self.desk.counters.stray_acks += 1;
                true
            }
            State::Accepted(_) => false,
        }
    }

    /// RFC 3261 §9.2 and §16.10. CANCEL is hop by hop: it is answered here, and what it causes is our own.
    fn handle_cancel(&mut self, flow: Flow, message: &Message, key: &ServerKey, now: Instant) {
        let number = self.table.number_of(key);
        let (Some(number), Some(context)) = (number, number.and_then(|number| self.table.get_mut(number))) else {
            self.desk.counters.stray_cancels += 1;
            let tag = self.to_tag();
            return self.desk.send(flow, Reply::to(message, Status::CALL_DOES_NOT_EXIST, &tag).finish());
        };
        let tag = self.desk.tag_of(number);
        self.desk.send(flow, Reply::to(message, Status::OK, &tag).finish());
        let reason = message.first(Name::Reason).filter(|reason| reason.len() <= REASON_BYTES_MAX && !reason.contains(['\r', '\n']));
        let fate = context.handle_cancel(reason, &mut self.desk, now);
        self.settle(number, fate);
    }

    /// A final answer of our own. A refused INVITE is remembered until its ACK comes; nothing else needs to be.
    pub fn answer(&mut self, request: NewRequest, response: Bytes, now: Instant) {
        self.now = now;
        let method = request.message.method();
        if method == "ACK" {
            return;
        }
        self.desk.send(request.flow, response.clone());
        let success = response.get(8..9) == Some(b"2");
        let limits = self.desk.settings.limits;
        let own = self.table.limits_of(request.flow, &limits);
        let room = self.table.len() < limits.transactions_max && self.table.share_of(request.flow).answered < own.answers_max;
        let room = room && self.table.remembered() + response.len() <= limits.answers_bytes_max;
        if method == "INVITE" && !success && room {
            let number = self.desk.number();
            let until = now + self.desk.settings.timers.acknowledge;
            self.table.insert(number, Context::answered(number, request.key, response, until));
            self.table.settle(number);
        }
    }

    /// Sends a request on to its targets. What may go no further is answered: 483, 482, 440, 480, 503.
    pub fn forward(&mut self, request: NewRequest, plan: Forward, now: Instant) {
        self.now = now;
        let hash = request::route_hash(&request.message, &self.desk);
        let Forward { mut targets, caller, asserted, reached_as, record_route } = plan;
        let plan = Plan { caller, asserted, reached_as, record_route };
        self.narrow(&mut targets);
        if self.leave_out_busy(&request.message, &mut targets) {
            return self.refuse(request, Status::SERVICE_UNAVAILABLE, now);
        }
        if let Some(status) = self.objection(&request, hash, &targets) {
            return self.refuse(request, status, now);
        }
        if request.message.method() == "ACK" {
            return self.pass_on(&request, &targets, &plan, now);
        }
        let number = self.desk.number();
        let origin = request::origin(&request.message, 0, &self.desk.seed);
        let mut context = Context::new(number, request.key, &request.message, hash, origin);
        if context.is_invite {
            context.trying(&request.message, &mut self.desk);
        }
        let fate = context.start(&request.message, targets, plan, &mut self.desk, now);
        self.table.insert(number, context);
        self.settle(number, fate);
    }

    /// No device twice (RFC 3261 §16.5), and no more than a fork may have.
    fn narrow(&mut self, targets: &mut Vec<Target>) {
        let branches_max = self.desk.settings.limits.branches_max.min(255);
        if targets.len() > 1 {
            targets.sort_by_key(|target| std::cmp::Reverse(target.q));
            let mut seen = std::collections::BTreeSet::new();
            targets.retain(|target| seen.insert((target.flow(), target.uri.clone())));
        }
        if targets.len() > branches_max {
            self.desk.counters.targets_left_out += (targets.len() - branches_max) as u64;
            targets.truncate(branches_max);
        }
    }

    /// Leaves out the devices that have not even heard what was sent to them before. `true` when no device is left
    /// because of that.
    fn leave_out_busy(&mut self, message: &Message, targets: &mut Vec<Target>) -> bool {
        let (before, size) = (targets.len(), message.as_bytes().len());
        if message.method() == "ACK" && size > self.desk.settings.limits.ack_bytes_max {
            targets.clear();
        }
        targets.retain(|target| self.has_room(target.flow(), size));
        self.desk.counters.targets_left_out += (before - targets.len()) as u64;
        before > 0 && targets.is_empty()
    }

    /// Why a request may not go on (RFC 3261 §16.3), if so.
    fn objection(&self, request: &NewRequest, route_hash: u64, targets: &[Target]) -> Option<Status> {
        let limits = &self.desk.settings.limits;
        let message = &request.message;
        if request::hops_left(message).is_none() {
            return Some(Status::TOO_MANY_HOPS);
        }
        if request::is_loop(message, route_hash) {
            return Some(Status::LOOP_DETECTED);
        }
        if request::breadth(message, limits.breadth_max) == 0 {
            return Some(Status::MAX_BREADTH_EXCEEDED);
        }
        if targets.is_empty() {
            return Some(Status::TEMPORARILY_UNAVAILABLE);
        }
        (message.method() != "ACK" && self.is_full(request)).then_some(Status::SERVICE_UNAVAILABLE)
    }

    fn is_full(&self, request: &NewRequest) -> bool {
        let limits = &self.desk.settings.limits;
        let own = self.table.limits_of(request.flow, limits);
        let (share, size) = (self.table.share_of(request.flow), request.message.as_bytes().len());
        self.table.len() >= limits.transactions_max
            || share.forwarded >= own.transactions_max
            || self.table.held() + size > limits.bytes_max
            || share.held + size > own.bytes_max
    }

    fn refuse(&mut self, request: NewRequest, status: Status, now: Instant) {
        match status {
            Status::SERVICE_UNAVAILABLE => self.desk.counters.refused_full += 1,
            Status::TEMPORARILY_UNAVAILABLE => {}
            _ => self.desk.counters.refused_loops += 1,
        }
        let tag = self.to_tag();
        let reply = Reply::to(&request.message, status, &tag);
        let reply = if status == Status::SERVICE_UNAVAILABLE { reply.header(Name::RetryAfter, RETRY_AFTER) } else { reply };
        let response = reply.finish();
        self.answer(request, response, now);
    }

    /// An ACK for a 2xx opens no transaction (RFC 3261 §16.11: nothing will ever come back for it).
    fn pass_on(&mut self, request: &NewRequest, targets: &[Target], plan: &Plan, now: Instant) {
        for target in targets {
            let id = BranchId { context: self.desk.number(), index: 0, route_hash: 0 };
            let breadth = request::breadth(&request.message, self.desk.settings.limits.breadth_max);
            let outgoing = Outgoing { target, source: request.flow, id, breadth };
            let (bytes, _) = request::forwarded(&request.message, plan, outgoing, &mut self.desk, now);
            self.desk.counters.branches += 1;
            self.desk.send(target.flow(), bytes);
        }
    }

    fn handle_response(&mut self, flow: Flow, message: &Message, now: Instant) {
        if message.cseq().is_err() {
            self.desk.counters.malformed_responses += 1;
            return;
        }
        let Some(id) = self.branch_of(flow, message) else {
            self.desk.counters.forged_responses += 1;
            return;
        };
        let (number, index) = (id.context, usize::from(id.index));
        let known = self.table.get_mut(number).filter(|context| context.branches.get(index).is_some_and(|branch| branch.flow() == flow));
        let (Some(context), Some(status)) = (known, message.status()) else {
            self.desk.counters.stray_responses += 1;
            return;
        };
        if message.method() != "CANCEL" && request::origin(message, 1, &self.desk.seed) != context.origin {
            // Its caller would take it for the answer to something else.
            self.desk.counters.stray_responses += 1;
            return;
        }
        let fate = Incoming { message, status, index }.reach(context, &mut self.desk, now);
        self.settle(number, fate);
    }

    /// Which branch of ours a response answers: the top Via must be ours, made for this very flow.
    fn branch_of(&self, flow: Flow, message: &Message) -> Option<BranchId> {
        let via = message.via().ok()?;
        self.desk.branches.verify(via.branch()?, flow)
    }

    /// What the topmost Route headers say about us and the dialog.
    #[must_use]
    pub fn dialog_of(&self, message: &Message) -> Route {
        token::route_of(message, &self.desk.names, &self.desk.tokens, &self.desk.seed, self.now)
    }

    /// Who speaks in a dialog of ours under the URI that they were called by, which need not be their own: another server may
    /// have sent the call on to them, or the caller wrote an address.
    #[must_use]
    pub fn speaker_as_called(&self, message: &Message) -> Option<End> {
        token::speaker_as_called(message, &self.desk.names, &self.desk.tokens, &self.desk.seed, self.now)
    }

    /// Whether a NOTIFY in a dialog of ours tells of what the dialog was opened for: of the package that was subscribed to, or of
    /// what became of a REFER.
    #[must_use]
    pub fn is_asked_for(&self, notify: &Message) -> bool {
        token::is_asked_for(notify, &self.desk.names, &self.desk.tokens, &self.desk.seed, self.now)
    }

    /// How many Route values are left when ours on top are popped: where a request wants to go after us.
    #[must_use]
    pub fn foreign_routes(&self, message: &Message) -> usize {
        message.list(Name::Route).count().saturating_sub(self.desk.names.own_routes(message))
    }

    /// Whether a message's body may pass under the media policy (P3, row N26).
    ///
    /// # Errors
    /// Why not, in words for the caller.
    pub fn check_media(&self, message: &Message) -> Result<(), Unprotected> {
        check_media(self.desk.settings.media, message)
    }

    /// This connection is a link with a server: many users speak over it.
    pub fn handle_link(&mut self, flow: Flow) {
        self.table.add_link(flow);
    }

    /// Whether as many bytes may still be sent to this connection: more wait there for a first word otherwise than should.
    #[must_use]
    pub fn has_room(&self, flow: Flow, size: usize) -> bool {
        self.table.unheard(flow) + size <= self.table.limits_of(flow, &self.desk.settings.limits).unheard_bytes_max
    }

    /// The next request that looks for another server, because the one before could not do.
    pub fn poll_wanted(&mut self) -> Option<Wanted> {
        self.desk.wanted.pop_front()
    }

    /// That server can be reached on this connection, or not at all.
    pub fn reached(&mut self, wanted: Wanted, flow: Option<Flow>, now: Instant) {
        self.now = now;
        let number = wanted.context;
        let Some(context) = self.table.get_mut(number) else { return };
        let fate = context.reached(wanted, flow, &mut self.desk, now);
        self.settle(number, fate);
    }

    /// What else means us in a Route from now on; see [`Settings::aliases`].
    pub fn set_aliases(&mut self, aliases: Vec<String>) {
        self.desk.settings.aliases = aliases;
        self.desk.names = Names::new(&self.desk.settings);
    }

    /// Randomness from the key this was made with.
    pub fn random(&mut self) -> u64 {
        u64::from_be_bytes(self.desk.random.take())
    }

    /// What is asked of media from now on.
    pub fn set_media(&mut self, media: MediaPolicy) {
        self.desk.settings.media = media;
    }

    /// A connection is gone: what was sent over it fails, and what came in over it is taken back.
    pub fn handle_closed(&mut self, flow: Flow, now: Instant) {
        self.now = now;
        self.table.remove_link(flow);
        for number in self.table.on(flow) {
            let Some(context) = self.table.get_mut(number) else { continue };
            context.handle_flow_gone(flow, &mut self.desk);
            let fate = if context.key.flow == flow {
                context.handle_caller_gone(&mut self.desk, now)
            } else {
                context.conclude(&mut self.desk, now)
            };
            self.settle(number, fate);
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(number) = self.table.due(now) {
            let Some(context) = self.table.get_mut(number) else { return };
            let fate = context.handle_timeout(&mut self.desk, now);
            self.settle(number, fate);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_timer()
    }

    /// What is to be sent next, and to whom.
    pub fn poll_output(&mut self) -> Option<(Flow, Bytes)> {
        self.desk.poll()
    }

    /// A fresh tag for replies of our own.
    pub fn to_tag(&mut self) -> String {
        format!("{:016x}", self.random())
    }

    /// What was dropped or refused so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.desk.counters
    }

    /// How many requests are under way.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.table.len()
    }

    /// Whether a request is under way that came over this connection or went out over it.
    #[must_use]
    pub fn is_busy(&self, flow: Flow) -> bool {
        self.table.is_busy(flow)
    }

    /// Whether nothing is remembered of any request.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.table.is_empty()
    }

    fn settle(&mut self, number: u64, fate: Fate) {
        match fate {
            Fate::Stays => self.table.settle(number),
            Fate::Ends => self.table.remove(number),
        }
    }
}
