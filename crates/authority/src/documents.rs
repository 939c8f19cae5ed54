//! What the authority signs: revocation lists, the trust bundle, the topology; and that a start finds all of them fresh.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use member::{Believed, Holdings, record};
use pki::{
    Bundle, CertificateDer, DocumentKind, DocumentSigner, Fingerprint, Fqdn, HeldBundle, IssuingCa, ListPlace, REVOCATION_LIST_BYTES_MAX,
    RevocationListFault, RevocationReason, RevokedCertificate, Root, Urls,
};
use store::{Bundles as _, Directory as _, Embedded, IssuanceLedger as _, Reason, RevocationListStore as _, TopologyStore as _};
use topology::{HeldTopology, SignedTopology};
use web::control::{Update, UserRecord};

use crate::{
    Fault, Replacement, Vault,
    generation::{Generation, Lister, Signs},
    lists::{SignedLists, Unsigned},
};

/// How long a bundle counts: a member that cannot be told for so long takes none that is older.
const BUNDLE_VALIDITY: Duration = Duration::from_hours(30 * 24);
/// How old a bundle becomes before it is signed anew.
const BUNDLE_AGE_MAX: Duration = Duration::from_hours(24);
/// How long a topology counts, unless a newer one is published.
const TOPOLOGY_VALIDITY: Duration = Duration::from_hours(365 * 24);
/// How far back a signed version is looked for.
const HISTORY_LOOKED_AT: usize = 16;
/// How much of the document signer's life is left when another one takes its place, as a part.
const SIGNER_LEFT_PART: u32 = 3;
/// The fewest bytes that one certificate takes in a list: its number, of the size that ours have, a time, and what holds them.
const LISTED_BYTES_MIN: usize = 2 + 2 + pki::Serial::ISSUED_BYTES + 15;
/// How often members that are not told ask.
const REFRESH: Duration = Duration::from_mins(5);

/// The CA and everything that signs, as it is at one moment: a change makes another one ([`Authority::ca`](crate::Authority::ca)).
#[derive(Clone)]
pub struct Ca {
    /// Who issues.
    active: Arc<Generation>,
    /// Who is believed besides, while one replaces the other.
    other: Option<Arc<Generation>>,
    /// Whose revocation lists are kept up, though nobody believes them.
    retired: Vec<Arc<Generation>>,
    pub(crate) signer: Arc<DocumentSigner>,
    urls: Option<Urls>,
    replacement: Option<Replacement>,
    vault: Option<Arc<dyn Vault>>,
}

impl Ca {
    /// The CA at work. Without the root's key the root's list is not signed anew here.
    #[must_use]
    pub fn new(authority: pki::Authority, root: Option<Root>, signer: DocumentSigner, urls: Option<Urls>) -> Self {
        Self::of(Arc::new(Generation::new(authority, root)), Arc::new(signer), urls)
    }

    /// The CA in the middle of a replacement.
    #[must_use]
    pub fn amid(replacement: Replacement, urls: Option<Urls>) -> Self {
        Self::of(Arc::clone(replacement.active()), Arc::clone(replacement.signer()), urls).replacing(replacement)
    }

    fn of(active: Arc<Generation>, signer: Arc<DocumentSigner>, urls: Option<Urls>) -> Self {
        Self { active, other: None, retired: Vec::new(), signer, urls, replacement: None, vault: None }
    }

    /// The same, whose keys lie in this place, and which keeps up the revocation lists of these generations of before.
    #[must_use]
    pub fn kept_in(self, vault: Arc<dyn Vault>, retired: Vec<Generation>) -> Self {
        Self { vault: Some(vault), retired: retired.into_iter().map(Arc::new).collect(), ..self }
    }

    /// The same in the middle of a replacement: what it is follows from how far that has come.
    pub(crate) fn replacing(&self, replacement: Replacement) -> Self {
        Self {
            active: Arc::clone(replacement.active()),
            other: replacement.believed_besides().cloned(),
            signer: Arc::clone(replacement.signer()),
            replacement: Some(replacement),
            ..self.clone()
        }
    }

