//! An organisation of several servers: each with a core of its own, real mutual TLS between them, wires that can be cut, and one
//! clock that jumps. Phones, and servers that a test plays by hand, speak to them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use node::{Arrival, LinkState, LinkStatus, Node, Output};
use pki::{Authority, CertificateDer, Fqdn, Revocation};
use registrar::{Flow, UserName};
use rustls::ServerConfig;
use sip::{Message, Status};
use trust::{
    Decision, DecisionRecord, Direction, Listener, LivePolicy, Policy, Refusal, judge, judge_answer,
    tls::{self, AnswerOutcome, ClientIdentity, Outcome},
};

use crate::{
    Line, Phone, Sim,
    cable::{Cable, Side},
    host::{self, Holder, Host},
    plan::{Entry, Places, fqdn},
    sim::Clock,
};

/// Who is at one end of a connection.
enum Party {
    /// A server of the scene, and its own number for the connection.
    Host(String, Flow),
    /// The test: a phone, or a server played by hand.
    Hand(VecDeque<Message>),
}

/// What a server decided about the other end, to be decided again when the policy changes.
struct Judged {
    record: DecisionRecord,
    chain: Vec<CertificateDer<'static>>,
}

impl Judged {
    /// By what is believed now.
    fn again(&self, policy: &Policy, now: SystemTime) -> Decision {
        let contact = &self.record.contact;
        match &self.record.direction {
            Direction::Incoming => judge(policy, contact.clone(), &self.chain, now),
            Direction::Outgoing { wanted } => judge_answer(policy, wanted, contact.source, &self.chain, now),
        }
    }
}

struct Connection {
    cable: Cable,
    calling: Party,
    called: Party,
    judged: BTreeMap<Side, Judged>,
}

impl Connection {
    fn party(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Calling => &mut self.calling,
            Side::Called => &mut self.called,
        }
    }

    fn side_of(&self, host: &str, flow: Flow) -> Option<Side> {
        let is = |party: &Party| matches!(party, Party::Host(name, own) if name == host && *own == flow);
        if is(&self.calling) {
            return Some(Side::Calling);
        }
        is(&self.called).then_some(Side::Called)
    }

    fn has(&self, host: &str) -> bool {
        [&self.calling, &self.called].iter().any(|party| matches!(party, Party::Host(name, _) if name == host))
    }
}

/// Who answers at an address for servers.
enum Listening {
    Host(String),
    Hand(Arc<ServerConfig>),
}

/// A server that waits for a connection which the scene holds back.
struct Held {
    host: String,
    flow: Flow,
    server: Fqdn,
    addresses: Vec<SocketAddr>,
    outbox: Vec<bytes::Bytes>,
}

/// The scene.
pub struct Organisation {
    now: Instant,
    clock: Arc<Clock>,
    authority: Authority,
    places: Places,
    policy: Policy,
    users: Vec<(String, String)>,
    hosts: BTreeMap<String, Host>,
    listening: BTreeMap<SocketAddr, Listening>,
    lines: BTreeMap<Line, Connection>,
    opened: u64,
    /// Connections that servers made to a server played by hand, in order.
    answered: VecDeque<Line>,
    unplugged: BTreeSet<(String, String)>,
    hold: bool,
    held: Vec<Held>,
    /// How often a server dialled, by who and whom.
    pub dials: BTreeMap<(String, String), usize>,
}

