//! What the authority does by itself, and what it makes up for (rows N5, N15, N29, N31).

#![allow(clippy::unwrap_used)]

mod world;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use authority::{Ca, Fault, Prepared};
use member::{Believed, Holdings};
use pki::{Fingerprint, Key, Serial};
use store::{Actor, Enrolments as _, IssuanceLedger as _, Issued, Members as _, NewAccount, Report, Role, Ticket};
use web::{
    control::{Control as _, Held, InForce, Update},
    enrolment::Revoker,
};
use world::{World, fqdn, hello, listeners};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const FE2: &str = "fe2.a.test";
const OWN: &str = "sip.a.test";

/// The only certificate of this name that counts.
async fn certificate_of(world: &World, name: &str) -> Issued {
    world.authority.store().standing_of(name, SystemTime::now(), 10).await.unwrap().remove(0)
}

/// Whether a list that is in force here tells this revocation.
fn is_told(world: &World, serial: &Serial) -> bool {
    world.authority.member().holdings().lists().iter().any(|list| list.contains(serial))
}

#[tokio::test]
async fn documents_are_believed_though_the_authority_runs_longer_than_a_signer_lasts() {
    let world = World::new().await;
    let now = SystemTime::now();
    for days in [85, 92] {
        assert_eq!(world.authority.freshen(now + DAY * days).await, Vec::<String>::new(), "day {days}");
    }
    // As a server does that joins on that day.
    let (holdings, at) = (world.authority.member().holdings(), now + DAY * 92);
    let believed = |text: &Believed| Believed { text: text.text.clone(), at };
    let lists: Vec<Vec<u8>> = holdings.lists().iter().map(|list| list.as_der().to_vec()).collect();
    let root = Fingerprint::of(world.authority.ca().authority().root());
    let newcomer = Holdings::begin(root, believed(holdings.bundle_text()), &lists, believed(holdings.topology_text()));
    assert_eq!(newcomer.unwrap().topology().version(), holdings.topology().version());
}

#[tokio::test]
async fn n31_a_ca_whose_key_is_away_keeps_no_other_list_from_being_signed() {
    let world = World::new().await;
    let life = |list: &pki::RevocationList| list.next_update().duration_since(list.this_update()).unwrap();
    let longest = world.authority.member().holdings().lists().iter().map(life).max().unwrap();
    let later = SystemTime::now() + longest / 2 + DAY;
    let fresh = || world.authority.member().holdings().lists().iter().filter(|list| list.this_update() > later - DAY).count();
    world.root_away.store(true, Ordering::SeqCst);
    let troubles = world.authority.freshen(later).await;
    // Its list, and its word for who answers about single certificates.
    assert_eq!((fresh(), troubles.len()), (2, 2), "{troubles:?}");
    assert_eq!(world.authority.troubles(), troubles);
    world.root_away.store(false, Ordering::SeqCst);
    assert_eq!(world.authority.freshen(later).await, Vec::<String>::new());
    assert_eq!((fresh(), world.authority.troubles().len()), (3, 0));
}

#[tokio::test]
async fn n31_an_authority_starts_though_it_can_sign_no_list() {
    let world = World::new().await;
    world.joined(FE2).await;
    world.issuing_away.store(true, Ordering::SeqCst);
    assert!(matches!(world.authority.revoke(FE2).await, Err(Fault::NotTold(_))));
    let (store, later) = (world.authority.store().clone(), SystemTime::now() + DAY);
    let prepared = Prepared::prepare(Ca::clone(&world.authority.ca()), &store, &fqdn(OWN), world::DOMAIN, later).await.unwrap();
    assert_eq!(prepared.holdings.topology().version(), world.authority.member().holdings().topology().version());
}

#[tokio::test]
async fn an_administrator_is_told_in_good_time_that_a_list_fills_up() {
    let world = World::new().await;
    assert_eq!(world.authority.troubles(), Vec::<String>::new());
    world.plant_list(pki::REVOCATION_LIST_BYTES_MAX / 2).await;
    // Nothing failed yet.
    assert_eq!(world.authority.freshen(SystemTime::now()).await, Vec::<String>::new());
    assert!(
        matches!(&world.authority.troubles()[..], [alarm] if alarm.contains("verbund ca issuing renew")),
        "{:?}",
        world.authority.troubles()
    );
}

#[tokio::test]
async fn n5_a_revocation_that_no_list_could_tell_is_made_up_for_when_it_is_asked_for_again() {
    let world = World::new().await;
    world.joined(FE2).await;
    let serial = certificate_of(&world, FE2).await.serial;
    world.issuing_away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(world.authority.revoke(FE2).await, Err(Fault::NotTold(_))));
        assert!(!is_told(&world, &serial));
    }
    world.issuing_away.store(false, Ordering::SeqCst);
    assert_eq!(world.authority.revoke(FE2).await.unwrap().revoked, [serial.to_string()]);
    assert!(is_told(&world, &serial));
    assert!(matches!(world.authority.revoke(FE2).await, Err(Fault::NoCertificate(_))));
}

