//! The core: connections, messages and time in; messages and closings out.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pki::Fqdn;
use proxy::{NewRequest, Proxy};
use registrar::{Challenger, Credential, Directory, Flow, Registrar, Registration, ThrottleLimits, UserName};
use sip::{Message, Status};
use topology::Topology;
use trust::Peer;
use zeroize::Zeroizing;

use crate::{
    answer::Answer,
    counters::{Counters, Figures},
    decide::Decision,
    links::LinkStatus,
    session::Session,
};

/// What a server is told when it starts.
#[derive(Clone)]
pub struct Settings {
    /// The published topology; says which domains are ours and what media policy holds.
    pub topology: Arc<Topology>,
    /// The SIP domain whose users sign in here; also the digest realm.
    pub domain: String,
    /// The server's own name.
    pub name: Fqdn,
    /// The port of its SIP listener; with the name it is what our Via and Record-Route say.
    pub port: u16,
    /// The port where other servers reach it by mutual TLS; with the name it is what our Via and Record-Route say to them.
    pub servers_port: Option<u16>,
    /// What phones call this server besides its name and domain: the address it listens on. Only names; trust comes from elsewhere.
    pub also_named: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of the core's own tables; transactions and bindings have theirs in `proxy` and `registrar`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long a connection may stay open before somebody signed in on it (row N38).
    pub sign_in_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sign_in_within: Duration::from_secs(60) }
    }
}

/// Keys that this process made for itself; they end with it, and are wiped once their users are made.
pub struct Secrets {
    /// Seals dialog tokens and Via branches.
    pub proxy: Zeroizing<[u8; 32]>,
    /// Signs digest nonces.
    pub challenger: Zeroizing<[u8; 32]>,
}

/// How a connection came to us. Nothing of it makes anybody trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// From where.
    pub source: IpAddr,
    /// Which of our addresses was reached.
    pub local: SocketAddr,
    /// The name that was asked for in the TLS handshake, if one was (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes to this connection.
    Send {
        /// Where to.
        flow: Flow,
        /// One whole message.
        bytes: Bytes,
    },
    /// End this connection.
    Close {
        /// Which one.
        flow: Flow,
        /// For the log.
        reason: &'static str,
    },
    /// Open a connection to a listed server, over mutual TLS. The node chose the number `flow`: bit 63 is set, which no
    /// number that `net` gives ever has. What is sent to it before the connection is there waits in its outbox. When the
    /// server proved its name, [`handle_connected`](Node::handle_connected) follows; when it came to nothing,
    /// [`handle_closed`](Node::handle_closed).
    Connect {
        /// What the connection is called.
        flow: Flow,
        /// The name that its certificate must prove.
        server: Fqdn,
        /// Where it listens, to be tried in this order.
        addresses: Vec<SocketAddr>,
    },
}

/// One server's signalling core. See the crate's first words.
pub struct Node {
    pub(crate) topology: Arc<Topology>,
    domain: String,
    sent_by: String,
    limits: Limits,
    pub(crate) directory: Directory,
    pub(crate) challenger: Challenger,
    pub(crate) registrar: Registrar,
    pub(crate) proxy: Proxy,
    homes: HashMap<UserName, Fqdn>,
    pub(crate) sessions: HashMap<Flow, Session>,
    /// Connections on which nobody may have signed in yet, by the time they were opened.
    newcomers: VecDeque<(Instant, Flow)>,
    output: VecDeque<Output>,
    pub(crate) counters: Counters,
}