impl Organisation {
    /// These servers, running and linked, and these users with their home pools. Applications do not run: the test plays them.
    #[must_use]
    pub fn new(entries: &[Entry<'_>], users: &[(&str, &str)]) -> Self {
        let clock = Arc::new(Clock::new());
        let (root, authority) = Authority::create("Contoso", &[Sim::DOMAIN.parse().unwrap()], clock.wall()).unwrap();
        let mut places = Places::default();
        let topology = places.topology(1, entries);
        let policy = host::policy(&root, &authority, topology, clock.wall());
        let mut scene = Self {
            now: Instant::now(),
            clock,
            authority,
            places,
            policy,
            users: users.iter().map(|(user, home)| ((*user).into(), (*home).into())).collect(),
            hosts: BTreeMap::new(),
            listening: BTreeMap::new(),
            lines: BTreeMap::new(),
            opened: 0,
            answered: VecDeque::new(),
            unplugged: BTreeSet::new(),
            hold: false,
            held: Vec::new(),
            dials: BTreeMap::new(),
        };
        for (_, server, _) in entries.iter().filter(|(_, _, role)| *role != "application") {
            scene.prepare(server);
        }
        scene.run_for(Duration::ZERO);
        scene
    }

    /// Starts a server that is listed, as a process would: with nothing but what it was given. Nobody dials before the clock
    /// runs.
    fn prepare(&mut self, label: &str) {
        let holder = Holder::server(&self.authority, &fqdn(label), self.clock.wall());
        let host = Host::new(label, &holder, self.policy.clone(), &self.users, self.clock.clone(), self.now);
        self.hosts.insert(label.into(), host);
        self.listening.insert(self.places.servers(label), Listening::Host(label.into()));
    }

    /// Starts a listed server again after [`stop`](Self::stop), or one that was added.
    pub fn start(&mut self, label: &str) {
        self.prepare(label);
        self.run_for(Duration::ZERO);
    }

    /// The server is gone, all at once.
    pub fn stop(&mut self, label: &str) {
        self.hosts.remove(label);
        self.break_where(|line| line.has(label));
        self.settle();
    }

    /// The wire between two servers is cut.
    pub fn unplug(&mut self, a: &str, b: &str) {
        self.unplugged.insert((a.into(), b.into()));
        self.break_where(|line| line.has(a) && line.has(b));
        self.settle();
    }

    /// The wire is there again.
    pub fn plug(&mut self, a: &str, b: &str) {
        self.unplugged.remove(&(a.into(), b.into()));
    }

    /// Connections between two servers stay open, and nothing comes through any more.
    pub fn silence(&mut self, a: &str, b: &str) {
        self.lines.values_mut().filter(|line| line.has(a) && line.has(b)).for_each(|line| line.cable.silent = true);
    }

    /// Servers that dial get no further until [`release`](Self::release).
    pub fn hold_dials(&mut self) {
        self.hold = true;
    }

    /// Everything that was held back goes on.
    pub fn release(&mut self) {
        self.hold = false;
        for held in std::mem::take(&mut self.held) {
            self.dial(&held.host, held.flow, &held.server, &held.addresses);
            for bytes in held.outbox {
                self.send(&held.host, held.flow, &bytes);
            }
        }
        self.settle();
    }

    /// A new list of servers is in force everywhere: connections are judged again, cores are told.
    pub fn publish(&mut self, entries: &[Entry<'_>]) {
        let version = self.policy.topology.version() + 1;
        self.policy.topology = self.places.topology(version, entries);
        self.enforce();
        let topology = Arc::new(self.policy.topology.clone());
        for host in self.hosts.values_mut() {
            host.node.handle_topology(Arc::clone(&topology), self.now);
        }
        self.settle();
    }

    /// The organisation's CA, for certificates that a test makes itself.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Something else is believed everywhere from now on, and open connections are judged by it.
    pub fn believe(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy);
        self.enforce();
        self.settle();
    }

    /// A running server's certificate is revoked, and everybody knows.
    pub fn revoke(&mut self, label: &str) {
        let chain = self.hosts.get(label).unwrap().chain.clone();
        self.policy = host::revoking(self.policy.clone(), &self.authority, &chain, self.clock.wall());
        self.enforce();
        self.settle();
    }

    /// The policy is in force at every server, and whatever does not stand any more is cut.
    fn enforce(&mut self) {
        let (now, policy) = (self.clock.wall(), self.policy.clone());
        self.hosts.values_mut().for_each(|host| host.policy.replace(policy.clone()));
        let stands = |judged: &Judged| judged.again(&policy, now).verdict.is_ok();
        self.break_where(|line| !line.judged.values().all(stands));
    }

    fn break_where(&mut self, broken: impl Fn(&Connection) -> bool) {
        let gone: Vec<Line> = self.lines.iter().filter(|(_, line)| broken(line)).map(|(line, _)| *line).collect();
        gone.into_iter().for_each(|line| self.close(line));
    }

    /// Both ends hear that a connection is gone.
    fn close(&mut self, line: Line) {
        let Some(mut connection) = self.lines.remove(&line) else { return };
        for side in Side::BOTH {
            if let Party::Host(name, flow) = connection.party(side)
                && let Some(host) = self.hosts.get_mut(name)
            {
                host.node.handle_closed(*flow, self.now);
            }
        }
    }

    /// A phone that belongs to `user`, with the right password; not connected yet.
    #[must_use]
    pub fn phone(&self, user: &str) -> Phone {
        Phone::new(user, Sim::DOMAIN, &format!("{user}{}", Sim::PASSWORD))
    }

    /// A phone connects to this server.
    pub fn connect(&mut self, host: &str) -> Line {
        let client = tls::client_config(self.authority.anchors(), Revocation::none(), None, self.clock.clone()).unwrap();
        let server = Arc::clone(&self.hosts.get(host).unwrap().clients);
        let cable = Cable::new(client, server, fqdn(host).as_str());
        self.accept(host, Listener::Clients, cable, Party::Hand(VecDeque::new())).expect("the server lets a client in")
    }

    /// The test connects to a server's port for servers, with the organisation's certificate for this name.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_as_server(&mut self, name: &str, host: &str) -> Result<Line, Refusal> {
        self.connect_showing(&self.holder(name), host)
    }

