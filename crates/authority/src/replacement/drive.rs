//! The doing: one step after another, each stored before it is done, so that an authority that dies in the middle goes on with
//! the same step when it is back.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use pki::{DocumentSigner, Fqdn, IssuerKind, Key, Pace, Phase, Rollover, Side, Step};
use store::{Actor, Bundles as _, IssuanceLedger as _, Reason, Replacements as _, RevocationListStore as _};
use tokio::time::sleep;
use web::control::{InForce, Update};

use super::{
    Order, Replacement, ReplacementFault, ReplacementStatus, Signed, What,
    make::{Made, Plan},
    mark, phase_word, staged, status,
};
use crate::{Authority, Fault, Generation, Vault, generation::Lister, publish::Change};

/// How soon it is looked again while a replacement is under way, and how soon after a failure.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The shortest pause between two looks, however much members have to say.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// A member that was asked to renew and did not is asked again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// The most certificates of a CA that are counted one by one.
const CERTIFICATES_MAX: usize = 100_000;

impl Authority {
    /// Carries a replacement of the CA on, whenever one is under way, until the task is ended. A failure is told and tried again.
    pub async fn carry_on(self: Arc<Self>) {
        let (mut reports, mut here) = (self.hub.reports(), self.member.in_force());
        let mut shown = self.member.shown_certificate();
        loop {
            if self.ca().replacement().is_none() {
                self.nudged.notified().await;
            }
            if let Err(error) = self.advance(SystemTime::now()).await {
                tracing::error!(%error, "the replacement of the CA does not go on; it is tried again");
                sleep(LOOK_EVERY).await;
            }
            sleep(PAUSE_MIN).await;
            tokio::select! {
                _ = reports.changed() => {}
                _ = here.changed() => {}
                _ = shown.changed() => {}
                () = self.nudged.notified() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Carries a replacement on as far as it can go now.
    ///
    /// # Errors
    /// What could not be signed, stored or put into force. Asked again it goes on with the same step.
    pub async fn advance(&self, now: SystemTime) -> Result<(), Fault> {
        let change = self.changing.lock().await;
        // Nothing is published before it is known what members hold.
        if self.is_recovering() {
            return Ok(());
        }
        while let Some(replacement) = self.ca().replacement().cloned() {
            self.converge(&change, now).await?;
            let mut rollover = replacement.record.rollover.clone();
            let facts = self.look_at(&replacement, &mut rollover, now).await?;
            let step = rollover.poll(now);
            status::count(Some(rollover.phase()), waiting(&step), facts.outstanding.len());
            match step {
                Step::PublishBoth | Step::PublishNew => {
                    rollover.handle_published(self.member.holdings().bundle().sequence + 1, now).map_err(ReplacementFault::from)?;
                    self.enter(&replacement, rollover, None, now).await?;
                }
                Step::Switch => self.switch(&replacement, rollover, now).await?,
                Step::Wait(_) => {
                    if rollover.phase() != replacement.record.rollover.phase() {
                        self.enter(&replacement, rollover, None, now).await?;
                        continue;
                    }
                    self.supersede(&change, &replacement, &facts, now).await?;
                    self.ask_to_renew(&facts);
                    return Ok(());
                }
                Step::Finished => self.settle(&replacement, rollover, now).await?,
            }
        }
        Ok(())
    }

    /// Stores how far it has come, then makes the CA that which follows from it. What is published follows by
    /// [`converge`](Self::converge), also if this process ends here.
    async fn enter(
        &self,
        replacement: &Replacement,
        rollover: Rollover,
        new_signer: Option<Arc<DocumentSigner>>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let mut next = replacement.with(rollover);
        next.new_signer = new_signer.or(next.new_signer);
        self.keep(&next, now).await?;
        self.ca.store(Arc::new(self.ca().replacing(next)));
        Ok(())
    }

    async fn keep(&self, replacement: &Replacement, now: SystemTime) -> Result<(), Fault> {
        let (record, phase) = (&replacement.record, phase_word(replacement.record.rollover.phase()));
        self.store.keep_replacement(Some(&record.to_json()?), &record.event(phase), now).await?;
        tracing::info!(what = record.what.as_str(), phase, "the replacement of the CA goes on");
        Ok(())
    }

    /// Makes what is published say what the CA is: the topology under the signature of who signs now, the bundle, the lists of its
    /// CAs. Members that hold an older one are brought there by the feed.
    async fn converge(&self, change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let ca = self.ca();
        ca.sign_due_lists(&self.store, now).await.tell();
        if !ca.is_said_by(self.member.holdings().bundle()) {
            self.renew_bundle(change, now).await?;
            let mut lists = Vec::new();
            for lister in ca.listers() {
                lists.extend(self.store.list(&lister.key()).await?.map(|list| list.der));
            }
            self.publish_lists(lists, now).await?;
            self.shelve().await?;
        }
        Ok(())
    }

    /// From now on the new generation issues, and signs documents. Those who are away at this moment will find their way by the
    /// last bundle that the old one signed; not in an emergency, when its signature is worth nothing.
    async fn switch(&self, replacement: &Replacement, mut rollover: Rollover, now: SystemTime) -> Result<(), Fault> {
        if rollover.pace() == Pace::Ordinary
            && let Some(bundle) = self.store.bundle().await?
        {
            self.store.keep_bridge(&bundle).await?;
        }
        let signer = self.make_signer(&replacement.new, true, now).await?;
        rollover.handle_switched(now).map_err(ReplacementFault::from)?;
        // Whoever was asked before was asked because of something else.
        self.asked().clear();
        self.enter(replacement, rollover, Some(Arc::new(signer)), now).await
    }

    /// A new signer of documents below this generation, in the ledger and in its place before it signs anything.
    async fn make_signer(&self, generation: &Generation, is_next: bool, now: SystemTime) -> Result<DocumentSigner, Fault> {
        let key = Key::generate()?;
        let issued = generation.authority.issue_document_signer(self.member.name(), &key.public(), now)?;
        let leaf = issued.chain.first().and_then(|leaf| store::Issued::read(store::Role::Documents, leaf));
        self.store.record_issued(&leaf.ok_or(Fault::Damaged("a CA that issues what cannot be read"))?, now).await?;
        self.vault()?.keep_signer(is_next, &issued.chain_pem(), &key).map_err(ReplacementFault::from)?;
        Ok(DocumentSigner::new(issued.chain, key)?)
    }

    fn vault(&self) -> Result<Arc<dyn Vault>, Fault> {
        Ok(self.ca().vault().ok_or(ReplacementFault::NoVault)?)
    }

    /// Tells the state machine what is known at this moment.
    async fn look_at(&self, replacement: &Replacement, rollover: &mut Rollover, now: SystemTime) -> Result<Facts, Fault> {
        let members = self.joined().await?;
        rollover.handle_members(members.iter().cloned());
        let newest = self.member.holdings().bundle().sequence;
        let keys: Vec<String> = self.ca().listers().iter().filter_map(list_key).collect();
        let mut facts = Facts::default();
        for member in members {
            let Some(report) = self.report_about(&member).await else { continue };
            let has_lists = keys.iter().all(|key| report.lists.iter().any(|list| list.issuer == *key));
            if report.bundle <= newest && has_lists {
                rollover.handle_acknowledged(&member, report.bundle);
            }
            if rollover.phase() == Phase::Renewing {
                let shown = self.shows(&member, &report.serial, replacement).await?;
                let is_through = shown == Some(Side::New) && report.outdated_links == 0;
                let side = if is_through { Side::New } else { Side::Old };
                rollover.handle_certificate(&member, mark(replacement.record.what, replacement.side(side)));
                facts.note(member, shown, is_through);
            }
        }
        if rollover.phase() == Phase::Renewing {
            facts.outstanding = self.outstanding(replacement, now).await?;
            rollover.handle_outstanding(facts.outstanding.len() as u64);
        }
        Ok(facts)
    }

    /// What a member said last; of our own server what is so.
    async fn report_about(&self, member: &Fqdn) -> Option<InForce> {
        if member == self.member.name() {
            return Some(self.member.report().await);
        }
        self.hub.seen(member).map(|seen| seen.in_force)
    }

    /// Of which side the certificate is that a member says it shows; nothing if it is none of its own.
    async fn shows(&self, member: &Fqdn, serial: &str, replacement: &Replacement) -> Result<Option<Side>, Fault> {
        let Some(serial) = pki::Serial::parse(serial) else { return Ok(None) };
        let Some(issued) = self.store.certificate(&serial).await? else { return Ok(None) };
        if issued.role != store::Role::Server || issued.names.first().is_none_or(|name| name != member.as_str()) {
            return Ok(None);
        }
        let is_of = |side| replacement.side(side).issuers().contains(&issued.issuer);
        Ok([Side::New, Side::Old].into_iter().find(|side| is_of(*side)))
    }

    /// The certificates of servers and users of the old side that are neither over nor revoked.
    async fn outstanding(&self, replacement: &Replacement, now: SystemTime) -> Result<Vec<store::Issued>, Fault> {
        let mut all = Vec::new();
        for issuer in replacement.old.issuers() {
            all.extend(self.store.standing_below(&issuer, now, CERTIFICATES_MAX).await?);
        }
        all.retain(|issued| matches!(issued.role, store::Role::Server | store::Role::User));
        Ok(all)
    }

    /// Whoever shows a certificate of the new side on every link needs none of the old one any more: those are revoked.
    async fn supersede(&self, change: &Change<'_>, replacement: &Replacement, facts: &Facts, now: SystemTime) -> Result<(), Fault> {
        if replacement.record.rollover.phase() != Phase::Renewing {
            return Ok(());
        }
        let is_superseded = |issued: &&store::Issued| {
            let first = issued.names.first();
            issued.role == store::Role::Server && first.is_some_and(|name| facts.through.iter().any(|member| member.as_str() == name))
        };
        let superseded: Vec<_> = facts.outstanding.iter().filter(is_superseded).cloned().collect();
        if superseded.is_empty() {
            return Ok(());
        }
        tracing::info!(certificates = superseded.len(), "certificates of the old CA are superseded, and revoked");
        self.take_back(change, &superseded, Reason::Superseded, Actor::Server, now).await
    }

    /// Asks members that show a certificate of the old side to renew, now and again.
    fn ask_to_renew(&self, facts: &Facts) {
        let mut asked = self.asked();
        asked.retain(|_, at| at.elapsed() < ASK_AGAIN_AFTER);
        for member in facts.old.iter().filter(|member| *member != self.member.name()) {
            if asked.insert(member.clone(), Instant::now()).is_none() {
                self.hub.tell(|name| (name == member).then(|| Arc::new(Update::Renew)));
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked_to_renew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody believes the old generation any more: the new one's files take their place.
    async fn settle(&self, replacement: &Replacement, rollover: Rollover, now: SystemTime) -> Result<(), Fault> {
        let vault = self.vault()?;
        let done = replacement.with(rollover);
        if !replacement.record.is_done() {
            self.keep(&done, now).await?;
        }
        vault.settle(done.old.id()).map_err(ReplacementFault::from)?;
        done.record.end(&self.store, now).await?;
        self.ca.store(Arc::new(self.ca().settled(&done)));
        status::count(None, 0, 0);
        // What the old side signed of the log counts no more; if this fails, the upkeep sees it.
        if let Err(error) = self.checkpoint(now).await {
            tracing::warn!(%error, "the end of the audit log is not signed by the new side yet");
        }
        if let Err(error) = self.forget_gaps() {
            tracing::warn!(%error, "that the issuing CAs are replaced is not noted yet");
        }
        tracing::info!(what = done.record.what.as_str(), "the CA is replaced; nobody believes the old one any more");
        Ok(())
    }
}

/// What was found when members and certificates were looked at.
#[derive(Default)]
struct Facts {
    /// Members that show nothing of the old side any more, on no link.
    through: Vec<Fqdn>,
    /// Members that show a certificate of the old side.
    old: Vec<Fqdn>,
    outstanding: Vec<store::Issued>,
}

impl Facts {
    fn note(&mut self, member: Fqdn, shown: Option<Side>, is_through: bool) {
        match shown {
            Some(Side::New) if is_through => self.through.push(member),
            Some(Side::Old) => self.old.push(member),
            Some(Side::New) | None => {}
        }
    }
}

fn waiting(step: &Step) -> usize {
    match step {
        Step::Wait(waiting) => waiting.members.len(),
        Step::PublishBoth | Step::Switch | Step::PublishNew | Step::Finished => 0,
    }
}

/// How members name the list of this CA.
fn list_key(lister: &Lister<'_>) -> Option<String> {
    Some(pki::facts(lister.certificate)?.public_key_fingerprint().to_string())
}

/// The administrator's words.
impl Authority {
    /// Makes the keys of new issuing CAs, and what an offline root has to sign for them.
    ///
    /// # Errors
    /// A replacement is under way already, or there is no place for keys.
    pub async fn request_ca(&self, order: &Order) -> Result<Vec<(IssuerKind, String)>, Fault> {
        let _change = self.changing.lock().await;
        let ca = self.ca();
        self.check_free()?;
        let vault = self.vault()?;
        if vault.keys().map_err(ReplacementFault::from)?.is_some() {
            // What was signed meanwhile would be worth nothing.
            return Err(ReplacementFault::Waiting.into());
        }
        let keys = vault.make_keys(false).map_err(ReplacementFault::from)?;
        self.plan(order, ca.active(), SystemTime::now()).await?.requests(&keys)
    }

    /// Begins to replace the CA: by what is made here, or by what an offline root signed.
    ///
    /// # Errors
    /// One is under way already, the root's key is needed and away, or what was signed does not do. Nothing changed then.
    pub async fn replace_ca(&self, order: &Order, signed: Option<&Signed>) -> Result<ReplacementStatus, Fault> {
        {
            let _change = self.changing.lock().await;
            self.check_free()?;
            let now = SystemTime::now();
            let ca = self.ca();
            let made = self.make_next(order, ca.active(), signed, now).await?;
            self.stage(order, ca.active(), made, now).await?;
        }
        self.advance(SystemTime::now()).await?;
        self.nudged.notify_one();
        self.replacement().await?.ok_or_else(|| ReplacementFault::NoneUnderWay.into())
    }

    fn check_free(&self) -> Result<(), Fault> {
        match self.ca().replacement() {
            Some(_) => Err(ReplacementFault::UnderWay.into()),
            None if self.is_recovering() => Err(ReplacementFault::Recovering.into()),
            None => Ok(()),
        }
    }

    async fn plan<'a>(&self, order: &'a Order, old: &'a Generation, now: SystemTime) -> Result<Plan<'a>, Fault> {
        let ca = self.ca();
        let known = ca.all_listers().into_iter().filter_map(|lister| pki::facts(lister.certificate)).map(|facts| facts.subject);
        let issued = self.store.authorities().await?.into_iter().map(|issued| issued.subject);
        Ok(Plan { order, old, urls: ca.urls().cloned(), taken: issued.chain(known).collect(), now })
    }

    async fn make_next(&self, order: &Order, old: &Generation, signed: Option<&Signed>, now: SystemTime) -> Result<Made, Fault> {
        let (vault, plan) = (self.vault()?, self.plan(order, old, now).await?);
        let waiting = vault.keys().map_err(ReplacementFault::from)?;
        let made = match (signed, waiting) {
            (Some(signed), Some(keys)) => plan.take(keys, signed)?,
            (Some(_), None) => return Err(ReplacementFault::NoKeys.into()),
            (None, Some(_)) => return Err(ReplacementFault::Waiting.into()),
            (None, None) if old.root.is_none() => return Err(ReplacementFault::RootAway(order.what).into()),
            (None, None) => return self.make_here(order, &plan, &*vault),
        };
        made.keep(order.what, &*vault)?;
        Ok(made)
    }

    /// Keys that nothing was made with are not left behind: they would be taken for some that wait for the root.
    fn make_here(&self, order: &Order, plan: &Plan<'_>, vault: &dyn Vault) -> Result<Made, Fault> {
        let keys = vault.make_keys(order.what == What::Root).map_err(ReplacementFault::from)?;
        let made = plan.make(keys).and_then(|made| made.keep(order.what, vault).map(|()| made));
        if made.is_err() {
            vault.discard().map_err(ReplacementFault::from)?;
        }
        made
    }

    /// Enters what was made into the ledger, then stores that the replacement has begun.
    async fn stage(&self, order: &Order, old: &Arc<Generation>, made: Made, now: SystemTime) -> Result<(), Fault> {
        let store = self.store.acting_as(Actor::Administrator("socket".into()));
        for (role, certificate) in made.certificates(order.what) {
            let entry = store::Issued::read(role, certificate).ok_or(Fault::Damaged("a CA's certificate"))?;
            match store.record_issued(&entry, now).await {
                // Entered before a crash, or by an attempt that failed later.
                Ok(_) | Err(store::Error::SerialTaken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(list) = &made.root_list {
            self.keep_root_list(list, made.generation.authority.root(), now).await?;
        }
        let record = staged(order, old, &made.generation, self.joined().await?, now)?;
        let (old, old_signer) = (Arc::clone(old), self.ca().signer().clone());
        let replacement = Replacement { record, old, new: Arc::new(made.generation), new_signer: None, old_signer };
        let phase = phase_word(replacement.record.rollover.phase());
        store.keep_replacement(Some(&replacement.record.to_json()?), &replacement.record.event(phase), now).await?;
        tracing::info!(what = order.what.as_str(), "a replacement of the CA has begun");
        self.ca.store(Arc::new(self.ca().replacing(replacement)));
        Ok(())
    }

    async fn keep_root_list(&self, list: &pki::RevocationList, root: &pki::CertificateDer<'_>, now: SystemTime) -> Result<(), Fault> {
        let issuer = pki::Fingerprint::of(root).to_string();
        if self.store.list(&issuer).await?.is_some_and(|held| held.number >= list.number()) {
            return Ok(());
        }
        let (number, this_update, next_update) = (list.number(), list.this_update(), list.next_update());
        let kept = store::RevocationList { issuer, number, der: list.as_der().to_vec(), this_update, next_update };
        self.store.publish_list(&kept, now).await?;
        Ok(())
    }

    /// How far a replacement has come, if one is under way.
    ///
    /// # Errors
    /// The store.
    pub async fn replacement(&self) -> Result<Option<ReplacementStatus>, Fault> {
        let Some(replacement) = self.ca().replacement().cloned() else { return Ok(None) };
        let now = SystemTime::now();
        let mut rollover = replacement.record.rollover.clone();
        let facts = self.look_at(&replacement, &mut rollover, now).await?;
        let step = rollover.poll(now);
        Ok(Some(ReplacementStatus::of(&replacement, &step, &facts.outstanding)))
    }

    /// Gives a replacement up, or keys that wait for a root's signature.
    ///
    /// # Errors
    /// There is nothing to give up, or certificates are issued by the new CA already.
    pub async fn give_up_replacement(&self) -> Result<(), Fault> {
        let change = self.changing.lock().await;
        let (vault, now) = (self.vault()?, SystemTime::now());
        let Some(replacement) = self.ca().replacement().cloned() else {
            let waits = vault.keys().map_err(ReplacementFault::from)?.is_some();
            return if waits { Ok(vault.discard().map_err(ReplacementFault::from)?) } else { Err(ReplacementFault::NoneUnderWay.into()) };
        };
        if !replacement.record.rollover.can_be_given_up() {
            return Err(ReplacementFault::TooLate.into());
        }
        let store = self.store.acting_as(Actor::Administrator("socket".into()));
        store.keep_replacement(None, &replacement.record.event("given-up"), now).await?;
        self.ca.store(Arc::new(self.ca().without_replacement(&replacement)));
        self.take_back_unused(&change, &replacement, now).await?;
        vault.discard().map_err(ReplacementFault::from)?;
        status::count(None, 0, 0);
        tracing::warn!(what = replacement.record.what.as_str(), "the replacement of the CA was given up");
        self.converge(&change, now).await
    }

    /// CAs that a root which stays signed, and that nobody will ever use.
    async fn take_back_unused(&self, change: &Change<'_>, replacement: &Replacement, now: SystemTime) -> Result<(), Fault> {
        let unused = replacement.new.authority.issuing_authorities().map(pki::IssuingAuthority::certificate);
        for facts in unused.filter_map(pki::facts) {
            self.store.revoke(&facts.serial, Reason::CessationOfOperation, now).await?;
        }
        self.publish_due_lists(change, now).await.map(drop)
    }
}

/// When members were asked to renew.
pub(crate) type Asked = HashMap<Fqdn, Instant>;
