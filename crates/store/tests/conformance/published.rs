//! What is published and held goes forward only; what members report is kept as they said it.

use std::collections::BTreeMap;

use store::{HeldDocument, HeldKind, Report, RevocationList, limits};
use zeroize::Zeroizing;

use super::*;

pub(crate) async fn battery<S: TopologyStore + Bundles + RevocationListStore + Members + Held>(store: &S) {
    topologies_keep_their_signature_and_history(store).await;
    as_many_topologies_are_kept_as_there_is_a_limit(store).await;
    n29_bundles_go_forward_only(store).await;
    n29_revocation_lists_go_forward_only_each_by_itself(store).await;
    n29_held_documents_go_forward_only(store).await;
    documents_that_belong_together_are_held_together_or_not_at_all(store).await;
    held_documents_are_bounded(store).await;
    reports_replace_each_other(store).await;
}

/// Follows `topologies_go_forward_only`: versions 1 and 5 are there.
async fn topologies_keep_their_signature_and_history(store: &impl TopologyStore) {
    assert_eq!(store.at(Version(1)).await.unwrap().unwrap().signed, None);
    assert_eq!(store.at(Version(2)).await.unwrap(), None);
    store.publish("six", Some("jws six"), Version(6), Some(Version(5)), at(6)).await.unwrap();
    assert_eq!(store.current().await.unwrap().unwrap().signed.as_deref(), Some("jws six"));
    store.sign_again("jws six, longer", Version(6), at(7)).await.unwrap();
    let six = store.at(Version(6)).await.unwrap().unwrap();
    assert_eq!((six.document.as_str(), six.signed.as_deref(), six.published_at), ("six", Some("jws six, longer"), at(6)));
    let old = store.sign_again("no", Version(5), at(8)).await;
    assert!(matches!(old, Err(Error::Conflict { offered: Version(5), found: Some(Version(6)) })));
    let versions = |found: Vec<store::Published>| found.iter().map(|one| one.version.0).collect::<Vec<_>>();
    assert_eq!(versions(store.history(10).await.unwrap()), [6, 5, 1]);
    assert_eq!(versions(store.history(2).await.unwrap()), [6, 5]);
}

/// A server that moves is a version each time.
async fn as_many_topologies_are_kept_as_there_is_a_limit(store: &impl TopologyStore) {
    let last = 6 + limits::TOPOLOGIES_KEPT_MAX as u64;
    for version in 7..=last {
        store.publish("moved", None, Version(version), Some(Version(version - 1)), at(9)).await.unwrap();
    }
    assert_eq!(store.history(usize::MAX).await.unwrap().len(), limits::TOPOLOGIES_KEPT_MAX);
    assert!(store.at(Version(6)).await.unwrap().is_none() && store.at(Version(7)).await.unwrap().is_some());
    assert_eq!(store.current().await.unwrap().unwrap().version, Version(last));
}

async fn n29_bundles_go_forward_only(store: &impl Bundles) {
    assert_eq!(store.bundle().await.unwrap(), None);
    store.publish_bundle("seven", 7, at(1)).await.unwrap();
    for sequence in [0, 6, 7] {
        let refused = store.publish_bundle("no", sequence, at(2)).await;
        assert!(matches!(refused, Err(Error::NotNewer { found: 7, .. })), "{sequence}");
    }
    store.publish_bundle("nine", 9, at(3)).await.unwrap();
    let bundle = store.bundle().await.unwrap().unwrap();
    assert_eq!((bundle.sequence, bundle.signed.as_str(), bundle.published_at), (9, "nine", at(3)));
}

fn list(issuer: char, number: u64) -> RevocationList {
    let issuer = issuer.to_string().repeat(64);
    RevocationList { issuer, number, der: vec![0x30, number as u8], this_update: at(10), next_update: at(20) }
}

async fn n29_revocation_lists_go_forward_only_each_by_itself(store: &impl RevocationListStore) {
    assert!(store.lists().await.unwrap().is_empty());
    store.publish_list(&list('b', 3), at(10)).await.unwrap();
    store.publish_list(&list('a', 1), at(10)).await.unwrap();
    for number in [1, 3] {
        let refused = store.publish_list(&list('b', number), at(11)).await;
        assert!(matches!(refused, Err(Error::NotNewer { found: 3, .. })), "{number}");
    }
    store.publish_list(&list('b', 4), at(11)).await.unwrap();
    assert_eq!(store.lists().await.unwrap(), [list('a', 1), list('b', 4)]);
    assert_eq!(store.list(&"b".repeat(64)).await.unwrap(), Some(list('b', 4)));
    assert_eq!(store.list(&"c".repeat(64)).await.unwrap(), None);
    let nameless = RevocationList { issuer: "b4".to_owned(), ..list('b', 9) };
    assert!(store.publish_list(&nameless, at(12)).await.is_err());
}

