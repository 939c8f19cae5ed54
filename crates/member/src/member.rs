//! What this server holds, and that it is in force: the one place where a change of trust reaches listeners, links, open
//! connections and users.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::SystemTime};

use net::Handle;
use node::Node;
use pki::{CertificateDer, Fqdn};
use registrar::{Directory, DirectoryFull, UserName};
use store::Embedded;
use tokio::sync::{Mutex, watch};
use topology::Topology;
use trust::{LivePolicy, Refusal, judge_answer};
use web::control::{Held, InForce, RefusedDocument, Update};

use crate::{
    disk,
    holdings::{Changed, Holdings, Refused},
    users::{Homed, UsersChange},
};

/// A running server as a member of its organisation; the authority's own server is one too.
pub struct Member {
    name: Fqdn,
    holdings: Mutex<Holdings>,
    policy: Arc<LivePolicy>,
    /// Counts the changes of the policy, for listeners that have to judge again.
    epoch: watch::Sender<u64>,
    in_force: watch::Sender<InForce>,
    /// What is known without waiting: the documents that are shown to everyone.
    shown: watch::Sender<Arc<Holdings>>,
    handle: Handle,
    store: Embedded,
    domain: String,
}

/// What became of an update.
#[derive(Debug)]
pub struct Taken {
    /// What it changed.
    pub changed: Changed,
    /// How many open connections no longer stood.
    pub cut: usize,
    /// What is in force now.
    pub in_force: InForce,
}

impl Member {
    /// A server whose listeners go by `policy` and whose core is behind `handle`; both were made from these holdings.
    #[must_use]
    pub fn new(name: Fqdn, domain: &str, holdings: Holdings, policy: Arc<LivePolicy>, handle: Handle, store: Embedded) -> Self {
        let in_force = holdings.in_force();
        let shown = Arc::new(holdings.clone());
        Self {
            name,
            holdings: Mutex::new(holdings),
            policy,
            epoch: watch::Sender::new(0),
            in_force: watch::Sender::new(in_force),
            shown: watch::Sender::new(shown),
            handle,
            store,
            domain: domain.to_owned(),
        }
    }

    /// This server's name.
    #[must_use]
    pub fn name(&self) -> &Fqdn {
        &self.name
    }

    /// A number that changes with every change of the policy.
    #[must_use]
    pub fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// What is in force, and every change of it.
    #[must_use]
    pub fn in_force(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// What is held at this moment.
    #[must_use]
    pub fn holdings(&self) -> Arc<Holdings> {
        Arc::clone(&self.shown.borrow())
    }

    /// Judges a server that we called, by what is believed now.
    ///
    /// # Errors
    /// It is revoked, not listed any more, ended, or cannot be judged (row N31).
    pub fn judge(&self, called: &Fqdn, at: SocketAddr, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Refusal> {
        judge_answer(&self.policy.current(), called, at, chain, now).verdict.map(drop)
    }

    /// A new feed of the authority begins: what came of the one before only in part is forgotten, and comes again from the
    /// start. Gives what the authority is asked to continue from.
    pub async fn begin_feed(&self) -> Held {
        let mut holdings = self.holdings.lock().await;
        holdings.forget_parts();
        holdings.held()
    }

    /// Takes an update in and puts it into force before it returns: listeners judge by it, connections that no longer stand
    /// are closed, users who are gone are signed out. What is refused changes nothing and is told.
    ///
    /// # Errors
    /// Row N29, and the last good one stays; or the disk does not take it, and it is in force all the same.
    pub async fn take(&self, update: &Update, now: SystemTime) -> Result<Taken, Refused> {
        let mut holdings = self.holdings.lock().await;
        let changed = match holdings.take(update, now) {
            Ok(changed) => changed,
            Err(refused) => {
                tracing::error!(server = %self.name, %refused, "a document was refused; the last good one stays in force");
                metrics::counter!("verbund_documents_refused_total").increment(1);
                self.note_refusal(update, &refused, now);
                return Err(refused);
            }
        };
        let cut = self.enforce(&holdings, &changed).await?;
        self.shown.send_replace(Arc::new(holdings.clone()));
        self.keep(&holdings, update).await;
        self.in_force.send_modify(|in_force| {
            let mut refused = std::mem::take(&mut in_force.refused);
            // A good one has followed.
            refused.retain(|one| Some(one.document.as_str()) != update.document());
            *in_force = InForce { cut: cut as u64, refused, ..holdings.in_force() };
        });
        Ok(Taken { changed, cut, in_force: self.in_force.borrow().clone() })
    }

    /// The authority is told with the next report: of each kind of document the latest refusal.
    fn note_refusal(&self, update: &Update, refused: &Refused, now: SystemTime) {
        let Some(document) = update.document() else { return };
        self.in_force.send_modify(|in_force| {
            in_force.refused.retain(|one| one.document != document);
            let (document, at) = (document.to_owned(), pki::rfc3339(now));
            in_force.refused.push(RefusedDocument { document, reason: refused.to_string(), at });
        });
    }

    async fn enforce(&self, holdings: &Holdings, changed: &Changed) -> Result<usize, Refused> {
        let mut cut = 0;
        if changed.trust || changed.topology {
            self.policy.replace(holdings.policy()?);
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
        if changed.topology {
            let topology = Arc::clone(holdings.topology());
            self.handle.with(move |node: &mut Node, now| node.handle_topology(topology, now)).await;
        }
        if changed.trust || changed.topology {
            cut = self.handle.rejudge().await.cut;
            tracing::info!(server = %self.name, topology = holdings.topology().version(), cut, "what is believed has changed");
        }
        if !changed.users.is_empty() {
            let change = changed.users.clone();
            self.handle.with(move |node: &mut Node, now| apply(node, change, now)).await;
        }
        Ok(cut)
    }

    /// A server must find again what it believed when it starts without the authority.
    async fn keep(&self, holdings: &Holdings, update: &Update) {
        if let Err(error) = disk::keep(&self.store, holdings, update, &self.domain).await {
            tracing::error!(server = %self.name, %error, "what is in force could not be kept on disk; it is lost with this process");
        }
    }
}

fn apply(node: &mut Node, change: UsersChange, now: std::time::Instant) {
    for name in &change.gone {
        node.remove_user(name, now);
        node.remove_home(name, now);
    }
    for (name, Homed { pool, credential }) in change.put {
        match credential {
            Some(credential) => {
                if !node.put_user(name.clone(), credential, now) {
                    tracing::error!(user = %name, "there is no room for another user on this server");
                }
            }
            None => {
                node.remove_user(&name, now);
            }
        }
        node.put_home(name, pool, now);
    }
}

/// What a core starts with: those who sign in here, and everybody's home.
///
/// # Errors
/// More users than a server holds.
pub fn directory(holdings: &Holdings) -> Result<(Directory, HashMap<UserName, Fqdn>), DirectoryFull> {
    let (mut directory, mut homes) = (Directory::new(), HashMap::new());
    for (name, homed) in holdings.users().iter() {
        if let Some(credential) = &homed.credential {
            directory.put(name.clone(), credential.clone())?;
        }
        homes.insert(name.clone(), homed.pool.clone());
    }
    Ok((directory, homes))
}

/// Whether users of this pool sign in at this server, so that it is told what sign-ins are checked with.
#[must_use]
pub fn checks_sign_ins_of(topology: &Topology, server: &Fqdn, pool: &Fqdn) -> bool {
    let roles = topology.role_of(server);
    let at_home = roles.contains(&topology::Role::FrontEnd) && topology.pool_of(server).is_some_and(|own| own.name() == pool);
    at_home || roles.contains(&topology::Role::Director)
}
