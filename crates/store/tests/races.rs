//! Many at once: one wins where one may, and nobody's link is lost.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki::{Fqdn, Serial};
use store::{
    Asked, AuditLog, Bundles, Embedded, Enrolments, Error, Event, IssuanceLedger, Issued, Reason, Role, Ticket, TicketEnd, TopologyStore,
    Verdict, Version,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const RACERS: usize = 64;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn on_disk() -> (tempfile::TempDir, Embedded) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::create(&directory.path().join("state.sqlite")).unwrap();
    (directory, store)
}

/// Lets all racers go at the same moment.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(store: &Embedded, run: impl Fn(Embedded, usize) -> F) -> Vec<T> {
    let start = Arc::new(Barrier::new(RACERS));
    let mut all = JoinSet::new();
    for n in 0..RACERS {
        let (start, run) = (start.clone(), run(store.clone(), n));
        all.spawn(async move {
            start.wait().await;
            run.await
        });
    }
    all.join_all().await
}

async fn is_whole(store: &Embedded) -> u64 {
    match store.verify(&[]).await.unwrap() {
        Verdict::Intact { head, .. } => head.map_or(0, |head| head.number),
        Verdict::Broken(broken) => panic!("{broken}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n33_of_many_who_burn_one_ticket_exactly_one_wins() {
    let (_directory, store) = on_disk();
    let ticket = Ticket::generate(Fqdn::parse("fe2.verbund.test").unwrap(), at(100)).unwrap();
    store.open_enrolment(&ticket, at(1)).await.unwrap();
    let kid = ticket.kid.clone();
    let outcomes = race(&store, move |store, _| {
        let kid = kid.clone();
        async move { store.burn(&kid, at(2)).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
    assert!(lost.into_iter().all(|lost| matches!(lost, Err(Error::TicketSpent { why: TicketEnd::Burnt, .. }))));
    assert_eq!(is_whole(&store).await, 2, "opened once, burnt once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_append_make_one_unbroken_chain() {
    let (_directory, store) = on_disk();
    let links = race(&store, |store, n| async move {
        store.append(&Event::MemberJoined { server: format!("fe{n}.verbund.test") }, at(1)).await.unwrap()
    })
    .await;
    let mut numbers: Vec<_> = links.iter().map(|link| link.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=RACERS as u64).collect::<Vec<_>>());
    assert_eq!(is_whole(&store).await, RACERS as u64);
    let mut answered = links;
    answered.sort_by_key(|link| link.number);
    assert_eq!(store.links(1, RACERS).await.unwrap(), answered, "each was told the link that is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_revoke_one_certificate_one_made_it_new() {
    let (_directory, store) = on_disk();
    let serial = Serial::from_be_bytes(&[1]);
    let issued = Issued {
        serial: serial.clone(),
        role: Role::Server,
        subject: String::new(),
        names: Vec::new(),
        issuer: "CN=issuing".to_owned(),
        not_before: at(1),
        not_after: at(9),
        der: vec![0x30],
        asked: Asked::default(),
    };
    store.record_issued(&issued, at(1)).await.unwrap();
    let outcomes = race(&store, move |store, _| {
        let serial = serial.clone();
        async move { store.revoke(&serial, Reason::KeyCompromise, at(2)).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_new).count(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.revision == outcomes[0].revision));
    assert_eq!(is_whole(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n29_of_many_who_publish_the_same_number_one_wins() {
    let (_directory, store) = on_disk();
    let topologies = race(&store, |store, n| async move { store.publish(&n.to_string(), None, Version(1), None, at(1)).await }).await;
    assert_eq!(topologies.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let bundles = race(&store, |store, n| async move { store.publish_bundle(&n.to_string(), 1, at(1)).await }).await;
    assert_eq!(bundles.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(is_whole(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ticket_beyond_the_limit_is_refused_however_many_ask_at_once() {
    let (_directory, store) = on_disk();
    let server = Fqdn::parse("fe2.verbund.test").unwrap();
    let outcomes = race(&store, move |store, _| {
        let ticket = Ticket::generate(server.clone(), at(100)).unwrap();
        async move { store.open_enrolment(&ticket, at(1)).await }
    })
    .await;
    let opened = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(opened, store::limits::OPEN_TICKETS_PER_SERVER_MAX);
    assert_eq!(store.open_enrolments(at(1)).await.unwrap().len(), opened);
}
