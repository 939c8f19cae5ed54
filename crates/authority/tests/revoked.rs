//! What a server that was revoked, or that is hostile, gets from the authority: nothing, and it harms nobody (rows N5, N33).

#![allow(clippy::unwrap_used)]

mod world;

use std::{sync::Arc, time::SystemTime};

use store::IssuanceLedger as _;
use web::{
    control::{Control as _, ControlFault, Hello, MemberListeners},
    enrolment::{Applicant, Fault},
};
use world::{World, fqdn, issue};

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
    let second = {
        let new = authority::NewServer { name: fqdn(FE2), role: topology::Role::FrontEnd, pool: None };
        world.authority.add_server(&new).await.unwrap().join
    };
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
    let store = world.authority.store();
    for certificate in store.certificates_of(FE2, SystemTime::now(), 100).await.unwrap() {
        assert!(store.revocation(&certificate.serial).await.unwrap().is_some(), "{} still counts", certificate.serial);
    }
}

#[tokio::test]
async fn a_server_that_moves_all_the_time_does_not_flood_everybody_with_topologies() {
    let world = World::new().await;
    world.joined(FE2).await;
    let hello = |port: u16| {
        let [sip, servers, https] = [0, 1, 2].map(|nth| Some(([127, 0, 0, 1], port + nth).into()));
        let listeners = MemberListeners { sip, servers, https };
        world.authority.hello(fe2_name(), Hello { version: "1".into(), listeners })
    };
    hello(20_001).await.unwrap();
    let version = || world.authority.member().holdings().topology().version();
    let joined = version();
    hello(20_001).await.unwrap();
    assert!(matches!(hello(20_010).await, Err(ControlFault::Unavailable(_))));
    assert_eq!(version(), joined);
}

fn fe2_name() -> &'static pki::Fqdn {
    static NAME: std::sync::LazyLock<pki::Fqdn> = std::sync::LazyLock::new(|| fqdn(FE2));
    &NAME
}
