//! The links with other servers: found by who proved their name, never by address (row N27); opened when needed, kept, asked
//! now and then whether somebody is there, and opened again with growing patience. When a server has a new certificate, a link
//! on which it is shown takes the place of the others, before those end with what was shown on them.
//!
//! It decides and remembers; `Node` carries out what [`Links::poll_action`] says.

mod limits;
mod status;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use pki::{Fingerprint, Fqdn};
use registrar::Flow;
use sip::Message;
use topology::Topology;

use crate::{
    place::{Place, routes},
    probe::Probe,
};

pub use limits::LinkLimits;
pub use status::{LinkState, LinkStatus};

/// What is to be done about links.
#[derive(Debug)]
pub(crate) enum Action {
    /// Open one.
    Connect { flow: Flow, server: Arc<Fqdn>, addresses: Vec<SocketAddr> },
    /// Ask whether somebody is there.
    Ask { flow: Flow, bytes: Bytes },
    /// End one.
    Close { flow: Flow, reason: &'static str },
}

/// One connection with a server.
struct Link {
    server: Arc<Fqdn>,
    dialled: bool,
    stage: Stage,
    heard: Instant,
    /// An OPTIONS that was not answered yet, and until when it may be.
    probe: Option<(Probe, Instant)>,
    /// Which certificate of ours was shown on it.
    ours: u64,
    /// What the other end showed.
    theirs: Option<Leaf>,
    /// When to look whether it can be closed, once another one does its work.
    retiring: Option<Instant>,
}

/// What either end of a link showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// Which certificate of ours, by its number.
    pub(crate) ours: u64,
    pub(crate) theirs: Leaf,
}

/// The certificate that a server shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_before: SystemTime,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Not open yet.
    Dialling,
    /// Open, nothing heard.
    Open,
    /// Something was heard, since then.
    Up(Instant),
}

/// A listed server besides us.
struct Server {
    addresses: Vec<SocketAddr>,
    /// Whether a link to it is kept.
    kept: bool,
    /// Its links, oldest first.
    flows: Vec<Flow>,
    failures: u32,
    failed_at: Option<Instant>,
    /// When to dial again, if nothing is open.
    waiting: Option<Instant>,
    /// How often a fresh link was tried for in vain, and when to try again.
    refreshes: u32,
    refresh: Option<Instant>,
}

/// Every link, by the connection and by the name that was proved on it.
pub(crate) struct Links {
    limits: LinkLimits,
    /// What servers call us, with a port.
    own: String,
    servers: BTreeMap<Arc<Fqdn>, Server>,
    links: HashMap<Flow, Link>,
    dialled: u64,
    /// The number of the certificate that we show.
    ours: u64,
    due: Option<Instant>,
    actions: VecDeque<Action>,
}

impl Links {
    /// The bit of the flows that the node names.
    const OURS: u64 = 1 << 63;

    /// No links yet. `own` is what servers call us, with a port.
    pub(crate) fn new(limits: LinkLimits, own: String) -> Self {
        let (servers, links) = (BTreeMap::new(), HashMap::new());
        Self { limits, own, servers, links, dialled: 0, ours: 0, due: None, actions: VecDeque::new() }
    }

    /// Who may be linked with, from now on. Links with others are to be closed; kept ones that are missing are due at once.
    pub(crate) fn handle_topology(&mut self, topology: &Topology, place: &Place, now: Instant) {
        let kept = self.kept(topology, place);
        let listed = topology.servers().filter(|_| place.pool.is_some()).filter(|server| *server.fqdn() != *place.name);
        let mut before = std::mem::take(&mut self.servers);
        for server in listed {
            let name = Arc::new(server.fqdn().clone());
            let mut entry = before.remove(&name).unwrap_or_else(Server::unknown);
            let addresses: Vec<_> = server.server_address().into_iter().collect();
            if entry.addresses != addresses {
                // What failed there says nothing about the new place.
                (entry.addresses, entry.waiting, entry.failed_at) = (addresses, None, None);
            }
            entry.kept = kept.contains(server.fqdn());
            if entry.kept && entry.flows.is_empty() && entry.waiting.is_none() {
                entry.waiting = Some(now);
            }
            self.servers.insert(name, entry);
        }
        for flow in before.into_values().flat_map(|gone| gone.flows) {
            self.actions.push_back(Action::Close { flow, reason: "the topology does not list its server any more" });
        }
        self.reckon();
    }

