//! Everything above left its event, each in its place.

use store::{Head, limits};

use super::*;

pub(crate) async fn battery<S: AuditLog + Directory + IssuanceLedger>(store: &S) {
    every_change_left_an_event(store).await;
    what_was_refused_left_none(store).await;
    links_are_read_in_order_and_in_parts(store).await;
    a_signed_head_must_be_in_the_chain(store).await;
    the_chain_is_whole(store).await;
}

fn names(links: &[store::Link]) -> Vec<String> {
    let name = |link: &store::Link| serde_json::from_str::<serde_json::Value>(&link.event).unwrap()["event"].as_str().unwrap().to_owned();
    links.iter().map(name).collect()
}

async fn every_change_left_an_event(store: &impl AuditLog) {
    let links = store.links(1, 10_000).await.unwrap();
    let mut kinds = names(&links);
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "account-key-replaced",
            "account-opened",
            "accounts-deactivated",
            "bundle-published",
            "credential-replaced",
            "enrolment-burnt",
            "enrolment-opened",
            "enrolments-voided",
            "issued",
            "revocation-list-published",
            "revoked",
            "topology-published",
            "topology-signed",
            "user-added",
            "user-moved",
            "user-removed",
        ]
    );
    let added = names(&links).iter().filter(|name| *name == "user-added").count();
    let refused_are_not_counted = 6;
    assert_eq!(added, refused_are_not_counted);
}

async fn what_was_refused_left_none<S: AuditLog + Directory>(store: &S) {
    let before = store.head().await.unwrap().unwrap();
    assert!(store.add_user(&aor("alice"), &credential("alice", "x"), None, at(1)).await.is_err());
    assert!(store.remove_user(&aor("nobody"), at(1)).await.is_err());
    let large = Event::AdminAction { action: "x".to_owned(), detail: "x".repeat(limits::EVENT_BYTES_MAX) };
    assert!(matches!(store.append(&large, at(1)).await, Err(Error::TooLarge { .. })));
    assert_eq!(store.head().await.unwrap(), Some(before));
}

async fn links_are_read_in_order_and_in_parts(store: &impl AuditLog) {
    let joined = Event::MemberJoined { server: "fe2.verbund.test".to_owned() };
    let link = store.append(&joined, at(77)).await.unwrap();
    let last = store.links(link.number, 10).await.unwrap();
    assert_eq!(last, std::slice::from_ref(&link));
    assert_eq!((last[0].at, last[0].actor.as_str()), (at(77), "server"));
    assert_eq!(serde_json::from_str::<Event>(&last[0].event).unwrap(), joined);
    assert_eq!(last[0].event, r#"{"event":"member-joined","server":"fe2.verbund.test"}"#);
    assert_eq!(store.head().await.unwrap(), Some(link.head()));
    assert_eq!(store.links(2, 3).await.unwrap().iter().map(|link| link.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(store.links(link.number + 1, 10).await.unwrap().is_empty());
}

async fn a_signed_head_must_be_in_the_chain(store: &impl AuditLog) {
    let head = store.head().await.unwrap().unwrap();
    let early = store.links(3, 1).await.unwrap()[0].head();
    store.checkpoint(&early, "jws early", at(80)).await.unwrap();
    store.checkpoint(&head, "jws", at(81)).await.unwrap();
    let foreign = Head { hash: [9; 32], ..head };
    let beyond = Head { number: head.number + 1, ..head };
    for wrong in [foreign, beyond] {
        let refused = store.checkpoint(&wrong, "no", at(82)).await;
        assert!(matches!(refused, Err(Error::NotInChain(told)) if told == wrong));
    }
    let kept = store.checkpoints(10).await.unwrap();
    assert_eq!(
        kept.iter().map(|one| (one.head, one.signed.as_str(), one.at)).collect::<Vec<_>>(),
        [(head, "jws", at(81)), (early, "jws early", at(80))]
    );
}

async fn the_chain_is_whole(store: &impl AuditLog) {
    let head = store.head().await.unwrap();
    let Verdict::Intact { head: found, checkpoint } = store.verify(&[]).await.unwrap() else { panic!("broken") };
    assert_eq!(found, head);
    assert_eq!(checkpoint.map(|one| one.head), head);
}

#[tokio::test]
async fn an_empty_log_is_whole() {
    let store = Embedded::in_memory().unwrap();
    assert_eq!(store.verify(&[]).await.unwrap(), Verdict::Intact { head: None, checkpoint: None });
    assert!(store.head().await.unwrap().is_none() && store.links(1, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_log_names_who_asked() {
    let store = Embedded::in_memory().unwrap();
    store
        .acting_as(Actor::Administrator("uid 0".to_owned()))
        .add_user(&aor("alice"), &credential("alice", "a"), None, at(1))
        .await
        .unwrap();
    store.acting_as(Actor::Member(fqdn("fe2.verbund.test"))).record_issued(&issued(1, 1, 2), at(1)).await.unwrap();
    store.add_user(&aor("bob"), &credential("bob", "b"), None, at(1)).await.unwrap();
    let actors: Vec<_> = store.links(1, 10).await.unwrap().into_iter().map(|link| link.actor).collect();
    assert_eq!(actors, ["administrator uid 0", "member fe2.verbund.test", "server"]);
}

/// A golden hash: the encoding is part of the format, and outside programs may check it.
#[tokio::test]
async fn the_encoding_stays_as_it_is_documented() {
    let store = Embedded::in_memory().unwrap();
    let event = Event::MemberJoined { server: "fe2.verbund.test".to_owned() };
    let one = store.append(&event, at(1_700_000_000)).await.unwrap();
    let two = store.append(&event, at(1_700_000_001)).await.unwrap();
    assert_eq!(one.head().to_string(), "1:6a8e5d208ae9977afe843003b965150bb893440e0481956c871e38310bbdeb44");
    assert_eq!(two.head().to_string(), "2:a765dd12d4b28af8709b5c144f9480ce02fbee3b69871eb2aa1aa90b77911223");
    assert_eq!(two.head().to_string().parse::<Head>().unwrap(), two.head());
    for wrong in ["", "1", "1:", "0:", "x:00", "2:zz"] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
}
