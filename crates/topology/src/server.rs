//! Pools, servers and where they listen.

use std::{fmt, net::SocketAddr, num::NonZeroU32};

use pki::Fqdn;
use serde::{Deserialize, Serialize};

use crate::{Role, plan};

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

/// How much each server of the organisation takes on. What is left out is as the program has it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerLimits {
    /// Connections of one server, in all.
    pub connections: Option<NonZeroU32>,
    /// Of these, from one source: an IPv4 address, an IPv6 /64.
    pub connections_per_source: Option<NonZeroU32>,
}

impl fmt::Display for ServerLimits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |limit: Option<NonZeroU32>| limit.map_or_else(|| "as the program has it".to_owned(), |limit| limit.to_string());
        write!(out, "connections {}, connections-per-source {}", word(self.connections), word(self.connections_per_source))
    }
}

/// The organisation's word on other organisations. Empty lists are nobody, and blocked always wins; no domain is in both.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Partners {
    /// SIP domains of organisations that may federate with this one.
    #[serde(serialize_with = "plan::names")]
    pub allowed: Vec<Fqdn>,
    /// SIP domains that never may.
    #[serde(serialize_with = "plan::names")]
    pub blocked: Vec<Fqdn>,
}

impl fmt::Display for Partners {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |domains: &[Fqdn]| match domains {
            [] => "nobody".to_owned(),
            domains => domains.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", "),
        };
        write!(out, "allowed {}, blocked {}", names(&self.allowed), names(&self.blocked))
    }
}

/// Where a server listens. All of it is TLS (promise P3), but for `http`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Listeners {
    /// SIP from clients, TLS: needed by a front end and a director.
    pub sip: Option<SocketAddr>,
    /// SIP from servers, mutual TLS: needed by every member as soon as there are several.
    pub servers: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// Revocation lists, OCSP and the root, all of them signed and public (the exception of
    /// promise P3): at the authority only.
    pub http: Option<SocketAddr>,
}

impl Listeners {
    /// The key of each in the file, and the address.
    pub const fn by_key(&self) -> [(&'static str, Option<SocketAddr>); 4] {
        [("sip", self.sip), ("servers", self.servers), ("https", self.https), ("http", self.http)]
    }
}

/// A listed server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    fqdn: Fqdn,
    roles: Vec<Role>,
    listeners: Listeners,
    expected: bool,
}

impl Server {
    pub(crate) fn new(fqdn: Fqdn, roles: Vec<Role>, listeners: Listeners, expected: bool) -> Self {
        Self { fqdn, roles, listeners, expected }
    }

    /// Takes over where the same server listens by another edition, and that it has joined; whether that changed anything.
    pub(crate) fn follow(&mut self, other: &Self) -> bool {
        let listeners = Listeners { http: self.listeners.http, ..other.listeners };
        let expected = self.expected && other.expected;
        let changed = (self.listeners, self.expected) != (listeners, expected);
        (self.listeners, self.expected) = (listeners, expected);
        changed
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

    /// Added, but not joined yet: nobody is to be reached there.
    pub fn is_expected(&self) -> bool {
        self.expected
    }

    /// Whether it holds the list and takes part in the control channel: everyone but an application.
    pub fn is_member(&self) -> bool {
        !self.has(Role::Application)
    }

    /// Where other servers reach it by mutual TLS; `None` before it has joined.
    pub fn server_address(&self) -> Option<SocketAddr> {
        self.listeners.servers.filter(|_| !self.expected)
    }
}

/// Servers that share one name and one user base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    name: Fqdn,
    next_hop: Option<Fqdn>,
    servers: Vec<Server>,
}

impl Pool {
    pub(crate) fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    pub(crate) fn new(name: Fqdn, next_hop: Option<Fqdn>, servers: Vec<Server>) -> Self {
        Self { name, next_hop, servers }
    }

    /// Its name; a pool of one server may have that server's.
    pub fn name(&self) -> &Fqdn {
        &self.name
    }

    /// Where its directors or edges pass requests on: a pool or a server of this list.
    pub fn next_hop(&self) -> Option<&Fqdn> {
        self.next_hop.as_ref()
    }

    /// Its servers, at least one.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether a server in it has this role.
    pub fn has(&self, role: Role) -> bool {
        self.servers.iter().any(|server| server.has(role))
    }

    /// Whether users can have their home here.
    pub fn is_home(&self) -> bool {
        self.has(Role::FrontEnd)
    }
}
