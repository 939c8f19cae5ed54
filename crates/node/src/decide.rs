//! What becomes of a request, given who sent it. Deciding sends nothing and notes one thing only: that a user proved who
//! they are on this connection (and it counts). `Node` carries the decision out.

use std::{net::IpAddr, sync::Arc, time::Instant};

use locate::Unroutable;
use pki::Fqdn;
use proxy::{End, Route};
use registrar::{Denied, Flow, UserName};
use sip::{Message, Name, Status};
use trust::Peer;

use crate::{
    answer::Answer,
    node::Node,
    route::{Address, Home, Journey},
    session::Session,
    vouch::Speaker,
};

/// The one thing that happens to a request.
pub(crate) enum Decision {
    /// The server answers.
    Answer(Answer),
    /// Whoever asks must prove who they are first (RFC 3261 §22): 401 from the registrar, 407 from the proxy.
    Challenge { stale: bool },
    /// The user's own registrar takes it.
    Register { user: UserName },
    /// It goes on.
    Forward(Journey),
    /// Nothing is sent: an ACK cannot be answered.
    Drop,
}

/// A question answered, or the decision that ends the questions.
pub(crate) type Asked<T> = Result<T, Decision>;

pub(crate) fn refuse<T>(status: Status) -> Asked<T> {
    Err(Decision::Answer(Answer::new(status)))
}

/// Who sends a request, as far as this server knows.
pub(crate) struct Caller {
    /// The user who signed in on the connection, or the server that proved its name on it.
    pub(crate) end: End,
    /// What we say of them: the value of P-Asserted-Identity.
    pub(crate) asserted: String,
    /// A front end of our own pool: it asks all of us itself.
    pub(crate) is_mate: bool,
}

/// What `Allow` says.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE";
/// Extensions the registrar understands.
pub(crate) const SUPPORTED: &str = "path, outbound, gruu";

