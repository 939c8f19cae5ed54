//! What this server holds, and that it is in force: the one place where a change of trust reaches listeners, links, open
//! connections and users.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use net::Handle;
use node::Node;
use pki::{CertificateDer, Fqdn, Rejection};
use registrar::{Directory, DirectoryFull, UserName};
use store::Embedded;
use tokio::sync::{Mutex, watch};
use topology::Topology;
use trust::{Contact, Listener, LivePolicy, Refusal, judge, judge_answer};
use web::control::{Held, InForce, RefusedDocument, Update};

use crate::{
    disk,
    holdings::{Changed, Holdings, Refused},
    users::{Homed, UsersChange, UsersFault},
};

/// Told the roots in PEM.
type ToldRoots = Box<dyn Fn(&str) + Send + Sync>;
/// Where a question about ourselves comes from; nothing is believed because of it.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What stands in a report in the place of a document's kind when the disk did not take something.
const ON_DISK: &str = "copy on its disk";

/// What this server holds, and what went wrong with it.
struct Inside {
    holdings: Holdings,
    /// Whether all of it is on disk too.
    is_kept: bool,
    /// What was not taken or not kept, the latest of each kind, until something of that kind goes well.
    troubles: Vec<RefusedDocument>,
}

impl Inside {
    fn note(&mut self, document: &str, reason: String, now: SystemTime) {
        self.mended(Some(document));
        self.troubles.push(RefusedDocument { document: document.to_owned(), reason, at: pki::rfc3339(now) });
    }

    fn mended(&mut self, document: Option<&str>) {
        self.troubles.retain(|one| Some(one.document.as_str()) != document);
    }
}

/// A running server as a member of its organisation; the authority's own server is one too.
pub struct Member {
    name: Fqdn,
    inside: Mutex<Inside>,
    policy: Arc<LivePolicy>,
    /// Counts the changes of the policy, for listeners that have to judge again.
    epoch: watch::Sender<u64>,
    in_force: watch::Sender<InForce>,
    /// The certificate that this server shows.
    certificate: watch::Sender<ShownCertificate>,
    /// Told the roots in PEM whenever a bundle came.
    roots: Option<ToldRoots>,
    /// What is known without waiting: the documents that are shown to everyone.
    shown: watch::Sender<Arc<Holdings>>,
    handle: Handle,
    store: Embedded,
    domain: String,
}

