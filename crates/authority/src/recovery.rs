//! After a restore. The backup is old: since it was made, servers were revoked and lists, bundles and topologies published of
//! which this authority knows nothing. Were it to sign now, the revoked would be trusted again as soon as its numbers are
//! higher than those that members hold (row N29 stops lower ones only).
//!
//! So it signs nothing for others until members have shown what they hold. That is proof: it bears the signature of this very
//! CA. Revocations are added up, never taken away; of topologies the newest counts; numbers go on above the highest that was
//! seen. A member can keep something back, and invent nothing. It ends when every server that is to be expected has shown,
//! or when an administrator says to go on; those who were silent then have to join anew, since an account that was closed
//! after the backup looks open here.
//!
//! Certificates that were issued after the backup and that nobody shows are not in the ledger any more, and what is not there
//! cannot be revoked. So the issuing CAs are replaced then: with the old ones everything ends that they ever issued.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use member::Holdings;
use pki::{
    Bundle, CertificateDer, DocumentKind, Fingerprint, Fqdn, HeldBundle, Pace, Purpose, Revocation, RevocationList, Serial, read_signed,
    verify,
};
use store::{
    Actor, AuditLog as _, Bundles as _, Event, IssuanceLedger as _, Reason, RevocationListStore as _, Role, TopologyStore as _, Version,
};
use topology::{Listeners, SignedTopology};
use web::control::{Held, InForce, Shown, Update};

use crate::{Authority, Ca, Fault, Order, What, copy, generation::Lister, publish::Change, revoke::Holder};

/// How many certificates of its own a member may show.
const CERTIFICATES_MAX: usize = 4;
/// How many lists: more CAs than these nobody has.
const LISTS_MAX: usize = 64;

/// The file, beside the topology's copy, that says that issuing CAs have to be replaced: their ledger has gaps.
const GAPS: &str = "issuing-cas-to-replace";

/// A restore whose end is not reached yet.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// The file that says so; it goes with the end.
    marker: PathBuf,
    /// Who has shown what it holds, and the certificate that it proved to be ours with.
    shown: BTreeMap<Fqdn, Serial>,
    /// The highest number of a bundle that was shown, and what it says.
    bundle: Option<HeldBundle>,
    /// Where our own server listens by now: published at the end.
    moved: Option<Listeners>,
    /// Members that said they listen elsewhere than the topology has it.
    elsewhere: BTreeSet<Fqdn>,
}

/// What the lists that were shown tell us anew.
#[derive(Debug, Default)]
struct News {
    /// How many certificates are revoked of which we did not know that.
    revoked: usize,
    /// The servers whose they are, as far as the ledger knows.
    holders: BTreeSet<Fqdn>,
}

