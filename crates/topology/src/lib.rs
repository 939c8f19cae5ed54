//! The published list of trusted servers: domains, pools, servers, roles, listeners, next hops,
//! media policy.
//!
//! An administrator writes it as TOML; here it is read once into types that cannot be wrong, or
//! every fault is told with its line and column. Who is let in because of it is for `trust` to
//! decide. Start with [`Topology`].

mod check;
pub mod edit;
mod fault;
mod file;
mod graph;
mod plan;
mod role;
mod server;
mod signed;
mod write;

use std::net::IpAddr;

use pki::{Fqdn, ServerNames};

pub use edit::EditFault;
pub use fault::{Fault, Faults, Rule};
pub use graph::graph;
pub use plan::{Change, Plan, Reissue, diff, plan};
pub use role::Role;
pub use server::{Listeners, MediaPolicy, Partners, Pool, Server, ServerLimits};
pub use signed::{HeldTopology, SignedTopology, TopologyRefusal};

/// How much of a mistyped name has to be right, so that a pool is suggested (from 0 to 1).
const LIKENESS_MIN: f32 = 0.6;

/// How much of two names is the same, without the end that they have in common: names of one organisation end alike.
fn likeness(one: &Fqdn, other: &Fqdn) -> f32 {
    let (mut one, mut other) = (one.as_str(), other.as_str());
    while let (Some((first, end)), Some((second, tail))) = (one.rsplit_once('.'), other.rsplit_once('.'))
        && end == tail
    {
        (one, other) = (first, second);
    }
    similar::TextDiff::from_chars(one, other).ratio()
}

/// Who belongs to the organisation, and what each is there for. Made by
/// [`parse`](Self::parse) or [`single_server`](Self::single_server) only, so whoever holds one
/// holds a list without contradictions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topology {
    version: u64,
    organisation: String,
    domains: Vec<Fqdn>,
    media: MediaPolicy,
    limits: ServerLimits,
    partners: Partners,
    pools: Vec<Pool>,
}

impl Topology {
    /// The most bytes of a topology in TOML: signed, it is twice to three times as long and must
    /// stay below [`pki::DOCUMENT_BYTES_MAX`].
    pub const FILE_BYTES_MAX: usize = 1024 * 1024;
    /// The most servers of an organisation.
    pub const SERVERS_MAX: usize = 1024;
    /// The most bytes that all domains together take in a certificate: a front end's bears each
    /// twice and its issuing CA's once, and a chain must stay below [`pki::CHAIN_BYTES_MAX`].
    pub const DOMAIN_BYTES_MAX: usize = 3 * 1024;
    /// What a name takes in a certificate besides its letters: tags, lengths, `sip:`.
    const DOMAIN_FRAME_BYTES: usize = 8;
    /// The most domains of others that are allowed, and the most that are blocked.
    pub const PARTNERS_MAX: usize = 1000;
    /// The most faults that are told of one text.
    pub const FAULTS_MAX: usize = 200;

    /// The topology of one server that does everything: version 1, one pool of the server's name.
    ///
    /// # Errors
    /// The same faults that [`parse`](Self::parse) tells, at their places in the text that would
    /// have been written.
    pub fn single_server(organisation: &str, domain: &Fqdn, server: &Fqdn, listeners: Listeners) -> Result<Self, Faults> {
        let server = Server::new(server.clone(), vec![Role::Authority, Role::FrontEnd], listeners, false);
        let pool = Pool::new(server.fqdn().clone(), None, vec![server]);
        let topology = Self {
            version: 1,
            organisation: organisation.into(),
            domains: vec![domain.clone()],
            media: MediaPolicy::Require,
            limits: ServerLimits::default(),
            partners: Partners::default(),
            pools: vec![pool],
        };
        // One set of rules for both ways in: what we write must pass what we read.
        Self::parse(&topology.to_commented_toml())
    }

