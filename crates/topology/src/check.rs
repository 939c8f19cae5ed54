//! The rules of the whole list: names are unique and ours, roles fit together, everyone can be
//! reached, hops lead inwards.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    ops::Range,
};

use pki::Fqdn;

use crate::{
    Role, Rule,
    file::{Read, ReadPool, ReadServer},
};

/// Faults on the way, by their place.
#[derive(Default)]
struct Faults(Vec<(usize, Rule)>);

impl Faults {
    fn at(&mut self, place: &Range<usize>, rule: Rule) {
        self.0.push((place.start, rule));
    }
}

/// What can be said about each server by itself, even if names elsewhere cannot be read.
pub(crate) fn servers(read: &Read) -> Vec<(usize, Rule)> {
    let mut faults = Faults::default();
    for (_, entry) in read.servers() {
        roles(&mut faults, entry);
        own_listeners(&mut faults, entry);
    }
    faults.0
}

/// What can be said when every name could be read.
pub(crate) fn whole(read: &Read) -> Vec<(usize, Rule)> {
    let mut faults = Faults::default();
    unique_names(&mut faults, read);
    our_names(&mut faults, read);
    one_authority(&mut faults, read);
    let others = read.servers().nth(1).is_some();
    for (_, entry) in read.servers() {
        needed_listeners(&mut faults, entry, others);
    }
    shared_listeners(&mut faults, read);
    let kinds = kinds(read);
    for pool in &read.pools {
        mixed_pool(&mut faults, pool);
        next_hop(&mut faults, pool, &kinds);
    }
    faults.0
}

/// An application is nothing else; an edge holds nothing worth taking.
fn roles(faults: &mut Faults, entry: &ReadServer) {
    let name = || entry.server.fqdn().to_string();
    let server = &entry.server;
    if server.has(Role::Application) && server.roles().len() > 1 {
        faults.at(&entry.roles_place, Rule::ApplicationAndMore(name()));
    }
    if server.has(Role::Authority) && server.is_expected() {
        faults.at(&entry.place, Rule::AuthorityExpected(name()));
    }
    if !server.has(Role::Edge) {
        return;
    }
    for role in server.roles() {
        match role {
            Role::Authority | Role::FrontEnd | Role::Director => {
                faults.at(&entry.roles_place, Rule::EdgeAndMore { server: name(), role: *role });
            }
            // An application with other roles was told of above.
            Role::Edge | Role::MediaRelay | Role::Application => {}
        }
    }
}

/// Each listener has a port of its own, and clear text is the authority's alone.
fn own_listeners(faults: &mut Faults, entry: &ReadServer) {
    let server = &entry.server;
    let taken: Vec<_> = written(entry).collect();
    for (position, (second, place, address)) in taken.iter().enumerate() {
        if let Some((first, ..)) = taken[..position].iter().find(|(_, _, other)| collide(*other, *address)) {
            faults.at(place, Rule::SameListener { server: server.fqdn().to_string(), first, second });
        }
    }
    if server.listeners().http.is_some() && !server.has(Role::Authority) {
        faults.at(&entry.listener_places[3], Rule::HttpElsewhere(server.fqdn().to_string()));
    }
}

/// The listeners that were written, with key and place.
fn written(entry: &ReadServer) -> impl Iterator<Item = (&'static str, &Range<usize>, SocketAddr)> {
    let keys = entry.server.listeners().by_key().into_iter();
    keys.zip(&entry.listener_places).filter_map(|((key, address), place)| Some((key, place, address?)))
}

/// Whether one machine could not listen at both. Port 0 becomes any free one.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_ip
}

/// A name leads to one server or to one pool.
fn unique_names(faults: &mut Faults, read: &Read) {
    let mut servers = HashMap::new();
    for (pool, entry) in read.servers() {
        if servers.insert(entry.server.fqdn(), pool).is_some() {
            faults.at(&entry.name_place, Rule::DuplicateServer(entry.server.fqdn().to_string()));
        }
    }
    let mut pools = HashSet::new();
    for pool in &read.pools {
        if !pools.insert(&pool.name) {
            faults.at(&pool.name_place, Rule::DuplicatePool(pool.name.to_string()));
        }
        // A pool of several servers is not one of them either: its name must lead to all.
        if let Some(home) = servers.get(&pool.name)
            && (home.name != pool.name || pool.servers.len() > 1)
        {
            faults.at(&pool.name_place, Rule::PoolNamedLikeServer(pool.name.to_string()));
        }
    }
}

/// The CA vouches for names within the organisation's domains only, and a SIP domain is no name of a
/// server: every front end proves it.
fn our_names(faults: &mut Faults, read: &Read) {
    let alone = read.servers().count() == 1;
    let mut names: Vec<(&Fqdn, &Range<usize>)> = Vec::new();
    for pool in &read.pools {
        names.push((&pool.name, &pool.name_place));
        let servers = pool.servers.iter().filter(|entry| entry.server.fqdn() != &pool.name);
        names.extend(servers.map(|entry| (entry.server.fqdn(), &entry.name_place)));
    }
    for (name, place) in names {
        if !read.domains.iter().any(|domain| name.is_within(domain)) {
            let domains = read.domains.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
            faults.at(place, Rule::OutsideDomains { name: name.to_string(), domains });
        }
        if !alone && read.domains.contains(name) {
            faults.at(place, Rule::NamedLikeDomain(name.to_string()));
        }
    }
}

