//! The published list of trusted servers: domains, pools, servers, roles, listeners, media policy.
//!
//! An administrator writes it as TOML; here it is read once into types that cannot be wrong, or
//! every fault is told with its line and column. Who is let in because of it is for `trust` to
//! decide. Start with [`Topology`].

mod fault;
mod file;
mod server;
mod write;

use pki::{Fqdn, ServerNames};

pub use fault::{Fault, Faults, Rule};
pub use server::{Listeners, MediaPolicy, Pool, Role, Server};

/// Who belongs to the organisation, and what each is there for. Made by
/// [`parse`](Self::parse) or [`single_server`](Self::single_server) only, so whoever holds one
/// holds a list without contradictions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topology {
    version: u64,
    organisation: String,
    domains: Vec<Fqdn>,
    media: MediaPolicy,
    pools: Vec<Pool>,
}

impl Topology {
    /// The most bytes of a topology in TOML.
    pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

    /// The topology of one server that does everything: version 1, one pool of the server's name.
    ///
    /// # Errors
    /// The same faults that [`parse`](Self::parse) tells, without a place in a text.
    pub fn single_server(organisation: &str, domain: &Fqdn, server: &Fqdn, listeners: Listeners) -> Result<Self, Faults> {
        let server = Server::new(server.clone(), vec![Role::Authority, Role::FrontEnd], listeners);
        let pool = Pool::new(server.fqdn().clone(), vec![server]);
        let topology = Self {
            version: 1,
            organisation: organisation.into(),
            domains: vec![domain.clone()],
            media: MediaPolicy::Require,
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

    /// The pools, in the order of the list.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// All servers, in the order of the list.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pools.iter().flat_map(Pool::servers)
    }

    /// The server of this name, if it is listed (promise P14).
    pub fn server(&self, name: &Fqdn) -> Option<&Server> {
        self.servers().find(|server| server.fqdn() == name)
    }

    /// What a server is there for; empty for one that is not listed.
    pub fn role_of(&self, name: &Fqdn) -> &[Role] {
        self.server(name).map_or(&[], Server::roles)
    }

    /// The pool that a server belongs to.
    pub fn pool_of(&self, name: &Fqdn) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.servers().iter().any(|server| server.fqdn() == name))
    }

    /// Whether this is a host of ours: a listed server or a pool.
    pub fn is_ours(&self, name: &Fqdn) -> bool {
        self.server(name).is_some() || self.pools.iter().any(|pool| pool.name() == name)
    }

    /// The names that a listed server's certificate shall bear; `None` for one that is not listed.
    /// SIP domains only where clients sign in.
    pub fn certificate_names(&self, name: &Fqdn) -> Option<ServerNames> {
        let server = self.server(name)?;
        let pool = self.pool_of(name)?.name();
        let aliases = if pool == name { Vec::new() } else { vec![pool.clone()] };
        let domains = if server.has(Role::FrontEnd) { self.domains.clone() } else { Vec::new() };
        Some(ServerNames { server: name.clone(), aliases, domains })
    }
}
