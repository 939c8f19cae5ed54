//! What publishing a list would change, before it is published. Whether it may be published is the authority's to say.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use pki::{Fqdn, ServerNames};
use serde::{Serialize, Serializer};

use crate::{Listeners, MediaPolicy, Partners, Role, Server, ServerLimits, Topology};

/// What publishing a list would change. Shown to people by `Display`, to programs as JSON.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// The version in force.
    pub from: u64,
    /// The version to be published.
    pub to: u64,
    /// Everything that differs, servers first.
    pub changes: Vec<Change>,
    /// Servers that are trusted no longer: every connection with them is closed (row N15).
    #[serde(serialize_with = "names")]
    pub cut_off: Vec<Fqdn>,
    /// Pools where users can have no home any longer.
    #[serde(serialize_with = "names")]
    pub homeless: Vec<Fqdn>,
    /// Servers that stay and whose certificates must bear other names.
    pub reissue: Vec<Reissue>,
    /// Domains that the issuing CAs may not vouch for, by their name constraints: new ones are needed.
    #[serde(serialize_with = "names")]
    pub new_ca_for: Vec<Fqdn>,
}

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[expect(missing_docs, reason = "the fields say what the variant's sentence names")]
pub enum Change {
    /// A server is new.
    ServerAdded {
        #[serde(serialize_with = "name")]
        server: Fqdn,
        #[serde(serialize_with = "name")]
        pool: Fqdn,
        roles: Vec<Role>,
        expected: bool,
    },
    /// A server is gone.
    ServerRemoved {
        #[serde(serialize_with = "name")]
        server: Fqdn,
    },
    /// A server is there for something else.
    Roles {
        #[serde(serialize_with = "name")]
        server: Fqdn,
        from: Vec<Role>,
        to: Vec<Role>,
    },
    /// A server is in another pool.
    Pool {
        #[serde(serialize_with = "name")]
        server: Fqdn,
        #[serde(serialize_with = "name")]
        from: Fqdn,
        #[serde(serialize_with = "name")]
        to: Fqdn,
    },
    /// A server listens elsewhere.
    Listener {
        #[serde(serialize_with = "name")]
        server: Fqdn,
        listener: &'static str,
        from: Option<SocketAddr>,
        to: Option<SocketAddr>,
    },
    /// A server has joined, or is waited for again.
    Expected {
        #[serde(serialize_with = "name")]
        server: Fqdn,
        expected: bool,
    },
    /// A pool passes on elsewhere.
    NextHop {
        #[serde(serialize_with = "name")]
        pool: Fqdn,
        #[serde(serialize_with = "maybe_name")]
        from: Option<Fqdn>,
        #[serde(serialize_with = "maybe_name")]
        to: Option<Fqdn>,
    },
    /// A SIP domain is new.
    DomainAdded {
        #[serde(serialize_with = "name")]
        domain: Fqdn,
    },
    /// A SIP domain is gone, and with it the addresses that users had there.
    DomainRemoved {
        #[serde(serialize_with = "name")]
        domain: Fqdn,
    },
    /// Media are asked for otherwise.
    Media { from: MediaPolicy, to: MediaPolicy },
    /// Servers take on more or less from their next start.
    Limits { from: ServerLimits, to: ServerLimits },
    /// Others are allowed or blocked.
    Partners { from: Partners, to: Partners },
    /// The organisation has another name.
    Organisation { from: String, to: String },
}

/// A certificate that no longer bears what the list says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Reissue {
    /// Whose.
    #[serde(serialize_with = "name")]
    pub server: Fqdn,
    /// Names it must bear besides.
    #[serde(serialize_with = "names")]
    pub added: Vec<Fqdn>,
    /// Names it must bear no longer.
    #[serde(serialize_with = "names")]
    pub dropped: Vec<Fqdn>,
}

fn name<S: Serializer>(name: &Fqdn, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(name.as_str())
}

fn maybe_name<S: Serializer>(name: &Option<Fqdn>, out: S) -> Result<S::Ok, S::Error> {
    name.as_ref().map(Fqdn::as_str).serialize(out)
}