fn one_authority(faults: &mut Faults, read: &Read) {
    let mut places = read.servers().filter(|(_, entry)| entry.server.has(Role::Authority)).map(|(_, entry)| &entry.roles_place);
    let (first, second) = (places.next(), places.next());
    let count = usize::from(first.is_some()) + usize::from(second.is_some()) + places.count();
    match (first, second) {
        (Some(_), None) => {}
        (_, Some(second)) => faults.at(second, Rule::Authority { count }),
        (None, None) => faults.at(&read.pools[0].place, Rule::Authority { count }),
    }
}

/// A role without its listener; with other servers about, a member that they cannot reach.
fn needed_listeners(faults: &mut Faults, entry: &ReadServer, others: bool) {
    let server = &entry.server;
    let listeners = server.listeners();
    if !server.is_expected() {
        for role in server.roles() {
            if let Some(key) = role.listener_needed(others)
                && !listeners.by_key().iter().any(|(listener, address)| *listener == key && address.is_some())
            {
                faults.at(&entry.place, Rule::NoListener { server: server.fqdn().to_string(), role: *role, listener: key });
            }
        }
        if others && server.is_member() && listeners.servers.is_none() {
            faults.at(&entry.place, Rule::NoServersListener(server.fqdn().to_string()));
        }
    }
    if others {
        reachable(faults, entry);
    }
}

/// Where other servers connect to, an address must be one that leads somewhere.
fn reachable(faults: &mut Faults, entry: &ReadServer) {
    let server = &entry.server;
    for (listener, place, address) in written(entry) {
        let dialled = listener == "servers" || (listener == "https" && server.has(Role::Authority));
        if dialled && (address.ip().is_unspecified() || address.port() == 0) {
            faults.at(place, Rule::Unreachable { server: server.fqdn().to_string(), listener, address });
        }
    }
}

/// One address and port leads to one server. Every address (0.0.0.0) says nothing about that.
fn shared_listeners(faults: &mut Faults, read: &Read) {
    let mut taken: HashMap<SocketAddr, &Fqdn> = HashMap::new();
    for (_, entry) in read.servers() {
        for (listener, place, address) in written(entry).filter(|(_, _, address)| !address.ip().is_unspecified() && address.port() != 0) {
            let name = entry.server.fqdn();
            let other = *taken.entry(address).or_insert(name);
            if other != name {
                faults.at(place, Rule::SharedListener { server: name.to_string(), listener, address, other: other.to_string() });
            }
        }
    }
}

/// Edges and applications share a pool, hence a provable name, with their own kind only.
fn mixed_pool(faults: &mut Faults, pool: &ReadPool) {
    for role in [Role::Edge, Role::Application] {
        let with = pool.servers.iter().filter(|entry| entry.server.has(role)).count();
        if with > 0 && with < pool.servers.len() {
            faults.at(&pool.place, Rule::MixedPool { pool: pool.name.to_string(), role });
        }
    }
}

/// What a next hop can be: by name, all roles that are there.
fn kinds(read: &Read) -> HashMap<&Fqdn, Vec<Role>> {
    let mut kinds: HashMap<&Fqdn, Vec<Role>> = HashMap::new();
    for (pool, entry) in read.servers() {
        kinds.entry(&pool.name).or_default().extend(entry.server.roles());
        if pool.name != *entry.server.fqdn() {
            kinds.entry(entry.server.fqdn()).or_default().extend(entry.server.roles());
        }
    }
    kinds
}

/// Inwards only: from an edge to directors or front ends, from a director to front ends.
fn next_hop(faults: &mut Faults, pool: &ReadPool, kinds: &HashMap<&Fqdn, Vec<Role>>) {
    let Some((place, hop)) = &pool.next_hop else { return };
    let has = |role| pool.servers.iter().any(|entry| entry.server.has(role));
    let name = pool.name.to_string();
    let Some(roles) = kinds.get(hop) else {
        return faults.at(place, Rule::UnknownNextHop { pool: name, hop: hop.to_string() });
    };
    let (fits, wanted): (&[Role], _) = match (has(Role::Edge), has(Role::Director)) {
        (true, _) => (&[Role::Director, Role::FrontEnd], "director or front end"),
        (false, true) => (&[Role::FrontEnd], "front end"),
        (false, false) => return faults.at(place, Rule::IdleNextHop(name)),
    };
    let itself = *hop == pool.name || pool.servers.iter().any(|entry| entry.server.fqdn() == hop);
    if itself || !roles.iter().any(|role| fits.contains(role)) {
        faults.at(place, Rule::WrongNextHop { pool: name, hop: hop.to_string(), wanted });
    }
}
