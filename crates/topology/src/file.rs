//! What was written (TOML) becomes what it means. What can be said only about the whole is in
//! `check`.

use std::{net::SocketAddr, ops::Range};

use pki::Fqdn;
use serde::Deserialize;
use toml::Spanned;

use crate::{Fault, Faults, Listeners, MediaPolicy, Partners, Pool, Role, Rule, Server, ServerLimits, Topology, check};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u64>,
    organisation: Spanned<String>,
    domains: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    media: MediaPolicy,
    #[serde(default)]
    limits: ServerLimits,
    #[serde(default)]
    federation: FederationEntry,
    #[serde(default)]
    pool: Vec<Spanned<PoolEntry>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FederationEntry {
    #[serde(default)]
    allowed: Vec<Spanned<String>>,
    #[serde(default)]
    blocked: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PoolEntry {
    name: Spanned<String>,
    next_hop: Option<Spanned<String>>,
    #[serde(default)]
    server: Vec<Spanned<ServerEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEntry {
    fqdn: Spanned<String>,
    roles: Spanned<Vec<Spanned<Role>>>,
    #[serde(default)]
    expected: bool,
    sip: Option<Spanned<SocketAddr>>,
    servers: Option<Spanned<SocketAddr>>,
    https: Option<Spanned<SocketAddr>>,
    http: Option<Spanned<SocketAddr>>,
}

impl Topology {
    /// Reads a topology and checks all of it.
    ///
    /// # Errors
    /// Every fault with its place. A text that is no TOML or has unknown keys has one fault only,
    /// the first.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        if text.len() > Self::FILE_BYTES_MAX {
            return Err(Faults(vec![Fault::at(text, 0, Rule::TooLarge)]));
        }
        let file = toml::from_str::<File>(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Faults(vec![Fault::at(text, offset, Rule::Form(error.message().into()))])
        })?;
        let mut reader = Reader::default();
        let read = reader.read(&file);
        let faults = reader.judge(&read);
        if faults.is_empty() { Ok(read.topology()) } else { Err(placed(text, faults)) }
    }
}

/// From offsets to lines, in the order of the text.
fn placed(text: &str, mut faults: Vec<(usize, Rule)>) -> Faults {
    faults.sort_by_key(|(offset, _)| *offset);
    faults.truncate(Topology::FAULTS_MAX);
    Faults(faults.into_iter().map(|(offset, rule)| Fault::at(text, offset, rule)).collect())
}

/// A pool and the places of what was written about it.
pub(crate) struct ReadPool {
    pub(crate) place: Range<usize>,
    pub(crate) name_place: Range<usize>,
    pub(crate) name: Fqdn,
    pub(crate) next_hop: Option<(Range<usize>, Fqdn)>,
    pub(crate) servers: Vec<ReadServer>,
}

/// A server and the places of what was written about it.
pub(crate) struct ReadServer {
    pub(crate) place: Range<usize>,
    pub(crate) name_place: Range<usize>,
    pub(crate) roles_place: Range<usize>,
    /// In the order of [`Listeners::by_key`].
    pub(crate) listener_places: [Range<usize>; 4],
    pub(crate) server: Server,
}

/// Everything that could be read.
pub(crate) struct Read {
    pub(crate) version: u64,
    pub(crate) organisation: String,
    pub(crate) domains: Vec<Fqdn>,
    pub(crate) media: MediaPolicy,
    pub(crate) limits: ServerLimits,
    pub(crate) partners: Partners,
    pub(crate) pools: Vec<ReadPool>,
}

impl Read {
    fn topology(self) -> Topology {
        let servers = |pool: Vec<ReadServer>| pool.into_iter().map(|read| read.server).collect();
        let pool = |read: ReadPool| Pool::new(read.name, read.next_hop.map(|(_, hop)| hop), servers(read.servers));
        Topology {
            version: self.version,
            organisation: self.organisation,
            domains: self.domains,
            media: self.media,
            limits: self.limits,
            partners: self.partners,
            pools: self.pools.into_iter().map(pool).collect(),
        }
    }

    /// Every server with its pool.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&ReadPool, &ReadServer)> {
        self.pools.iter().flat_map(|pool| pool.servers.iter().map(move |server| (pool, server)))
    }
}

/// Collects faults on the way, so that all are told at once. What it returns counts only if there
/// are none.
#[derive(Default)]
struct Reader {
    faults: Vec<(usize, Rule)>,
    /// A name could not be read or a pool is empty, so little can be said about the whole.
    partial: bool,
}

