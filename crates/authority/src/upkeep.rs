//! What the authority does by itself: lists signed anew each hour, the bundle each day, the end of the audit log, OCSP responders
//! in good time; and the figures about them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::gauge;
use store::{IssuanceLedger as _, RevocationListStore as _};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Authority, Ca, Fault};

/// How often it looks whether something is due.
pub(crate) const LOOK_EVERY: Duration = Duration::from_mins(5);
/// How old the trust bundle becomes.
const BUNDLE_AGE_MAX: Duration = Duration::from_hours(24);

impl Authority {
    /// Keeps what is published fresh until the task is ended. A failure is told and tried again.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Err(error) = self.freshen(SystemTime::now()).await {
                tracing::error!(%error, "what is published could not be signed anew; it is tried again");
            }
        }
    }

    async fn freshen(&self, now: SystemTime) -> Result<(), Fault> {
        self.responders(now).await;
        let change = self.changing.lock().await;
        let mut lists = self.ca().sign_due_lists(&self.store, now).await?;
        lists.extend(self.sign_incomplete_lists(now).await?);
        self.publish_lists(lists, now).await?;
        if !self.is_recovering() && now >= self.member.holdings().bundle().issued_at + BUNDLE_AGE_MAX {
            self.renew_bundle(&change, now).await?;
        }
        self.checkpoint_if_due(now).await?;
        self.count(now).await
    }

    /// Lists that do not have everybody whom the ledger has as revoked: when that was entered, their key signed nothing.
    async fn sign_incomplete_lists(&self, now: SystemTime) -> Result<Vec<Vec<u8>>, Fault> {
        let (ca, mut signed) = (self.ca(), Vec::new());
        for lister in ca.listers() {
            let Some(held) = self.store.list(&lister.key()).await? else { continue };
            let facts = pki::facts(lister.certificate).ok_or(Fault::Damaged("a CA's certificate"))?;
            let list = pki::RevocationList::read(&held.der, std::slice::from_ref(lister.certificate));
            let list = list.map_err(|_| Fault::Damaged("a revocation list"))?;
            let revoked = self.store.revoked(Some(&facts.subject), now).await?;
            if revoked.iter().any(|one| !list.contains(&one.serial)) {
                signed.extend(Ca::sign_list(&self.store, &lister, now).await?);
            }
        }
        Ok(signed)
    }

    async fn count(&self, now: SystemTime) -> Result<(), Fault> {
        for list in self.store.lists().await? {
            let issuer = list.issuer.chars().take(16).collect::<String>();
            let age = now.duration_since(list.this_update).unwrap_or_default();
            let left = list.next_update.duration_since(now).unwrap_or_default();
            gauge!("verbund_revocation_list_age_seconds", "issuer" => issuer.clone()).set(age.as_secs_f64());
            gauge!("verbund_revocation_list_left_seconds", "issuer" => issuer).set(left.as_secs_f64());
        }
        Ok(())
    }
}