    /// Which edition of the list this is; each published one is higher than the one before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The organisation's name, for people.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The SIP domains of the organisation, at least one.
    pub fn domains(&self) -> &[Fqdn] {
        &self.domains
    }

    /// Whether users of this domain are ours.
    pub fn serves(&self, domain: &Fqdn) -> bool {
        self.domains.contains(domain)
    }

    /// What is asked of media (promise P3, row N26).
    pub fn media(&self) -> MediaPolicy {
        self.media
    }

    /// Who else may and may not federate with this organisation.
    pub fn partners(&self) -> &Partners {
        &self.partners
    }

    /// How much each server takes on, from its next start.
    pub fn limits(&self) -> ServerLimits {
        self.limits
    }

    /// The pools, in the order of the list.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pool of this name.
    pub fn pool(&self, name: &Fqdn) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name() == name)
    }

    /// The pool whose name is most like this one, for who has mistyped it.
    pub fn pool_like(&self, name: &Fqdn) -> Option<&Fqdn> {
        let likenesses = self.pools.iter().map(|pool| (pool.name(), likeness(pool.name(), name)));
        let nearest = likenesses.max_by(|(_, one), (_, other)| one.total_cmp(other));
        nearest.filter(|(_, likeness)| *likeness >= LIKENESS_MIN).map(|(pool, _)| pool)
    }

    /// All servers, in the order of the list.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pools.iter().flat_map(Pool::servers)
    }

    /// The server of this name, if it is listed (promise P14).
    pub fn server(&self, name: &Fqdn) -> Option<&Server> {
        self.servers().find(|server| server.fqdn() == name)
    }

    /// The one server that holds the CA and this list.
    ///
    /// # Panics
    /// Never: [`parse`](Self::parse) lets no list without an authority through.
    #[expect(clippy::expect_used, reason = "the one constructor makes sure of it")]
    pub fn authority(&self) -> &Server {
        self.servers().find(|server| server.has(Role::Authority)).expect("a topology has one authority")
    }

    /// What a server is there for; empty for one that is not listed.
    pub fn role_of(&self, name: &Fqdn) -> &[Role] {
        self.server(name).map_or(&[], Server::roles)
    }

    /// The pool that a server belongs to.
    pub fn pool_of(&self, name: &Fqdn) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.servers().iter().any(|server| server.fqdn() == name))
    }

    /// Whether a listed server is to be reached at this address. An address proves nothing (promise P16): this says only whose
    /// places a connection takes until it has proved more.
    pub fn lists_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let addresses = |server: &Server| server.listeners().by_key().map(|(_, listener)| listener);
        self.servers().flat_map(addresses).flatten().any(|listed| listed.ip().to_canonical() == address)
    }

    /// Whether this is a host of ours: a listed server or a pool.
    pub fn is_ours(&self, name: &Fqdn) -> bool {
        self.server(name).is_some() || self.pool(name).is_some()
    }

    /// Whether this is a server that holds the list and may ask for it (row N30): listed, and no
    /// application.
    pub fn is_member(&self, name: &Fqdn) -> bool {
        self.server(name).is_some_and(Server::is_member)
    }

    /// The members, in the order of the list.
    pub fn members(&self) -> impl Iterator<Item = &Server> {
        self.servers().filter(|server| server.is_member())
    }

    /// The names that a listed server's certificate shall bear; `None` for one that is not listed.
    /// SIP domains only where clients sign in.
    pub fn certificate_names(&self, name: &Fqdn) -> Option<ServerNames> {
        let server = self.server(name)?;
        let pool = self.pool_of(name)?.name();
        let aliases = if pool == name { Vec::new() } else { vec![pool.clone()] };
        let faces_clients = server.roles().iter().any(|role| role.faces_clients());
        let domains = if faces_clients { self.domains.clone() } else { Vec::new() };
        Some(ServerNames { server: name.clone(), aliases, domains })
    }
}
