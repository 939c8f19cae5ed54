//! Publishing: a topology is signed, stored, put into force here, and told to every member.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use member::Holdings;
use pki::Fqdn;
use store::{Actor, Bundles as _, Directory as _, Members as _, TopologyStore as _, Version};
use tokio::sync::MutexGuard;
use topology::{Topology, edit};
use web::control::Update;

use crate::{Authority, Fault, Spread, administrator, copy, documents, revoke::Holder};

/// The right to change something, held by one at a time.
pub(crate) type Change<'a> = MutexGuard<'a, ()>;

impl Authority {
    /// Publishes a topology that an administrator wrote.
    ///
    /// # Errors
    /// It has faults, its version is not the next, it lies outside the CA's domains, or users would lose their home. Nothing
    /// changed then.
    pub async fn publish(&self, document: &str) -> Result<Spread, Fault> {
        let began = Instant::now();
        let change = self.change().await?;
        let document = self.with_moves(document).await?;
        let version = self.publish_quietly(&change, &document, administrator()).await?;
        drop(change);
        self.spread_version(version, began).await
    }

    /// Why this text could not be published now, all of it; nothing if it could. Nothing is changed.
    ///
    /// # Errors
    /// The store.
    pub async fn obstacles_to(&self, document: &str) -> Result<Vec<Fault>, Fault> {
        let _change = self.changing.lock().await;
        let document = match self.with_moves(document).await {
            Ok(document) => document,
            Err(fault) => return Ok(vec![fault]),
        };
        let topology = match Topology::parse(&document) {
            Ok(topology) => topology,
            Err(faults) => return Ok(vec![faults.into()]),
        };
        let obstacles = self.obstacles(&topology).await?;
        if !obstacles.is_empty() {
            return Ok(obstacles);
        }
        Ok(self.sign(&document, SystemTime::now()).err().into_iter().collect())
    }