/// The certificate that a server shows, as the authority is told of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ShownCertificate {
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// When it ends, RFC 3339.
    pub not_after: String,
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
            inside: Mutex::new(Inside { holdings, is_kept: true, troubles: Vec::new() }),
            policy,
            epoch: watch::Sender::new(0),
            in_force: watch::Sender::new(in_force),
            certificate: watch::Sender::default(),
            roots: None,
            shown: watch::Sender::new(shown),
            handle,
            store,
            domain: domain.to_owned(),
        }
    }

    /// The same, which tells `roots` the roots in PEM whenever a bundle came, before the bundle is acknowledged: phones and the
    /// next start go by them.
    #[must_use]
    pub fn telling_roots(self, roots: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { roots: Some(Box::new(roots)), ..self }
    }

    /// This server shows this certificate, from its start on.
    pub fn show(&self, certificate: ShownCertificate) {
        self.certificate.send_replace(certificate);
    }

    /// The same, in the place of another one: links on which that was shown are replaced.
    /// `edition` is the number of it ([`ServerIdentity::edition`](trust::tls::ServerIdentity::edition)).
    pub async fn show_another(&self, certificate: ShownCertificate, edition: u64) {
        self.handle.with(move |node: &mut Node, now| node.handle_renewed(edition, now)).await;
        // Only now: whoever hears of it may ask how many links are outdated, and must not hear too few.
        self.show(certificate);
    }

    /// The certificate that this server shows, and every change of it.
    #[must_use]
    pub fn shown_certificate(&self) -> watch::Receiver<ShownCertificate> {
        self.certificate.subscribe()
    }

    /// What the authority is told: what is in force, and what is shown.
    pub async fn report(&self) -> InForce {
        let ShownCertificate { serial, not_after } = self.certificate.borrow().clone();
        let outdated = self.handle.with(|node: &mut Node, _| node.outdated_links()).await.unwrap_or_default();
        InForce { serial, not_after, outdated_links: outdated as u64, ..self.in_force.borrow().clone() }
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
        let mut inside = self.inside.lock().await;
        inside.holdings.forget_parts();
        inside.holdings.held()
    }

    /// Takes an update in and puts it into force before it returns: listeners judge by it, connections that no longer stand
    /// are closed, users who are gone are signed out. What is refused changes nothing and is told.
    ///
    /// # Errors
    /// Row N29, and the last good one stays; or the disk does not take it, and it is in force all the same.
    pub async fn take(&self, update: &Update, now: SystemTime) -> Result<Taken, Refused> {
        let mut inside = self.inside.lock().await;
        let taken = self.check_domain(update).and_then(|()| inside.holdings.take(update, now));
        let changed = match taken {
            Ok(changed) => changed,
            Err(refused) => {
                tracing::error!(server = %self.name, %refused, "a document was refused; the last good one stays in force");
                metrics::counter!("verbund_documents_refused_total").increment(1);
                if let Some(document) = update.document() {
                    inside.note(document, refused.to_string(), now);
                }
                self.tell(&inside);
                return Err(refused);
            }
        };
        let cut = self.enforce(&inside.holdings, &changed, now).await?;
        if is_whole(update) {
            inside.mended(update.document());
            self.shown.send_replace(Arc::new(inside.holdings.clone()));
            self.keep(&mut inside, update, &changed, now).await;
            if let (Update::Bundle { .. }, Some(roots)) = (update, &self.roots) {
                roots(&inside.holdings.bundle().roots_pem());
            }
            self.in_force.send_modify(|in_force| in_force.cut = cut as u64);
            self.tell(&inside);
        }
        Ok(Taken { changed, cut, in_force: self.in_force.borrow().clone() })
    }

    /// Whether this server, showing this chain, is one that it would not believe itself, because it was revoked: the refusal.
    #[must_use]
    pub fn revoked(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<Refusal> {
        let contact = Contact { listener: Listener::Servers, source: HERE, sni: None, tls: None };
        let refusal = judge(&self.policy.current(), contact, chain, now).verdict.err()?;
        matches!(refusal, Refusal::Certificate(Rejection::Revoked { .. })).then_some(refusal)
    }

    /// Ends every SIP connection of this server.
    pub async fn send_everybody_away(&self, reason: &'static str) {
        self.handle.with(move |node: &mut Node, now| node.send_away(reason, now)).await;
    }

    /// Passwords are digested with the domain (RFC 7616): those of another domain would be users who cannot sign in.
    fn check_domain(&self, update: &Update) -> Result<(), Refused> {
        let Update::Users { put, .. } = update else { return Ok(()) };
        match put.iter().find(|record| !record.domain.eq_ignore_ascii_case(&self.domain)) {
            None => Ok(()),
            Some(record) => Err(UsersFault::Domain { told: record.domain.clone(), own: self.domain.clone() }.into()),
        }
    }

    /// Looks whether the time of the bundle is over without a newer one: then nobody is believed from here on, and what is open is cut.
    /// Lists and certificates are watched where they are judged; a bundle is not part of a judgement.
    ///
    /// # Errors
    /// Never for holdings that were taken in.
    pub async fn look_at_the_time(&self, now: SystemTime) -> Result<(), Refused> {
        let mut inside = self.inside.lock().await;
        if !inside.holdings.is_bundle_over(now) {
            return Ok(());
        }
        if !self.policy.current().issuing.is_empty() {
            let changed = Changed { trust: true, ..Changed::default() };
            self.enforce(&inside.holdings, &changed, now).await?;
        }
        let until = pki::rfc3339(inside.holdings.bundle().valid_until);
        let trouble = format!("the trust bundle counted until {until}, and there is no newer one: nobody with a certificate is believed");
        if inside.troubles.iter().all(|known| known.reason != trouble) {
            tracing::error!(server = %self.name, "{trouble}; is the authority reachable, and does it sign?");
            inside.note("bundle", trouble, now);
            self.tell(&inside);
        }
        Ok(())
    }

    /// Says what is in force, and what is not.
    fn tell(&self, inside: &Inside) {
        let refused = inside.troubles.clone();
        self.in_force.send_modify(|in_force| *in_force = InForce { cut: in_force.cut, refused, ..inside.holdings.in_force() });
    }

    async fn enforce(&self, holdings: &Holdings, changed: &Changed, now: SystemTime) -> Result<usize, Refused> {
        let mut cut = 0;
        if changed.trust || changed.topology {
            self.policy.replace(holdings.policy(now)?);
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

    /// A server must find again what it believed when it starts without the authority. What the disk does not take is in force all the
    /// same, is told, and is written with the next change.
    async fn keep(&self, inside: &mut Inside, update: &Update, changed: &Changed, now: SystemTime) {
        let kept = match inside.is_kept {
            true => disk::keep(&self.store, &inside.holdings, update, changed, &self.domain).await,
            false => disk::keep_all(&self.store, &inside.holdings, &self.domain).await,
        };
        inside.is_kept = kept.is_ok();
        inside.mended(Some(ON_DISK));
        if let Err(error) = kept {
            tracing::error!(server = %self.name, %error, "what is in force could not be kept on disk; without the next change it is lost with this process");
            inside.note(ON_DISK, format!("what is in force could not be written there: {error}"), now);
        }
    }
}

/// Whether something may have changed: not by a part of a directory that has more parts.
fn is_whole(update: &Update) -> bool {
    match update {
        Update::Topology { .. } | Update::Bundle { .. } | Update::RevocationLists { .. } | Update::Users { more: false, .. } => true,
        Update::Users { more: true, .. } | Update::Renew | Update::Show | Update::Heartbeat | Update::Unknown => false,
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