    /// The organisation's certificate for `name`, issued now.
    #[must_use]
    pub fn holder(&self, name: &str) -> Holder {
        Holder::server(&self.authority, &fqdn(name), self.clock.wall())
    }

    /// The same with any certificate. Whoever connects so does not ask whether the server's was revoked.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_showing(&mut self, holder: &Holder, host: &str) -> Result<Line, Refusal> {
        self.connect_asking_for(Some(fqdn(host).as_str()), holder, host)
    }

    /// The same, asking in the greeting for the server by this name (SNI), or by none.
    ///
    /// # Errors
    /// It was refused.
    pub fn connect_asking_for(&mut self, name: Option<&str>, holder: &Holder, host: &str) -> Result<Line, Refusal> {
        let identity = ClientIdentity { chain: holder.chain.clone(), key: &holder.key };
        let mut client = tls::client_config(self.authority.anchors(), Revocation::none(), Some(identity), self.clock.clone()).unwrap();
        Arc::make_mut(&mut client).enable_sni = name.is_some();
        let server = Arc::clone(&self.hosts.get(host).unwrap().servers);
        let cable = Cable::new(client, server, name.unwrap_or(fqdn(host).as_str()));
        let line = self.accept(host, Listener::Servers, cable, Party::Hand(VecDeque::new()));
        self.settle();
        line
    }

    /// The test answers where the server `at` should, with the organisation's certificate for `name`.
    pub fn answer_as(&mut self, name: &str, at: &str) {
        self.answer_showing(&self.holder(name), at);
    }

    /// The same with any certificate.
    pub fn answer_showing(&mut self, holder: &Holder, at: &str) {
        let policy = LivePolicy::new(self.policy.clone());
        let config = tls::server_config(Listener::Servers, holder.identity(), policy, self.clock.clone()).unwrap();
        self.listening.insert(self.places.servers(at), Listening::Hand(config));
    }

    /// The next connection that a server made to one played by the test.
    #[track_caller]
    pub fn answered(&mut self) -> Line {
        self.answered.pop_front().expect("a server connects")
    }

    /// A handshake at a server's port, judged by it.
    fn accept(&mut self, label: &str, listener: Listener, mut cable: Cable, calling: Party) -> Result<Line, Refusal> {
        cable.carry();
        let (now, source) = (self.clock.wall(), ([198, 51, 100, 1], 40_000).into());
        let host = self.hosts.get_mut(label).unwrap();
        let outcome = match cable.fault(Side::Called) {
            Some(error) => Outcome::Failed(error),
            None => Outcome::Finished(cable.called().unwrap()),
        };
        let Decision { verdict, record } = tls::decide(&host.policy.current(), listener, source, outcome, now);
        host.records.push(record.clone());
        let peer = verdict?;
        let flow = host.flow();
        let port = match listener {
            Listener::Clients | Listener::Web => 5061,
            Listener::Servers => 5062,
        };
        let local = SocketAddr::new(self.places.servers(label).ip(), port);
        let arrival = Arrival { source: source.ip(), local, server_name: record.contact.sni.clone(), edition: 0 };
        let judged = BTreeMap::from([(Side::Called, Judged { record, chain: cable.shown(Side::Called) })]);
        host.node.handle_connected(flow, peer, arrival, self.now);
        let line = self.open(Connection { cable, calling, called: Party::Host(label.into(), flow), judged });
        self.carry_outputs(label);
        Ok(line)
    }

    fn open(&mut self, connection: Connection) -> Line {
        self.opened += 1;
        let line = Line(self.opened);
        self.lines.insert(line, connection);
        line
    }

    /// A server dials another: whoever answers at the address has to prove the name.
    fn dial(&mut self, label: &str, flow: Flow, server: &Fqdn, addresses: &[SocketAddr]) {
        let line = addresses.first().and_then(|address| self.call(label, flow, server, *address));
        let Some(line) = line else { return self.fail(label, flow) };
        let connection = self.lines.get_mut(&line).unwrap();
        let outcome = match connection.cable.fault(Side::Calling) {
            Some(error) => AnswerOutcome::Late(error),
            None => AnswerOutcome::Finished(connection.cable.calling().unwrap()),
        };
        let host = self.hosts.get_mut(label).unwrap();
        let Decision { verdict, record } = tls::decide_answer(&host.policy.current(), server, addresses[0], outcome, self.clock.wall());
        host.records.push(record.clone());
        let Ok(peer) = verdict else { return self.close(line) };
        let chain = connection.cable.shown(Side::Calling);
        connection.judged.insert(Side::Calling, Judged { record, chain });
        let arrival = Arrival { source: addresses[0].ip(), local: addresses[0], server_name: None, edition: 0 };
        host.node.handle_connected(flow, peer, arrival, self.now);
        self.carry_outputs(label);
    }

    /// The connection, if somebody is there who accepts.
    fn call(&mut self, label: &str, flow: Flow, server: &Fqdn, address: SocketAddr) -> Option<Line> {
        let client = Arc::clone(&self.hosts.get(label)?.link);
        let party = Party::Host(label.into(), flow);
        match self.listening.get(&address)? {
            Listening::Host(name) => {
                let name = name.clone();
                let unplugged =
                    self.unplugged.contains(&(label.into(), name.clone())) || self.unplugged.contains(&(name.clone(), label.into()));
                let config = Arc::clone(&self.hosts.get(&name).filter(|_| !unplugged)?.servers);
                let cable = Cable::new(client, config, server.as_str());
                self.accept(&name, Listener::Servers, cable, party).ok()
            }
            Listening::Hand(config) => {
                let mut cable = Cable::new(client, Arc::clone(config), server.as_str());
                cable.carry();
                let (called, judged) = (Party::Hand(VecDeque::new()), BTreeMap::new());
                let line = self.open(Connection { cable, calling: party, called, judged });
                self.answered.push_back(line);
                Some(line)
            }
        }
    }

    fn fail(&mut self, label: &str, flow: Flow) {
        if let Some(host) = self.hosts.get_mut(label) {
            host.node.handle_closed(flow, self.now);
        }
        self.carry_outputs(label);
    }

    /// The test says this on its end; everything that follows from it happens at once.
    pub fn say(&mut self, line: Line, text: &str) {
        if let Some(connection) = self.lines.get_mut(&line) {
            let side = Side::BOTH.into_iter().find(|side| matches!(connection.party(*side), Party::Hand(_))).unwrap();
            connection.cable.write(side, text.as_bytes());
        }
        self.settle();
    }

    /// What the test heard on its end since the last call.
    pub fn heard(&mut self, line: Line) -> Vec<Message> {
        let Some(connection) = self.lines.get_mut(&line) else { return Vec::new() };
        let mut inboxes = Side::BOTH.into_iter().filter_map(|side| match connection.party(side) {
            Party::Hand(inbox) => Some(inbox.drain(..).collect()),
            Party::Host(..) => None,
        });
        inboxes.next().unwrap_or_default()
    }

    /// The one thing heard since the last call.
    #[track_caller]
    pub fn heard_one(&mut self, line: Line) -> Message {
        let mut heard = self.heard(line);
        assert_eq!(heard.len(), 1, "one message expected, heard {heard:?}");
        heard.remove(0)
    }

    /// Whether the connection is still open.
    #[must_use]
    pub fn is_open(&self, line: Line) -> bool {
        self.lines.contains_key(&line)
    }

    /// The test ends its connection.
    pub fn hang_up(&mut self, line: Line) {
        self.close(line);
        self.settle();
    }

    /// Connects to this server and registers there by digest.
    #[track_caller]
    pub fn sign_in(&mut self, phone: &mut Phone, host: &str) -> Line {
        self.sign_in_saying(phone, host, "")
    }

    /// The same with more header lines in the REGISTER.
    #[track_caller]
    pub fn sign_in_saying(&mut self, phone: &mut Phone, host: &str, more: &str) -> Line {
        let line = self.connect(host);
        let answer = self.register(line, phone, more);
        assert_eq!(answer.status(), Some(Status::OK), "{answer:?}");
        line
    }

    /// A REGISTER with one challenge answered; the last response.
    #[track_caller]
    pub fn register(&mut self, line: Line, phone: &mut Phone, more: &str) -> Message {
        let request = phone.register(more);
        self.ask(line, phone, &request)
    }

    /// A request with one challenge answered, should there be one; the last response.
    #[track_caller]
    pub fn ask(&mut self, line: Line, phone: &mut Phone, request: &str) -> Message {
        self.say(line, request);
        let answer = self.heard_one(line);
        let Some(again) = phone.authorized(request, &answer, "SHA-256") else { return answer };
        self.say(line, &again);
        self.heard(line).pop().expect("an answer")
    }

    /// The administrator's hand at one server.
    pub fn node(&mut self, host: &str) -> (&mut Node, Instant) {
        (&mut self.hosts.get_mut(host).unwrap().node, self.now)
    }

    /// A user's home is another pool from now on, at this server.
    pub fn move_home(&mut self, host: &str, user: &str, pool: &str) {
        let (node, now) = self.node(host);
        node.put_home(UserName::parse(user).unwrap(), fqdn(pool), now);
        self.settle();
    }

    /// A server's links, as it sees them.
    #[must_use]
    pub fn links(&self, host: &str) -> Vec<LinkStatus> {
        self.hosts.get(host).map(|host| host.node.links()).unwrap_or_default()
    }

    /// How many links with the other one are up.
    #[must_use]
    pub fn links_up(&self, host: &str, other: &str) -> usize {
        let is_up = |link: &&LinkStatus| link.server == fqdn(other) && matches!(link.state, LinkState::Up(_));
        self.links(host).iter().filter(is_up).count()
    }

    /// Every verdict of a server so far, in order.
    #[must_use]
    pub fn records(&self, host: &str) -> &[DecisionRecord] {
        self.hosts.get(host).map(|host| host.records.as_slice()).unwrap_or_default()
    }

    /// Lets time pass, stopping at everything that falls due.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(due) = self.hosts.values().filter_map(|host| host.node.poll_timeout()).min().filter(|due| *due <= end) {
            self.advance_to(due.max(self.now));
            for host in self.hosts.values_mut() {
                host.node.handle_timeout(self.now);
            }
            self.settle();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, instant: Instant) {
        self.clock.advance(instant - self.now);
        self.now = instant;
    }

    /// The scene's own date.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Carries everything until nothing moves any more.
    pub fn settle(&mut self) {
        let labels: Vec<String> = self.hosts.keys().cloned().collect();
        loop {
            labels.iter().for_each(|label| self.carry_outputs(label));
            if !self.carry() {
                return;
            }
        }
    }

    /// One round over all connections. `false` when nothing arrived anywhere.
    fn carry(&mut self) -> bool {
        let mut arrived = Vec::new();
        let mut broken = Vec::new();
        for (line, connection) in &mut self.lines {
            connection.cable.carry();
            for side in Side::BOTH {
                let messages = connection.cable.arrived(side);
                match connection.party(side) {
                    Party::Hand(inbox) => inbox.extend(messages),
                    Party::Host(name, flow) => arrived.extend(messages.into_iter().map(|message| (name.clone(), *flow, message))),
                }
            }
            if !connection.cable.faults.is_empty() {
                broken.push(*line);
            }
        }
        let moved = !arrived.is_empty() || !broken.is_empty();
        for (name, flow, message) in arrived {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.node.handle_message(flow, message, self.now);
            }
        }
        broken.into_iter().for_each(|line| self.close(line));
        moved
    }

    fn carry_outputs(&mut self, label: &str) {
        while let Some(output) = self.hosts.get_mut(label).and_then(|host| host.node.poll_output()) {
            match output {
                Output::Send { flow, bytes } => self.send(label, flow, &bytes),
                Output::Close { flow, .. } => {
                    let line = self.line_of(label, flow);
                    line.into_iter().for_each(|line| self.close(line));
                    self.held.retain(|held| held.host != label || held.flow != flow);
                }
                Output::Connect { flow, server, addresses } => {
                    let whom = server.as_str().split('.').next().unwrap_or_default().to_owned();
                    *self.dials.entry((label.into(), whom)).or_default() += 1;
                    if self.hold {
                        self.held.push(Held { host: label.into(), flow, server, addresses, outbox: Vec::new() });
                    } else {
                        self.dial(label, flow, &server, &addresses);
                    }
                }
            }
        }
    }

    fn line_of(&self, label: &str, flow: Flow) -> Option<Line> {
        self.lines.iter().find(|(_, connection)| connection.side_of(label, flow).is_some()).map(|(line, _)| *line)
    }

    fn send(&mut self, label: &str, flow: Flow, bytes: &bytes::Bytes) {
        if let Some(held) = self.held.iter_mut().find(|held| held.host == label && held.flow == flow) {
            return held.outbox.push(bytes.clone());
        }
        let found = self.lines.values_mut().find_map(|connection| Some((connection.side_of(label, flow)?, connection)));
        if let Some((side, connection)) = found {
            connection.cable.write(side, bytes);
        }
    }
}

impl Clock {
    fn new() -> Self {
        Self(AtomicU64::new(1_800_000_000))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}
