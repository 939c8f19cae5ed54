//! A change of what is believed reaches the connections that are open (rows N5, N15, N31).
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime},
};

use net::{Limits, Rejudged};
use support::{Phone, Running, Said, request};
use tokio::{
    io::AsyncWriteExt,
    sync::oneshot,
    task::{JoinHandle, block_in_place},
    time::sleep,
};

async fn start() -> Running {
    // Nothing is noticed by itself here: each test says when.
    Running::network(Limits { rejudge_seconds_max: 3_600, ..Limits::DEFAULT }).await
}

#[tokio::test]
async fn n5_a_revoked_server_is_told_goodbye_at_once_and_the_others_go_on() {
    let server = start().await;
    let stolen = server.pki.server("fe1.verbund.test");
    let (mut cut, mut same_name) = (server.link(&stolen).await, server.link(&server.pki.server("fe1.verbund.test")).await);
    let (mut other, mut phone) = (server.link(&server.pki.server("fe2.verbund.test")).await, server.phone().await);
    for one in [&mut cut, &mut same_name, &mut other, &mut phone] {
        one.check_alive().await;
    }
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 3, cut: 0 }, "nothing has changed");
    server.pki.revoke(&stolen);
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 3, cut: 1 });
    assert_eq!(server.log.closed(), 1, "the core knows it before the order is done");
    assert_eq!(server.handle.connections().await.len(), 3);
    let record = &server.handle.decisions(1)[0];
    assert_eq!((record.label, record.contact.tls.is_some()), ("revoked", true), "{record:?}");
    cut.expect_farewell().await;
    for one in [&mut same_name, &mut other, &mut phone] {
        one.check_alive().await;
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.log.closed(), 1, "and it is told once");
}

#[tokio::test]
async fn n15_a_server_taken_off_the_list_is_cut_and_may_come_back_when_it_is_listed_again() {
    let server = start().await;
    let holder = server.pki.server("fe3.verbund.test");
    let mut link = server.link(&holder).await;
    link.check_alive().await;
    server.pki.delist(&["fe3.verbund.test"]);
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 1, cut: 1 });
    link.expect_farewell().await;
    assert_eq!(server.labels()[0], "not_in_topology");
    server.pki.delist(&[]);
    server.link(&holder).await.check_alive().await;
}

#[tokio::test]
async fn n28_a_user_whose_certificate_is_revoked_is_cut_and_a_user_with_a_password_is_not() {
    let server = start().await;
    let stolen = server.pki.user("alice");
    let mut alice = Phone::connect(server.address, server.pki.client_with(&stolen)).await.unwrap();
    let mut bob = Phone::connect(server.address, server.pki.client_of("bob")).await.unwrap();
    let mut carol = server.phone().await;
    for phone in [&mut alice, &mut bob, &mut carol] {
        phone.check_alive().await;
    }
    server.pki.revoke(&stolen);
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 2, cut: 1 });
    alice.expect_farewell().await;
    bob.check_alive().await;
    carol.check_alive().await;
}

#[tokio::test]
async fn n31_connections_of_peers_nobody_can_answer_for_any_more_are_cut_and_phones_without_certificate_stay() {
    let server = start().await;
    let mut link = server.link(&server.pki.server("fe1.verbund.test")).await;
    let mut phone = server.phone().await;
    link.check_alive().await;
    phone.check_alive().await;
    // Past the next update of the lists, before the end of the certificate.
    server.pki.clock.go_forward(Duration::from_hours(24 * 5));
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 1, cut: 1 });
    assert_eq!(server.labels()[0], "stale_revocation_list");
    link.expect_farewell().await;
    phone.check_alive().await;
}

#[tokio::test]
async fn n3_a_certificate_that_ends_while_it_is_connected_is_noticed_without_being_told() {
    let server = Running::network(Limits { rejudge_seconds_max: 1, ..Limits::DEFAULT }).await;
    let week = pki::SERVER_VALIDITY;
    let ending = server.pki.server_since("fe1.verbund.test", SystemTime::now() - week + Duration::from_hours(1));
    let (mut ends, mut stays) = (server.link(&ending).await, server.link(&server.pki.server("fe2.verbund.test")).await);
    ends.check_alive().await;
    server.pki.clock.go_forward(Duration::from_hours(2));
    ends.expect_farewell().await;
    assert_eq!(server.labels()[0], "expired");
    stays.check_alive().await;
}