    /// The same once the replacement is over: the old generation is one of before.
    pub(crate) fn settled(&self, done: &Replacement) -> Self {
        let mut settled = Self { replacement: None, ..self.replacing(done.clone()) };
        settled.retired.push(Arc::clone(&done.old));
        settled
    }

    /// The same as before the replacement.
    pub(crate) fn without_replacement(&self, given_up: &Replacement) -> Self {
        let (active, signer) = (Arc::clone(&given_up.old), Arc::clone(&given_up.old_signer));
        Self { active, other: None, signer, replacement: None, ..self.clone() }
    }

    /// The same without a generation of before, of which nothing is left.
    pub(crate) fn without_retired(&self, gone: Fingerprint) -> Self {
        let retired = self.retired.iter().filter(|generation| generation.id() != gone).cloned().collect();
        Self { retired, ..self.clone() }
    }

    pub(crate) fn replacement(&self) -> Option<&Replacement> {
        self.replacement.as_ref()
    }

    pub(crate) fn vault(&self) -> Option<Arc<dyn Vault>> {
        self.vault.clone()
    }

    pub(crate) fn active(&self) -> &Arc<Generation> {
        &self.active
    }

    pub(crate) fn signer(&self) -> &Arc<DocumentSigner> {
        &self.signer
    }

    pub(crate) fn urls(&self) -> Option<&Urls> {
        self.urls.as_ref()
    }

    /// Generations whose lists are kept up, though nobody believes them.
    pub(crate) fn retired(&self) -> impl Iterator<Item = &Generation> {
        let dropped = self.replacement.as_ref().and_then(Replacement::dropped);
        self.retired.iter().chain(dropped).map(|generation| &**generation)
    }

    /// The same without the one whose replacement is not over yet.
    pub(crate) fn retired_for_good(&self) -> impl Iterator<Item = &Generation> {
        self.retired.iter().map(|generation| &**generation)
    }

    /// Whether a bundle lists exactly the CAs that are believed, in their order.
    pub(crate) fn is_said_by(&self, bundle: &Bundle) -> bool {
        bundle.issuing == self.issuing() && bundle.roots == self.roots()
    }

    /// The same, with another one who signs topology and trust bundle.
    pub(crate) fn signed_by(&self, signer: DocumentSigner) -> Self {
        let signer = Arc::new(signer);
        let replacement = self.replacement.clone().map(|replacement| replacement.signed_by(&signer));
        Self { signer, replacement, ..self.clone() }
    }

    /// The certificates of the generation that issues.
    #[must_use]
    pub fn authority(&self) -> &pki::Authority {
        &self.active.authority
    }

    /// Every generation that is believed, the one that issues first.
    fn believed(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&*self.active).chain(self.other.as_deref())
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        let mut roots: Vec<CertificateDer<'static>> = Vec::new();
        for root in self.believed().map(|generation| generation.authority.root()) {
            if !roots.contains(root) {
                roots.push(root.clone());
            }
        }
        roots
    }

    fn issuing(&self) -> Vec<IssuingCa> {
        self.believed().flat_map(Generation::issuing).collect()
    }

    /// Every CA that signs a list: of each generation the root, then the issuing CAs.
    pub(crate) fn listers(&self) -> Vec<Lister<'_>> {
        distinct(self.believed())
    }

    /// The same, and those of before.
    pub(crate) fn all_listers(&self) -> Vec<Lister<'_>> {
        distinct(self.believed().chain(self.retired()))
    }
}

fn distinct<'a>(generations: impl Iterator<Item = &'a Generation>) -> Vec<Lister<'a>> {
    let mut listers: Vec<Lister<'_>> = Vec::new();
    for lister in generations.flat_map(Generation::listers) {
        match listers.iter_mut().find(|known| known.certificate == lister.certificate) {
            None => listers.push(lister),
            // A root stands above several generations; its key lies with one of them.
            Some(known) if matches!(known.signs, Signs::Root(None)) => *known = lister,
            Some(_) => {}
        }
    }
    listers
}

