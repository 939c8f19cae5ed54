//! What the authority does by itself: lists signed anew each hour, the bundle each day, the end of its audit log, document signer and
//! OCSP responders replaced in good time, what an interrupted change left behind cleared away; and the figures about it and about what
//! ends next.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use metrics::gauge;
use pki::{DocumentSigner, Fqdn, Key};
use registrar::{Aor, UserName};
use store::{
    Actor, Asked, Directory as _, Enrolments as _, IssuanceLedger as _, Members as _, RevocationListStore as _, Role, TopologyStore as _,
};
use topology::SignedTopology;
use web::control::Update;

use crate::{Authority, Ca, Fault, alarm, publish::Change, revoke::Holder};

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// The same after something failed: somebody may be believed who should not be.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How old the trust bundle becomes.
const BUNDLE_AGE_MAX: Duration = Duration::from_hours(24);

impl Authority {
    /// Keeps what is published fresh until the task is ended. A failure is told and tried again.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut told = alarm::Told::new();
        loop {
            let is_well = self.freshen(SystemTime::now()).await.is_empty();
            match self.expiries(SystemTime::now()).await {
                Ok(all) => alarm::ring(&all, &mut told),
                Err(error) => tracing::error!(%error, "what ends next could not be looked up; it is tried again"),
            }
            tokio::time::sleep(if is_well { LOOK_EVERY } else { LOOK_AGAIN }).await;
        }
    }

    /// Does what is due at `now`, each thing whatever became of the others; gives what could not be done.
    pub async fn freshen(&self, now: SystemTime) -> Vec<String> {
        let (delegated, closed) = (self.delegate_due(now).await, self.close_gaps().await);
        let change = self.changing.lock().await;
        let mut troubles = self.freshen_lists(&change, now).await;
        let mut note = |what: &str, done: Result<(), Fault>| {
            if let Err(fault) = done {
                tracing::error!(what, %fault, "something that is due could not be done; it is tried again");
                troubles.push(format!("{what}: {fault}"));
            }
        };
        note("delegating OCSP answers", delegated);
        note("replacing the issuing CAs, of which certificates issued after the backup are not known here", closed);
        note("replacing the document signer", self.renew_signer(&change, now).await);
        note("signing the topology anew", self.renew_topology(&change, now).await);
        note("signing the trust bundle anew", self.renew_old_bundle(&change, now).await);
        note("putting the topology into force", self.catch_up(&change, now).await);
        note("clearing away what is listed no more", self.clear_away(&change, now).await);
        note("forgetting CAs of which nothing is left", self.forget_ended_generations(now).await);
        note("laying out lists of CAs of before", self.shelve().await);
        note("signing the end of the audit log", self.checkpoint_if_due(now).await);
        note("counting", self.count(now).await);
        let alarms = self.filling_lists().await.unwrap_or_default();
        for alarm in &alarms {
            tracing::error!("{alarm}");
        }
        gauge!("verbund_authority_troubles").set(u32::try_from(troubles.len()).unwrap_or(u32::MAX));
        *self.troubles.lock().unwrap_or_else(PoisonError::into_inner) = [troubles.clone(), alarms].concat();
        troubles
    }

    /// What was due and could not be done when it was tried last, and what soon cannot be; for the administrator.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn freshen_lists(&self, change: &Change<'_>, now: SystemTime) -> Vec<String> {
        match self.publish_due_lists(change, now).await {
            Ok(signed) => {
                signed.failed.iter().map(|failed| format!("signing the revocation list of {}: {}", failed.issuer, failed.fault)).collect()
            }
            Err(fault) => vec![format!("putting revocation lists into force: {fault}")],
        }
    }

    /// Nothing that a signer signed is believed after its end, so another one follows long before. It lives in memory only: the
    /// next start finds the old one in its file, sees the same, and makes one of its own.
    async fn renew_signer(&self, _change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let ca = self.ca();
        if !Ca::is_signer_due(&ca.signer, now) {
            return Ok(());
        }
        let key = Key::generate()?;
        let issued = ca.authority().issue_document_signer(self.member.name(), &key.public(), now)?;
        self.record(Role::Documents, &issued.chain, Asked::default(), Actor::Server, now).await?;
        let signer = DocumentSigner::new(issued.chain, key)?;
        tracing::info!(not_after = %pki::rfc3339(signer.not_after()), "the document signer has a new key and certificate");
        self.ca.store(Arc::new(ca.signed_by(signer)));
        Ok(())
    }

    /// The same words under the certificate of today's signer: whoever joins later must be able to believe them.
    pub(crate) async fn renew_topology(&self, _change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let (ca, holdings) = (self.ca(), self.member.holdings());
        let text = &holdings.topology_text().text;
        if SignedTopology::is_signed_by(text, &ca.signer) {
            return Ok(());
        }
        let document = SignedTopology::sign_again(text, &ca.signer)?;
        let update = Update::Topology { document: document.clone() };
        self.would_take(&update, now)?;
        self.store.sign_again(&document, store::Version(holdings.topology().version()), now).await?;
        self.put_into_force(update, now).await
    }

    async fn renew_old_bundle(&self, change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let is_old = !self.is_recovering() && now >= self.member.holdings().bundle().issued_at + BUNDLE_AGE_MAX;
        if is_old { self.renew_bundle(change, now).await } else { Ok(()) }
    }

    /// Servers that are not listed and users that are none have nothing that counts, whatever was interrupted when they left:
    /// were one of that name there again, an old key would be believed.
    async fn clear_away(&self, change: &Change<'_>, now: SystemTime) -> Result<(), Fault> {
        let topology = Arc::clone(self.member.holdings().topology());
        let mut servers: BTreeSet<Fqdn> = self.store.enrolled(now).await?.into_iter().collect();
        servers.extend(self.store.members().await?.into_iter().map(|report| report.server));
        servers.extend(self.store.holders(Role::Server, now).await?.iter().filter_map(|name| Fqdn::parse(name).ok()));
        for gone in servers.iter().filter(|name| topology.server(name).is_none()) {
            tracing::warn!(server = %gone, "it is not listed and had something that counts: that is taken back");
            self.forget(change, gone, Actor::Server, now).await?;
        }
        for uri in self.store.holders(Role::User, now).await? {
            if !self.is_user(&uri).await? {
                tracing::warn!(uri, "there is no such user, and a certificate of theirs counts: it is revoked");
                self.take_back_all_of(change, &Holder::User(uri), Actor::Server, now).await?;
            }
        }
        Ok(())
    }

    async fn is_user(&self, uri: &str) -> Result<bool, Fault> {
        let Some((user, domain)) = uri.strip_prefix("sip:").and_then(|rest| rest.split_once('@')) else { return Ok(false) };
        let Ok(user) = UserName::parse(user) else { return Ok(false) };
        Ok(self.store.user(&Aor::new(user, domain)).await?.is_some())
    }

    /// Lays out the lists of generations that nobody believes any more, for those who still fetch them.
    pub(crate) async fn shelve(&self) -> Result<(), Fault> {
        let (ca, mut shelf) = (self.ca(), std::collections::HashMap::new());
        for lister in ca.retired().flat_map(crate::Generation::listers) {
            let key = lister.key();
            if let Some(list) = self.store.list(&key).await? {
                shelf.insert(key, list.der);
            }
        }
        *self.shelf.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = shelf;
        Ok(())
    }

    /// Generations of before are kept as long as their revocation lists are wanted: until the last of their certificates has ended.
    async fn forget_ended_generations(&self, now: SystemTime) -> Result<(), Fault> {
        let ca = self.ca();
        for generation in ca.retired_for_good() {
            let mut last = None;
            for issuer in generation.issuers() {
                last = last.max(self.store.last_end_below(&issuer).await?);
            }
            if last.is_none_or(|last| last < now)
                && let Some(vault) = ca.vault()
            {
                vault.forget(generation.id()).map_err(crate::ReplacementFault::from)?;
                self.ca.store(Arc::new(self.ca().without_retired(generation.id())));
                tracing::info!(generation = %generation.id(), "nothing is left of a CA that was replaced; its keys are removed");
            }
        }
        Ok(())
    }

    async fn count(&self, now: SystemTime) -> Result<(), Fault> {
        gauge!("verbund_revocation_list_bytes_max").set(u32::try_from(pki::REVOCATION_LIST_BYTES_MAX).unwrap_or(u32::MAX));
        for list in self.store.lists().await? {
            let issuer = list.issuer.chars().take(16).collect::<String>();
            let age = now.duration_since(list.this_update).unwrap_or_default();
            let left = list.next_update.duration_since(now).unwrap_or_default();
            gauge!("verbund_revocation_list_age_seconds", "issuer" => issuer.clone()).set(age.as_secs_f64());
            gauge!("verbund_revocation_list_left_seconds", "issuer" => issuer.clone()).set(left.as_secs_f64());
            gauge!("verbund_revocation_list_bytes", "issuer" => issuer).set(u32::try_from(list.der.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}