impl Node {
    /// Decides about a new request.
    pub(crate) fn decide(&mut self, flow: Flow, request: &Message, now: Instant) -> Decision {
        let Some(session) = self.sessions.get(&flow) else { return Decision::Drop };
        let asked = match (&session.peer, session.server.clone()) {
            (Peer::Client { .. }, _) => self.decide_for_client(flow, request, now),
            (Peer::TrustedServer { .. }, Some(server)) => self.decide_for_server(flow, server, request, now),
            // A server that did not become a link is on its way out.
            (Peer::TrustedServer { .. }, None) => Err(Decision::Drop),
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
        if self.asks_what_we_can(flow, request) {
            return Ok(Decision::Answer(Self::capabilities()));
        }
        let user = self.caller(flow, request, now)?;
        let asserted = format!("<sip:{user}@{}>", self.domain());
        self.decide_for(flow, Caller { end: End::User(user), asserted, is_mate: false }, request, now)
    }

    /// Its word counts, and nobody is asked for a password again (P6). What it may say is bounded all the same.
    fn decide_for_server(&mut self, flow: Flow, server: Arc<Fqdn>, request: &Message, now: Instant) -> Asked<Decision> {
        self.check_message(request)?;
        if self.asks_what_we_can(flow, request) {
            return Ok(Decision::Answer(Self::capabilities()));
        }
        if request.method() == "REGISTER" {
            // A binding is a connection of the phone's own.
            return refuse(Status::FORBIDDEN);
        }
        let as_called = || self.proxy.speaker_as_called(request) == Some(End::Server(Arc::clone(&server)));
        let is_mate = self.place.is_mate(&server);
        let is_passing_on = is_mate && self.is_for_us(flow, request);
        let speaker = Speaker { topology: &self.topology, homes: &self.homes, server: &server, is_passing_on };
        let asserted = speaker.identity(request, as_called).map_err(|why| {
            self.counters.unvouched += 1;
            tracing::warn!(flow = flow.0, %server, reason = %why, "a server's request is refused");
            Decision::Answer(Answer::warned(Status::FORBIDDEN, self.name(), why))
        })?;
        self.decide_for(flow, Caller { end: End::Server(server), asserted, is_mate }, request, now)
    }

    /// What becomes of a request whose sender is known.
    fn decide_for(&mut self, flow: Flow, caller: Caller, request: &Message, now: Instant) -> Asked<Decision> {
        self.check_extensions(request)?;
        self.check_media(request)?;
        match self.proxy.dialog_of(request) {
            // N16: our own Route is popped; what stands behind it would lead on to wherever the sender likes.
            Route::None | Route::Preloaded if self.proxy.foreign_routes(request) > 0 => refuse(Status::FORBIDDEN),
            Route::None | Route::Preloaded => self.decide_for_address(flow, caller, request, now),
            Route::Dialog { from, to } => self.decide_in_dialog(flow, caller, &from, &to, request, now),
            // N16: a token we did not make, or a way past us.
            Route::Forged | Route::Foreign => refuse(Status::FORBIDDEN),
        }
    }

    /// OPTIONS outside a dialog, for this server itself (RFC 3261 §11).
    fn asks_what_we_can(&self, flow: Flow, request: &Message) -> bool {
        request.method() == "OPTIONS"
            && request.to().is_ok_and(|to| to.tag().is_none())
            && matches!(self.address_of(flow, request), Ok(Address::Here))
    }

    /// Whether a server of our pool has something for a user who is at home here: for a phone of theirs, or for whom a dialog leads
    /// to on this server.
    fn is_for_us(&self, flow: Flow, request: &Message) -> bool {
        if let Route::Dialog { to, .. } = self.proxy.dialog_of(request) {
            return matches!(to.end, End::User(_));
        }
        match self.address_of(flow, request) {
            Ok(Address::User { user, .. }) => matches!(self.home_of(&user), Home::Here),
            Ok(Address::Here | Address::Application(_) | Address::Elsewhere) | Err(_) => false,
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
            return Ok(self.at_home(user));
        }
        // A binding is what a password is asked for, each time anew: phones expect no less, and answer by themselves.
        let user = self.prove(flow, request, now)?;
        Ok(self.at_home(user))
    }

    /// A user binds where their home is; elsewhere they are told the way (RFC 3261 §10.3: 302 as for any other request).
    fn at_home(&self, user: UserName) -> Decision {
        let pool = match self.home_of(&user) {
            Home::Here if self.place.is_front_end() => return Decision::Register { user },
            Home::Here => self.place.pool.as_ref(),
            Home::Pool(pool) => Some(pool),
            Home::Nowhere => None,
        };
        let servers = pool.into_iter().flat_map(|pool| locate::front_ends(&self.topology, pool));
        let ways = servers.filter_map(|server| Some(format!("<sip:{}:{};transport=tls>", server.fqdn(), server.listeners().sip?.port())));
        let ways: Vec<String> = ways.collect();
        match ways.is_empty() {
            true => Decision::Answer(self.unreachable()),
            false => Decision::Answer(Answer::new(Status::MOVED_TEMPORARILY).with(Name::Contact, ways.join(", "))),
        }
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
        if let Some(End::User(user)) = self.proxy.speaker_as_called(request)
            && self.session_has(flow, &user)
        {
            // Called by another name (an application sent the call on, or the caller wrote an address), they speak under it, in
            // this dialog only. Who they are is asserted all the same.
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

    pub(crate) fn not_yours(&self) -> Answer {
        Answer::warned(Status::FORBIDDEN, self.name(), "From must be the user who signed in on this connection")
    }

    pub(crate) fn session_has(&self, flow: Flow, user: &UserName) -> bool {
        self.sessions.get(&flow).is_some_and(|session| session.is_signed_in(user))
    }

    /// The user that a URI names by an address in one of our domains: in each of them a name is the same user.
    fn aor(&self, uri: &sip::Uri<'_>) -> Option<UserName> {
        self.topology.domains().iter().any(|domain| uri.host.is_name(domain.as_str())).then(|| UserName::of(uri)).flatten()
    }
}