impl Node {
    /// A server without connections.
    #[must_use]
    pub fn new(settings: Settings, directory: Directory, secrets: &Secrets, now: Instant) -> Self {
        let Settings { topology, domain, name, port, servers_port: _, also_named, limits } = settings;
        let sent_by = format!("{name}:{port}");
        let mut proxy = proxy::Settings::new(sent_by.clone(), topology.media());
        // Nobody but us asks our users for a password: what a phone answers to another phone's challenge, it could be guessed
        // from. So no credentials go further.
        proxy.realm = None;
        proxy.aliases = std::iter::once(domain.clone()).chain(also_named.iter().cloned()).collect();
        let names: Vec<&str> = std::iter::once(name.as_str()).chain(also_named.iter().map(String::as_str)).collect();
        Self {
            challenger: Challenger::new(&secrets.challenger, &domain, &names, ThrottleLimits::default(), now),
            registrar: Registrar::new(&domain, registrar::Limits::default()),
            proxy: Proxy::new(proxy, &secrets.proxy, now),
            topology,
            domain,
            sent_by,
            limits,
            directory,
            homes: HashMap::new(),
            sessions: HashMap::new(),
            newcomers: VecDeque::new(),
            output: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// What stands before the text of a Warning.
    pub(crate) fn name(&self) -> &str {
        &self.sent_by
    }

    /// What there is and what was done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            registrations: self.registrar.len(),
            node: self.counters,
            sign_in: self.challenger.counters(),
            proxy: self.proxy.counters(),
        }
    }

    /// A connection passed `trust`. A certificate of a user who is no more is as good as none: the connection ends (row N28).
    pub fn handle_connected(&mut self, flow: Flow, peer: Peer, arrival: Arrival, now: Instant) {
        if let Peer::Client { user: Some(user), .. } = &peer
            && !self.directory.contains(user)
        {
            return self.close(flow, "its certificate names a user that this server does not have");
        }
        let reached_as = self.reached_as(&arrival);
        let session = Session::new(peer, &arrival, reached_as);
        if !session.has_users() {
            self.newcomers.push_back((now, flow));
        }
        self.sessions.insert(flow, session);
    }

    /// What a phone can find us by again: the name it asked for, if that is ours, else the address it reached. A phone that was
    /// told an address may have no way to resolve our name.
    fn reached_as(&self, arrival: &Arrival) -> Arc<str> {
        let asked = arrival.server_name.as_deref().and_then(|name| Fqdn::parse(name).ok());
        match asked.filter(|name| self.topology.is_ours(name) || self.topology.serves(name)) {
            Some(name) => format!("{name}:{}", arrival.local.port()).into(),
            None => arrival.local.to_string().into(),
        }
    }

    /// A connection is gone, and with it every binding that was made over it (RFC 5626 §4.2.1 turned into a rule).
    pub fn handle_closed(&mut self, flow: Flow, now: Instant) {
        if self.sessions.remove(&flow).is_some() {
            self.registrar.drop_flow(flow);
            self.proxy.handle_closed(flow, now);
        }
    }

    /// A whole message came in on a connection.
    pub fn handle_message(&mut self, flow: Flow, message: Message, now: Instant) {
        if !self.sessions.contains_key(&flow) {
            return;
        }
        if !message.is_request() && message.validate().is_err() {
            self.counters.dropped += 1;
            return;
        }
        let Some(request) = self.proxy.handle_message(flow, message, now) else { return };
        let decision = self.decide(flow, &request.message, now);
        self.carry_out(request, decision, now);
    }

    fn carry_out(&mut self, request: NewRequest, decision: Decision, now: Instant) {
        match decision {
            Decision::Answer(answer) => self.answer(request, &answer, now),
            Decision::Challenge { stale } => self.challenge(request, stale, now),
            Decision::Register { user } => self.register(request, &user, now),
            Decision::Forward(plan) => {
                self.counters.forwarded += 1;
                self.proxy.forward(request, plan, now);
            }
            Decision::Drop => self.counters.dropped += 1,
        }
    }

    fn answer(&mut self, request: NewRequest, answer: &Answer, now: Instant) {
        let count = if answer.status.is_success() { &mut self.counters.answered } else { &mut self.counters.refused };
        *count += 1;
        tracing::debug!(flow = request.flow.0, method = request.message.method(), status = answer.status.code(), "request answered");
        let bytes = answer.write(&request.message, &self.proxy.to_tag());
        self.proxy.answer(request, bytes, now);
    }

    fn challenge(&mut self, request: NewRequest, stale: bool, now: Instant) {
        self.counters.challenged += 1;
        let challenge = self.challenger.challenge(&request.message, request.flow, stale, now);
        let answer = challenge.values.into_iter().fold(Answer::new(challenge.status), |answer, value| answer.with(challenge.name, value));
        let bytes = answer.write(&request.message, &self.proxy.to_tag());
        self.proxy.answer(request, bytes, now);
    }

