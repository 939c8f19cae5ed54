//! The alarm when anything in the organisation was not replaced in time, and the figures of what ends next.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use metrics::gauge;

use crate::{Ending, Expiry, Urgency};

/// What was told already, so that each alarm rings once.
pub(crate) type Told = HashSet<(Ending, String, Urgency)>;

/// The figures of what ends next, and a word in the log for each thing that was not replaced in time.
pub(crate) fn ring(all: &[Expiry], told: &mut Told) {
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
    use std::time::Duration;

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
