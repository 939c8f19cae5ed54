//! A replacement of the CA is one record; the bundles that lead over it are found in order, and are few.

use store::{Bundle, Replacements, limits};

use super::*;

pub(crate) async fn battery<S: Replacements + IssuanceLedger + AuditLog>(store: &S) {
    one_record_that_is_kept_with_its_event(store).await;
    bridges_are_found_in_order_and_bounded(store).await;
    certificates_are_found_by_their_issuer(store).await;
}

fn event(phase: &str) -> Event {
    let [what, old, new, phase] = ["root", "aa", "bb", phase].map(str::to_owned);
    Event::CaReplacement { what, old, new, phase, left_behind: Vec::new() }
}

async fn one_record_that_is_kept_with_its_event(store: &(impl Replacements + AuditLog)) {
    assert_eq!(store.replacement().await.unwrap(), None);
    store.keep_replacement(Some("one"), &event("staged"), at(40)).await.unwrap();
    store.keep_replacement(Some("two"), &event("renewing"), at(41)).await.unwrap();
    assert_eq!(store.replacement().await.unwrap().as_deref(), Some("two"));
    let huge = "x".repeat(limits::REPLACEMENT_BYTES_MAX + 1);
    assert!(matches!(store.keep_replacement(Some(&huge), &event("no"), at(42)).await, Err(Error::TooLarge { .. })));
    assert_eq!(store.replacement().await.unwrap().as_deref(), Some("two"));
    store.keep_replacement(None, &event("done"), at(43)).await.unwrap();
    assert_eq!(store.replacement().await.unwrap(), None);
    let head = store.head().await.unwrap().unwrap();
    let newest = store.links(head.number - 2, 3).await.unwrap();
    let events: Vec<Event> = newest.iter().map(|link| serde_json::from_str(&link.event).unwrap()).collect();
    assert_eq!(events, [event("staged"), event("renewing"), event("done")]);
}

async fn bridges_are_found_in_order_and_bounded(store: &impl Replacements) {
    let bridge = |sequence: u64| Bundle { sequence, signed: format!("bundle {sequence}"), published_at: at(sequence) };
    assert_eq!(store.bridge_after(0).await.unwrap(), None);
    for sequence in [9, 3] {
        store.keep_bridge(&bridge(sequence)).await.unwrap();
    }
    for (held, found) in [(0, Some(3)), (3, Some(9)), (8, Some(9)), (9, None), (u64::MAX, None)] {
        assert_eq!(store.bridge_after(held).await.unwrap().map(|found| found.sequence), found, "{held}");
    }
    for sequence in 10..10 + limits::BRIDGES_MAX as u64 {
        store.keep_bridge(&bridge(sequence)).await.unwrap();
    }
    assert_eq!(store.bridge_after(0).await.unwrap(), Some(bridge(10)), "the oldest have made room");
}

async fn certificates_are_found_by_their_issuer(store: &impl IssuanceLedger) {
    let below = |number, not_after| Issued { issuer: "CN=other".to_owned(), ..issued(number, 100, not_after) };
    for (number, not_after) in [(0x61, 300), (0x62, 200), (0x63, 400)] {
        store.record_issued(&below(number, not_after), at(100)).await.unwrap();
    }
    let ca = Issued { role: Role::Issuing, ..below(0x64, 250) };
    store.record_issued(&ca, at(100)).await.unwrap();
    store.revoke(&Serial::from_be_bytes(&[0x63]), Reason::Superseded, at(101)).await.unwrap();
    assert_eq!(serials(&store.standing_below("CN=other", at(201), 10).await.unwrap()), ["64", "61"], "neither ended nor revoked");
    assert_eq!(serials(&store.standing_below("CN=other", at(101), 1).await.unwrap()), ["62"]);
    assert_eq!(store.last_end_below("CN=other").await.unwrap(), Some(at(400)), "also a revoked one");
    assert_eq!(store.last_end_below("CN=nobody").await.unwrap(), None);
    assert!(store.authorities().await.unwrap().contains(&ca));
}