async fn n29_held_documents_go_forward_only(store: &impl Held) {
    assert_eq!(store.held(HeldKind::Topology, "").await.unwrap(), None);
    store.hold(HeldKind::Topology, "", 3, b"three", at(1)).await.unwrap();
    let older = store.hold(HeldKind::Topology, "", 2, b"two", at(2)).await;
    assert!(matches!(older, Err(Error::NotNewer { offered: 2, found: 3, .. })));
    store.hold(HeldKind::Topology, "", 3, b"three, signed again", at(3)).await.unwrap();
    let held = store.held(HeldKind::Topology, "").await.unwrap().unwrap();
    assert_eq!((held.number, held.content.as_slice(), held.held_at), (3, &b"three, signed again"[..], at(3)));
    for kind in HeldKind::ALL {
        store.hold(kind, "x", 1, kind.as_str().as_bytes(), at(4)).await.unwrap();
    }
    for kind in HeldKind::ALL {
        let last = store.all_held(kind).await.unwrap().pop().unwrap();
        assert_eq!((last.key.as_str(), last.content.as_slice()), ("x", kind.as_str().as_bytes()));
    }
    assert_eq!(store.all_held(HeldKind::Topology).await.unwrap().len(), 2);
    // A directory bears no signature, and an authority that was restored counts anew.
    store.hold(HeldKind::Directory, "x", 0, b"restored", at(5)).await.unwrap();
}

fn document(key: &str, number: u64) -> HeldDocument {
    HeldDocument { key: key.into(), number, content: Zeroizing::new(key.as_bytes().to_vec()), held_at: at(6) }
}

async fn documents_that_belong_together_are_held_together_or_not_at_all(store: &impl Held) {
    let kinds = |wanted: HeldKind| async move {
        store.all_held(wanted).await.unwrap().into_iter().map(|held| (held.key, held.number)).collect::<Vec<_>>()
    };
    let before = (kinds(HeldKind::Bundle).await, kinds(HeldKind::RevocationList).await, kinds(HeldKind::Topology).await);
    // The last one is older than what is held, so nothing is taken and nothing goes.
    let all = [(HeldKind::Bundle, document("b", 7)), (HeldKind::RevocationList, document("one", 1)), (HeldKind::Topology, document("", 2))];
    let only = [HeldKind::Bundle, HeldKind::RevocationList];
    assert!(matches!(store.hold_together(all.to_vec(), &only).await, Err(Error::NotNewer { offered: 2, found: 3, .. })));
    assert_eq!((kinds(HeldKind::Bundle).await, kinds(HeldKind::RevocationList).await, kinds(HeldKind::Topology).await), before);
    store.hold_together(all[..2].to_vec(), &only).await.unwrap();
    assert_eq!(kinds(HeldKind::Bundle).await, [("b".to_owned(), 7)]);
    assert_eq!(kinds(HeldKind::RevocationList).await, [("one".to_owned(), 1)]);
    assert_eq!(kinds(HeldKind::Topology).await, before.2, "of a kind that is not named nothing goes");
    store.hold_together(vec![(HeldKind::RevocationList, document("x", 1))], &[HeldKind::RevocationList]).await.unwrap();
}

async fn held_documents_are_bounded(store: &impl Held) {
    for n in 1..limits::HELD_PER_KIND_MAX {
        store.hold(HeldKind::RevocationList, &format!("{n:064x}"), 1, b"crl", at(1)).await.unwrap();
    }
    assert!(matches!(store.hold(HeldKind::RevocationList, "one more", 1, b"crl", at(1)).await, Err(Error::Full { .. })));
    store.hold(HeldKind::RevocationList, "x", 2, b"one that is there may be replaced", at(1)).await.unwrap();
    let key = "k".repeat(limits::HELD_KEY_BYTES_MAX + 1);
    assert!(matches!(store.hold(HeldKind::Bundle, &key, 1, b"", at(1)).await, Err(Error::TooLarge { .. })));
    let huge = vec![0; limits::DOCUMENT_BYTES_MAX + 1];
    assert!(matches!(store.hold(HeldKind::Bundle, "", 1, &huge, at(1)).await, Err(Error::TooLarge { .. })));
}

async fn reports_replace_each_other(store: &impl Members) {
    assert!(store.members().await.unwrap().is_empty());
    let lists = BTreeMap::from([("a".repeat(64), 4), ("b".repeat(64), u64::from(u32::MAX))]);
    let listeners =
        BTreeMap::from([("sip".to_owned(), "127.0.0.1:5061".parse().unwrap()), ("servers".to_owned(), "[::1]:5062".parse().unwrap())]);
    let first = Report {
        server: fqdn("fe2.verbund.test"),
        topology: Some(Version(3)),
        bundle: Some(9),
        lists,
        software: "0.1.0".to_owned(),
        listeners,
        seen_at: at(50),
    };
    let newcomer = Report {
        server: fqdn("fe1.verbund.test"),
        topology: None,
        bundle: None,
        lists: BTreeMap::new(),
        software: String::new(),
        listeners: BTreeMap::new(),
        seen_at: at(51),
    };
    store.report(&first).await.unwrap();
    store.report(&newcomer).await.unwrap();
    assert_eq!(store.members().await.unwrap(), [newcomer.clone(), first.clone()]);
    let later = Report { topology: Some(Version(4)), seen_at: at(60), ..first };
    store.report(&later).await.unwrap();
    assert_eq!(store.members().await.unwrap(), [newcomer.clone(), later.clone()]);
    let talkative = Report { software: "x".repeat(limits::REPORT_BYTES_MAX), ..later.clone() };
    assert!(matches!(store.report(&talkative).await, Err(Error::TooLarge { .. })));
    store.forget_member(&newcomer.server).await.unwrap();
    store.forget_member(&newcomer.server).await.unwrap();
    assert_eq!(store.members().await.unwrap(), [later]);
}
