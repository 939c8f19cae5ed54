//! What becomes of a request, given who sent it. Deciding sends nothing and notes one thing only: that a user proved who
//! they are on this connection (and it counts). `Node` carries the decision out.

use std::{net::IpAddr, sync::Arc, time::Instant};

use locate::{NextHop, Unroutable};
use proxy::{End, Forward, Leg, Route, Target};
use registrar::{Denied, Flow, UserName};
use sip::{Message, Name, Status};
use trust::Peer;

use crate::{answer::Answer, node::Node, session::Session};

/// The one thing that happens to a request.
pub(crate) enum Decision {
    /// The server answers.
    Answer(Answer),
    /// Whoever asks must prove who they are first (RFC 3261 §22): 401 from the registrar, 407 from the proxy.
    Challenge { stale: bool },
    /// The user's own registrar takes it.
    Register { user: UserName },
    /// It goes on.
    Forward(Forward),
    /// Nothing is sent: an ACK cannot be answered.
    Drop,
}

/// A question answered, or the decision that ends the questions.
type Asked<T> = Result<T, Decision>;

fn refuse<T>(status: Status) -> Asked<T> {
    Err(Decision::Answer(Answer::new(status)))
}

/// Whom a Request-URI names.
enum Address {
    /// This server itself.
    Server,
    /// A user, perhaps one certain device of theirs (RFC 5627).
    User { user: UserName, instance: Option<String> },
}

/// Methods that create a dialog, so that we must stay on its way (RFC 3261 §16.6 step 4, 6665, 3515).
const DIALOG_METHODS: [&str; 3] = ["INVITE", "SUBSCRIBE", "REFER"];
/// What `Allow` says.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE";
/// Extensions the registrar understands.
pub(crate) const SUPPORTED: &str = "path, outbound, gruu";

impl Node {
    /// Decides about a new request.
    pub(crate) fn decide(&mut self, flow: Flow, request: &Message, now: Instant) -> Decision {
        let Some(session) = self.sessions.get(&flow) else { return Decision::Drop };
        let asked = match session.peer {
            Peer::Client { .. } => self.decide_for_client(flow, request, now),
            // Server links come with the network of trusted servers; until one can be listed besides us,
            // nobody can hold such a Peer, and nothing is done for whoever would.
            Peer::TrustedServer { .. } => refuse(Status::FORBIDDEN),
        };
        let decision = match asked {
            Ok(decision) | Err(decision) => decision,
        };
        match decision {
            Decision::Answer(_) | Decision::Challenge { .. } if request.method() == "ACK" => Decision::Drop,
            decision => decision,
        }
    }

    fn decide_for_client(&mut self, flow: Flow, request: &Message, now: Instant) -> Asked<Decision> {
        self.check_message(request)?;
        if request.method() == "REGISTER" {
            return self.decide_register(flow, request, now);
        }
        if request.method() == "OPTIONS"
            && matches!(self.address_of(flow, request), Ok(Address::Server))
            && request.to().is_ok_and(|to| to.tag().is_none())
        {
            return Ok(Decision::Answer(Self::capabilities()));
        }
        let caller = self.caller(flow, request, now)?;
        self.check_extensions(request)?;
        self.check_media(request)?;
        match self.proxy.dialog_of(request) {
            // N16: our own Route is popped; what stands behind it would lead on to wherever the client likes.
            Route::None | Route::Preloaded if self.proxy.foreign_routes(request) > 0 => refuse(Status::FORBIDDEN),
            Route::None | Route::Preloaded => self.decide_for_address(flow, caller, request, now),
            Route::Dialog { from, to } => self.decide_in_dialog(flow, caller, &from, &to, request, now),
            // N16: a token we did not make, or a way past us.
            Route::Forged | Route::Foreign => refuse(Status::FORBIDDEN),
        }
    }

    fn check_message(&self, request: &Message) -> Asked<()> {
        request.validate().map_err(|fault| Decision::Answer(Answer::warned(fault.status(), self.name(), fault)))
    }