impl Reader {
    fn fault(&mut self, place: Range<usize>, rule: Rule) {
        self.faults.push((place.start, rule));
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<Fqdn> {
        match Fqdn::parse(name.get_ref()) {
            Ok(name) => Some(name),
            Err(fault) => {
                self.partial = true;
                self.fault(name.span(), fault.into());
                None
            }
        }
    }

    fn read(&mut self, file: &File) -> Read {
        if *file.version.get_ref() == 0 {
            self.fault(file.version.span(), Rule::Version);
        }
        let organisation = file.organisation.get_ref();
        if organisation.trim().is_empty() || organisation.chars().any(char::is_control) {
            self.fault(file.organisation.span(), Rule::Organisation);
        }
        if file.pool.is_empty() {
            self.fault(0..0, Rule::NoPool);
        }
        let domains = self.domains(&file.domains);
        let allowed = self.partners(&file.federation.allowed, &domains, &[]);
        let blocked = self.partners(&file.federation.blocked, &domains, &allowed);
        Read {
            version: *file.version.get_ref(),
            organisation: organisation.clone(),
            domains,
            partners: Partners { allowed, blocked },
            media: file.media,
            limits: file.limits,
            pools: file.pool.iter().filter_map(|pool| self.pool(pool)).collect(),
        }
    }

    /// Domains of others, none of them in `others` too.
    fn partners(&mut self, list: &[Spanned<String>], own: &[Fqdn], others: &[Fqdn]) -> Vec<Fqdn> {
        let mut partners = Vec::new();
        if let Some(surplus) = list.get(Topology::PARTNERS_MAX) {
            self.fault(surplus.span(), Rule::TooManyPartners);
        }
        for written in list.iter().take(Topology::PARTNERS_MAX) {
            let Some(domain) = self.name(written) else { continue };
            if own.contains(&domain) {
                self.fault(written.span(), Rule::OwnPartner(domain.to_string()));
            }
            if others.contains(&domain) {
                self.fault(written.span(), Rule::AllowedAndBlocked(domain.to_string()));
            }
            if partners.contains(&domain) {
                self.fault(written.span(), Rule::DuplicateDomain(domain.to_string()));
            }
            partners.push(domain);
        }
        partners
    }

    fn domains(&mut self, list: &Spanned<Vec<Spanned<String>>>) -> Vec<Fqdn> {
        if list.get_ref().is_empty() {
            self.fault(list.span(), Rule::NoDomain);
        }
        let mut domains = Vec::new();
        let mut bytes = 0;
        for written in list.get_ref() {
            let Some(domain) = self.name(written) else { continue };
            bytes += domain.as_str().len() + Topology::DOMAIN_FRAME_BYTES;
            if bytes > Topology::DOMAIN_BYTES_MAX {
                self.fault(written.span(), Rule::TooManyDomains);
                break;
            }
            if domains.contains(&domain) {
                self.fault(written.span(), Rule::DuplicateDomain(domain.to_string()));
            } else {
                domains.push(domain);
            }
        }
        domains
    }

    fn pool(&mut self, written: &Spanned<PoolEntry>) -> Option<ReadPool> {
        let entry = written.get_ref();
        if entry.server.is_empty() {
            self.partial = true;
            self.fault(written.span(), Rule::EmptyPool(entry.name.get_ref().clone()));
        }
        let servers = entry.server.iter().filter_map(|server| self.server(server)).collect();
        let next_hop = entry.next_hop.as_ref().and_then(|hop| Some((hop.span(), self.name(hop)?)));
        Some(ReadPool { place: written.span(), name_place: entry.name.span(), name: self.name(&entry.name)?, next_hop, servers })
    }

    fn server(&mut self, written: &Spanned<ServerEntry>) -> Option<ReadServer> {
        let entry = written.get_ref();
        let fqdn = self.name(&entry.fqdn)?;
        let roles = self.roles(&fqdn, &entry.roles);
        let address = |listener: &Option<Spanned<SocketAddr>>| listener.as_ref().map(|address| *address.get_ref());
        let place = |listener: &Option<Spanned<SocketAddr>>| listener.as_ref().map_or(0..0, Spanned::span);
        let ServerEntry { sip, servers, https, http, expected, .. } = entry;
        let listeners = Listeners { sip: address(sip), servers: address(servers), https: address(https), http: address(http) };
        Some(ReadServer {
            place: written.span(),
            name_place: entry.fqdn.span(),
            roles_place: entry.roles.span(),
            listener_places: [place(sip), place(servers), place(https), place(http)],
            server: Server::new(fqdn, roles, listeners, *expected),
        })
    }

    fn roles(&mut self, server: &Fqdn, list: &Spanned<Vec<Spanned<Role>>>) -> Vec<Role> {
        if list.get_ref().is_empty() {
            self.fault(list.span(), Rule::NoRole(server.to_string()));
        }
        let mut roles = Vec::new();
        for role in list.get_ref() {
            if roles.contains(role.get_ref()) {
                self.fault(role.span(), Rule::DuplicateRole { server: server.to_string(), role: *role.get_ref() });
            } else {
                roles.push(*role.get_ref());
            }
        }
        roles
    }

    /// All faults, those of the whole included.
    fn judge(mut self, read: &Read) -> Vec<(usize, Rule)> {
        if read.servers().nth(Topology::SERVERS_MAX).is_some() {
            self.fault(0..0, Rule::TooManyServers);
            return self.faults;
        }
        self.faults.extend(check::servers(read));
        if !self.partial && !read.pools.is_empty() && !read.domains.is_empty() {
            self.faults.extend(check::whole(read));
        }
        self.faults
    }
}