pub(crate) fn names<S: Serializer>(names: &[Fqdn], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(names.iter().map(Fqdn::as_str))
}

/// What publishing `new` in place of `old` would change.
pub fn plan(old: &Topology, new: &Topology) -> Plan {
    let mut changes = Vec::new();
    servers(old, new, &mut changes);
    next_hops(old, new, &mut changes);
    whole(old, new, &mut changes);
    let gone = |server: &&Server| new.server(server.fqdn()).is_none();
    let is_home = |pool: &Fqdn| new.pool(pool).is_some_and(crate::Pool::is_home);
    let homes = old.pools().iter().filter(|pool| pool.is_home()).map(crate::Pool::name);
    let covered = |domain: &Fqdn| old.domains().iter().any(|known| domain.is_within(known));
    Plan {
        from: old.version(),
        to: new.version(),
        cut_off: old.servers().filter(gone).map(|server| server.fqdn().clone()).collect(),
        homeless: homes.filter(|pool| !is_home(pool)).cloned().collect(),
        reissue: old.servers().filter_map(|server| reissue(old, new, server.fqdn())).collect(),
        new_ca_for: new.domains().iter().filter(|domain| !covered(domain)).cloned().collect(),
        changes,
    }
}

fn servers(old: &Topology, new: &Topology, changes: &mut Vec<Change>) {
    for pool in new.pools() {
        for server in pool.servers() {
            match (old.server(server.fqdn()), old.pool_of(server.fqdn())) {
                (Some(before), Some(home)) => {
                    if home.name() != pool.name() {
                        changes.push(Change::Pool { server: server.fqdn().clone(), from: home.name().clone(), to: pool.name().clone() });
                    }
                    one_server(before, server, changes);
                }
                (None, _) | (_, None) => changes.push(Change::ServerAdded {
                    server: server.fqdn().clone(),
                    pool: pool.name().clone(),
                    roles: server.roles().to_vec(),
                    expected: server.is_expected(),
                }),
            }
        }
    }
    let gone = old.servers().filter(|server| new.server(server.fqdn()).is_none());
    changes.extend(gone.map(|server| Change::ServerRemoved { server: server.fqdn().clone() }));
}

fn one_server(old: &Server, new: &Server, changes: &mut Vec<Change>) {
    let server = || new.fqdn().clone();
    let roles = |server: &Server| server.roles().iter().copied().collect::<BTreeSet<_>>();
    if roles(old) != roles(new) {
        changes.push(Change::Roles { server: server(), from: old.roles().to_vec(), to: new.roles().to_vec() });
    }
    if old.is_expected() != new.is_expected() {
        changes.push(Change::Expected { server: server(), expected: new.is_expected() });
    }
    let pairs = Listeners::by_key(old.listeners()).into_iter().zip(new.listeners().by_key());
    let moved = pairs.filter(|((_, from), (_, to))| from != to);
    changes.extend(moved.map(|((listener, from), (_, to))| Change::Listener { server: server(), listener, from, to }));
}

fn next_hops(old: &Topology, new: &Topology, changes: &mut Vec<Change>) {
    for pool in new.pools() {
        let from = old.pool(pool.name()).and_then(crate::Pool::next_hop);
        if from != pool.next_hop() {
            changes.push(Change::NextHop { pool: pool.name().clone(), from: from.cloned(), to: pool.next_hop().cloned() });
        }
    }
}

fn whole(old: &Topology, new: &Topology, changes: &mut Vec<Change>) {
    let added = new.domains().iter().filter(|domain| !old.serves(domain));
    changes.extend(added.map(|domain| Change::DomainAdded { domain: domain.clone() }));
    let removed = old.domains().iter().filter(|domain| !new.serves(domain));
    changes.extend(removed.map(|domain| Change::DomainRemoved { domain: domain.clone() }));
    if old.media() != new.media() {
        changes.push(Change::Media { from: old.media(), to: new.media() });
    }
    if old.limits() != new.limits() {
        changes.push(Change::Limits { from: old.limits(), to: new.limits() });
    }
    if old.partners() != new.partners() {
        changes.push(Change::Partners { from: old.partners().clone(), to: new.partners().clone() });
    }
    if old.organisation() != new.organisation() {
        changes.push(Change::Organisation { from: old.organisation().into(), to: new.organisation().into() });
    }
}

