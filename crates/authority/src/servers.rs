//! Servers: listed and given a ticket, taken out, and what they say of themselves when they come.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use member::JoinString;
use pki::{CertificateDer, CertificateRequest, Fingerprint, Fqdn};
use store::{Actor, AuditLog as _, Enrolments as _, Members as _, Report, Ticket};
use topology::{Listeners, Role, Server, Topology, edit};
use web::control::{Hello, InForce, MemberListeners};

use crate::{Authority, Fault, Spread, administrator};

/// How long a ticket counts.
pub const TICKET_LIFETIME: Duration = Duration::from_hours(24);

/// A server to be added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewServer {
    /// Its name.
    pub name: Fqdn,
    /// What it is there for.
    pub role: Role,
    /// The pool that it joins, or one of its own name.
    pub pool: Option<Fqdn>,
    /// Whether that pool is made if there is none.
    pub new_pool: bool,
}

/// A server that may join now.
#[derive(Debug)]
pub struct Added {
    /// What it needs; a secret.
    pub join: JoinString,
    /// The topology that lists it.
    pub version: u64,
    /// Until when it may join.
    pub expires: SystemTime,
}

/// A listed server, and what is known of it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: Fqdn,
    /// What it is there for.
    pub roles: Vec<Role>,
    /// Whether it holds the list; an application does not.
    pub is_member: bool,
    /// Added, and did not join yet.
    pub is_expected: bool,
    /// All its certificates were revoked; it counts again when it joins with a new ticket.
    pub is_revoked: bool,
    /// Whether it is on the line now.
    pub is_here: bool,
    /// What is in force there, as far as it said.
    pub in_force: Option<InForce>,
    /// When the version of the topology that is in force there was published.
    pub topology_published_at: Option<SystemTime>,
    /// When it was last heard.
    pub seen_at: Option<SystemTime>,
    /// Of its program.
    pub version: String,
}

impl Authority {
    /// Lists a server as expected, if it is not listed yet, and opens a ticket for it. Tickets of before are void; its
    /// account is when it joins with this one.
    ///
    /// # Errors
    /// It is listed with other roles or in another pool, its pool is unknown, or the topology would break a rule.
    pub async fn add_server(&self, new: &NewServer) -> Result<Added, Fault> {
        let change = self.change().await?;
        let now = SystemTime::now();
        let administrator = administrator();
        let address = self.reachable_address()?;
        let topology = Arc::clone(self.member.holdings().topology());
        check_pool(&topology, new)?;
        match topology.server(&new.name).map(Server::roles) {
            // Its account counts on until it joins anew: a ticket that is never used must not keep a server from renewing.
            Some(roles) if roles.contains(&new.role) => {
                self.store.void_enrolments(&new.name, now).await?;
            }
            Some(roles) => {
                let roles = roles.iter().map(Role::to_string).collect::<Vec<_>>().join(", ");
                return Err(Fault::OtherRoles { name: new.name.clone(), roles });
            }
            None => {
                let text = edit::add_server(&self.document().await?, &listing(new))?;
                self.publish_quietly(&change, &text, administrator.clone()).await?;
            }
        }
        let ticket = Ticket::generate(new.name.clone(), now + TICKET_LIFETIME)?;
        self.store.acting_as(administrator).open_enrolment(&ticket, now).await?;
        Ok(Added {
            join: self.join_string(&ticket, address),
            version: self.member.holdings().topology().version(),
            expires: ticket.expires,
        })
    }

    fn join_string(&self, ticket: &Ticket, address: SocketAddr) -> JoinString {
        use web::enrolment::TicketKey;
        // A key of 32 bytes is of the length that tickets have.
        let key = TicketKey::new(*ticket.key.expose()).map(|key| key.to_text()).unwrap_or_default();
        JoinString {
            authority: self.member.name().clone(),
            address,
            root: Fingerprint::of(self.ca().authority().root()),
            server: ticket.server.clone(),
            kid: ticket.kid.clone(),
            key,
        }
    }

    /// Where new servers reach our HTTPS.
    fn reachable_address(&self) -> Result<SocketAddr, Fault> {
        let holdings = self.member.holdings();
        let https = holdings.topology().authority().listeners().https.ok_or(Fault::Damaged("an authority without HTTPS"))?;
        if https.ip().is_unspecified() { Err(Fault::Unreachable(https)) } else { Ok(https) }
    }