impl Authority {
    fn recovery(&self) -> std::sync::MutexGuard<'_, Option<Recovery>> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what members hold is still awaited.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovery().is_some()
    }

    /// The authority was put back from a backup: nothing is signed for others until [`go_on`](Self::go_on), or until every member
    /// has shown what it holds. `marker` is the file that says so over restarts.
    pub fn recover(&self, marker: PathBuf) {
        *self.recovery() = Some(Recovery { marker, shown: BTreeMap::new(), bundle: None, moved: None, elsewhere: BTreeSet::new() });
        tracing::warn!(
            "this authority was put back from a backup and signs nothing for others until its members have shown what they hold"
        );
    }

    /// The right to change something that others will go by: nobody has it before the end of a recovery.
    pub(crate) async fn change(&self) -> Result<Change<'_>, Fault> {
        let change = self.changing.lock().await;
        if !self.is_recovering() {
            return Ok(change);
        }
        let missing = self.awaited().await?.iter().map(Fqdn::to_string).collect::<Vec<_>>().join(", ");
        Err(Fault::Recovering { missing })
    }

    /// Remembers where our own server listens for the end; says whether it has to wait for that.
    pub(crate) fn moves_later(&self, listeners: Listeners) -> bool {
        match self.recovery().as_mut() {
            Some(recovery) => {
                recovery.moved = Some(listeners);
                true
            }
            None => false,
        }
    }

    /// The same of a member.
    pub(crate) fn comes_again(&self, member: &Fqdn) -> bool {
        self.recovery().as_mut().map(|recovery| recovery.elsewhere.insert(member.clone())).is_some()
    }

    /// Every listed member that has joined, without our own server; also those that were cut off.
    fn listed(&self) -> Vec<Fqdn> {
        let holdings = self.member.holdings();
        let joined = holdings.topology().members().filter(|server| !server.is_expected()).map(|server| server.fqdn().clone());
        joined.filter(|name| name != self.member.name()).collect()
    }

    /// Whose word is still missing: members without those of which we know by now that they were cut off.
    async fn awaited(&self) -> Result<Vec<Fqdn>, Fault> {
        let shown: BTreeSet<Fqdn> = self.recovery().as_ref().map(|recovery| recovery.shown.keys().cloned().collect()).unwrap_or_default();
        let cut_off = self.cut_off(SystemTime::now()).await?;
        Ok(self.listed().into_iter().filter(|name| !shown.contains(name) && !cut_off.contains(name)).collect())
    }

    /// A member has more than we ever published, or we recover: it is asked to show it.
    pub(crate) fn is_behind(&self, in_force: &InForce) -> bool {
        let ours = self.member.holdings().in_force();
        let newer_list =
            |theirs: &web::control::ListInForce| ours.lists.iter().any(|list| list.issuer == theirs.issuer && list.number < theirs.number);
        in_force.topology > ours.topology || in_force.bundle > ours.bundle || in_force.lists.iter().any(newer_list)
    }

    /// A member shows what it holds.
    pub(crate) async fn take_up(&self, peer: &Fqdn, shown: &Shown) -> Result<(), Fault> {
        let change = self.changing.lock().await;
        let now = SystemTime::now();
        let was_recovering = self.is_recovering();
        let News { revoked, holders } = self.take_up_lists(&shown.lists, now).await?;
        if !was_recovering {
            self.put_out(&change, &holders, now).await?;
        }
        let serial = self.take_up_certificates(peer, &shown.certificates, now).await?;
        let bundle = self.take_up_bundle(&shown.bundle, now).await?;
        let topology = self.take_up_topology(&change, &shown.topology, now).await?;
        tracing::warn!(server = %peer, revoked, ?topology, "what a member holds was taken up");
        if was_recovering {
            if let Some(recovery) = self.recovery().as_mut() {
                recovery.bundle = recovery.bundle.into_iter().chain(bundle).max_by_key(|held| held.sequence);
                // Who shows no certificate that counts has said all it can, but is not known to be who it was.
                recovery.shown.extend(serial.map(|serial| (peer.clone(), serial)));
            }
            return self.end_if_all_shown(change).await;
        }
        if revoked > 0 || bundle.is_some() || topology.is_some() {
            tracing::error!("this authority had gone back to an older state (a copy of its data?); to put one back, use verbund restore");
            self.sign_above(&change, bundle, now).await?;
            return self.tell_everything(&change).await;
        }
        Ok(())
    }

    /// Tells each member on the line all of it, whatever it holds.
    async fn tell_everything(&self, _change: &Change<'_>) -> Result<(), Fault> {
        for name in self.hub.on_the_line() {
            for update in self.first(&name, &Held::default()).await? {
                let update = Arc::new(update);
                self.hub.tell(|member| (*member == name).then(|| Arc::clone(&update)));
            }
        }
        Ok(())
    }

    /// Every revocation that a list of ours proves. The list itself is kept where its number is higher: the next goes on from there.
    async fn take_up_lists(&self, lists: &[Vec<u8>], now: SystemTime) -> Result<News, Fault> {
        let ca = self.ca();
        let listers = ca.listers();
        let issuers: Vec<CertificateDer<'static>> = listers.iter().map(|lister| lister.certificate.clone()).collect();
        let mut news = News::default();
        for der in lists.iter().take(LISTS_MAX) {
            let Ok(list) = RevocationList::read(der, &issuers) else {
                tracing::warn!("a member holds a revocation list that is of none of our CAs; it is passed over");
                continue;
            };
            let of = |lister: &&Lister<'_>| {
                pki::facts(lister.certificate).is_some_and(|facts| facts.public_key_fingerprint() == list.issuer_key())
            };
            let Some(lister) = listers.iter().find(of) else { continue };
            self.take_up_revocations(lister, &list, &mut news, now).await?;
            let held = self.store.list(&lister.key()).await?.map_or(0, |held| held.number);
            if list.number() > held {
                let (issuer, number, der) = (lister.key(), list.number(), der.clone());
                let kept = store::RevocationList { issuer, number, der, this_update: list.this_update(), next_update: list.next_update() };
                self.store.publish_list(&kept, now).await?;
            }
        }
        if news.revoked > 0 {
            // Answers that were signed before are worth nothing any more.
            self.inquiries.forget();
        }
        Ok(news)
    }

    async fn take_up_revocations(&self, lister: &Lister<'_>, list: &RevocationList, news: &mut News, now: SystemTime) -> Result<(), Fault> {
        let facts = pki::facts(lister.certificate).ok_or(Fault::Damaged("a CA's certificate"))?;
        for serial in list.serials() {
            // Of one that is not in the ledger it is not known when it ends: not after its issuer.
            let known = self.store.certificate(serial).await?;
            let not_after = known.as_ref().map_or(facts.not_after, |certificate| certificate.not_after);
            let revocation = store::Revocation {
                serial: serial.clone(),
                issuer: facts.subject.clone(),
                revoked_at: list.this_update(),
                reason: Reason::Unspecified,
                not_after,
            };
            if self.store.adopt_revocation(&revocation, now).await? {
                news.revoked += 1;
                // Whose it is stands first.
                let name = known.filter(|known| known.role == Role::Server).and_then(|known| known.names.into_iter().next());
                news.holders.extend(name.and_then(|name| Fqdn::parse(&name).ok()));
            }
        }
        Ok(())
    }

    /// Servers that were revoked, of which this authority knew nothing while it went on issuing: an account that had been closed was
    /// open again, and may have been used. Whoever of them is in order joins anew.
    async fn put_out(&self, change: &Change<'_>, servers: &BTreeSet<Fqdn>, now: SystemTime) -> Result<(), Fault> {
        for server in servers.iter().filter(|name| *name != self.member.name()) {
            self.close_enrolments(server, now).await?;
            self.take_back_all_of(change, &Holder::Server(server.clone()), Actor::Server, now).await?;
        }
        Ok(())
    }

    /// The member's certificates, if they are ours and count: one that the ledger has forgotten could never be revoked.
    async fn take_up_certificates(&self, peer: &Fqdn, certificates: &[Vec<u8>], now: SystemTime) -> Result<Option<Serial>, Fault> {
        let (ca, mut standing) = (self.ca(), None);
        for der in certificates.iter().take(CERTIFICATES_MAX) {
            let leaf = CertificateDer::from(der.clone());
            let chain = [leaf.clone(), ca.authority().issuing().clone()];
            let is_ours = verify(&chain, &ca.authority().anchors(), &Revocation::none(), Purpose::Server, now).is_ok();
            let Some(entry) = store::Issued::read(Role::Server, &leaf).filter(|entry| is_ours && entry.names.contains(&peer.to_string()))
            else {
                continue;
            };
            let serial = entry.serial.clone();
            if self.store.certificate(&serial).await?.is_none() {
                self.store.record_issued(&entry.asked("shown after a restore", None), now).await?;
            }
            if self.store.revocation(&serial).await?.is_none() {
                standing.get_or_insert(serial);
            }
        }
        Ok(standing)
    }

    /// The number of the bundle, if it is above ours. It may speak of CAs that the backup does not know; then nothing can go on.
    async fn take_up_bundle(&self, text: &str, now: SystemTime) -> Result<Option<HeldBundle>, Fault> {
        let holdings = self.member.holdings();
        let document = read_signed(DocumentKind::Bundle, text, &holdings.bundle().anchors()?, &self.strict(&holdings), now)?;
        let (bundle, held) = Bundle::accept(None, &document, now)?;
        let ours = holdings.bundle();
        if held.sequence < ours.sequence || held == *holdings.held_bundle() {
            return Ok(None);
        }
        if bundle.roots != ours.roots || bundle.issuing != ours.issuing {
            return Err(Fault::OtherGeneration { sequence: held.sequence });
        }
        Ok(Some(held))
    }

    /// The topology, if it is newer than ours: put into force here, and kept.
    async fn take_up_topology(&self, change: &Change<'_>, text: &str, now: SystemTime) -> Result<Option<u64>, Fault> {
        let holdings = self.member.holdings();
        let before = Arc::clone(holdings.topology());
        let signed = SignedTopology::accept(text, None, &holdings.bundle().anchors()?, &self.strict(&holdings), now)?;
        let version = signed.topology().version();
        if version <= before.version() {
            return Ok(None);
        }
        self.member.take(&Update::Topology { document: text.to_owned() }, now).await?;
        self.store.publish(signed.document(), Some(text), Version(version), Some(Version(before.version())), now).await?;
        let before_document = self.store.at(Version(before.version())).await?.map(|published| published.document);
        copy::show(&self.copy, signed.document(), before_document.as_deref());
        self.follow(change, &before, signed.topology(), Actor::Server, now).await?;
        Ok(Some(version))
    }

    /// Signatures of a signer who was revoked since the backup do not count.
    fn strict(&self, holdings: &Holdings) -> Revocation {
        Revocation::strict(holdings.lists().clone(), member::GRACE)
    }

    /// Ends the recovery where nobody is left to wait for, as in an organisation of one server.
    ///
    /// # Errors
    /// The store, or a key that signs nothing; it is tried again with the next start.
    pub async fn recovered_if_alone(&self) -> Result<(), Fault> {
        let change = self.changing.lock().await;
        if self.is_recovering() { self.end_if_all_shown(change).await } else { Ok(()) }
    }

    /// Ends the recovery though not everybody has shown what it holds: the silent have to join anew.
    ///
    /// # Errors
    /// There is none to end; the store; or a key that signs nothing.
    pub async fn go_on(&self) -> Result<Vec<Fqdn>, Fault> {
        let change = self.changing.lock().await;
        if !self.is_recovering() {
            return Err(Fault::NotRecovering);
        }
        let missing = self.awaited().await?;
        self.end(change).await?;
        Ok(missing)
    }

    async fn end_if_all_shown(&self, change: Change<'_>) -> Result<(), Fault> {
        let missing = self.awaited().await?;
        if missing.is_empty() {
            return self.end(change).await;
        }
        tracing::info!(missing = missing.len(), "other members have yet to show what they hold");
        Ok(())
    }

    async fn end(&self, change: Change<'_>) -> Result<(), Fault> {
        let now = SystemTime::now();
        let Some(Recovery { marker, shown, bundle, moved, elsewhere }) = self.recovery().clone() else { return Ok(()) };
        let mut missing = Vec::new();
        for name in self.listed() {
            let proved = match shown.get(&name) {
                Some(serial) => self.store.revocation(serial).await?.is_none(),
                None => false,
            };
            if !proved {
                self.close_enrolments(&name, now).await?;
                missing.push(name.to_string());
            }
        }
        self.sign_above(&change, bundle, now).await?;
        let shown: Vec<String> = shown.keys().map(Fqdn::to_string).collect();
        self.store.append(&Event::CaughtUp { shown: shown.clone(), missing: missing.clone() }, now).await?;
        self.mark_gaps()?;
        std::fs::remove_file(&marker).map_err(|error| Fault::Marker { path: marker, error })?;
        *self.recovery() = None;
        tracing::warn!(?shown, ?missing, "this authority has caught up and signs for others again; those missing have to join anew");
        self.tell_everything(&change).await?;
        // They come again, and then that is published.
        elsewhere.iter().for_each(|member| self.hub.end_feed(member));
        drop(change);
        if let Some(listeners) = moved {
            self.moved(listeners).await?;
        }
        if let Err(fault) = self.close_gaps().await {
            tracing::error!(%fault, "certificates issued after the backup may not be known here, and the CAs that issued them are not replaced yet");
        }
        Ok(())
    }

    fn gaps(&self) -> PathBuf {
        self.copy.with_file_name(GAPS)
    }

    /// Keeps which issuing CAs are believed now: as long as one of them is, there are gaps.
    fn mark_gaps(&self) -> Result<(), Fault> {
        let written = std::fs::File::create(self.gaps()).and_then(|mut file| {
            file.write_all(self.believed_issuers().join("\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| Fault::Gaps { path: self.gaps(), error })
    }

    fn believed_issuers(&self) -> Vec<String> {
        self.ca().listers().iter().filter(|lister| lister.kind().is_some()).map(Lister::key).collect()
    }

    /// Begins to replace the issuing CAs if certificates of theirs may not be known here, and looks again until none of them is
    /// believed: a replacement that was given up, or whose new side was old already, closes nothing. Without the root's key an
    /// administrator has to fetch what the root signs (`verbund ca issuing request`).
    pub(crate) async fn close_gaps(&self) -> Result<(), Fault> {
        self.forget_gaps()?;
        if !self.gaps().exists() || self.is_recovering() || self.ca().replacement().is_some() {
            return Ok(());
        }
        let order = Order { what: What::Issuing, pace: Pace::Ordinary, domains: Vec::new() };
        self.replace_ca(&order, None).await.map(drop)
    }

    /// Nothing of the CAs with gaps counts any more.
    pub(crate) fn forget_gaps(&self) -> Result<(), Fault> {
        let fault = |error| Fault::Gaps { path: self.gaps(), error };
        let marked = match std::fs::read_to_string(self.gaps()) {
            Ok(marked) => marked,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fault(error)),
        };
        let believed = self.believed_issuers();
        let is_over = !marked.is_empty() && marked.lines().all(|issuer| believed.iter().all(|known| known != issuer));
        if is_over { std::fs::remove_file(self.gaps()).map_err(fault) } else { Ok(()) }
    }

    /// Lists and a bundle with numbers above all that were seen. A member takes the next bundle only if it is linked to the one
    /// before; nobody knows whose was before, so one number is left out.
    async fn sign_above(&self, _change: &Change<'_>, shown: Option<HeldBundle>, now: SystemTime) -> Result<(), Fault> {
        let (ca, mut lists) = (self.ca(), Vec::new());
        for lister in ca.listers() {
            match Ca::sign_list(&self.store, &lister, now).await? {
                Some(der) => lists.push(der),
                // A root in a safe: its newest list was taken up, or is the one that is held.
                None => lists.extend(self.store.list(&lister.key()).await?.map(|list| list.der)),
            }
        }
        self.member.take(&Update::RevocationLists { lists }, now).await?;
        let ours = *self.member.holdings().held_bundle();
        let highest = shown.filter(|shown| shown.sequence > ours.sequence).unwrap_or(ours);
        let before = HeldBundle { sequence: highest.sequence.saturating_add(1), digest: Fingerprint::of(b"") };
        let (bundle, sequence) = ca.sign_bundle(&self.store, Some(&before), now).await?;
        self.store.publish_bundle(&bundle, sequence, now).await?;
        self.member.take(&Update::Bundle { document: bundle }, now).await?;
        Ok(())
    }
}
