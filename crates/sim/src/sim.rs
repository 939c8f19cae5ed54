//! The scene itself: one server, its phones, the wires between them, and a clock that the test moves.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use node::{Arrival, Node, Output, Registration, Secrets, Settings};
use pki::{Authority, Fqdn, Key, Revocation, SipUser};
use registrar::{Credential, Directory, Flow, UserName};
use rustls::{ServerConfig, time_provider::TimeProvider};
use rustls_pki_types::UnixTime;
use sip::{Message, Status};
use topology::{Listeners, Topology};
use trust::{
    DecisionRecord, Listener, LivePolicy, Policy, Refusal,
    tls::{self, ClientIdentity, Outcome, ServerIdentity},
};

use crate::{Phone, wire::Wire};

/// An open connection of a phone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Line(pub(crate) u64);

/// Seconds since 1970, as the scene has it.
#[derive(Debug)]
pub(crate) struct Clock(pub(crate) AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// One organisation with one server, the phones around it, and the time.
pub struct Sim {
    now: Instant,
    clock: Arc<Clock>,
    authority: Authority,
    policy: Arc<LivePolicy>,
    server: Arc<ServerConfig>,
    node: Node,
    wires: BTreeMap<Line, Wire>,
    opened: u64,
    /// Every verdict so far, in order.
    pub records: Vec<DecisionRecord>,
}

impl Sim {
    /// The SIP domain.
    pub const DOMAIN: &'static str = "contoso.example";
    /// The server's name.
    pub const SERVER: &'static str = "fe1.contoso.example";
    /// Every user's password is this after their name.
    pub const PASSWORD: &'static str = "-secret";

    /// An organisation with these users, who must encrypt their media.
    #[must_use]
    pub fn new(users: &[&str]) -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(Clock(AtomicU64::new(1_800_000_000)));
        let (domain, name): (Fqdn, Fqdn) = (Self::DOMAIN.parse().unwrap(), Self::SERVER.parse().unwrap());
        let (root, authority) = Authority::create("Contoso", std::slice::from_ref(&domain), start).unwrap();
        let listeners = Listeners { sip: Some(([192, 0, 2, 10], 5061).into()), ..Listeners::default() };
        let topology = Topology::single_server("Contoso", &domain, &name, listeners).unwrap();
        let key = Key::generate().unwrap();
        let issued = authority.issue_server(&topology.certificate_names(&name).unwrap(), &key.public(), start).unwrap();
        let identity = ServerIdentity::new(issued.chain, &key).unwrap();
        let policy = LivePolicy::new(Policy {
            topology: topology.clone(),
            anchors: authority.anchors(),
            revocation: Revocation::strict(authority.first_lists(&root, start).unwrap(), Duration::ZERO),
            issuing: authority.pinned(),
        });
        let server = tls::server_config(Listener::Clients, identity, policy.clone(), clock.clone()).unwrap();
        let now = Instant::now();
        let settings = Settings {
            topology: Arc::new(topology),
            domain: Self::DOMAIN.into(),
            name,
            port: 5061,
            servers_port: None,
            also_named: Vec::new(),
            limits: node::Limits::default(),
        };
        let node = Node::new(settings, directory(users), &Secrets { proxy: [7; 32].into(), challenger: [9; 32].into() }, now);
        Self { now, clock, authority, policy, server, node, wires: BTreeMap::new(), opened: 0, records: Vec::new() }
    }

    /// A phone that belongs to `user`, with the right password; not connected yet.
    #[must_use]
    pub fn phone(&self, user: &str) -> Phone {
        Phone::new(user, Self::DOMAIN, &format!("{user}{}", Self::PASSWORD))
    }

    /// Connects a phone that shows no certificate.
    pub fn connect(&mut self) -> Line {
        self.try_connect(None).expect("the server lets a client in")
    }

    /// Connects a phone with the organisation's certificate for `user`.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_certified(&mut self, user: &str) -> Result<Line, Refusal> {
        let (chain, key) = user_certificate(&self.authority, user, self.wall());
        self.try_connect(Some(ClientIdentity { chain, key: &key }))
    }

    /// The same with a certificate of another authority.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_with_certificate(&mut self, authority: &Authority, user: &str) -> Result<Line, Refusal> {
        let (chain, key) = user_certificate(authority, user, self.wall());
        self.try_connect(Some(ClientIdentity { chain, key: &key }))
    }

    /// Connects something that shows a certificate of the organisation's for a server of this name.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_as_server(&mut self, name: &str) -> Result<Line, Refusal> {
        let key = Key::generate().unwrap();
        let names = pki::ServerNames { server: name.parse().unwrap(), aliases: Vec::new(), domains: Vec::new() };
        let chain = self.authority.issue_server(&names, &key.public(), self.wall()).unwrap().chain;
        self.try_connect(Some(ClientIdentity { chain, key: &key }))
    }

    fn try_connect(&mut self, identity: Option<ClientIdentity<'_>>) -> Result<Line, Refusal> {
        let client = tls::client_config(self.authority.anchors(), Revocation::none(), identity, self.clock.clone()).unwrap();
        let mut wire = Wire::new(client, self.server.clone(), Self::SERVER);
        let carried = wire.carry();
        let source: SocketAddr = ([198, 51, 100, 1], 40_000).into();
        let outcome = match &carried {
            Ok(()) => Outcome::Finished(&wire.server),
            Err(error) => Outcome::Failed(error),
        };
        let decision = tls::decide(&self.policy.current(), Listener::Clients, source, outcome, self.wall());
        let peer = decision.verdict;
        let asked_for = decision.record.contact.sni.clone();
        self.records.push(decision.record);
        let peer = peer?;
        self.opened += 1;
        let line = Line(self.opened);
        self.wires.insert(line, wire);
        let arrival = Arrival { source: source.ip(), local: ([192, 0, 2, 10], 5061).into(), server_name: asked_for, edition: 0 };
        self.node.handle_connected(Flow(line.0), peer, arrival, self.now);
        self.settle();
        Ok(line)
    }

    /// The phone says this; everything that follows from it happens at once.
    pub fn say(&mut self, line: Line, text: &str) {
        if let Some(wire) = self.wires.get_mut(&line) {
            wire.say(text);
        }
        self.settle();
    }

    /// What the phone heard since the last call.
    pub fn heard(&mut self, line: Line) -> Vec<Message> {
        self.wires.get_mut(&line).map(|wire| wire.inbox.drain(..).collect()).unwrap_or_default()
    }

    /// The one thing the phone heard since the last call.
    #[track_caller]
    pub fn heard_one(&mut self, line: Line) -> Message {
        let mut heard = self.heard(line);
        assert_eq!(heard.len(), 1, "one message expected, heard {heard:?}");
        heard.remove(0)
    }

    /// Whether the connection is still open.
    #[must_use]
    pub fn is_open(&self, line: Line) -> bool {
        self.wires.contains_key(&line)
    }

    /// The connection breaks.
    pub fn cut(&mut self, line: Line) {
        self.wires.remove(&line);
        self.node.handle_closed(Flow(line.0), self.now);
        self.settle();
    }

    /// Lets time pass, stopping at everything that falls due.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) {
            self.advance_to(due.max(self.now));
            self.node.handle_timeout(self.now);
            self.settle();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, instant: Instant) {
        self.clock.0.fetch_add((instant - self.now).as_secs(), Ordering::Relaxed);
        self.now = instant;
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock.0.load(Ordering::Relaxed))
    }

    /// Connects and signs in by digest.
    #[track_caller]
    pub fn sign_in(&mut self, phone: &mut Phone) -> Line {
        self.sign_in_saying(phone, "")
    }

    /// The same with more header lines in the REGISTER.
    #[track_caller]
    pub fn sign_in_saying(&mut self, phone: &mut Phone, more: &str) -> Line {
        let line = self.connect();
        let answer = self.register(line, phone, more, "SHA-256");
        assert_eq!(answer.status(), Some(Status::OK));
        line
    }

    /// A REGISTER with one challenge answered; the last response.
    #[track_caller]
    pub fn register(&mut self, line: Line, phone: &mut Phone, more: &str, algorithm: &str) -> Message {
        let request = phone.register(more);
        self.say(line, &request);
        let challenge = self.heard_one(line);
        let Some(again) = phone.authorized(&request, &challenge, algorithm) else { return challenge };
        self.say(line, &again);
        self.heard_one(line)
    }

    /// Who can be reached.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        self.node.registrations(self.now)
    }

    /// The administrator's hand.
    pub fn node(&mut self) -> (&mut Node, Instant) {
        (&mut self.node, self.now)
    }

    /// Carries everything until nothing moves any more.
    pub fn settle(&mut self) {
        loop {
            let mut arrived = Vec::new();
            for (line, wire) in &mut self.wires {
                wire.carry().expect("an open connection");
                arrived.extend(wire.arrived().into_iter().map(|message| (*line, message)));
                wire.collect();
            }
            let quiet = arrived.is_empty();
            for (line, message) in arrived {
                self.node.handle_message(Flow(line.0), message, self.now);
            }
            let mut sent = false;
            while let Some(output) = self.node.poll_output() {
                sent = true;
                self.obey(output);
            }
            if quiet && !sent {
                return;
            }
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Send { flow, bytes } => {
                if let Some(wire) = self.wires.get_mut(&Line(flow.0)) {
                    wire.answer(&bytes);
                }
            }
            Output::Close { flow, .. } => {
                self.wires.remove(&Line(flow.0));
                self.node.handle_closed(flow, self.now);
            }
            Output::Connect { flow, .. } => self.node.handle_closed(flow, self.now),
        }
    }
}

fn user_certificate(authority: &Authority, user: &str, now: SystemTime) -> (Vec<pki::CertificateDer<'static>>, Key) {
    let key = Key::generate().unwrap();
    let user = SipUser::new(user, Sim::DOMAIN.parse().unwrap()).unwrap();
    (authority.issue_user(&user, &key.public(), now).unwrap().chain, key)
}

fn directory(users: &[&str]) -> Directory {
    let mut directory = Directory::new();
    for user in users {
        let name = UserName::parse(user).unwrap();
        let credential = Credential::new(&name, Sim::DOMAIN, &format!("{user}{}", Sim::PASSWORD));
        directory.put(name, credential).unwrap();
    }
    directory
}