    /// RFC 3261 §16.3 step 5: a proxy must know every tag in Proxy-Require, and this one knows none.
    fn check_extensions(&self, request: &Message) -> Asked<()> {
        let unknown: Vec<&str> = request.list(Name::ProxyRequire).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Decision::Answer(Answer::new(Status::BAD_EXTENSION).with(Name::Unsupported, unknown.join(", "))))
    }

    /// P3, N26: what negotiates media must negotiate encrypted media.
    fn check_media(&mut self, request: &Message) -> Asked<()> {
        self.proxy.check_media(request).map_err(|why| {
            self.counters.media_refused += 1;
            Decision::Answer(Answer::warned(Status::NOT_ACCEPTABLE_HERE, self.name(), why))
        })
    }

    fn capabilities() -> Answer {
        Answer::new(Status::OK).with(Name::Allow, ALLOW).with(Name::Accept, "application/sdp, text/plain").with(Name::Supported, SUPPORTED)
    }

    fn decide_register(&mut self, flow: Flow, request: &Message, now: Instant) -> Asked<Decision> {
        self.check_registrar(request)?;
        let wanted = request.to().ok().and_then(|to| self.aor(&to.uri));
        let certified = |user: &UserName| self.sessions.get(&flow).is_some_and(|session| session.is_certified(user));
        if let Some(user) = wanted.filter(certified) {
            return Ok(Decision::Register { user });
        }
        // A binding is what a password is asked for, each time anew: phones expect no less, and answer by themselves.
        let user = self.prove(flow, request, now)?;
        Ok(Decision::Register { user })
    }

    /// A REGISTER names the domain of the location service (RFC 3261 §10.2). A phone that was told an address instead of a name
    /// writes that; it reached us, and To says whose bindings it means.
    fn check_registrar(&self, request: &Message) -> Asked<()> {
        let uri = request.request_uri().map_err(|fault| Decision::Answer(Answer::new(fault.status())))?;
        match locate::destination(&self.topology, &uri) {
            Ok(_) | Err(Unroutable::Address(_)) => Ok(()),
            Err(unroutable @ (Unroutable::Foreign(_) | Unroutable::Scheme(_))) => {
                Err(Decision::Answer(Answer::warned(unroutable.status(), self.name(), unroutable)))
            }
        }
    }

    /// Who sends this request: the From must be a user who signed in on this very connection, or who does so now.
    fn caller(&mut self, flow: Flow, request: &Message, now: Instant) -> Asked<UserName> {
        let from = request.from().ok().and_then(|from| self.aor(&from.uri));
        if let Some(user) = from.clone().filter(|user| self.session_has(flow, user)) {
            return Ok(user);
        }
        let signed_in = self.sessions.get(&flow).is_some_and(Session::has_users);
        if signed_in && request.first(Name::ProxyAuthorization).is_none() {
            return Err(Decision::Answer(self.not_yours()));
        }
        let user = self.prove(flow, request, now)?;
        if from.as_ref() == Some(&user) { Ok(user) } else { Err(Decision::Answer(self.not_yours())) }
    }

    /// Takes the request's credentials; a proof holds for the connection from then on (P6).
    fn prove(&mut self, flow: Flow, request: &Message, now: Instant) -> Asked<UserName> {
        let Some(session) = self.sessions.get_mut(&flow) else { return Err(Decision::Drop) };
        let source = session.source;
        match self.challenger.check(request, &self.directory, flow, source, now) {
            Ok(user) if session.sign_in(user.clone()) => {
                tracing::info!(flow = flow.0, %source, %user, "user signed in");
                Ok(user)
            }
            Ok(_) => refuse(Status::FORBIDDEN),
            Err(denied) => Err(self.denied(flow, source, denied)),
        }
    }

    fn denied(&mut self, flow: Flow, source: IpAddr, denied: Denied) -> Decision {
        if !matches!(denied, Denied::NoCredentials | Denied::Stale) {
            tracing::warn!(flow = flow.0, %source, reason = %denied, "sign-in refused");
        }
        match denied {
            Denied::NoCredentials => Decision::Challenge { stale: false },
            Denied::Stale => Decision::Challenge { stale: true },
            Denied::Wrong => Decision::Answer(Answer::new(Status::FORBIDDEN)),
            Denied::Malformed(_) => Decision::Answer(Answer::warned(Status::BAD_REQUEST, self.name(), denied)),
            Denied::Throttled { retry_after } => {
                Decision::Answer(Answer::new(Status::SERVICE_UNAVAILABLE).with(Name::RetryAfter, retry_after.as_secs().to_string()))
            }
        }
    }

    fn not_yours(&self) -> Answer {
        Answer::warned(Status::FORBIDDEN, self.name(), "From must be the user who signed in on this connection")
    }

    fn session_has(&self, flow: Flow, user: &UserName) -> bool {
        self.sessions.get(&flow).is_some_and(|session| session.is_signed_in(user))
    }

    /// The user of our domain that a URI names.
    fn aor(&self, uri: &sip::Uri<'_>) -> Option<UserName> {
        uri.host.is_name(self.domain()).then(|| UserName::of(uri)).flatten()
    }

    fn address_of(&self, flow: Flow, request: &Message) -> Asked<Address> {
        let Ok(uri) = request.request_uri() else { return refuse(Status::BAD_REQUEST) };
        match locate::destination(&self.topology, &uri) {
            Ok(_) => {}
            // The very address that this phone reached is us, whatever our name is.
            Err(Unroutable::Address(_)) if self.is_reached_at(flow, &uri.host) => {}
            Err(unroutable) => return Err(Decision::Answer(Answer::warned(unroutable.status(), self.name(), unroutable))),
        }
        if uri.user.is_none() {
            return Ok(Address::Server);
        }
        let Some(user) = UserName::of(&uri) else { return refuse(Status::NOT_FOUND) };
        Ok(Address::User { user, instance: uri.params.value("gr").map(str::to_owned) })
    }

    fn is_reached_at(&self, flow: Flow, host: &sip::Host<'_>) -> bool {
        let local = self.sessions.get(&flow).map(|session| session.local);
        match host {
            sip::Host::V4(address) => local == Some((*address).into()),
            sip::Host::V6(address) => local == Some((*address).into()),
            sip::Host::Name(_) => false,
        }
    }

    fn decide_for_address(&mut self, flow: Flow, caller: UserName, request: &Message, now: Instant) -> Asked<Decision> {
        if request.method() == "NOTIFY" {
            // RFC 6665 §4.1.3: without a subscription there is nothing to tell. Phones obey such a one as if their server
            // had sent it: they restart, or show messages that nobody left.
            return refuse(Status::CALL_DOES_NOT_EXIST);
        }
        match self.address_of(flow, request)? {
            _ if request.method() == "PUBLISH" => refuse(Status::BAD_EVENT),
            Address::Server => Err(Decision::Answer(Answer::new(Status::METHOD_NOT_ALLOWED).with(Name::Allow, ALLOW))),
            Address::User { user, instance } => self.decide_for_user(flow, caller, &user, instance.as_deref(), request, now),
        }
    }

    fn decide_for_user(
        &mut self,
        flow: Flow,
        caller: UserName,
        user: &UserName,
        instance: Option<&str>,
        request: &Message,
        now: Instant,
    ) -> Asked<Decision> {
        if !self.directory.contains(user) {
            return refuse(Status::NOT_FOUND);
        }
        let targets = self.devices(user, instance, now);
        if targets.is_empty() {
            return refuse(Status::TEMPORARILY_UNAVAILABLE);
        }
        let record_route = DIALOG_METHODS.contains(&request.method());
        Ok(Decision::Forward(self.forward(flow, caller, targets, record_route)))
    }

    fn forward(&self, flow: Flow, caller: UserName, targets: Vec<Target>, record_route: bool) -> Forward {
        let asserted = Some(format!("<sip:{caller}@{}>", self.domain()));
        Forward { targets, caller: Some(End::User(caller)), asserted, reached_as: self.reached_on(flow), record_route }
    }

    fn target(&self, user: &UserName, flow: Flow, uri: String, q: u16, path: Vec<String>) -> Target {
        Target { hop: NextHop::Flow(flow), uri, q, path, user: Some(user.clone()), reached_as: self.reached_on(flow), otherwise: Vec::new() }
    }

    fn reached_on(&self, flow: Flow) -> Option<Arc<str>> {
        self.sessions.get(&flow).map(|session| Arc::clone(&session.reached_as))
    }

    fn devices(&self, user: &UserName, instance: Option<&str>, now: Instant) -> Vec<Target> {
        let targets = self.registrar.targets(user, instance, now);
        // A second way to the same phone would make it ring twice.
        let first_ways = targets.into_iter().filter(|target| !target.alternative);
        first_ways.map(|t| self.target(user, t.flow, t.uri, t.q, t.path)).collect()
    }

    /// A request inside a dialog goes where the token says, from its one end to its other, and nobody else may use it.
    fn decide_in_dialog(&mut self, flow: Flow, caller: UserName, from: &Leg, to: &Leg, request: &Message, now: Instant) -> Asked<Decision> {
        if from.end != End::User(caller.clone()) {
            return Err(Decision::Answer(self.not_yours()));
        }
        match self.device_in_dialog(to, request, now) {
            Some(target) => Ok(Decision::Forward(self.forward(flow, caller, vec![target], false))),
            None => refuse(Status::FLOW_FAILED),
        }
    }

    /// The other end's device: over the connection the dialog began on, or over the one it has come back with.
    fn device_in_dialog(&self, to: &Leg, request: &Message, now: Instant) -> Option<Target> {
        let End::User(user) = &to.end else { return None };
        let uri = request.request_uri().ok()?;
        let ours = locate::serves(&self.topology, &uri);
        if let Some(instance) = uri.params.value("gr").filter(|_| ours) {
            return self.devices(user, Some(instance), now).into_iter().next();
        }
        if !ours && self.session_has(to.flow, user) {
            return Some(self.target(user, to.flow, uri.text.to_owned(), 1000, Vec::new()));
        }
        let mut devices = self.devices(user, None, now);
        let same = |device: &Target| {
            device.hop == NextHop::Flow(to.flow) || sip::Uri::parse(&device.uri).is_some_and(|contact| contact.same_as(&uri))
        };
        if let Some(at) = devices.iter().position(same) {
            return Some(devices.swap_remove(at));
        }
        // Phones that come back often write another port into their contact; if it is the only one, it is that one.
        if devices.len() == 1 { devices.pop() } else { None }
    }
}
