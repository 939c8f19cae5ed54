//! A server among others: links that come and go, a topology that changes, users whose home is elsewhere.

use std::{collections::HashMap, sync::Arc, time::Instant};

use pki::Fqdn;
use registrar::{Flow, UserName};
use topology::Topology;
use trust::Peer;

use crate::{
    Arrival, Node, Output,
    links::{Action, Leaf, LinkStatus, Shown},
    place::Place,
    session::Session,
};

impl Node {
    /// A new published topology is in force: domains, media, pools and roles go by it from now on, and links to servers that it
    /// does not list are closed (row N15).
    pub fn handle_topology(&mut self, topology: Arc<Topology>, now: Instant) {
        let name = Arc::clone(&self.place.name);
        self.place = Place::new(&topology, &name);
        self.proxy.set_media(topology.media());
        self.proxy.set_aliases(self.aliases(&topology));
        let domains: Vec<String> = topology.domains().iter().map(Fqdn::to_string).collect();
        self.registrar.set_domains(domains.clone());
        self.challenger.set_domains(domains);
        self.links.handle_topology(&topology, &self.place, now);
        self.topology = topology;
        self.follow_up(now);
    }

    /// What means us in a Route besides our name.
    fn aliases(&self, topology: &Topology) -> Vec<String> {
        let domains = topology.domains().iter().map(Fqdn::to_string);
        let pool = self.place.pool.iter().map(Fqdn::to_string);
        domains.chain(pool).chain(self.also_named.iter().cloned()).collect()
    }

    /// Every user of the organisation and their home pool; takes the place of what was told before. Whoever had their home here
    /// and has it elsewhere now, or none at all, is cut off.
    pub fn set_homes(&mut self, homes: HashMap<UserName, Fqdn>, now: Instant) {
        let before = std::mem::replace(&mut self.homes, homes);
        let moved = before.into_iter().filter(|(_, pool)| self.place.pool.as_ref() == Some(pool));
        let moved: Vec<UserName> = moved.map(|(user, _)| user).filter(|user| !self.has_home_here(user)).collect();
        for user in moved {
            self.cut(&user, "the user's home is elsewhere now", now);
        }
    }

    /// One user's home pool, new or changed.
    pub fn put_home(&mut self, user: UserName, pool: Fqdn, now: Instant) {
        let was_here = self.has_home_here(&user);
        self.homes.insert(user.clone(), pool);
        if was_here && !self.has_home_here(&user) {
            self.cut(&user, "the user's home is elsewhere now", now);
        }
    }

    /// The user is no longer one of the organisation.
    pub fn remove_home(&mut self, user: &UserName, now: Instant) {
        if self.homes.remove(user).is_some() {
            self.cut(user, "the user has no home any more", now);
        }
    }

    fn has_home_here(&self, user: &UserName) -> bool {
        self.homes.get(user).is_some_and(|pool| self.place.pool.as_ref() == Some(pool))
    }

    /// The links with other servers, for status and metrics.
    #[must_use]
    pub fn links(&self) -> Vec<LinkStatus> {
        self.links.status()
    }

    /// This server shows another certificate from now on: links on which the one before was shown are replaced by new ones,
    /// without anything under way being lost.
    /// `edition` is its number.
    pub fn handle_renewed(&mut self, edition: u64, now: Instant) {
        self.links.handle_renewed(edition, now);
    }

    /// How many links there are on which either end showed a certificate that it has replaced since.
    #[must_use]
    pub fn outdated_links(&self) -> usize {
        self.links.outdated()
    }

    /// A server proved its name, on a connection that either side opened.
    pub(crate) fn link(&mut self, flow: Flow, name: &Fqdn, peer: Peer, arrival: &Arrival, now: Instant) {
        let Peer::TrustedServer { certificate, .. } = &peer else { return };
        let theirs = Leaf { fingerprint: certificate.fingerprint(), not_before: certificate.not_before() };
        match self.links.handle_connected(flow, name, Shown { ours: arrival.edition, theirs }, now, self.proxy.random()) {
            Ok(server) => {
                let mut session = Session::new(peer, arrival, Arc::clone(&self.sent_by_to_servers));
                session.server = Some(server);
                self.sessions.insert(flow, session);
                self.proxy.handle_link(flow);
            }
            Err(reason) => {
                tracing::warn!(flow = flow.0, server = %name, reason, "a server's connection is closed");
                self.close(flow, reason);
            }
        }
        self.follow_up(now);
    }

    /// What the parts want of each other after an event: requests that look for another server, links to be opened or ended.
    pub(crate) fn follow_up(&mut self, now: Instant) {
        self.obey_links(now);
        while let Some(wanted) = self.proxy.poll_wanted() {
            let flow = self.way(&wanted.server, wanted.size, now);
            self.proxy.reached(wanted, flow, now);
        }
    }

    /// Carries out what is to be done about links.
    pub(crate) fn obey_links(&mut self, now: Instant) {
        while let Some(action) = self.links.poll_action() {
            match action {
                Action::Connect { flow, server, addresses } => {
                    self.connects.push_back(Output::Connect { flow, server: Fqdn::clone(&server), addresses });
                }
                Action::Ask { flow, bytes } => self.output.push_back(Output::Send { flow, bytes }),
                Action::Close { flow, reason } => {
                    tracing::info!(flow = flow.0, reason, "a link is closed");
                    self.close(flow, reason);
                    self.handle_closed(flow, now);
                }
            }
        }
    }
}