    fn register(&mut self, request: NewRequest, user: &UserName, now: Instant) {
        let answer = match self.registrar.register(&request.message, user, request.flow, now) {
            Ok(registered) => registered.headers().fold(Answer::new(Status::OK), |answer, (name, value)| answer.with(name, value)),
            Err(fault) => {
                let answer = Answer::warned(fault.status(), self.name(), &fault);
                fault.header().into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
            }
        };
        self.answer(request, &answer, now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let newcomer = self.newcomers.front().map(|(since, _)| *since + self.limits.sign_in_within);
        [newcomer, self.registrar.poll_timeout(), self.proxy.poll_timeout()].into_iter().flatten().min()
    }

    /// Lets time pass: bindings end, transactions give up, strangers who never signed in are shown out.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.registrar.handle_timeout(now);
        self.proxy.handle_timeout(now);
        while let Some((since, flow)) = self.newcomers.front().copied() {
            if now < since + self.limits.sign_in_within {
                break;
            }
            self.newcomers.pop_front();
            if self.sessions.get(&flow).is_some_and(|session| !session.has_users()) {
                self.close(flow, "nobody signed in on it in time");
            }
        }
    }

    fn close(&mut self, flow: Flow, reason: &'static str) {
        self.output.push_back(Output::Close { flow, reason });
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some((flow, bytes)) = self.proxy.poll_output() {
            return Some(Output::Send { flow, bytes });
        }
        self.output.pop_front()
    }

    /// A new user, or a new password: whoever is signed in as this user is cut off and must prove it again.
    /// `false` when the directory is full.
    pub fn put_user(&mut self, user: UserName, credential: Credential, now: Instant) -> bool {
        self.cut(&user, "the user's password was changed", now);
        self.directory.put(user, credential).is_ok()
    }

    /// The user is gone: bindings dropped, connections cut. `false` when there was none.
    pub fn remove_user(&mut self, user: &UserName, now: Instant) -> bool {
        let known = self.directory.remove(user);
        self.cut(user, "the user was removed", now);
        known
    }

    fn cut(&mut self, user: &UserName, reason: &'static str, now: Instant) {
        self.registrar.drop_user(user);
        self.challenger.forget(user);
        let flows: Vec<Flow> = self.sessions.iter().filter(|(_, session)| session.is_signed_in(user)).map(|(flow, _)| *flow).collect();
        for flow in flows {
            self.close(flow, reason);
            self.handle_closed(flow, now);
        }
    }

    /// A new published topology is in force: homes, domains, media, next hops go by it from now on, and links to servers
    /// that it does not list are closed.
    pub fn handle_topology(&mut self, topology: Arc<Topology>, _now: Instant) {
        self.topology = topology;
    }

    /// Every user of the organisation and their home pool; takes the place of what was told before.
    pub fn set_homes(&mut self, homes: HashMap<UserName, Fqdn>, _now: Instant) {
        self.homes = homes;
    }

    /// One user's home pool, new or changed.
    pub fn put_home(&mut self, user: UserName, pool: Fqdn, _now: Instant) {
        self.homes.insert(user, pool);
    }

    /// The user is no longer one of the organisation.
    pub fn remove_home(&mut self, user: &UserName, _now: Instant) {
        self.homes.remove(user);
    }

    /// The links with other servers, for status and metrics.
    #[must_use]
    pub fn links(&self) -> Vec<LinkStatus> {
        Vec::new()
    }

    /// Who can be reached right now.
    #[must_use]
    pub fn registrations(&self, now: Instant) -> Vec<Registration> {
        self.registrar.registrations(now)
    }

    /// Which users proved who they are on which connection; whether or not they can be reached there.
    #[must_use]
    pub fn signed_in(&self) -> Vec<(Flow, UserName)> {
        let users = |(flow, session): (&Flow, &Session)| session.users().iter().map(|user| (*flow, user.clone())).collect::<Vec<_>>();
        self.sessions.iter().flat_map(users).collect()
    }

    /// The server is about to end: every connection is told.
    pub fn handle_shutdown(&mut self, now: Instant) {
        let flows: Vec<Flow> = self.sessions.keys().copied().collect();
        for flow in flows {
            self.close(flow, "the server shuts down");
            self.handle_closed(flow, now);
        }
    }
}
