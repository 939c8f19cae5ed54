//! What a server that was revoked, or that is hostile, gets from the authority: nothing, and it harms nobody (rows N5, N33).

#![allow(clippy::unwrap_used)]

mod world;

use std::{
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pki::{CertificateDer, Key};
use store::IssuanceLedger as _;
use web::{
    control::{Control as _, ControlFault, InForce, ListInForce, MemberListeners},
    enrolment::{self, Applicant, Fault, Revoker, TicketId},
    jose::AccountKey,
};
use world::{World, fqdn, hello, issue, issue_for, listeners};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
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
    // As many as a server gets in days.
    for _ in 1..100 {
        world.issued_before(FE2, 2 * DAY).await;
    }
    assert!(matches!(issue(&world.authority, &fe2()).await, Err(Fault::TooMany { .. })));
    assert_eq!(standing(&world).await, 100);
    world.authority.revoke(FE2).await.unwrap();
    assert_eq!(standing(&world).await, 0);
    // What was revoked takes nobody's room.
    world.joined(FE2).await;
}

/// Asks until that is too much; how many certificates there were, and how long to wait.
async fn exhaust(world: &World) -> (usize, Duration) {
    for count in 0..1000 {
        match issue(&world.authority, &fe2()).await {
            Ok(_) => {}
            Err(Fault::TooMany { wait }) => return (count, wait),
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("nothing is too much")
}

#[tokio::test]
async fn a_server_gets_only_so_many_certificates_a_day_whatever_became_of_them() {
    let world = World::new().await;
    world.joined(FE2).await;
    for _ in 0..30 {
        world.issued_before(FE2, Duration::from_secs(23 * 60 * 60)).await;
    }
    // The day before is over.
    world.issued_before(FE2, DAY + MINUTE).await;
    let (count, wait) = exhaust(&world).await;
    assert_eq!(count, 48 - 30 - 1);
    assert!((MINUTE..=DAY / 24).contains(&wait), "{wait:?}");
    world.authority.revoke(FE2).await.unwrap();
    assert!(issue(&world.authority, &fe2()).await.is_err());
    // An administrator's word is a new beginning: the server was made anew.
    world.joined(FE2).await;
    assert!(matches!(issue(&world.authority, &fe2()).await, Err(Fault::TooMany { .. })), "it is no beginning by its own certificate");
}

/// Gives a certificate up, as the holder of its key does.
async fn give_up(world: &World, chain: &[CertificateDer<'static>], reason: u8) -> Result<(), Fault> {
    enrolment::Enrolment::revoke(Arc::clone(&world.authority), Revoker::CertificateKey, chain[0].clone(), reason).await
}

/// How many certificates the list tells that a certificate of a server would be told by.
fn listed(world: &World) -> usize {
    world.authority.member().holdings().lists().iter().map(pki::RevocationList::len).max().unwrap()
}

const SUPERSEDED: u8 = 4;
const KEY_COMPROMISE: u8 = 1;

#[tokio::test]
async fn n5_a_server_that_enrols_and_gives_up_all_the_time_fills_no_revocation_list() {
    let world = World::new().await;
    world.joined(FE2).await;
    world.joined("fe3.a.test").await;
    let (mut given_up, mut refused) = (0, 0);
    for round in 0..200 {
        let Ok(chain) = issue(&world.authority, &fe2()).await else { break };
        match give_up(&world, &chain, if round % 2 == 0 { SUPERSEDED } else { KEY_COMPROMISE }).await {
            Ok(()) => given_up += 1,
            Err(fault) => {
                assert!(matches!(fault, Fault::TooMany { .. }), "{fault}");
                refused += 1;
            }
        }
    }
    assert!(given_up + refused < 48 && refused > 0, "{given_up} {refused}");
    assert_eq!(listed(&world), given_up);
    assert!(world.authority.revoke("fe3.a.test").await.is_ok());
    assert_eq!(listed(&world), given_up + 1);
}

#[tokio::test]
async fn a_server_gives_up_little_for_no_reason_and_whatever_somebody_else_may_have() {
    let world = World::new().await;
    world.joined(FE2).await;
    let mut chains = Vec::new();
    for _ in 0..10 {
        chains.push(issue(&world.authority, &fe2()).await.unwrap());
    }
    for (nth, reason) in [0, 3, SUPERSEDED, 5].into_iter().cycle().take(8).enumerate() {
        assert_eq!(give_up(&world, &chains[nth], reason).await, Ok(()), "{nth}");
    }
    for reason in [0, 3, SUPERSEDED, 5] {
        assert!(matches!(give_up(&world, &chains[8], reason).await, Err(Fault::TooMany { .. })));
    }
    assert_eq!(give_up(&world, &chains[8], KEY_COMPROMISE).await, Ok(()));
}

#[tokio::test]
async fn n5_the_last_room_in_a_revocation_list_is_kept_for_the_administrator() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let other = issue(&world.authority, &fe2()).await.unwrap();
    world.plant_list(pki::REVOCATION_LIST_BYTES_MAX / 2).await;
    assert!(matches!(give_up(&world, &chain, SUPERSEDED).await, Err(Fault::Unavailable { .. })));
    assert_eq!(give_up(&world, &chain, KEY_COMPROMISE).await, Ok(()));
    world.plant_list(pki::REVOCATION_LIST_BYTES_MAX / 4 * 3).await;
    assert!(matches!(give_up(&world, &other, KEY_COMPROMISE).await, Err(Fault::Unavailable { .. })));
    assert_eq!((listed(&world), standing(&world).await), (1, 1));
    assert!(world.authority.revoke(FE2).await.is_ok());
    assert_eq!((listed(&world), standing(&world).await), (2, 0));
}

#[tokio::test]
async fn a_key_whose_certificate_was_taken_back_is_certified_no_more() {
    let world = World::new().await;
    world.joined(FE2).await;
    let refused = |asked: Result<_, Fault>| matches!(asked, Err(Fault::BadPublicKey { .. }));
    for reason in [KEY_COMPROMISE, SUPERSEDED] {
        let key = Key::generate().unwrap();
        let chain = issue_for(&world.authority, &fe2(), &key).await.unwrap();
        assert!(issue_for(&world.authority, &fe2(), &key).await.is_ok(), "a key may be kept over a renewal");
        give_up(&world, &chain, reason).await.unwrap();
        assert!(refused(issue_for(&world.authority, &fe2(), &key).await));
        let ticket = Applicant::Ticket(TicketId::parse(&world.add("fe3.a.test").await.kid).unwrap());
        assert!(refused(issue_for(&world.authority, &ticket, &key).await), "nor for another server");
        assert!(issue(&world.authority, &ticket).await.is_ok(), "that was no first key");
        let pem = pem_of(&pki::certificate_request(&key, &[]).unwrap());
        let carried = world.authority.sign_request(&fqdn(FE2), &pem).await;
        assert!(matches!(carried, Err(authority::Fault::KeyRefused(_))), "nor for a request that was carried here");
    }
}

/// A request as an administrator carries it.
fn pem_of(der: &[u8]) -> String {
    let coded = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{coded}\n-----END CERTIFICATE REQUEST-----\n")
}

#[tokio::test]
async fn no_key_of_a_ca_or_of_an_account_is_certified() {
    let world = World::new().await;
    let key = Key::generate().unwrap();
    let account = AccountKey::of_request(&key.public()).unwrap();
    let ticket = TicketId::parse(&world.add(FE2).await.kid).unwrap();
    let by_account = Applicant::Account(enrolment::Enrolment::create_account(&*world.authority, ticket, account).await.unwrap().id);
    let other = Applicant::Ticket(TicketId::parse(&world.add("fe3.a.test").await.kid).unwrap());
    for applicant in [&by_account, &other] {
        for key in [&key, &world.root_key] {
            let asked = issue_for(&world.authority, applicant, key).await;
            assert!(matches!(asked, Err(Fault::BadPublicKey { .. })), "{asked:?}");
        }
        assert!(issue(&world.authority, applicant).await.is_ok());
    }
}

/// The version in force, and where the second server listens by it.
fn in_force(world: &World) -> (u64, Option<SocketAddr>) {
    let topology = Arc::clone(world.authority.member().holdings().topology());
    (topology.version(), topology.server(&fqdn(FE2)).and_then(|server| server.listeners().sip))
}

#[tokio::test]
async fn a_server_that_moves_all_the_time_does_not_flood_everybody_with_topologies() {
    let world = World::new().await;
    world.joined(FE2).await;
    hello(&world.authority, FE2, listeners(20_001)).await.unwrap();
    let joined = in_force(&world);
    hello(&world.authority, FE2, listeners(20_001)).await.unwrap();
    assert!(matches!(hello(&world.authority, FE2, listeners(20_010)).await, Err(ControlFault::Unavailable(_))));
    assert_eq!(in_force(&world), joined);
}

#[tokio::test]
async fn a_server_that_moves_keeps_no_administrator_from_publishing() {
    let world = World::new().await;
    world.joined(FE2).await;
    let exported = world.authority.topology(None).await.unwrap().unwrap();
    let version = exported.version.0;
    let edited =
        |remark: &str| exported.document.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {} # {remark}\n", version + 1));
    hello(&world.authority, FE2, listeners(20_101)).await.unwrap();
    assert_eq!(world.authority.obstacles_to(&edited("one")).await.unwrap().len(), 0);
    assert_eq!(world.authority.publish(&edited("one")).await.unwrap().version, Some(version + 2));
    assert_eq!(in_force(&world), (version + 2, listeners(20_101).sip));
    assert!(world.authority.topology(None).await.unwrap().unwrap().document.contains("# one"));
    // What was edited meanwhile by somebody else is a conflict, as ever.
    assert!(matches!(world.authority.publish(&edited("two")).await, Err(authority::Fault::Version { .. })));
}

#[tokio::test]
async fn a_server_leads_others_to_its_own_addresses_only() {
    let world = World::new().await;
    world.joined(FE2).await;
    let elsewhere = |address: [u8; 4]| {
        let [sip, servers, https] = [0, 1, 2].map(|nth| Some((address, 20_201 + nth).into()));
        MemberListeners { sip, servers, https }
    };
    for foreign in [elsewhere([192, 0, 2, 9]), MemberListeners { servers: Some(([192, 0, 2, 9], 22).into()), ..listeners(20_201) }] {
        assert!(matches!(hello(&world.authority, FE2, foreign).await, Err(ControlFault::Contradiction(_))));
    }
    // That of the authority.
    world.joined("fe3.a.test").await;
    let taken = MemberListeners { servers: Some(([127, 0, 0, 1], 5062).into()), ..listeners(20_251) };
    assert!(matches!(hello(&world.authority, "fe3.a.test", taken).await, Err(ControlFault::Contradiction(_))));
    assert_eq!(in_force(&world).1, None);
    // It has another address, and an administrator says so.
    let listed = world.authority.topology(None).await.unwrap().unwrap();
    let (next, at) = (listed.version.0 + 1, elsewhere([192, 0, 2, 9]).servers.unwrap());
    let text = listed.document.replace(&format!("\nversion = {}\n", listed.version.0), &format!("\nversion = {next}\n"));
    let text = text.replacen("expected = true", &format!("expected = true\nservers = \"{at}\""), 1);
    world.authority.publish(&text).await.unwrap();
    assert_eq!(hello(&world.authority, FE2, elsewhere([192, 0, 2, 9])).await, Ok(()));
    assert_eq!(in_force(&world), (next + 1, elsewhere([192, 0, 2, 9]).sip));
}

#[tokio::test]
async fn n5_what_was_never_published_is_acknowledged_by_nobody() {
    let world = World::new().await;
    world.joined(FE2).await;
    hello(&world.authority, FE2, listeners(20_301)).await.unwrap();
    let (member, own) = (fqdn(FE2), world.authority.member().in_force().borrow().clone());
    let future = |list: &ListInForce| ListInForce { number: list.number + 1000, ..list.clone() };
    let lists = own.lists.iter().map(future).chain([ListInForce { issuer: "nobody".into(), number: 1 }]).collect();
    let claim = InForce { topology: 1 << 60, bundle: 1 << 60, lists, ..InForce::default() };
    world.authority.ack(&member, claim).await.unwrap();
    let known = world.authority.known().await.unwrap().into_iter().find(|known| known.name == member).unwrap();
    assert!(known.in_force.is_none_or(|shown| shown.topology <= own.topology && shown.bundle <= own.bundle && shown.lists.is_empty()));
    // And it counts neither for a topology that comes, nor for a list.
    let text = world.authority.topology(None).await.unwrap().unwrap();
    let next = text.document.replace(&format!("\nversion = {}\n", text.version.0), &format!("\nversion = {}\n", text.version.0 + 1));
    assert_eq!(world.authority.publish(&next).await.unwrap().missing, std::slice::from_ref(&member));
    world.joined("fe3.a.test").await;
    assert_eq!(world.authority.revoke("fe3.a.test").await.unwrap().missing, std::slice::from_ref(&member));
    // What is true counts.
    let own = world.authority.member().in_force().borrow().clone();
    world.authority.ack(&member, own.clone()).await.unwrap();
    let known = world.authority.known().await.unwrap().into_iter().find(|known| known.name == member).unwrap();
    assert_eq!(known.in_force.map(|shown| (shown.topology, shown.bundle, shown.lists)), Some((own.topology, own.bundle, own.lists)));
}

/// As one who says hello and resets the stream at once, at every step of what that begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_up_in_the_middle_leaves_nothing_half_published() {
    let world = World::new().await;
    for steps in 1..12_u16 {
        let name = fqdn(&format!("h{steps}.a.test"));
        world.joined(name.as_str()).await;
        hang_up_after(steps, hello(&world.authority, name.as_str(), listeners(21_000 + steps * 8))).await;
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
    hello(&world.authority, FE2, listeners(22_001)).await.unwrap();
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
    hello(&world.authority, FE2, listeners(22_101)).await.unwrap();
    assert_eq!((publish().await.missing, known().await.is_revoked), (vec![fqdn(FE2)], false));
}