#[tokio::test]
async fn n15_a_change_of_policy_that_nobody_told_is_noticed() {
    let server = Running::network(Limits { rejudge_seconds_max: 1, ..Limits::DEFAULT }).await;
    let mut link = server.link(&server.pki.server("fe1.verbund.test")).await;
    link.check_alive().await;
    server.pki.delist(&["fe1.verbund.test"]);
    link.expect_farewell().await;
}

/// The core of a server, standing still until told to go on.
struct Standstill {
    go_on: mpsc::Sender<()>,
    over: JoinHandle<Option<()>>,
}

impl Standstill {
    async fn of(server: &Running) -> Self {
        let (go_on, wait) = mpsc::channel();
        let (begin, begun) = oneshot::channel();
        let handle = server.handle.clone();
        let stand = move || {
            begin.send(()).unwrap();
            wait.recv().unwrap();
        };
        let over = tokio::spawn(async move { handle.with(move |_, _| block_in_place(stand)).await });
        begun.await.unwrap();
        Self { go_on, over }
    }

    async fn end(self) {
        self.go_on.send(()).unwrap();
        self.over.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n5_what_a_cut_server_said_and_nobody_had_heard_is_not_heard() {
    let server = start().await;
    let stolen = server.pki.server("fe1.verbund.test");
    let (mut link, mut other) = (server.link(&stolen).await, server.link(&server.pki.server("fe2.verbund.test")).await);
    link.check_alive().await;
    other.check_alive().await;
    let standstill = Standstill::of(&server).await;
    server.pki.revoke(&stolen);
    let rejudged = tokio::spawn({
        let handle = server.handle.clone();
        async move { handle.rejudge().await }
    });
    sleep(Duration::from_millis(100)).await;
    link.send(request("bob", 2)).await;
    other.send(request("bert", 2)).await;
    sleep(Duration::from_millis(100)).await;
    standstill.end().await;
    assert_eq!(rejudged.await.unwrap(), Rejudged { judged: 2, cut: 1 });
    assert_eq!(other.status().await, 200);
    // What waits when the order comes may be worked off before it, in the same turn; what is said after it is not.
    let said = |user: &'static str| server.log.count(move |said| matches!(said, Said::Message(_, uri) if uri.contains(user)));
    let before = said("bob");
    let _ = link.stream.write_all(request("bob", 3).as_bytes()).await;
    link.expect_end().await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!((said("bob"), said("bert")), (before, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n5_a_verdict_by_the_old_policy_does_not_count_when_the_connection_enters_after_the_new_one() {
    let server = start().await;
    let stolen = server.pki.server("fe1.verbund.test");
    let standstill = Standstill::of(&server).await;
    // It is judged while the core stands still: accepted, and waiting to enter.
    let mut link = server.link(&stolen).await;
    while server.labels().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((server.labels(), server.log.connected()), (vec!["accepted"], 0), "not in yet");
    server.pki.revoke(&stolen);
    let rejudged = tokio::spawn({
        let handle = server.handle.clone();
        async move { handle.rejudge().await }
    });
    sleep(Duration::from_millis(50)).await;
    standstill.end().await;
    assert_eq!(rejudged.await.unwrap(), Rejudged::default(), "the order finds nobody to cut");
    link.expect_end().await;
    assert_eq!(server.labels(), ["revoked", "accepted"]);
    assert_eq!((server.log.connected(), server.handle.connections().await.len()), (0, 0), "the core never heard of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n5_nobody_slips_in_between_a_change_and_the_end_of_rejudging() {
    let server = start().await;
    let stolen = Arc::new(server.pki.server("fe1.verbund.test"));
    let over = Arc::new(AtomicBool::new(false));
    let rush: Vec<_> = (0..16)
        .map(|_| {
            let (address, config, over) = (server.servers, server.pki.client_with(&stolen), Arc::clone(&over));
            tokio::spawn(async move {
                let mut held = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    held.extend(Phone::connect(address, config.clone()).await);
                }
                held.len()
            })
        })
        .collect();
    server.log.until("the rush has begun", |log| log.connected() > 50).await;
    server.pki.revoke(&stolen);
    server.handle.rejudge().await;
    // Whoever was judged before and had not entered is met at the door.
    for _ in 0..20 {
        assert_eq!(server.handle.connections().await, []);
        sleep(Duration::from_millis(10)).await;
    }
    let connected = server.log.connected();
    over.store(true, Ordering::Relaxed);
    for rushed in rush {
        rushed.await.unwrap();
    }
    assert_eq!(server.log.connected(), connected, "nobody came in since");
    assert_eq!(server.log.closed(), connected, "each was told once");
}
