//! The authority at work: who may join, which certificates there are, what is published, and that every member has it in force.
//!
//! What a certificate may say is `pki`'s, what a list of servers may say is `topology`'s, the protocols are `web`'s, what a server
//! does with what was published is `member`'s. Start with [`Prepared`] (the documents of a start) and [`Authority`].

mod alarm;
mod checkpoints;
mod control;
mod copy;
mod documents;
mod enrolment;
mod expiry;
mod fault;
mod generation;
mod giving_up;
mod hub;
mod inquiries;
mod keys;
mod lists;
mod pace;
mod publish;
mod published;
mod recovery;
mod replacement;
mod revoke;
mod servers;
mod upkeep;
mod users;
mod vault;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use member::Member;
use pki::Fqdn;
use store::{Embedded, IssuanceLedger as _};
use tokio::sync::{Mutex as AsyncMutex, Notify};

pub use checkpoints::{AUDIT_HEAD, read_checkpoint};
pub use copy::show as show_topology;
pub use documents::{Ca, Prepared, tell_users};
pub use expiry::{Ending, Expiry, Urgency};
pub use fault::Fault;
pub use generation::Generation;
pub use replacement::{Order, Record, Replacement, ReplacementFault, ReplacementStatus, Signed, What, mark};
pub use servers::{Added, Known, NewServer, TICKET_LIFETIME};
pub use vault::{NextFile, NextKeys, Vault, VaultFault};

use hub::Hub;
use inquiries::Inquiries;
use keys::TakenBack;
use pace::Paces;

/// How long a command waits for members to acknowledge before it tells who has not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a change that members have to put into force.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spread {
    /// The version of the topology that was published.
    pub version: Option<u64>,
    /// How many members there are.
    pub members: usize,
    /// How many have it in force.
    pub acknowledged: usize,
    /// How long that took.
    pub took: Duration,
    /// Who has not.
    pub missing: Vec<Fqdn>,
    /// The serial numbers of the certificates that were revoked, in hexadecimal.
    pub revoked: Vec<String>,
}

/// The administrator for whom the running task works.
pub(crate) fn administrator() -> store::Actor {
    store::Actor::Administrator(web::admin::caller())
}

/// The authority of an organisation, running.
pub struct Authority {
    /// Replaced only by whoever holds `changing`.
    ca: ArcSwap<Ca>,
    store: Embedded,
    /// Its own server, which is a member like the others.
    member: Arc<Member>,
    hub: Hub,
    inquiries: Inquiries,
    pace: Paces,
    taken_back: TakenBack,
    /// One change at a time: what is stored, in force here and told to members goes by one order.
    changing: AsyncMutex<()>,
    /// While this authority, put back from a backup, waits for what members hold.
    recovery: Mutex<Option<recovery::Recovery>>,
    /// What was due and could not be done.
    troubles: Mutex<Vec<String>>,
    /// Revocation lists of CAs that nobody believes any more, by fingerprint.
    shelf: Mutex<HashMap<String, Vec<u8>>>,
    /// Rings when a replacement of the CA has begun.
    nudged: Notify,
    /// Who was asked to renew because of it, and when.
    asked_to_renew: Mutex<replacement::Asked>,
    domain: String,
    /// Where the administrator finds the topology in force; written after each publishing.
    copy: PathBuf,
}

impl Authority {
    /// Takes up work on what was prepared; `member` is the authority's own server, `copy` the file that shows the topology in force.
    #[must_use]
    pub fn new(ca: Arc<Ca>, store: Embedded, member: Arc<Member>, domain: &str, copy: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            ca: ArcSwap::new(ca),
            store,
            member,
            hub: Hub::new(),
            inquiries: Inquiries::default(),
            pace: Paces::default(),
            taken_back: TakenBack::default(),
            changing: AsyncMutex::new(()),
            recovery: Mutex::default(),
            troubles: Mutex::default(),
            shelf: Mutex::default(),
            nudged: Notify::new(),
            asked_to_renew: Mutex::default(),
            domain: domain.to_owned(),
            copy,
        })
    }

    /// The CA as it is at this moment.
    #[must_use]
    pub fn ca(&self) -> Arc<Ca> {
        self.ca.load_full()
    }

    /// Its own server.
    #[must_use]
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// What it keeps.
    #[must_use]
    pub fn store(&self) -> &Embedded {
        &self.store
    }

    /// Those who have to put changes into force: every listed member that has joined and was not cut off since.
    async fn joined(&self) -> Result<Vec<Fqdn>, Fault> {
        let cut_off = self.cut_off(SystemTime::now()).await?;
        let holdings = self.member.holdings();
        let joined = holdings.topology().members().filter(|server| !server.is_expected()).map(|server| server.fqdn().clone());
        Ok(joined.filter(|name| !cut_off.contains(name)).collect())
    }

    /// Servers whose certificates were all revoked: nobody talks with them, so nobody waits for them, until one of them joins
    /// anew.
    async fn cut_off(&self, now: SystemTime) -> Result<Vec<Fqdn>, Fault> {
        Ok(self.store.cut_off(now).await?.iter().filter_map(|name| Fqdn::parse(name).ok()).collect())
    }

    /// Waits until those members have it in force. The authority's own server has it already, or the change failed.
    async fn spread(&self, members: &[Fqdn], began: std::time::Instant, is_in_force: impl Fn(&web::control::InForce) -> bool) -> Spread {
        let own = self.member.name();
        let others: Vec<Fqdn> = members.iter().filter(|name| *name != own).cloned().collect();
        let waited = self.hub.wait(&others, PATIENCE, is_in_force).await;
        Spread {
            members: members.len(),
            acknowledged: waited.acknowledged + (members.len() - others.len()),
            took: began.elapsed(),
            missing: waited.missing,
            ..Spread::default()
        }
    }
}