impl Ca {
    /// Signs a list of this CA anew, with everything that was revoked; `None` where its key is not here.
    pub(crate) async fn sign_list(store: &Embedded, lister: &Lister<'_>, now: SystemTime) -> Result<Option<Vec<u8>>, Fault> {
        let facts = pki::facts(lister.certificate).ok_or(Fault::Damaged("a CA's certificate"))?;
        let revoked: Vec<RevokedCertificate> = store.revoked(Some(&facts.subject), now).await?.into_iter().map(entry).collect();
        check_room(&facts.subject, revoked.len())?;
        let number = following(store.list(&lister.key()).await?.map(|list| list.number));
        let der = match lister.signs {
            Signs::Issuing(ca) => ca.revocation_list(&revoked, number, now)?,
            Signs::Root(Some(root)) => root.revocation_list(&revoked, number, now)?,
            Signs::Root(None) => return Ok(None),
        };
        let read = pki::RevocationList::read(&der, std::slice::from_ref(lister.certificate));
        let list = read.map_err(|fault| unread(fault, &facts.subject, revoked.len()))?;
        let kept = store::RevocationList {
            issuer: lister.key(),
            number,
            der: der.clone(),
            this_update: list.this_update(),
            next_update: list.next_update(),
        };
        store.publish_list(&kept, now).await?;
        Ok(Some(der))
    }

    /// Signs what is due: lists that are older than they should become, and those that do not tell a revocation. Each CA by
    /// itself: one whose key is away keeps no other from signing.
    pub(crate) async fn sign_due_lists(&self, store: &Embedded, now: SystemTime) -> SignedLists {
        let mut signed = SignedLists::default();
        for lister in self.all_listers() {
            // What cannot be known counts as owed.
            let owed = lister.owed(store, now).await.map(|owed| !owed.is_empty());
            let is_owed = owed.as_ref().map_or(true, |owed| *owed);
            let done =
                async { if owed? || lister.is_old(store, now).await? { Self::sign_list(store, &lister, now).await } else { Ok(None) } };
            match done.await {
                Ok(der) => signed.lists.extend(der),
                Err(fault) => signed.failed.push(Unsigned { issuer: lister.key(), is_owed, fault }),
            }
        }
        signed
    }

    /// Whether another document signer is to take the place of this one.
    #[must_use]
    pub fn is_signer_due(signer: &DocumentSigner, now: SystemTime) -> bool {
        now + pki::DOCUMENT_SIGNER_VALIDITY / SIGNER_LEFT_PART >= signer.not_after()
    }

    /// The trust bundle after `held`, signed and stored.
    async fn publish_bundle(&self, store: &Embedded, held: Option<&HeldBundle>, now: SystemTime) -> Result<String, Fault> {
        let (signed, sequence) = self.sign_bundle(store, held, now).await?;
        store.publish_bundle(&signed, sequence, now).await?;
        Ok(signed)
    }

    /// The trust bundle after `held`, signed, and its number. To be stored before it is given out.
    pub(crate) async fn sign_bundle(&self, store: &Embedded, held: Option<&HeldBundle>, now: SystemTime) -> Result<(String, u64), Fault> {
        let mut lists = Vec::new();
        for lister in self.listers() {
            let number = store.list(&lister.key()).await?.map_or(0, |list| list.number);
            let url = self.urls.as_ref().map(|urls| urls.list(lister.certificate));
            lists.push(ListPlace { issuer: Fingerprint::of(lister.certificate), url, number });
        }
        let bundle = Bundle {
            sequence: following(held.map(|held| held.sequence)),
            previous: held.map(|held| held.digest),
            issued_at: now,
            valid_until: now + BUNDLE_VALIDITY,
            refresh: REFRESH,
            roots: self.roots(),
            issuing: self.issuing(),
            lists,
            partners: Vec::new(),
        };
        Ok((self.signer.sign(DocumentKind::Bundle, &bundle.to_payload()?)?, bundle.sequence))
    }

    /// The end of the audit log, signed.
    pub(crate) fn sign_audit_head(&self, payload: &[u8]) -> Result<String, Fault> {
        Ok(self.signer.sign(DocumentKind::AuditHead, payload)?)
    }

    /// A topology, signed to follow the one held.
    pub(crate) fn sign_topology(&self, document: &str, held: Option<&HeldTopology>, now: SystemTime) -> Result<String, Fault> {
        Ok(SignedTopology::sign(document, held, &self.signer, now, now + TOPOLOGY_VALIDITY)?)
    }

