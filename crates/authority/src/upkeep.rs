//! What the authority does by itself: lists signed anew each hour, the bundle each day, OCSP responders in good time, the figures
//! about it, and the alarm when anything in the organisation was not replaced in time.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::gauge;
use store::RevocationListStore as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Authority, Ending, Expiry, Fault, Urgency};

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// How old the trust bundle becomes.
const BUNDLE_AGE_MAX: Duration = Duration::from_hours(24);

impl Authority {
    /// Keeps what is published fresh until the task is ended. A failure is told and tried again.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut looks = interval(LOOK_EVERY);
        let mut told = HashSet::new();
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Err(error) = self.freshen(SystemTime::now()).await {
                tracing::error!(%error, "what is published could not be signed anew; it is tried again");
            }
            match self.expiries(SystemTime::now()).await {
                Ok(all) => ring(&all, &mut told),
                Err(error) => tracing::error!(%error, "what ends next could not be looked up; it is tried again"),
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

/// What was told already, so that each alarm rings once.
type Told = HashSet<(Ending, String, Urgency)>;

/// The figures of what ends next, and a word in the log for each thing that was not replaced in time.
fn ring(all: &[Expiry], told: &mut Told) {
    let alarms: Vec<&Expiry> = all.iter().filter(|one| one.urgency.is_alarm()).collect();
    gauge!("verbund_overdue").set(f64::from(u32::try_from(alarms.len()).unwrap_or(u32::MAX)));
    for (kind, ends) in first_of_each(all) {
        let ends = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        gauge!("verbund_next_expiry_seconds", "kind" => kind.as_str()).set(ends.as_secs_f64());
    }
    let key = |one: &Expiry| (one.kind, one.name.clone(), one.urgency);
    told.retain(|one| alarms.iter().any(|alarm| key(alarm) == *one));
    for alarm in alarms {
        if told.insert(key(alarm)) {
            let ends = alarm.ends.map(pki::rfc3339).unwrap_or_default();
            let (kind, name, urgency) = (alarm.kind.as_str(), &alarm.name, alarm.urgency.as_str());
            tracing::error!(kind, name, urgency, ends, "this was not replaced in time: verbund cert due shows all that ends");
        }
    }
}

fn first_of_each(all: &[Expiry]) -> BTreeMap<Ending, SystemTime> {
    let mut first = BTreeMap::new();
    for (kind, ends) in all.iter().filter_map(|one| Some((one.kind, one.ends?))) {
        let earliest = first.entry(kind).or_insert(ends);
        *earliest = ends.min(*earliest);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(kind: Ending, hours: u64, urgency: Urgency) -> Expiry {
        Expiry { kind, name: "x".into(), ends: Some(SystemTime::UNIX_EPOCH + Duration::from_hours(hours)), urgency }
    }

    #[test]
    fn an_alarm_rings_once_and_again_when_it_comes_back() {
        let mut told = Told::new();
        let (late, fine) = (expiry(Ending::Server, 1, Urgency::Overdue), expiry(Ending::Server, 1, Urgency::Fine));
        ring(std::slice::from_ref(&late), &mut told);
        assert_eq!(told.len(), 1);
        ring(std::slice::from_ref(&fine), &mut told);
        assert!(told.is_empty(), "it is over, and would be told again");
        ring(&[late, fine], &mut told);
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn the_figure_of_a_kind_is_its_first_end() {
        let all =
            [expiry(Ending::Server, 5, Urgency::Fine), expiry(Ending::Server, 3, Urgency::Due), expiry(Ending::Root, 9, Urgency::Fine)];
        let hours = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        assert_eq!(first_of_each(&all), BTreeMap::from([(Ending::Server, hours(3)), (Ending::Root, hours(9))]));
    }
}