    pub(crate) async fn document(&self) -> Result<String, Fault> {
        Ok(self.topology(None).await?.ok_or(Fault::Damaged("no topology"))?.document)
    }

    /// Takes a server out of the topology; its connections are cut everywhere (row N15).
    ///
    /// # Errors
    /// It is not listed, it is the authority, or others depend on it.
    pub async fn remove_server(&self, name: &Fqdn) -> Result<Spread, Fault> {
        let began = Instant::now();
        let change = self.change().await?;
        let text = edit::remove_server(&self.document().await?, name)?;
        let version = self.publish_quietly(&change, &text, administrator()).await?;
        drop(change);
        self.spread_version(version, began).await
    }

    /// No ticket or account of this server counts any more.
    pub(crate) async fn close_enrolments(&self, server: &Fqdn, now: SystemTime) -> Result<(), Fault> {
        self.store.void_enrolments(server, now).await?;
        self.store.deactivate_accounts_of(server, now).await?;
        Ok(())
    }

    /// A member says where it listens: if the topology says otherwise, it is published anew. That is where others go; whom they
    /// believe there is settled by certificates (P16). Still it is only led to its own addresses, and not all the time.
    pub(crate) async fn welcome(&self, peer: &Fqdn, source: IpAddr, hello: &Hello) -> Result<(), Fault> {
        let change = self.changing.lock().await;
        self.hub.hello(peer, hello, SystemTime::now());
        let holdings = self.member.holdings();
        let server = holdings.topology().server(peer).ok_or_else(|| Fault::NoSuchServer(peer.clone()))?;
        let MemberListeners { sip, servers, https } = hello.listeners;
        let said = Listeners { sip, servers, https, http: server.listeners().http };
        let moves = server.is_expected() || *server.listeners() != said;
        if moves {
            check_own_addresses(server, &said, source)?;
        }
        if moves && !self.comes_again(peer) {
            if !self.hub.may_move(peer) || self.pace.move_on(peer, Instant::now()).is_err() {
                return Err(Fault::MovesTooOften(peer.clone()));
            }
            let text = edit::set_listeners(&self.document().await?, peer, &said, true)?;
            self.publish_quietly(&change, &text, Actor::Member(peer.clone())).await?;
        }
        if server.is_expected() && !self.is_recovering() {
            let event = store::Event::MemberJoined { server: peer.to_string() };
            self.store.acting_as(Actor::Member(peer.clone())).append(&event, SystemTime::now()).await?;
            tracing::info!(server = %peer, "a server has joined");
        }
        Ok(())
    }

    /// The authority's own server listens here: if the topology says otherwise, it is published anew.
    ///
    /// # Errors
    /// The topology would break a rule, or the store.
    pub async fn moved(&self, listeners: Listeners) -> Result<(), Fault> {
        if self.moves_later(listeners) {
            return Ok(());
        }
        let change = self.changing.lock().await;
        let own = self.member.name();
        let listed = self.member.holdings().topology().server(own).map(|server| *server.listeners());
        if listed == Some(listeners) {
            return Ok(());
        }
        let text = edit::set_listeners(&self.document().await?, own, &listeners, true)?;
        self.publish_quietly(&change, &text, Actor::Server).await?;
        Ok(())
    }

    /// Issues a certificate for a request that an administrator carried here: names come from the topology.
    ///
    /// # Errors
    /// The server is not listed, or the request is no good.
    pub async fn sign_request(&self, server: &Fqdn, pem: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let request = CertificateRequest::read(pem.as_bytes())?;
        let asked = store::Asked { by: Some("administrator".into()), request_sha256: Some(*request.fingerprint().as_bytes()) };
        let change = self.change().await?;
        self.issue_for(&change, server, &request, asked, administrator()).await
    }