/// Whether the certificate of a server that stays has to bear other names.
fn reissue(old: &Topology, new: &Topology, server: &Fqdn) -> Option<Reissue> {
    let all = |names: ServerNames| names.dns().into_iter().collect::<BTreeSet<_>>();
    let (before, after) = (old.certificate_names(server)?, new.certificate_names(server)?);
    // The URIs of the domains count too: a name may have been an alias and become a domain.
    let same_domains = before.domains.iter().collect::<BTreeSet<_>>() == after.domains.iter().collect::<BTreeSet<_>>();
    let (before, after) = (all(before), all(after));
    (before != after || !same_domains).then(|| Reissue {
        server: server.clone(),
        added: after.difference(&before).cloned().collect(),
        dropped: before.difference(&after).cloned().collect(),
    })
}

impl Plan {
    /// Whether the lists say the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "version {} -> {}", self.from, self.to)?;
        if self.is_empty() {
            writeln!(out, "nothing changes")?;
        }
        self.changes.iter().try_for_each(|change| writeln!(out, "{change}"))?;
        for server in &self.cut_off {
            writeln!(out, "cut off: {server}; every connection with it is closed on every server")?;
        }
        for pool in &self.homeless {
            writeln!(out, "no home any longer: users of the pool {pool}; give them another pool first")?;
        }
        for Reissue { server, added, dropped } in &self.reissue {
            let signs = added.iter().map(|name| format!(" +{name}")).chain(dropped.iter().map(|name| format!(" -{name}")));
            writeln!(out, "new certificate: {server},{}", signs.collect::<String>())?;
        }
        for domain in &self.new_ca_for {
            writeln!(out, "new issuing CAs: the present ones may not vouch for {domain}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        match self {
            Self::ServerAdded { server, pool, roles, expected } => {
                let state = if *expected { ", expected" } else { "" };
                write!(out, "+ server {server} ({}) in the pool {pool}{state}", list(roles))
            }
            Self::ServerRemoved { server } => write!(out, "- server {server}"),
            Self::Roles { server, from, to } => write!(out, "~ server {server}: roles {} -> {}", list(from), list(to)),
            Self::Pool { server, from, to } => write!(out, "~ server {server}: pool {from} -> {to}"),
            Self::Listener { server, listener, from, to } => {
                write!(out, "~ server {server}: {listener} {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))
            }
            Self::Expected { server, expected: true } => write!(out, "~ server {server}: expected again, nobody is reached there"),
            Self::Expected { server, expected: false } => write!(out, "~ server {server}: has joined"),
            Self::NextHop { pool, from, to } => {
                write!(out, "~ pool {pool}: next hop {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))
            }
            Self::DomainAdded { domain } => write!(out, "+ domain {domain}"),
            Self::DomainRemoved { domain } => write!(out, "- domain {domain}; users have no address there any more"),
            Self::Media { from, to } => write!(out, "~ media {} -> {}", from.as_str(), to.as_str()),
            Self::Partners { from, to } => write!(out, "~ federation {from} -> {to}"),
            Self::Limits { from, to } => write!(out, "~ limits {from} -> {to}, from each server's next start on"),
            Self::Organisation { from, to } => write!(out, "~ organisation {from:?} -> {to:?}"),
        }
    }
}

fn or_none(value: Option<&impl fmt::Display>) -> String {
    value.map_or_else(|| "none".into(), ToString::to_string)
}

/// Two texts line by line, as `diff -u` shows them; empty if they are the same.
pub fn diff(old: (&str, &str), new: (&str, &str)) -> String {
    let ((old_name, old), (new_name, new)) = (old, new);
    if old == new {
        return String::new();
    }
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(old_name, new_name).to_string()
}