#[tokio::test]
async fn n5_a_revocation_that_was_interrupted_is_told_without_anybody_asking() {
    let world = World::new().await;
    world.joined(FE2).await;
    let serial = certificate_of(&world, FE2).await.serial;
    // As an authority that was killed between ledger and list.
    world.authority.store().revoke(&serial, store::Reason::KeyCompromise, SystemTime::now()).await.unwrap();
    assert!(!is_told(&world, &serial));
    assert_eq!(world.authority.freshen(SystemTime::now()).await, Vec::<String>::new());
    assert!(is_told(&world, &serial));
}

#[tokio::test]
async fn n5_the_authority_is_not_revoked_by_whatever_its_certificate_is_called() {
    let world = World::new().await;
    let own = certificate_of(&world, OWN).await;
    for name in [OWN.to_owned(), own.serial.to_string()] {
        assert!(matches!(world.authority.revoke(&name).await, Err(Fault::Own(_))), "{name}");
    }
    let by_its_key =
        web::enrolment::Enrolment::revoke(Arc::clone(&world.authority), Revoker::CertificateKey, own.der.clone().into(), 1).await;
    assert_eq!(by_its_key, Err(web::enrolment::Fault::NotYourCertificate));
    assert!(world.authority.store().revocation(&own.serial).await.unwrap().is_none());
}

#[tokio::test]
async fn n15_who_is_not_listed_has_nothing_that_counts_whatever_was_interrupted() {
    let world = World::new().await;
    let (store, now, gone) = (world.authority.store().clone(), SystemTime::now(), fqdn("gone.a.test"));
    world.joined(FE2).await;
    // As an authority that was killed between a topology and what follows from it.
    let names = pki::ServerNames { server: gone.clone(), aliases: Vec::new(), domains: Vec::new() };
    let chain = world.authority.ca().authority().issue_server(&names, &Key::generate().unwrap().public(), now).unwrap().chain;
    let left = Issued::read(Role::Server, &chain[0]).unwrap();
    store.record_issued(&left, now).await.unwrap();
    let ticket = Ticket::generate(gone.clone(), now + DAY).unwrap();
    store.open_enrolment(&ticket, now).await.unwrap();
    let account = NewAccount { jwk: "{}".into(), thumbprint: "t".into(), server: gone.clone(), kid: ticket.kid.clone() };
    store.add_account(&account, now).await.unwrap();
    store.report(&report(&gone, now)).await.unwrap();

    assert_eq!(world.authority.freshen(now).await, Vec::<String>::new());
    assert!(is_told(&world, &left.serial));
    assert_eq!(store.enrolled(now).await.unwrap(), Vec::<pki::Fqdn>::new());
    assert_eq!(store.members().await.unwrap(), []);
    assert_eq!(store.standing_of(FE2, now, 10).await.unwrap().len(), 1, "who is listed keeps what it has");
}

fn report(server: &pki::Fqdn, seen_at: SystemTime) -> Report {
    Report {
        server: server.clone(),
        topology: None,
        bundle: None,
        lists: std::collections::BTreeMap::new(),
        software: String::new(),
        listeners: std::collections::BTreeMap::new(),
        seen_at,
    }
}

#[tokio::test]
async fn n29_what_members_would_refuse_is_not_published() {
    let world = World::new().await;
    let store = world.authority.store().clone();
    let signer = store.certificates(SystemTime::now(), 100).await.unwrap().into_iter().find(|one| one.role == Role::Documents).unwrap();
    store.acting_as(Actor::Server).revoke(&signer.serial, store::Reason::KeyCompromise, SystemTime::now()).await.unwrap();
    world.authority.freshen(SystemTime::now()).await;
    let before = world.authority.topology(None).await.unwrap().unwrap();
    let next = before.document.replace("\nversion = 1\n", "\nversion = 2\n");
    assert!(matches!(world.authority.publish(&next).await, Err(Fault::MembersRefuse(_))));
    assert_eq!(world.authority.topology(None).await.unwrap().unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_while_it_is_waited_for_is_not_reported_as_missing() {
    let world = World::new().await;
    world.joined("fe3.a.test").await;
    world.joined(FE2).await;
    hello(&world.authority, FE2, listeners(23_001)).await.unwrap();
    let revoking = tokio::spawn({
        let authority = Arc::clone(&world.authority);
        async move { authority.revoke("fe3.a.test").await.unwrap() }
    });
    let serial = certificate_of(&world, "fe3.a.test").await.serial;
    while world.authority.store().revocation(&serial).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fe2 = fqdn(FE2);
    let mut feed = world.authority.feed(&fe2, Held { topology: 0, bundle: 0, users: 0 }).await.unwrap();
    while !matches!(&*feed.recv().await.unwrap(), Update::RevocationLists { .. }) {}
    let lists = world.authority.member().in_force().borrow().lists.clone();
    world.authority.ack(&fe2, InForce { lists, ..InForce::default() }).await.unwrap();
    assert_eq!(revoking.await.unwrap().missing, []);
}
