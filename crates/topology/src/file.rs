//! What was written (TOML) becomes what it means.

use std::{net::SocketAddr, ops::Range};

use pki::Fqdn;
use serde::Deserialize;
use toml::Spanned;

use crate::{Fault, Faults, Listeners, MediaPolicy, Pool, Role, Rule, Server, Topology};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u64>,
    organisation: Spanned<String>,
    domains: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    media: MediaPolicy,
    #[serde(default)]
    pool: Vec<Spanned<PoolEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolEntry {
    name: Spanned<String>,
    #[serde(default)]
    server: Vec<Spanned<ServerEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEntry {
    fqdn: Spanned<String>,
    roles: Spanned<Vec<Spanned<Role>>>,
    sip: Option<SocketAddr>,
    https: Option<Spanned<SocketAddr>>,
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
        let mut reader = Reader { text, faults: Vec::new() };
        let topology = reader.topology(&file);
        reader.check(&topology, &file);
        reader.faults.sort_by_key(|fault| (fault.line, fault.column));
        if reader.faults.is_empty() { Ok(topology) } else { Err(Faults(reader.faults)) }
    }
}

/// Collects faults on the way, so that all are told at once. What it returns counts only if there
/// are none.
struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, place: Range<usize>, rule: Rule) {
        self.faults.push(Fault::at(self.text, place.start, rule));
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<Fqdn> {
        Fqdn::parse(name.get_ref()).map_err(|fault| self.fault(name.span(), fault.into())).ok()
    }

    fn topology(&mut self, file: &File) -> Topology {
        if *file.version.get_ref() == 0 {
            self.fault(file.version.span(), Rule::Version);
        }
        let organisation = file.organisation.get_ref();
        if organisation.trim().is_empty() || organisation.chars().any(char::is_control) {
            self.fault(file.organisation.span(), Rule::Organisation);
        }
        Topology {
            version: *file.version.get_ref(),
            organisation: organisation.clone(),
            domains: self.domains(&file.domains),
            media: file.media,
            pools: file.pool.iter().filter_map(|pool| self.pool(pool)).collect(),
        }
    }

    fn domains(&mut self, list: &Spanned<Vec<Spanned<String>>>) -> Vec<Fqdn> {
        if list.get_ref().is_empty() {
            self.fault(list.span(), Rule::NoDomain);
        }
        let mut domains = Vec::new();
        for written in list.get_ref() {
            match self.name(written) {
                Some(domain) if domains.contains(&domain) => self.fault(written.span(), Rule::DuplicateDomain(domain.to_string())),
                Some(domain) => domains.push(domain),
                None => {}
            }
        }
        domains
    }

    fn pool(&mut self, written: &Spanned<PoolEntry>) -> Option<Pool> {
        let entry = written.get_ref();
        if entry.server.is_empty() {
            self.fault(written.span(), Rule::EmptyPool(entry.name.get_ref().clone()));
        }
        let servers = entry.server.iter().filter_map(|server| self.server(server)).collect();
        Some(Pool::new(self.name(&entry.name)?, servers))
    }

    fn server(&mut self, written: &Spanned<ServerEntry>) -> Option<Server> {
        let entry = written.get_ref();
        let fqdn = self.name(&entry.fqdn)?;
        let roles = self.roles(&fqdn, &entry.roles);
        let https = entry.https.as_ref().map(|https| *https.get_ref());
        if roles.contains(&Role::FrontEnd) && entry.sip.is_none() {
            let rule = Rule::NoListener { server: fqdn.to_string(), role: Role::FrontEnd.as_str(), listener: "sip" };
            self.fault(written.span(), rule);
        }
        if let (Some(sip), Some(https)) = (entry.sip, &entry.https)
            && sip == *https.get_ref()
            && sip.port() != 0
        {
            self.fault(https.span(), Rule::SameListener(fqdn.to_string()));
        }
        Some(Server::new(fqdn, roles, Listeners { sip: entry.sip, https }))
    }

    fn roles(&mut self, server: &Fqdn, list: &Spanned<Vec<Spanned<Role>>>) -> Vec<Role> {
        if list.get_ref().is_empty() {
            self.fault(list.span(), Rule::NoRole(server.to_string()));
        }
        let mut roles = Vec::new();
        for role in list.get_ref() {
            if roles.contains(role.get_ref()) {
                self.fault(role.span(), Rule::DuplicateRole { server: server.to_string(), role: role.get_ref().as_str() });
            } else {
                roles.push(*role.get_ref());
            }
        }
        roles
    }

    /// What can be said only about the whole: names are unique, one authority.
    fn check(&mut self, topology: &Topology, file: &File) {
        if file.pool.is_empty() {
            self.fault(0..0, Rule::NoPool);
            return;
        }
        self.check_pools(topology, file);
        self.check_servers(topology, file);
        let count = topology.servers().filter(|server| server.has(Role::Authority)).count();
        if count != 1 && self.faults.is_empty() {
            self.fault(file.pool[0].span(), Rule::Authority { count });
        }
    }

    fn check_pools(&mut self, topology: &Topology, file: &File) {
        for (position, written) in file.pool.iter().enumerate() {
            let Ok(name) = Fqdn::parse(written.get_ref().name.get_ref()) else { continue };
            let earlier = file.pool[..position].iter().any(|other| is(&other.get_ref().name, &name));
            if earlier {
                self.fault(written.get_ref().name.span(), Rule::DuplicatePool(name.to_string()));
            }
            let elsewhere = topology.pool_of(&name).is_some_and(|pool| pool.name() != &name);
            // A pool of several servers is not one of them either: its name must lead to all.
            let one_of_many = written.get_ref().server.len() > 1 && topology.server(&name).is_some();
            if elsewhere || one_of_many {
                self.fault(written.get_ref().name.span(), Rule::PoolNamedLikeServer(name.to_string()));
            }
        }
    }

    fn check_servers(&mut self, topology: &Topology, file: &File) {
        let entries: Vec<_> = file.pool.iter().flat_map(|pool| &pool.get_ref().server).map(|server| &server.get_ref().fqdn).collect();
        for server in topology.servers() {
            let mut same = entries.iter().filter(|entry| is(entry, server.fqdn())).skip(1);
            if let Some(second) = same.next() {
                let fault = Fault::at(self.text, second.span().start, Rule::DuplicateServer(server.fqdn().to_string()));
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
            }
        }
    }
}

fn is(written: &Spanned<String>, name: &Fqdn) -> bool {
    Fqdn::parse(written.get_ref()).is_ok_and(|written| written == *name)
}
