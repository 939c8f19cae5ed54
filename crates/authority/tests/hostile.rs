//! What a server that was revoked, or that is hostile, gets from the authority: nothing, and it harms nobody (rows N5, N33).

#![allow(clippy::unwrap_used)]

mod world;

use std::{
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use store::IssuanceLedger as _;
use web::{
    control::{Control as _, ControlFault, Hello, MemberListeners},
    enrolment::{Applicant, Fault},
};
use world::{World, fqdn, issue};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const FE2: &str = "fe2.a.test";

fn fe2() -> Applicant {
    Applicant::Member(fqdn(FE2))
}

#[tokio::test]
async fn n5_a_revoked_server_gets_no_certificate_by_the_one_it_had() {
    let world = World::new().await;
    let ticket = world.joined(FE2).await;
    assert!(issue(&world.authority, &fe2()).await.is_ok(), "a server in good standing renews");
    let spread = world.authority.revoke(FE2).await.unwrap();
    assert_eq!(spread.revoked.len(), 2);
    // As a request that was on its way when its sender was revoked.
    assert_eq!(issue(&world.authority, &fe2()).await, Err(Fault::MemberRevoked { member: fqdn(FE2) }));
    assert!(matches!(issue(&world.authority, &ticket).await, Err(Fault::TicketUsed { .. })));
}

#[tokio::test]
async fn n5_a_ticket_that_was_not_used_yet_goes_with_the_certificates() {
    let world = World::new().await;
    world.joined(FE2).await;
    let second = world.add(FE2).await;
    world.authority.revoke(FE2).await.unwrap();
    let ticket = Applicant::Ticket(web::enrolment::TicketId::parse(&second.kid).unwrap());
    assert_eq!(issue(&world.authority, &ticket).await, Err(Fault::TicketWithdrawn));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n5_whatever_is_issued_while_its_holder_is_revoked_is_revoked_with_it() {
    let world = World::new().await;
    world.joined(FE2).await;
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let authority = Arc::clone(&world.authority);
            tokio::spawn(async move { issue(&authority, &fe2()).await })
        })
        .collect();
    world.authority.revoke(FE2).await.unwrap();
    for asked in asking {
        // Before it or after it: either is right.
        let _ = asked.await.unwrap();
    }
    assert_eq!(standing(&world).await, 0);
}

#[tokio::test]
async fn n15_a_server_that_is_added_again_is_not_taken_for_the_one_that_was_taken_out() {
    let world = World::new().await;
    world.joined(FE2).await;
    world.authority.remove_server(&fqdn(FE2)).await.unwrap();
    assert_eq!(standing(&world).await, 0);
    assert_eq!(issue(&world.authority, &fe2()).await, Err(Fault::MemberRevoked { member: fqdn(FE2) }));
    world.joined(FE2).await;
    assert_eq!(standing(&world).await, 1);
}

/// How many certificates of the second server count.
async fn standing(world: &World) -> usize {
    world.authority.store().standing_of(FE2, SystemTime::now(), 1000).await.unwrap().len()
}

#[tokio::test]
async fn n5_nobody_has_more_certificates_than_a_revocation_finds() {
    let world = World::new().await;
    world.joined(FE2).await;
    let mut refused = None;
    for _ in 0..200 {
        refused = issue(&world.authority, &fe2()).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert!(matches!(refused, Some(Fault::TooMany { .. })), "{refused:?}");
    assert_eq!(standing(&world).await, 100);
    world.authority.revoke(FE2).await.unwrap();
    assert_eq!(standing(&world).await, 0);
    // What was revoked takes nobody's room.
    world.joined(FE2).await;
}

#[tokio::test]
async fn a_server_that_moves_all_the_time_does_not_flood_everybody_with_topologies() {
    let world = World::new().await;
    world.joined(FE2).await;
    let hello = |port: u16| {
        let hello = Hello { version: "1".into(), listeners: listeners(port) };
        Arc::clone(&world.authority).hello(fqdn(FE2), hello)
    };
    hello(20_001).await.unwrap();
    let version = || world.authority.member().holdings().topology().version();
    let joined = version();
    hello(20_001).await.unwrap();
    assert!(matches!(hello(20_010).await, Err(ControlFault::Unavailable(_))));
    assert_eq!(version(), joined);
}

/// As one who says hello and resets the stream at once, at every step of what that begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_up_in_the_middle_leaves_nothing_half_published() {
    let world = World::new().await;
    for steps in 1..12_u16 {
        let name = fqdn(&format!("h{steps}.a.test"));
        world.joined(name.as_str()).await;
        let hello = Hello { version: "1".into(), listeners: listeners(21_000 + steps * 8) };
        let hello = Arc::clone(&world.authority).hello(name.clone(), hello);
        hang_up_after(steps, hello).await;
        let whole = async {
            while !is_published_as_joined(&world, &name).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, whole).await.is_ok(), "half published after {steps} steps");
    }
    world.joined("fe3.a.test").await;
}

/// Whether what is stored is what is in force, and lists the server as one that has joined.
async fn is_published_as_joined(world: &World, name: &pki::Fqdn) -> bool {
    let topology = Arc::clone(world.authority.member().holdings().topology());
    let stored = world.authority.topology(None).await.unwrap().unwrap().version.0;
    topology.version() == stored && topology.server(name).is_some_and(|server| !server.is_expected())
}

/// Polls a future so many times at the most, then drops it.
async fn hang_up_after(steps: u16, future: impl Future) {
    let mut future = std::pin::pin!(future);
    let mut left = steps;
    std::future::poll_fn(|context| {
        left -= 1;
        if future.as_mut().poll(context).is_ready() || left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn n5_nobody_waits_for_a_server_that_was_cut_off_until_it_joins_anew() {
    let world = World::new().await;
    world.joined(FE2).await;
    let hello = Hello { version: "1".into(), listeners: listeners(22_001) };
    Arc::clone(&world.authority).hello(fqdn(FE2), hello).await.unwrap();
    let known = async || world.authority.known().await.unwrap().into_iter().find(|known| known.name == fqdn(FE2)).unwrap();
    let publish = async || {
        let text = world.authority.topology(None).await.unwrap().unwrap().document;
        let version = world.authority.member().holdings().topology().version();
        let next = text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1));
        world.authority.publish(&next).await.unwrap()
    };
    assert_eq!((publish().await.missing, known().await.is_revoked), (vec![fqdn(FE2)], false), "a silent member is waited for");
    let serial = world.authority.store().standing_of(FE2, SystemTime::now(), 10).await.unwrap()[0].serial.to_string();
    // By the number of its only certificate, which says nothing of whose that is.
    let spread = world.authority.revoke(&serial).await.unwrap();
    assert_eq!((spread.members, spread.missing), (1, vec![]));
    let spread = publish().await;
    assert_eq!((spread.members, spread.acknowledged, spread.missing), (1, 1, vec![]));
    assert!(known().await.is_revoked);
    let ticket = world.add(FE2).await;
    assert_eq!((publish().await.members, known().await.is_revoked), (1, true), "a ticket alone is no server");
    world.fetch(&ticket).await;
    let elsewhere = Hello { version: "1".into(), listeners: listeners(22_101) };
    Arc::clone(&world.authority).hello(fqdn(FE2), elsewhere).await.unwrap();
    assert_eq!((publish().await.missing, known().await.is_revoked), (vec![fqdn(FE2)], false));
}

/// Where a server says that it listens.
fn listeners(port: u16) -> MemberListeners {
    let [sip, servers, https] = [0, 1, 2].map(|nth| Some(([127, 0, 0, 1], port + nth).into()));
    MemberListeners { sip, servers, https }
}