    /// Every listed server, and what is known of it.
    ///
    /// # Errors
    /// The store.
    pub async fn known(&self) -> Result<Vec<Known>, Fault> {
        let reports = self.store.members().await?;
        let cut_off = self.cut_off(SystemTime::now()).await?;
        let holdings = self.member.holdings();
        let report = |server: &Server| reports.iter().find(|report| report.server == *server.fqdn());
        let mut known: Vec<Known> =
            holdings.topology().servers().map(|server| self.known_of(server, report(server), cut_off.contains(server.fqdn()))).collect();
        let mut published = HashMap::new();
        for one in &mut known {
            let Some(version) = one.in_force.as_ref().map(|in_force| in_force.topology) else { continue };
            if let Entry::Vacant(unknown) = published.entry(version) {
                unknown.insert(self.topology(Some(version)).await?.map(|topology| topology.published_at));
            }
            one.topology_published_at = published.get(&version).copied().flatten();
        }
        Ok(known)
    }

    /// What this process heard of a server, else what one before it kept.
    fn known_of(&self, server: &Server, report: Option<&Report>, is_revoked: bool) -> Known {
        let name = server.fqdn();
        let known = Known {
            name: name.clone(),
            roles: server.roles().to_vec(),
            is_member: server.is_member(),
            is_expected: server.is_expected(),
            is_revoked,
            is_here: false,
            in_force: report.map(in_force_before),
            topology_published_at: None,
            seen_at: report.map(|report| report.seen_at),
            version: report.map(|report| report.software.clone()).unwrap_or_default(),
        };
        if name == self.member.name() {
            let (in_force, version) = (Some(self.member.in_force().borrow().clone()), env!("CARGO_PKG_VERSION").to_owned());
            return Known { is_here: true, in_force, seen_at: Some(SystemTime::now()), version, ..known };
        }
        match self.hub.seen(name) {
            Some(seen) => {
                // It has said hello, and not yet what is in force there.
                let (here, said) = (seen.is_here(), seen.in_force.topology > 0);
                let in_force = if said { Some(seen.in_force) } else { known.in_force.clone() };
                Known { is_here: here, in_force, seen_at: Some(seen.at), version: seen.version, ..known }
            }
            None => known,
        }
    }
}

/// Everybody dials what a server says here, so it says it of itself only: of the address that it comes from, of one that is
/// listed for it, or of all that it has.
fn check_own_addresses(server: &Server, said: &Listeners, source: IpAddr) -> Result<(), Fault> {
    let addresses = |listeners: &Listeners| listeners.by_key().into_iter().filter_map(|(_, at)| Some(at?.ip().to_canonical()));
    let listed = |address: &IpAddr| addresses(server.listeners()).any(|listed| listed == *address);
    // All loopback addresses are one machine.
    let is_source = |address: &IpAddr| *address == source || address.is_loopback() && source.is_loopback();
    let is_its_own = |address: &IpAddr| is_source(address) || address.is_unspecified() || listed(address);
    let foreign = addresses(said).find(|address| !is_its_own(address));
    let server = server.fqdn().clone();
    foreign.map_or(Ok(()), |address| Err(Fault::NotItsAddress { server, address, source_address: source }))
}

fn in_force_before(report: &Report) -> InForce {
    let (topology, bundle) = (report.topology.map_or(0, |version| version.0), report.bundle.unwrap_or(0));
    InForce { topology, bundle, ..InForce::default() }
}

/// A name that was typed wrong must not become a pool of its own, with users and names in certificates.
fn check_pool(topology: &Topology, new: &NewServer) -> Result<(), Fault> {
    let Some(pool) = &new.pool else { return Ok(()) };
    if let Some(home) = topology.pool_of(&new.name) {
        let other = || Fault::OtherPool { name: new.name.clone(), pool: home.name().clone() };
        return if home.name() == pool { Ok(()) } else { Err(other()) };
    }
    // What is a server and no pool is told by the edit.
    if new.new_pool || *pool == new.name || topology.is_ours(pool) {
        return Ok(());
    }
    let known = topology.pools().iter().map(|pool| pool.name().clone()).collect();
    Err(Fault::UnknownPool { name: pool.clone(), like: topology.pool_like(pool).cloned(), known })
}

fn listing(new: &NewServer) -> edit::NewServer {
    edit::NewServer {
        name: new.name.clone(),
        roles: vec![new.role],
        pool: new.pool.clone(),
        listeners: Listeners::default(),
        // An application is none of our programs: it never says that it has joined.
        expected: new.role != Role::Application,
    }
}
