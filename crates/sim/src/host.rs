//! One server of an organisation: its core, and what it shows and believes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use node::{Node, Secrets, Settings};
use pki::{CertificateDer, Fqdn, IssuerName, Key, Revocation, RevocationList, RevocationReason, RevokedCertificate, Root, ServerNames};
use registrar::{Credential, Directory, Flow, UserName};
use rustls::{ClientConfig, ServerConfig};
use topology::{Role, Topology};
use trust::{
    DecisionRecord, Listener, LivePolicy, Policy,
    tls::{self, ServerIdentity},
};

use crate::{Sim, plan::fqdn};

/// A chain and its key.
pub struct Holder {
    /// The chain, the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: Key,
}

impl Holder {
    /// The certificate of a server of this name, whatever the topology says.
    #[must_use]
    pub fn server(authority: &pki::Authority, name: &Fqdn, now: SystemTime) -> Self {
        let key = Key::generate().unwrap();
        let names = ServerNames { server: name.clone(), aliases: Vec::new(), domains: vec![Sim::DOMAIN.parse().unwrap()] };
        Self { chain: authority.issue_server(&names, &key.public(), now).unwrap().chain, key }
    }

    pub(crate) fn identity(&self) -> Arc<ServerIdentity> {
        ServerIdentity::new(self.chain.clone(), &self.key).unwrap()
    }
}

/// How long a list is believed after its time, in scenes.
const GRACE: Duration = Revocation::GRACE_MAX;

/// What everybody believes at first.
pub(crate) fn policy(root: &Root, authority: &pki::Authority, topology: Topology, now: SystemTime) -> Policy {
    let revocation = Revocation::strict(authority.first_lists(root, now).unwrap(), GRACE);
    Policy { topology, anchors: authority.anchors(), revocation, issuing: authority.pinned() }
}

/// The same with the next list of the holder's CA, which revokes this certificate as well.
pub(crate) fn revoking(mut policy: Policy, authority: &pki::Authority, chain: &[CertificateDer<'static>], now: SystemTime) -> Policy {
    let issuer = IssuerName::of(&chain[0]).unwrap();
    let serial = pki::facts(&chain[0]).unwrap().serial;
    let mut lists = policy.revocation.lists().clone();
    let held = lists.iter().find(|list| *list.issuer() == issuer).unwrap();
    let entry = |serial: &pki::Serial| RevokedCertificate { serial: serial.clone(), at: now, reason: RevocationReason::KeyCompromise };
    let revoked: Vec<_> = held.serials().chain([&serial]).map(entry).collect();
    let ca = authority.issuing_authorities().find(|ca| ca.certificate() == &chain[1]).unwrap();
    let der = ca.revocation_list_until(&revoked, held.number() + 1, now, held.next_update()).unwrap();
    lists.take(RevocationList::read(&der, &chain[1..]).unwrap(), now).unwrap();
    policy.revocation = Revocation::strict(lists, GRACE);
    policy
}

/// A running server.
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) policy: Arc<LivePolicy>,
    pub(crate) clients: Arc<ServerConfig>,
    pub(crate) servers: Arc<ServerConfig>,
    pub(crate) link: Arc<ClientConfig>,
    accepted: u64,
    pub(crate) records: Vec<DecisionRecord>,
}

impl Host {
    pub(crate) fn new(label: &str, holder: &Holder, policy: Policy, users: &[(String, String)], clock: tls::Clock, now: Instant) -> Self {
        let topology = policy.topology.clone();
        let (identity, policy) = (holder.identity(), LivePolicy::new(policy));
        let config = |listener| tls::server_config(listener, identity.clone(), policy.clone(), clock.clone()).unwrap();
        let (clients, servers) = (config(Listener::Clients), config(Listener::Servers));
        let link = tls::link_config(identity.clone(), policy.clone(), clock).unwrap();
        let mut node = Node::new(settings(label, &topology), directory(label, &topology, users), &secrets(label), now);
        node.set_homes(homes(users), now);
        Self { node, chain: holder.chain.clone(), policy, clients, servers, link, accepted: 0, records: Vec::new() }
    }

    /// A number for a connection that was accepted.
    pub(crate) fn flow(&mut self) -> Flow {
        self.accepted += 1;
        Flow(self.accepted)
    }
}

fn settings(label: &str, topology: &Topology) -> Settings {
    Settings {
        topology: Arc::new(topology.clone()),
        domain: Sim::DOMAIN.into(),
        name: fqdn(label),
        port: 5061,
        servers_port: Some(5062),
        also_named: Vec::new(),
        limits: node::Limits::default(),
    }
}

/// Each server has secrets of its own.
fn secrets(label: &str) -> Secrets {
    let mut key = [7; 32];
    key[..label.len()].copy_from_slice(label.as_bytes());
    Secrets { proxy: key.into(), challenger: key.into() }
}

/// The passwords of the users at home in its pool; a director has everybody's.
fn directory(label: &str, topology: &Topology, users: &[(String, String)]) -> Directory {
    let name = fqdn(label);
    let all = topology.role_of(&name).contains(&Role::Director);
    let pool = topology.pool_of(&name).unwrap().name().clone();
    let mut directory = Directory::new();
    for (user, home) in users {
        let user = UserName::parse(user).unwrap();
        if all || fqdn(home) == pool {
            let credential = Credential::new(&user, Sim::DOMAIN, &format!("{user}{}", Sim::PASSWORD));
            directory.put(user, credential).unwrap();
        }
    }
    directory
}

pub(crate) fn homes(users: &[(String, String)]) -> HashMap<UserName, Fqdn> {
    users.iter().map(|(user, home)| (UserName::parse(user).unwrap(), fqdn(home))).collect()
}
