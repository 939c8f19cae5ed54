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
    links::{LinkLimits, Links},
    place::Place,
    route::Journey,
    session::Session,
};

/// What a server is told when it starts.
#[derive(Clone)]
pub struct Settings {
    /// The published topology; says which domains are ours and what media policy holds.
    pub topology: Arc<Topology>,
    /// The SIP domain that passwords are digested with (the realm), and that we write in addresses of users. They have the same
    /// addresses in every other domain of the topology.
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
    /// How long a client's connection may stay open before somebody signed in on it (row N38).
    pub sign_in_within: Duration,
    /// Links with other servers.
    pub links: LinkLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sign_in_within: Duration::from_secs(60), links: LinkLimits::DEFAULT }
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
    /// Which certificate of ours was shown: they are counted.
    pub edition: u64,
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
    /// What servers call us.
    pub(crate) sent_by_to_servers: Arc<str>,
    /// What phones may call us besides, wherever we stand.
    pub(crate) also_named: Vec<String>,
    pub(crate) place: Place,
    pub(crate) links: Links,
    limits: Limits,
    pub(crate) directory: Directory,
    pub(crate) challenger: Challenger,
    pub(crate) registrar: Registrar,
    pub(crate) proxy: Proxy,
    pub(crate) homes: HashMap<UserName, Fqdn>,
    pub(crate) sessions: HashMap<Flow, Session>,
    /// Connections on which nobody may have signed in yet, by the time they were opened.
    newcomers: VecDeque<(Instant, Flow)>,
    /// Connections to be opened: told before anything is sent over them.
    pub(crate) connects: VecDeque<Output>,
    pub(crate) output: VecDeque<Output>,
    pub(crate) counters: Counters,
}

impl Node {
    /// A server without connections.
    #[must_use]
    pub fn new(settings: Settings, directory: Directory, secrets: &Secrets, now: Instant) -> Self {
        let Settings { topology, domain, name, port, servers_port, also_named, limits } = settings;
        let sent_by = format!("{name}:{port}");
        let sent_by_to_servers = format!("{name}:{}", servers_port.unwrap_or(port));
        let mut proxy = proxy::Settings::new(sent_by.clone(), topology.media());
        // Nobody but us asks our users for a password: what a phone answers to another phone's challenge, it could be guessed
        // from. So no credentials go further.
        proxy.realm = None;
        proxy.sent_by_to_servers.clone_from(&sent_by_to_servers);
        let names: Vec<&str> = std::iter::once(name.as_str()).chain(also_named.iter().map(String::as_str)).collect();
        let mut node = Self {
            challenger: Challenger::new(&secrets.challenger, &domain, &names, ThrottleLimits::default(), now),
            registrar: Registrar::new(&domain, registrar::Limits::default()),
            proxy: Proxy::new(proxy, &secrets.proxy, now),
            place: Place::new(&topology, &name),
            links: Links::new(limits.links, sent_by_to_servers.clone()),
            topology: Arc::clone(&topology),
            domain,
            sent_by,
            sent_by_to_servers: sent_by_to_servers.into(),
            also_named,
            limits,
            directory,
            homes: HashMap::new(),
            sessions: HashMap::new(),
            newcomers: VecDeque::new(),
            connects: VecDeque::new(),
            output: VecDeque::new(),
            counters: Counters::default(),
        };
        node.handle_topology(topology, now);
        node
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
        if let Peer::TrustedServer { name, .. } = &peer {
            let name = name.clone();
            return self.link(flow, &name, peer, &arrival, now);
        }
        let session = Session::new(peer, &arrival, self.reached_as(&arrival));
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

    /// A connection is gone, and with it every binding that was made over it (RFC 5626 §4.2.1 turned into a rule). Told also
    /// of a connection that was to be opened and came to nothing.
    pub fn handle_closed(&mut self, flow: Flow, now: Instant) {
        let random = self.proxy.random();
        let was_link = self.links.handle_closed(flow, now, random);
        if self.sessions.remove(&flow).is_some() || was_link {
            self.registrar.drop_flow(flow);
            self.proxy.handle_closed(flow, now);
            self.follow_up(now);
        }
    }

    /// A whole message came in on a connection.
    pub fn handle_message(&mut self, flow: Flow, message: Message, now: Instant) {
        let Some(session) = self.sessions.get(&flow) else { return };
        if !message.is_request() && message.validate().is_err() {
            self.counters.dropped += 1;
            return;
        }
        if session.server.is_some() && self.links.handle_message(flow, &message, now) {
            return;
        }
        if let Some(request) = self.proxy.handle_message(flow, message, now) {
            let decision = self.decide(flow, &request.message, now);
            self.carry_out(request, decision, now);
        }
        self.follow_up(now);
    }

    fn carry_out(&mut self, request: NewRequest, decision: Decision, now: Instant) {
        match decision {
            Decision::Answer(answer) => self.answer(request, &answer, now),
            Decision::Challenge { stale } => self.challenge(request, stale, now),
            Decision::Register { user } => self.register(request, &user, now),
            Decision::Forward(journey) => self.forward(request, journey, now),
            Decision::Drop => self.counters.dropped += 1,
        }
    }

    fn forward(&mut self, request: NewRequest, journey: Journey, now: Instant) {
        let plan = self.reach(journey, request.message.as_bytes().len(), now);
        if plan.targets.is_empty() {
            return self.answer(request, &self.unreachable(), now);
        }
        self.counters.forwarded += 1;
        self.proxy.forward(request, plan, now);
    }

    fn answer(&mut self, request: NewRequest, answer: &Answer, now: Instant) {
        let count = if answer.status.code() < 400 { &mut self.counters.answered } else { &mut self.counters.refused };
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
        [newcomer, self.links.poll_timeout(), self.registrar.poll_timeout(), self.proxy.poll_timeout()].into_iter().flatten().min()
    }

    /// Lets time pass: bindings end, transactions give up, strangers who never signed in are shown out.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.registrar.handle_timeout(now);
        self.proxy.handle_timeout(now);
        self.links.handle_timeout(now, || self.proxy.random());
        self.links.close_retired(now, |flow| self.proxy.is_busy(flow));
        self.follow_up(now);
        while let Some((since, flow)) = self.newcomers.front().copied() {
            if now < since + self.limits.sign_in_within {
                break;
            }
            self.newcomers.pop_front();
            if self.sessions.get(&flow).is_some_and(|session| !session.has_users() && session.server.is_none()) {
                self.close(flow, "nobody signed in on it in time");
            }
        }
    }

    pub(crate) fn close(&mut self, flow: Flow, reason: &'static str) {
        self.output.push_back(Output::Close { flow, reason });
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(connect) = self.connects.pop_front() {
            return Some(connect);
        }
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

    pub(crate) fn cut(&mut self, user: &UserName, reason: &'static str, now: Instant) {
        self.registrar.drop_user(user);
        self.challenger.forget(user);
        let flows: Vec<Flow> = self.sessions.iter().filter(|(_, session)| session.is_signed_in(user)).map(|(flow, _)| *flow).collect();
        for flow in flows {
            self.close(flow, reason);
            self.handle_closed(flow, now);
        }
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
        self.links.handle_shutdown();
        self.send_away("the server shuts down", now);
    }

    /// Ends every connection. Whoever comes anew is taken in, and links are opened again in time.
    pub fn send_away(&mut self, reason: &'static str, now: Instant) {
        let flows: Vec<Flow> = self.sessions.keys().copied().collect();
        for flow in flows {
            self.close(flow, reason);
            self.handle_closed(flow, now);
        }
    }
}