    /// Whether names of a topology are within what the issuing CA may issue for.
    pub(crate) fn check_names(&self, topology: &topology::Topology) -> Result<(), Fault> {
        let domains = self.authority().domains();
        let all = topology.servers().map(|server| server.fqdn()).chain(topology.pools().iter().map(|pool| pool.name()));
        for name in all.chain(topology.domains()) {
            if !domains.iter().any(|domain| name.is_within(domain)) {
                let domains = domains.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
                return Err(Fault::OutsideCa { name: name.clone(), domains });
            }
        }
        Ok(())
    }
}

/// What cannot have room is not signed first.
fn check_room(issuer: &str, entries: usize) -> Result<(), Fault> {
    let fits = entries <= REVOCATION_LIST_BYTES_MAX / LISTED_BYTES_MIN;
    if fits { Ok(()) } else { Err(Fault::ListFull { issuer: issuer.to_owned(), entries }) }
}

/// Why a list that was signed here could not be read here.
fn unread(fault: RevocationListFault, issuer: &str, entries: usize) -> Fault {
    match fault {
        RevocationListFault::TooLarge { .. } => Fault::ListFull { issuer: issuer.to_owned(), entries },
        // Whatever else it is, key and certificate do not belong together.
        _ => Fault::Damaged("a CA's key"),
    }
}

fn entry(revocation: store::Revocation) -> RevokedCertificate {
    RevokedCertificate { serial: revocation.serial, at: revocation.revoked_at, reason: reason(revocation.reason) }
}

/// A reason as it is published.
pub(crate) fn reason(kept: Reason) -> RevocationReason {
    match kept {
        Reason::Unspecified => RevocationReason::Unspecified,
        Reason::KeyCompromise | Reason::CaCompromise => RevocationReason::KeyCompromise,
        Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
        Reason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
    }
}

/// The number after the last one, and no more than that. Were it taken from the clock, an authority whose data went back would give
/// numbers that members believe, to lists that have forgotten who was revoked. So they refuse them (row N29), and show it what it
/// has forgotten ([`recovery`](crate::recovery)).
fn following(last: Option<u64>) -> u64 {
    last.map_or(1, |last| last.saturating_add(1))
}

/// What an authority starts with: everything signed and fresh, and read back as every member will.
pub struct Prepared {
    /// The CA.
    pub ca: Arc<Ca>,
    /// What is in force.
    pub holdings: Holdings,
}

impl Prepared {
    /// Signs what is missing or too old, then believes it all as a member would. The topology must have been stored.
    ///
    /// # Errors
    /// The store, or a document that cannot be signed.
    pub async fn prepare(ca: Ca, store: &Embedded, own: &Fqdn, domain: &str, now: SystemTime) -> Result<Self, Fault> {
        // Whether those of before are good enough is seen below.
        ca.sign_due_lists(store, now).await.tell();
        // Lists of CAs of before stay in the store, and say nothing any more.
        let listers: Vec<String> = ca.listers().iter().map(Lister::key).collect();
        let kept = store.lists().await?.into_iter().filter(|list| listers.contains(&list.issuer));
        let lists: Vec<Vec<u8>> = kept.map(|list| list.der).collect();
        let bundle = fresh_bundle(&ca, store, now).await?;
        let topology = signed_topology(&ca, store, now).await?;
        let believed = |text: String| Believed { text, at: now };
        let root = Fingerprint::of(ca.authority().root());
        let mut holdings = Holdings::begin(root, believed(bundle), &lists, believed(topology))?;
        tell_users(&mut holdings, store, own, domain, now).await?;
        Ok(Self { ca: Arc::new(ca), holdings })
    }
}

/// Puts the users that the store has into the holdings of the authority's own server, before it runs.
///
/// # Errors
/// The store.
pub async fn tell_users(holdings: &mut Holdings, store: &Embedded, own: &Fqdn, domain: &str, now: SystemTime) -> Result<(), Fault> {
    let Records { records: put, revision } = records(store, holdings.topology(), own, domain).await?;
    holdings.take(&Update::Users { revision, from_scratch: true, more: false, put, gone: Vec::new() }, now)?;
    Ok(())
}