    /// An edit of an older version, brought up to the one in force where only moves of servers came between: what members say of
    /// themselves keeps nobody from publishing. Everything else is left to the check of versions.
    async fn with_moves<'a>(&self, document: &'a str) -> Result<Cow<'a, str>, Fault> {
        let (offered, in_force) = (Topology::parse(document)?.version(), self.member.holdings().topology().version());
        if offered > in_force {
            return Ok(Cow::Borrowed(document));
        }
        let base = self.store.at(Version(offered.saturating_sub(1))).await?;
        let (Some(base), Some(current)) = (base, self.store.current().await?) else { return Ok(Cow::Borrowed(document)) };
        // Offered once more is not an edit.
        if current.document == document {
            return Ok(Cow::Borrowed(document));
        }
        let rebased = edit::rebase(&base.document, document, &current.document)?;
        if rebased.is_some() {
            tracing::info!(offered, in_force, "servers moved while the topology was edited: both are published");
        }
        Ok(rebased.map_or(Cow::Borrowed(document), Cow::Owned))
    }

    /// Waits until members have this version in force. Whoever waits holds nothing that others need: one of those waited for may
    /// have to come back first.
    pub(crate) async fn spread_version(&self, version: u64, began: Instant) -> Result<Spread, Fault> {
        let members = self.joined().await?;
        let spread = self.spread(&members, began, |in_force| in_force.topology >= version).await;
        Ok(Spread { version: Some(version), ..spread })
    }

    /// Publishes without waiting for members.
    pub(crate) async fn publish_quietly(&self, change: &Change<'_>, document: &str, actor: Actor) -> Result<u64, Fault> {
        let now = SystemTime::now();
        let topology = Topology::parse(document)?;
        if let Some(obstacle) = self.obstacles(&topology).await?.into_iter().next() {
            return Err(obstacle);
        }
        let before = Arc::clone(self.member.holdings().topology());
        let signed = self.sign(document, now)?;
        let (version, expect) = (Version(topology.version()), Some(Version(before.version())));
        self.store.acting_as(actor.clone()).publish(document, Some(&signed), version, expect, now).await?;
        self.put_into_force(Update::Topology { document: signed }, now).await?;
        tracing::info!(version = version.0, "topology published");
        let before_document = self.store.at(Version(before.version())).await?.map(|published| published.document);
        copy::show(&self.copy, document, before_document.as_deref());
        self.follow(change, &before, &topology, actor, now).await?;
        Ok(version.0)
    }

    /// Whether what was signed will be believed, by the rules of every member. Asked before it is stored: what is stored and
    /// taken by nobody stands in the way of everything after it.
    pub(crate) fn would_take(&self, update: &Update, now: SystemTime) -> Result<(), Fault> {
        let mut holdings = Holdings::clone(&self.member.holdings());
        holdings.take(update, now).map(drop).map_err(Fault::MembersRefuse)
    }

    /// Here, then at members.
    pub(crate) async fn put_into_force(&self, update: Update, now: SystemTime) -> Result<(), Fault> {
        self.member.take(&update, now).await?;
        if !self.is_recovering() {
            // Until then it is for our own server only: that must not go by lists that have run out.
            self.hub.broadcast(update);
        }
        Ok(())
    }

    /// Puts the topology that is stored into force where that failed after it was stored.
    pub(crate) async fn catch_up(&self, change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let Some(stored) = self.store.current().await? else { return Ok(()) };
        let before = Arc::clone(self.member.holdings().topology());
        let Some(signed) = stored.signed.filter(|_| stored.version.0 > before.version()) else { return Ok(()) };
        self.put_into_force(Update::Topology { document: signed }, now).await?;
        let after = Arc::clone(self.member.holdings().topology());
        self.follow(change, &before, &after, Actor::Server, now).await
    }

    /// A topology, signed to follow the one in force, once a member that holds what we hold would take it (row N29).
    fn sign(&self, document: &str, now: SystemTime) -> Result<String, Fault> {
        let held = self.member.holdings();
        let signed = self.ca().sign_topology(document, Some(held.held_topology()), now)?;
        self.would_take(&Update::Topology { document: signed.clone() }, now)?;
        Ok(signed)
    }

    async fn obstacles(&self, topology: &Topology) -> Result<Vec<Fault>, Fault> {
        let mut obstacles = Vec::new();
        let held = self.member.holdings();
        let (offered, current) = (topology.version(), held.topology().version());
        if offered <= current {
            obstacles.push(Fault::Version { offered, current });
        }
        let (listed, own) = (topology.authority().fqdn(), self.member.name());
        if listed != own {
            obstacles.push(Fault::OtherAuthority { listed: listed.clone(), own: own.clone() });
        }
        if !topology.domains().iter().any(|domain| domain.as_str() == self.domain) {
            obstacles.push(Fault::RealmLost(self.domain.clone()));
        }
        obstacles.extend(self.ca().check_names(topology).err());
        obstacles.extend(self.homeless(topology, held.topology()).await?);
        Ok(obstacles)
    }

    /// Pools that would be the home of their users no longer.
    async fn homeless(&self, topology: &Topology, before: &Topology) -> Result<Vec<Fault>, Fault> {
        let mut homes: BTreeMap<Fqdn, usize> = BTreeMap::new();
        for user in self.store.users().await? {
            if let Some(pool) = documents::home_of(&user, before) {
                *homes.entry(pool).or_default() += 1;
            }
        }
        let is_home = |pool: &Fqdn| topology.pool(pool).is_some_and(topology::Pool::is_home);
        let lost = homes.into_iter().filter(|(pool, _)| !is_home(pool));
        Ok(lost.map(|(pool, count)| Fault::Homeless { pool, count }).collect())
    }

    /// What follows from a new topology: other names in certificates, other users at a server, servers that are gone.
    pub(crate) async fn follow(
        &self,
        change: &Change<'_>,
        before: &Topology,
        after: &Topology,
        actor: Actor,
        now: SystemTime,
    ) -> Result<(), Fault> {
        for gone in before.servers().map(topology::Server::fqdn).filter(|name| after.server(name).is_none()) {
            self.forget(change, gone, actor.clone(), now).await?;
        }
        for server in after.members().filter(|server| server.fqdn() != self.member.name()) {
            let name = server.fqdn();
            if before.certificate_names(name) != after.certificate_names(name) {
                self.hub.tell(|member| (member == name).then(|| Arc::new(Update::Renew)));
            }
            if before.server(name).map(topology::Server::roles) != Some(server.roles()) || pool(before, name) != pool(after, name) {
                let update = self.directory_of(after, name).await?;
                self.hub.tell(|member| (member == name).then(|| Arc::new(update.clone())));
            }
        }
        Ok(())
    }

    /// A server that is listed no more can neither join nor renew, is believed by nobody, and hears nothing.
    pub(crate) async fn forget(&self, change: &Change<'_>, server: &Fqdn, actor: Actor, now: SystemTime) -> Result<(), Fault> {
        self.close_enrolments(server, now).await?;
        self.hub.close(server);
        self.take_back_all_of(change, &Holder::Server(server.clone()), actor, now).await?;
        Ok(self.store.forget_member(server).await?)
    }

    /// The whole directory as this server is told of it.
    pub(crate) async fn directory_of(&self, topology: &Topology, server: &Fqdn) -> Result<Update, Fault> {
        let documents::Records { records, revision } = documents::records(&self.store, topology, server, &self.domain).await?;
        Ok(Update::Users { revision, from_scratch: true, more: false, put: records, gone: Vec::new() })
    }

    /// A newer trust bundle: signed, put into force here, told to members.
    pub(crate) async fn renew_bundle(&self, change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        // First: whoever has the bundle must have a topology of somebody whom it believes also after the next one.
        self.renew_topology(change, now).await?;
        let held = *self.member.holdings().held_bundle();
        let (signed, sequence) = self.ca().sign_bundle(&self.store, Some(&held), now).await?;
        let update = Update::Bundle { document: signed.clone() };
        self.would_take(&update, now)?;
        self.store.publish_bundle(&signed, sequence, now).await?;
        self.put_into_force(update, now).await
    }

    /// Everything published so far, the newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn history(&self, limit: usize) -> Result<Vec<store::Published>, Fault> {
        Ok(self.store.history(limit).await?)
    }

    /// The topology of this version, or the one in force.
    ///
    /// # Errors
    /// The store.
    pub async fn topology(&self, version: Option<u64>) -> Result<Option<store::Published>, Fault> {
        match version {
            Some(version) => Ok(self.store.at(Version(version)).await?),
            None => Ok(self.store.current().await?),
        }
    }
}

fn pool<'a>(topology: &'a Topology, server: &Fqdn) -> Option<&'a Fqdn> {
    topology.pool_of(server).map(topology::Pool::name)
}
