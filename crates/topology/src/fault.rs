//! What is wrong with a topology, and where.

use std::fmt;

/// The rule that a topology breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rule {
    /// Not TOML, a key that does not exist, a value of the wrong kind.
    #[error("{0}")]
    Form(String),
    /// More than [`FILE_BYTES_MAX`](crate::Topology::FILE_BYTES_MAX).
    #[error("the file has more than {} bytes", crate::Topology::FILE_BYTES_MAX)]
    TooLarge,
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
    /// A server without a role does nothing.
    #[error("the server {0} has no role; give it at least one of authority, front-end")]
    NoRole(String),
    /// A role twice.
    #[error("the server {server} has the role {role} twice")]
    DuplicateRole {
        /// The server.
        server: String,
        /// The role.
        role: &'static str,
    },
    /// The CA and the list are at one place.
    #[error("the role authority is given to {count} servers, exactly one has it")]
    Authority {
        /// How many have it.
        count: usize,
    },
    /// A role without the listener it needs.
    #[error("the server {server} has the role {role} and needs the listener {listener} = \"ADDRESS:PORT\"")]
    NoListener {
        /// The server.
        server: String,
        /// The role.
        role: &'static str,
        /// The key that is missing.
        listener: &'static str,
    },
    /// One port for two things.
    #[error("the server {0} has SIP and HTTPS on the same address and port")]
    SameListener(String),
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
