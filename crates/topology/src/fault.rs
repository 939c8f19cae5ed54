//! What is wrong with a topology, and where.

use std::fmt;

use crate::{Role, Topology};

/// The rule that a topology breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rule {
    /// Not TOML, a key that does not exist, a value of the wrong kind.
    #[error("{0}")]
    Form(String),
    /// More than [`FILE_BYTES_MAX`](crate::Topology::FILE_BYTES_MAX).
    #[error("the file has more than {} bytes", Topology::FILE_BYTES_MAX)]
    TooLarge,
    /// More than [`SERVERS_MAX`](crate::Topology::SERVERS_MAX).
    #[error("the list has more than {} servers", Topology::SERVERS_MAX)]
    TooManyServers,
    /// More than [`DOMAIN_BYTES_MAX`](crate::Topology::DOMAIN_BYTES_MAX).
    #[error("the domains take more than {} bytes in a certificate; remove some, or divide the organisation", Topology::DOMAIN_BYTES_MAX)]
    TooManyDomains,
    /// Versions start at 1.
    #[error("version starts at 1")]
    Version,
    /// No name of an organisation.
    #[error("organisation needs a name of printable characters")]
    Organisation,
    /// A name that is no host name.
    #[error(transparent)]
    Name(#[from] pki::FqdnFault),
    /// Without a domain nobody could sign in.
    #[error("domains needs at least one SIP domain")]
    NoDomain,
    /// A domain twice.
    #[error("the domain {0} is listed twice")]
    DuplicateDomain(String),
    /// Nobody could say what is meant.
    #[error("the domain {0} is both allowed and blocked; take it out of one of the two lists")]
    AllowedAndBlocked(String),
    /// Who is at home here is no partner.
    #[error("the domain {0} is one of this organisation's own; only domains of others are allowed or blocked")]
    OwnPartner(String),
    /// More than [`PARTNERS_MAX`](crate::Topology::PARTNERS_MAX).
    #[error("the list has more than {} domains of others", Topology::PARTNERS_MAX)]
    TooManyPartners,
    /// No pool at all.
    #[error("there is no [[pool]]; an organisation has at least one")]
    NoPool,
    /// A pool without servers.
    #[error("the pool {0} has no [[pool.server]]")]
    EmptyPool(String),
    /// A pool twice.
    #[error("the pool {0} is listed twice")]
    DuplicatePool(String),
    /// A server twice: one name must lead to one set of roles.
    #[error("the server {0} is listed twice; one name is one server")]
    DuplicateServer(String),
    /// One name for a pool and for a server that is not all of that pool.
    #[error("{0} is the name of a pool and of a server; only a pool of one server may have that server's name")]
    PoolNamedLikeServer(String),
    /// Every front end's certificate bears the SIP domains, so all of them would prove this name.
    #[error(
        "{0} is a SIP domain and the name of a server or pool, and every front end can prove a SIP domain; give it a name below the domain"
    )]
    NamedLikeDomain(String),
    /// Our CA is limited to the organisation's domains and can issue nothing for this name.
    #[error(
        "{name} lies in none of the domains ({domains}), so the CA may not vouch for it; choose a name below one of them, or add its domain to domains"
    )]
    OutsideDomains {
        /// The server or pool.
        name: String,
        /// All domains.
        domains: String,
    },
    /// A server without a role does nothing.
    #[error("the server {0} has no role; give it at least one of {roles}", roles = every_role())]
    NoRole(String),
    /// A role twice.
    #[error("the server {server} has the role {role} twice")]
    DuplicateRole {
        /// The server.
        server: String,
        /// The role.
        role: Role,
    },
    /// An application is somebody else's program: it can be nothing else besides.
    #[error("the server {0} is an application and has other roles; an application has no other role and is run by its own maker's program")]
    ApplicationAndMore(String),
    /// An edge faces strangers and must have nothing worth taking (promise P15).
    #[error(
        "the server {server} is an edge and has the role {role} too; an edge holds no users and no keys of the organisation, put {role} on another server"
    )]
    EdgeAndMore {
        /// The server.
        server: String,
        /// What must not stand at the border.
        role: Role,
    },
    /// Every server of a pool can prove the pool's name, so they must be of one kind.
    #[error(
        "the pool {pool} has the role {role} on some of its servers only; they share the pool's name, so put the others into a pool of their own"
    )]
    MixedPool {
        /// The pool.
        pool: String,
        /// Edge or application.
        role: Role,
    },
    /// The CA and the list are at one place.
    #[error("the role authority is given to {count} servers, exactly one has it")]
    Authority {
        /// How many have it.
        count: usize,
    },
    /// Members could not come from the authority that issues for them.
    #[error("the server {0} is the authority and expected = true; the authority is there first, remove expected")]
    AuthorityExpected(String),
    /// A role without the listener it needs.
    #[error("the server {server} has the role {role} and needs the listener {listener} = \"ADDRESS:PORT\"")]
    NoListener {
        /// The server.
        server: String,
        /// The role.
        role: Role,
        /// The key that is missing.
        listener: &'static str,
    },
    /// A member that the others cannot reach.
    #[error(
        "the server {0} needs the listener servers = \"ADDRESS:PORT\", where the other servers reach it, or expected = true until it has joined"
    )]
    NoServersListener(String),
    /// Clear text is for the authority's signed public data only (promise P3).
    #[error(
        "the server {0} has the listener http, which is for the authority alone (revocation lists and the root, which are signed); remove it"
    )]
    HttpElsewhere(String),
    /// Two things on one port.
    #[error("the server {server} has {first} and {second} on the same address and port; give each a port of its own")]
    SameListener {
        /// The server.
        server: String,
        /// The key of one.
        first: &'static str,
        /// The key of the other.
        second: &'static str,
    },
    /// Two servers on one port.
    #[error("the server {server} listens at {address} (key {listener}), and so does {other}; give each an address of its own")]
    SharedListener {
        /// The later one.
        server: String,
        /// Its key.
        listener: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// The earlier one.
        other: String,
    },
    /// Every address, or a port that is not settled: nobody can be sent there.
    #[error(
        "the server {server} has {listener} = \"{address}\", where the other servers cannot reach it; write its own IP address and a port"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// Its key.
        listener: &'static str,
        /// What was written.
        address: std::net::SocketAddr,
    },
    /// A next hop that does not exist.
    #[error("the pool {pool} has the next hop {hop}, which is neither a pool nor a server of this list")]
    UnknownNextHop {
        /// The pool.
        pool: String,
        /// What was written.
        hop: String,
    },
    /// A next hop where nothing is passed on.
    #[error("the pool {0} has a next hop, but no director or edge that would pass anything on; remove next-hop")]
    IdleNextHop(String),
    /// A next hop that cannot take what is passed on: only inwards, so no circle can come about.
    #[error("the pool {pool} has the next hop {hop}, which has no {wanted}; choose one that has")]
    WrongNextHop {
        /// The pool.
        pool: String,
        /// What was written.
        hop: String,
        /// Which roles can take it.
        wanted: &'static str,
    },
}

fn every_role() -> String {
    Role::ALL.map(Role::as_str).join(", ")
}

/// One fault and its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub rule: Rule,
}

impl Fault {
    /// The fault at a byte offset of `text`.
    pub(crate) fn at(text: &str, offset: usize, rule: Rule) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |position| position + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, rule }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: {}", self.line, self.column, self.rule)
    }
}

/// Every fault of a topology, in the order of their places; at least one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{fault}")?;
        }
        Ok(())
    }
}