    /// The servers to which links are kept: first those of our own pool, then the others that route, in the order of the list.
    fn kept(&self, topology: &Topology, place: &Place) -> Vec<Fqdn> {
        if !place.routes() {
            return Vec::new();
        }
        let dialled = |server: &&topology::Server| server.server_address().is_some() && *server.fqdn() != *place.name;
        let others = topology.servers().filter(dialled).filter(|server| server.roles().iter().any(|role| routes(*role)));
        let (mates, others): (Vec<_>, Vec<_>) = others.map(|server| server.fqdn().clone()).partition(|name| place.is_mate(name));
        mates.into_iter().chain(others).take(self.limits.kept_servers_max).collect()
    }

    /// A server proved its name on this connection; what it is called from now on, or why it cannot stay.
    pub(crate) fn handle_connected(
        &mut self,
        flow: Flow,
        name: &Fqdn,
        shown: Shown,
        now: Instant,
        random: u64,
    ) -> Result<Arc<Fqdn>, &'static str> {
        if flow.0 & Self::OURS != 0 {
            return self.answered(flow, name, shown, now, random);
        }
        let limit = self.limits.links_per_server_max;
        let fresh = self.fresh(name);
        let (server, entry) = self.find(name).ok_or("the topology that this server goes by does not list it")?;
        // Those that make room for others by themselves leave twice as much, no more.
        if fresh >= limit || entry.flows.len() >= 2 * limit {
            return Err("there are enough connections with this server");
        }
        entry.flows.push(flow);
        entry.up();
        let Shown { ours, theirs } = shown;
        let link = Link { dialled: false, stage: Stage::Up(now), theirs: Some(theirs), ..Link::new(&server, ours, now) };
        self.links.insert(flow, link);
        self.retire(name, now);
        self.reckon();
        Ok(server)
    }

    /// A connection that we opened is there. It counts only when the first answer comes over it.
    fn answered(&mut self, flow: Flow, name: &Fqdn, shown: Shown, now: Instant, random: u64) -> Result<Arc<Fqdn>, &'static str> {
        let link = self.links.get_mut(&flow).ok_or("nobody waits for this connection any more")?;
        if *link.server != *name {
            return Err("it leads to another server than the one that was called");
        }
        (link.stage, link.heard, link.ours, link.theirs) = (Stage::Open, now, shown.ours, Some(shown.theirs));
        let server = Arc::clone(&link.server);
        self.ask(flow, now, random);
        self.reckon();
        Ok(server)
    }

    fn find(&mut self, name: &Fqdn) -> Option<(Arc<Fqdn>, &mut Server)> {
        let (server, _) = self.servers.get_key_value(name)?;
        let server = Arc::clone(server);
        Some((Arc::clone(&server), self.servers.get_mut(&server)?))
    }

    fn ask(&mut self, flow: Flow, now: Instant, random: u64) {
        let Some(link) = self.links.get_mut(&flow) else { return };
        let probe = Probe::new(random);
        link.probe = Some((probe, now + self.limits.check_within));
        self.actions.push_back(Action::Ask { flow, bytes: probe.request(&self.own, &link.server) });
    }

    /// Something came in over a link. `true` when it was the answer to a question of ours, and nobody else's business.
    pub(crate) fn handle_message(&mut self, flow: Flow, message: &Message, now: Instant) -> bool {
        let Some(link) = self.links.get_mut(&flow) else { return false };
        link.heard = now;
        let answered = link.probe.take_if(|(probe, _)| probe.is_answered_by(message)).is_some();
        let is_news = !matches!(link.stage, Stage::Up(_));
        if is_news {
            link.stage = Stage::Up(now);
            let name = Arc::clone(&link.server);
            if let Some(server) = self.servers.get_mut(&name) {
                server.up();
            }
            self.retire(&name, now);
        }
        if answered || is_news {
            self.reckon();
        }
        answered
    }

    /// A connection is gone, or came to nothing. `false` when it was no link.
    pub(crate) fn handle_closed(&mut self, flow: Flow, now: Instant, random: u64) -> bool {
        let Some(link) = self.links.remove(&flow) else { return false };
        let limits = self.limits;
        if let Some(server) = self.servers.get_mut(&link.server) {
            server.flows.retain(|other| *other != flow);
            // If this was to be the fresh one, others are not tried for all the time.
            server.refresh = (!server.flows.is_empty()).then(|| now + limits.wait(server.refreshes.max(1), random));
            if server.flows.is_empty() {
                server.failures = server.failures.saturating_add(1);
                server.failed_at = Some(now);
                server.waiting = (!server.addresses.is_empty()).then(|| now + limits.wait(server.failures, random));
            }
        }
        self.reckon();
        true
    }

    /// A connection to this server: one that is up if there is one, else one that is being opened, else a new one. `None` when
    /// it cannot be reached right now. `has_room` tells whether a connection can take what is to be sent.
    pub(crate) fn way(&mut self, name: &Fqdn, now: Instant, has_room: impl Fn(Flow) -> bool) -> Option<Flow> {
        let server = self.servers.get(name)?;
        let up = |flow: &&Flow| self.links.get(flow).is_some_and(Link::is_up);
        let fresh = |flow: &&Flow| up(flow) && self.links.get(flow).is_some_and(|link| !self.is_outdated(link));
        let open = server.flows.iter().filter(|flow| has_room(**flow));
        if let Some(flow) = open.clone().find(fresh).or_else(|| open.clone().find(up)).or_else(|| open.clone().next()) {
            return Some(*flow);
        }
        let rested = server.failed_at.is_none_or(|at| now >= at + self.limits.wait_when_needed);
        if server.flows.is_empty() && rested { self.dial(name, now) } else { None }
    }

    /// Whether something can be sent to this server without opening a connection first.
    pub(crate) fn is_linked(&self, name: &Fqdn) -> bool {
        self.servers.get(name).is_some_and(|server| !server.flows.is_empty())
    }

    /// Whether a link with this server is up.
    pub(crate) fn is_up(&self, name: &Fqdn) -> bool {
        let flows = self.servers.get(name).map(|server| server.flows.as_slice()).unwrap_or_default();
        flows.iter().filter_map(|flow| self.links.get(flow)).any(Link::is_up)
    }

    /// Our own certificate is another one from now on: links on which the one before was shown are replaced, one server after
    /// the other finds its way over the new one, and what is under way on the old ones ends there.
    pub(crate) fn handle_renewed(&mut self, ours: u64, now: Instant) {
        self.ours = ours;
        for server in self.servers.values_mut() {
            (server.refreshes, server.refresh) = (0, None);
        }
        self.due = Some(now);
    }

    /// Whether a newer certificate of either end has come since. Such a link ends with what was shown on it.
    fn is_outdated(&self, link: &Link) -> bool {
        link.ours < self.ours || link.theirs.is_some_and(|shown| Some(shown) != self.newest(&link.server))
    }

    /// The newest certificate that this server shows on a link that is open. Told by the certificate: which connection is heard of
    /// first is chance, and both ends must come to the same answer.
    fn newest(&self, name: &Fqdn) -> Option<Leaf> {
        let flows = self.servers.get(name).map(|server| server.flows.as_slice()).unwrap_or_default();
        flows.iter().filter_map(|flow| self.links.get(flow)?.theirs).max_by_key(|leaf| leaf.not_before)
    }

    /// How many links there are on which a certificate was shown that has been replaced since.
    pub(crate) fn outdated(&self) -> usize {
        self.links.values().filter(|link| self.is_outdated(link)).count()
    }

    fn fresh(&self, name: &Fqdn) -> usize {
        let flows = self.servers.get(name).map(|server| server.flows.as_slice()).unwrap_or_default();
        flows.iter().filter_map(|flow| self.links.get(flow)).filter(|link| !self.is_outdated(link)).count()
    }

    /// Where a fresh link is up, the outdated ones with that server are to be closed when they are idle.
    fn retire(&mut self, name: &Fqdn, now: Instant) {
        let Some(server) = self.servers.get(name) else { return };
        let links = server.flows.iter().filter_map(|flow| Some((*flow, self.links.get(flow)?)));
        let (outdated, fresh): (Vec<_>, Vec<_>) = links.partition(|(_, link)| self.is_outdated(link));
        if !fresh.iter().any(|(_, link)| link.is_up()) {
            return;
        }
        let outdated: Vec<Flow> = outdated.into_iter().map(|(flow, _)| flow).collect();
        for flow in outdated {
            if let Some(link) = self.links.get_mut(&flow) {
                link.retiring.get_or_insert(now + self.limits.close_after);
            }
        }
    }

    /// Closes outdated links on which nothing is under way (`is_busy`); part of [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn close_retired(&mut self, now: Instant, is_busy: impl Fn(Flow) -> bool) {
        if self.links.values().all(|link| link.retiring.is_none_or(|at| at > now)) {
            return;
        }
        for (flow, link) in &mut self.links {
            if link.retiring.is_none_or(|at| at > now) {
                continue;
            }
            if is_busy(*flow) {
                link.retiring = Some(now + self.limits.look_again);
            } else {
                link.retiring = None;
                self.actions.push_back(Action::Close { flow: *flow, reason: "another link shows the newer certificate" });
            }
        }
        self.reckon();
    }

    /// Dials servers to which there are outdated links only.
    fn refresh(&mut self, now: Instant, random: &mut impl FnMut() -> u64) {
        for name in self.servers.keys().cloned().collect::<Vec<_>>() {
            let (fresh, limits) = (self.fresh(&name), self.limits);
            let Some(server) = self.servers.get_mut(&name) else { continue };
            if fresh > 0 || server.flows.is_empty() || server.addresses.is_empty() {
                server.refresh = None;
            } else if server.refresh.is_none_or(|at| at <= now) {
                server.refreshes = server.refreshes.saturating_add(1);
                server.refresh = Some(now + limits.wait(server.refreshes, random()));
                self.dial(&name, now);
            }
        }
    }

    fn dial(&mut self, name: &Fqdn, now: Instant) -> Option<Flow> {
        let flow = Flow(Self::OURS | (self.dialled + 1));
        let (server, entry) = self.find(name)?;
        if entry.addresses.is_empty() {
            return None;
        }
        entry.waiting = None;
        entry.flows.push(flow);
        let addresses = entry.addresses.clone();
        self.dialled += 1;
        self.links.insert(flow, Link::new(&server, self.ours, now));
        self.actions.push_back(Action::Connect { flow, server, addresses });
        self.reckon();
        Some(flow)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Dials whom it is time to dial, asks where nothing was heard, and gives up what does not answer.
    pub(crate) fn handle_timeout(&mut self, now: Instant, mut random: impl FnMut() -> u64) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let due = |server: &Server| server.waiting.is_some_and(|at| at <= now);
        let due: Vec<_> =
            self.servers.iter().filter(|(_, server)| due(server)).map(|(name, server)| (Arc::clone(name), server.kept)).collect();
        for (name, kept) in due {
            if kept {
                self.dial(&name, now);
            } else if let Some(server) = self.servers.get_mut(&name) {
                server.waiting = None;
            }
        }
        self.check(now, &mut random);
        self.refresh(now, &mut random);
        self.reckon();
    }

    fn check(&mut self, now: Instant, random: &mut impl FnMut() -> u64) {
        let mut silent = Vec::new();
        for (flow, link) in &mut self.links {
            match link.probe {
                Some((_, until)) if until <= now => {
                    link.probe = None;
                    self.actions.push_back(Action::Close { flow: *flow, reason: "nobody answers at the other end" });
                }
                Some(_) => {}
                None if link.stage != Stage::Dialling && link.heard + self.limits.check_after <= now => silent.push(*flow),
                None => {}
            }
        }
        for flow in silent {
            self.ask(flow, now, random());
        }
    }

    /// When something is due. What is heard only makes it later, so that is not reckoned: it is found out when it is due.
    fn reckon(&mut self) {
        let waiting = self.servers.values().flat_map(|server| [server.waiting, server.refresh]).flatten();
        let retiring = self.links.values().filter_map(|link| link.retiring);
        let links = self.links.values().filter_map(|link| match (link.probe, link.stage) {
            (Some((_, until)), _) => Some(until),
            (None, Stage::Dialling) => None,
            (None, Stage::Open | Stage::Up(_)) => Some(link.heard + self.limits.check_after),
        });
        self.due = waiting.chain(retiring).chain(links).min();
    }

    /// What is to be done next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Nobody is dialled any more.
    pub(crate) fn handle_shutdown(&mut self) {
        self.servers.clear();
        self.reckon();
    }

    /// Every link, and every wait for one, in the order of the names.
    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let of = |(name, server): (&Arc<Fqdn>, &Server)| {
            let wait = server.waiting.filter(|_| server.flows.is_empty());
            let waiting = wait.map(|until| LinkStatus::of(name, None, LinkState::Waiting(until), true));
            let links = server.flows.iter().filter_map(|flow| self.links.get(flow).map(|link| (flow, link)));
            let links = links.map(|(flow, link)| LinkStatus::of(name, Some(*flow), link.state(), link.dialled));
            links.chain(waiting).collect::<Vec<_>>()
        };
        self.servers.iter().flat_map(of).collect()
    }
}

impl Link {
    /// One that we dial.
    fn new(server: &Arc<Fqdn>, ours: u64, now: Instant) -> Self {
        let (server, stage) = (Arc::clone(server), Stage::Dialling);
        Self { server, dialled: true, stage, heard: now, probe: None, ours, theirs: None, retiring: None }
    }

    const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
    }

    const fn state(&self) -> LinkState {
        match self.stage {
            Stage::Dialling | Stage::Open => LinkState::Connecting,
            Stage::Up(since) => LinkState::Up(since),
        }
    }
}

impl Server {
    const fn unknown() -> Self {
        Self {
            addresses: Vec::new(),
            kept: false,
            flows: Vec::new(),
            failures: 0,
            failed_at: None,
            waiting: None,
            refreshes: 0,
            refresh: None,
        }
    }

    /// Somebody is there.
    const fn up(&mut self) {
        self.failures = 0;
        self.failed_at = None;
        self.waiting = None;
        self.refreshes = 0;
    }
}