async fn fresh_bundle(ca: &Ca, store: &Embedded, now: SystemTime) -> Result<String, Fault> {
    let Some(held) = store.bundle().await? else { return ca.publish_bundle(store, None, now).await };
    let root = Fingerprint::of(ca.authority().root());
    // What cannot be read any more (another root, a signer that ended) is followed by a new one all the same.
    let read = Bundle::read_pinned(&held.signed, root, now);
    match read {
        Ok((bundle, link)) => {
            let is_young = now < bundle.issued_at + BUNDLE_AGE_MAX;
            if is_young && ca.is_said_by(&bundle) { Ok(held.signed) } else { ca.publish_bundle(store, Some(&link), now).await }
        }
        Err(_) => {
            // Members link by what the bundle says, not by how it was signed.
            let unreadable = HeldBundle { sequence: held.sequence, digest: Fingerprint::of(held.signed.as_bytes()) };
            let link = HeldBundle::unchecked(&held.signed).unwrap_or(unreadable);
            ca.publish_bundle(store, Some(&link), now).await
        }
    }
}

/// The topology in force, signed by the signer of today.
async fn signed_topology(ca: &Ca, store: &Embedded, now: SystemTime) -> Result<String, Fault> {
    let current = store.current().await?.ok_or(Fault::Damaged("no topology"))?;
    let signed = match &current.signed {
        Some(signed) if SignedTopology::is_signed_by(signed, &ca.signer) => return Ok(signed.clone()),
        // The same words under a younger certificate: no new version.
        Some(signed) => SignedTopology::sign_again(signed, &ca.signer)?,
        None => ca.sign_topology(&current.document, before(store).await?.as_ref(), now)?,
    };
    store.sign_again(&signed, current.version, now).await?;
    Ok(signed)
}

/// The newest version that was signed.
async fn before(store: &Embedded) -> Result<Option<HeldTopology>, Fault> {
    let history = store.history(HISTORY_LOOKED_AT).await?;
    let mut texts = Vec::new();
    for published in history {
        texts.extend(store.at(published.version).await?.and_then(|published| published.signed));
    }
    Ok(texts.iter().find_map(|text| SignedTopology::link_of(text)))
}

/// A part of the directory.
pub(crate) struct Records {
    pub(crate) records: Vec<UserRecord>,
    pub(crate) revision: u64,
}

/// Every user as a certain server is told of them: the credentials only where that server checks sign-ins.
pub(crate) async fn records(store: &Embedded, topology: &topology::Topology, server: &Fqdn, domain: &str) -> Result<Records, Fault> {
    let users = store.users().await?;
    let revision = users.iter().map(|user| user.revision.0).max().unwrap_or(0).max(1);
    let records = users.iter().filter_map(|user| {
        let pool = home_of(user, topology)?;
        let checks = member::checks_sign_ins_of(topology, server, &pool);
        let homed = member::Homed { pool, credential: checks.then(|| user.credential.clone()) };
        Some(record(&user.aor.user, &homed, domain))
    });
    Ok(Records { records: records.collect(), revision })
}

/// A user's home; users from before there were pools are at home in the first one.
pub(crate) fn home_of(user: &store::User, topology: &topology::Topology) -> Option<Fqdn> {
    let first = || topology.pools().iter().find(|pool| pool.is_home()).map(|pool| pool.name().clone());
    user.pool.clone().or_else(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_full_is_called_full() {
        let is_full = |done: &Fault| matches!(done, Fault::ListFull { .. });
        assert!(check_room("CN=a", REVOCATION_LIST_BYTES_MAX / 50).is_ok());
        assert!(check_room("CN=a", REVOCATION_LIST_BYTES_MAX / LISTED_BYTES_MIN + 1).is_err_and(|fault| is_full(&fault)));
        assert!(is_full(&unread(RevocationListFault::TooLarge { bytes: REVOCATION_LIST_BYTES_MAX + 1 }, "CN=a", 1)));
        assert!(matches!(unread(RevocationListFault::TooMany, "CN=a", 1), Fault::Damaged(_)));
    }
}
