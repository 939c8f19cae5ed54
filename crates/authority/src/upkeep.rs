//! What the authority does by itself: lists signed anew each hour, the bundle each day, OCSP responders in good time, and the
//! figures about it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::gauge;
use store::RevocationListStore as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Authority, Fault};

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_mins(5);
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
        let lists = self.ca().sign_due_lists(&self.store, now).await?;
        self.publish_lists(lists, now).await?;
        if now >= self.member.holdings().bundle().issued_at + BUNDLE_AGE_MAX {
            self.renew_bundle(&change, now).await?;
        }
        self.count(now).await
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
