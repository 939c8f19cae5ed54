//! What is behind, and what is over.

use pki::{BundleFault, Purpose, verify};

use super::*;
use crate::{GRACE, Refused};

fn lists(lists: Vec<Vec<u8>>) -> Update {
    Update::RevocationLists { lists }
}

#[test]
fn n29_a_list_that_was_old_when_the_bundle_was_made_is_refused_though_none_newer_is_held() {
    let world = World::new();
    assert!(world.begin(7, 7).is_ok() && world.begin(8, 7).is_ok());
    assert!(matches!(world.begin(6, 7), Err(Refused::Behind { number: 6, wanted: 7, .. })));

    // A CA that a new bundle brings, and its first list that somebody plays back: none of it is held yet.
    let mut holdings = world.begin(7, 7).unwrap();
    let (issuing, ca) = world.other_issuing();
    let document = world.bundle(Some(holdings.held_bundle()), vec![world.issuing(), issuing], 7, start());
    holdings.take(&Update::Bundle { document }, start()).unwrap();
    let list = |number| lists(vec![ca.revocation_list(&[], number, start()).unwrap()]);
    assert!(matches!(holdings.take(&list(3), start()), Err(Refused::Behind { number: 3, wanted: 7, .. })));
    assert!(holdings.is_stale(start()), "it is missing still");
    assert!(holdings.take(&list(7), start()).unwrap().trust);
    assert!(!holdings.is_stale(start()));
}

#[test]
fn a_list_that_is_held_stays_when_a_bundle_says_that_there_is_a_newer_one_and_that_one_is_asked_for() {
    let world = World::new();
    let mut holdings = world.begin(7, 7).unwrap();
    let document = world.bundle(Some(holdings.held_bundle()), vec![world.issuing()], 9, start());
    holdings.take(&Update::Bundle { document }, start()).unwrap();
    assert_eq!(holdings.lists().iter().map(pki::RevocationList::number).collect::<Vec<_>>(), [7, 7]);
    assert!(holdings.is_stale(start()));
    holdings.take(&lists(world.lists(9, start())), start()).unwrap();
    assert!(!holdings.is_stale(start()));
}

#[test]
fn n31_what_has_run_out_is_asked_for_before_it_is_believed_no_more() {
    let world = World::new();
    let holdings = world.begin(1, 1).unwrap();
    let until = start() + pki::REVOCATION_LIST_VALIDITY;
    assert!(!holdings.is_stale(until));
    let late = until + Duration::from_secs(1);
    assert!(holdings.is_stale(late));
    let key = Key::generate().unwrap();
    let server = pki::ServerNames { server: fqdn("sip.a.test"), aliases: vec![], domains: vec![] };
    let chain = world.ca.issue_server(&server, &key.public(), start()).unwrap().chain;
    let believed = |at| verify(&chain, &holdings.bundle().anchors().unwrap(), &holdings.revocation(), Purpose::Server, at).is_ok();
    assert!(believed(late) && !believed(late + GRACE));
}

#[test]
fn n29_after_the_end_of_the_bundle_nobody_is_believed_until_there_is_a_newer_one() {
    let world = World::new();
    let mut holdings = world.begin(1, 1).unwrap();
    let end = start() + BUNDLE_LIFE + GRACE;
    assert_eq!(holdings.policy(end).unwrap().issuing.len(), 1);
    let over = end + Duration::from_secs(1);
    assert!(holdings.policy(over).unwrap().issuing.is_empty());
    // It is missed long before.
    holdings.take(&lists(world.lists(2, start() + BUNDLE_LIFE)), start() + BUNDLE_LIFE).unwrap();
    assert!(holdings.is_stale(start() + BUNDLE_LIFE + Duration::from_secs(1)) && !holdings.is_stale(start() + BUNDLE_LIFE));
    // The one that ended is no help; the next one is, by the roots that are held.
    let again = Update::Bundle { document: holdings.bundle_text().text.clone() };
    assert!(matches!(holdings.take(&again, over), Err(Refused::Bundle(BundleFault::Expired { .. }))));
    holdings.take(&lists(world.lists(3, over)), over).unwrap();
    let document = world.bundle(Some(holdings.held_bundle()), vec![world.issuing()], 3, over);
    holdings.take(&Update::Bundle { document }, over).unwrap();
    assert_eq!(holdings.policy(over).unwrap().issuing.len(), 1);
    assert!(!holdings.is_stale(over));
}

#[test]
fn a_copy_shares_what_did_not_change() {
    let world = World::new();
    let mut holdings = world.begin(1, 1).unwrap();
    let before = holdings.clone();
    holdings.take(&users(1, false, &["anna".into()], &[]), start()).unwrap();
    assert!(std::ptr::eq(before.bundle(), holdings.bundle()) && std::ptr::eq(before.topology_text(), holdings.topology_text()));
    assert_eq!((names(&before), names(&holdings)), (vec![], vec!["anna".to_owned()]), "and the copy is as it was");
}
