//! Pools, servers and what they are there for.

use std::net::SocketAddr;

use pki::Fqdn;
use serde::{Deserialize, Serialize};

/// What a server is there for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds the CA and the list of servers; one in an organisation.
    Authority,
    /// Clients sign in here; messages and calls are routed here.
    FrontEnd,
}

impl Role {
    /// As the file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::FrontEnd => "front-end",
        }
    }
}

/// What is asked of the media that users negotiate (promise P3, row N26).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaPolicy {
    /// Only encrypted media (SRTP) are let through.
    #[default]
    Require,
    /// Encrypted media where both sides can; others are let through.
    Support,
}

impl MediaPolicy {
    /// As the file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Support => "support",
        }
    }
}

/// Where a server listens. All of it is TLS (promise P3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listeners {
    /// SIP from clients: needed by a front end.
    pub sip: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
}

/// A listed server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    fqdn: Fqdn,
    roles: Vec<Role>,
    listeners: Listeners,
}

impl Server {
    pub(crate) fn new(fqdn: Fqdn, roles: Vec<Role>, listeners: Listeners) -> Self {
        Self { fqdn, roles, listeners }
    }

    /// Its name: what its certificate must prove.
    pub fn fqdn(&self) -> &Fqdn {
        &self.fqdn
    }

    /// What it is there for.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Whether it is there for this.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Where it listens.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }
}

/// Servers that share one name and one user base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    name: Fqdn,
    servers: Vec<Server>,
}

impl Pool {
    pub(crate) fn new(name: Fqdn, servers: Vec<Server>) -> Self {
        Self { name, servers }
    }

    /// Its name; a pool of one server may have that server's.
    pub fn name(&self) -> &Fqdn {
        &self.name
    }

    /// Its servers, at least one.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }
}
