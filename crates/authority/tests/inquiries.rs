//! Whether a certificate was revoked, asked of the authority at work (OCSP): one truth with the revocation lists, at once, and
//! nobody's flood is in the way of anybody else.

#![allow(clippy::unwrap_used)]

mod world;

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use ocsp::{ANSWER_VALIDITY, REQUEST_BYTES_MAX, REQUEST_CERTIFICATES_MAX, Stapled, Status, read_staple, request};
use pki::{CertificateDer, Serial};
use store::IssuanceLedger as _;
use web::Published as _;
use world::World;
use x509_cert::der::{Decode as _, Encode as _};
use x509_ocsp::{OcspRequest, OcspResponse, OcspResponseStatus};

const FE2: &str = "fe2.a.test";

async fn ask(world: &World, request: &[u8]) -> Vec<u8> {
    world.authority.ocsp(request).await.unwrap()
}

/// What the answer about this certificate says; it is believed by nothing but the certificate of its issuer.
async fn status(world: &World, issuer: &CertificateDer<'_>, serial: &Serial) -> Status {
    let answer = ask(world, &request(issuer, serial).unwrap()).await;
    read_staple(&answer, issuer, serial, SystemTime::now()).unwrap().status
}

fn outcome(answer: &[u8]) -> OcspResponseStatus {
    OcspResponse::from_der(answer).unwrap().response_status
}

fn serial(der: &CertificateDer<'_>) -> Serial {
    pki::facts(der).unwrap().serial
}

#[tokio::test]
async fn what_was_issued_is_good_and_a_revocation_counts_with_the_next_answer() {
    let world = World::new().await;
    let ticket = world.add(FE2).await;
    let (_, chain) = world.fetch_chain(&ticket).await;
    let (issuer, leaf) = (&chain[1], serial(&chain[0]));
    assert_eq!(status(&world, issuer, &leaf).await, Status::Good);
    assert_eq!(status(&world, issuer, &leaf).await, Status::Good, "the one that was kept");
    let before = SystemTime::now();
    world.authority.revoke(FE2).await.unwrap();
    let Status::Revoked { at, .. } = status(&world, issuer, &leaf).await else { panic!("it is revoked") };
    assert!(before.duration_since(at).is_ok_and(|since| since.as_secs() < 2) || at >= before, "{at:?}");
    // The list in force says the same of everybody.
    let holdings = world.authority.member().holdings();
    let list = holdings.lists().iter().find(|list| list.contains(&leaf));
    assert!(list.is_some());
}

#[tokio::test]
async fn numbers_that_were_never_issued_are_unknown_and_so_are_those_of_another_ca() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let issuing: Vec<_> = world.authority.issuing();
    let [servers, users] = &issuing[..] else { panic!("two issuing CAs") };
    let made_up = Serial::from_be_bytes(&[0x47; 16]);
    assert_eq!(status(&world, servers, &made_up).await, Status::Unknown);
    // A server's number, asked for as one of the CA for users: that one knows nothing of it, good or bad.
    assert_eq!(status(&world, users, &serial(&chain[0])).await, Status::Unknown);
    world.authority.revoke(FE2).await.unwrap();
    assert_eq!(status(&world, users, &serial(&chain[0])).await, Status::Unknown);
    assert_eq!(status(&world, servers, &made_up).await, Status::Unknown);
}

#[tokio::test]
async fn a_root_whose_key_is_here_answers_for_its_cas() {
    let world = World::new().await;
    let (root, servers) = (world.authority.roots().remove(0), world.authority.issuing().remove(0));
    let ledger = world.authority.store();
    assert_eq!(status(&world, &root, &serial(&servers)).await, Status::Unknown, "this world forgot to enter it");
    ledger.record_issued(&store::Issued::read(store::Role::Issuing, &servers).unwrap(), SystemTime::now()).await.unwrap();
    assert_eq!(status(&world, &root, &serial(&servers)).await, Status::Good);
}

#[tokio::test]
async fn what_is_no_request_too_much_or_for_somebody_else_gets_no_signature() {
    let world = World::new().await;
    let servers = world.authority.issuing().remove(0);
    for bad in [&b""[..], b"hello", &[0x30, 0], &vec![0x30; REQUEST_BYTES_MAX + 1]] {
        assert_eq!(outcome(&ask(&world, bad).await), OcspResponseStatus::MalformedRequest);
    }
    let (_, foreign) = pki::Authority::create("Foreign", &[world::fqdn("b.test")], SystemTime::now()).unwrap();
    let about_others = request(foreign.issuing(), &Serial::from_be_bytes(&[1])).unwrap();
    assert_eq!(outcome(&ask(&world, &about_others).await), OcspResponseStatus::Unauthorized);
    let parsed = OcspRequest::from_der(&request(&servers, &Serial::from_be_bytes(&[1])).unwrap()).unwrap();
    let many = |count: usize| {
        let mut many = parsed.clone();
        many.tbs_request.request_list = vec![many.tbs_request.request_list[0].clone(); count];
        many.to_der().unwrap()
    };
    assert_eq!(outcome(&ask(&world, &many(REQUEST_CERTIFICATES_MAX)).await), OcspResponseStatus::Successful);
    assert_eq!(outcome(&ask(&world, &many(REQUEST_CERTIFICATES_MAX + 1)).await), OcspResponseStatus::MalformedRequest);
}

#[tokio::test]
async fn a_flood_of_made_up_numbers_is_in_nobodys_way() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let issuer = &chain[1];
    let mut put_off = 0;
    for number in 0..2000_u32 {
        let made_up = Serial::from_be_bytes(&[&[0x47; 12][..], &number.to_be_bytes()].concat());
        let answer = ask(&world, &request(issuer, &made_up).unwrap()).await;
        put_off += usize::from(outcome(&answer) == OcspResponseStatus::TryLater);
    }
    assert!(put_off > 0, "signatures for strangers have a pace");
    assert_eq!(status(&world, issuer, &serial(&chain[0])).await, Status::Good);
}

#[tokio::test]
async fn who_wants_it_fresh_too_often_gets_what_everybody_gets() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let issuer = &chain[1];
    let mut parsed = OcspRequest::from_der(&request(issuer, &serial(&chain[0])).unwrap()).unwrap();
    let nonce = x509_ocsp::ext::Nonce::new(vec![7; 32]).unwrap();
    let value = x509_cert::der::asn1::OctetString::new(nonce.to_der().unwrap()).unwrap();
    let id = "1.3.6.1.5.5.7.48.1.2".parse().unwrap();
    parsed.tbs_request.request_extensions = Some(vec![x509_cert::ext::Extension { extn_id: id, critical: false, extn_value: value }]);
    let fresh = parsed.to_der().unwrap();
    let mut kinds = [0, 0];
    for _ in 0..1000 {
        let answer = ask(&world, &fresh).await;
        let stapled: Stapled = read_staple(&answer, issuer, &serial(&chain[0]), SystemTime::now()).unwrap();
        assert_eq!(stapled.status, Status::Good);
        kinds[usize::from(answer.windows(32).any(|bytes| bytes == [7; 32]))] += 1;
    }
    assert!(kinds[0] > 0 && kinds[1] > 0, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_while_it_is_revoked_nothing_old_is_kept() {
    let world = World::new().await;
    for _ in 0..10 {
        let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
        let asked = request(&chain[1], &serial(&chain[0])).unwrap();
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let (authority, asked) = (std::sync::Arc::clone(&world.authority), asked.clone());
                tokio::spawn(async move { authority.ocsp(&asked).await })
            })
            .collect();
        world.authority.revoke(FE2).await.unwrap();
        assert!(matches!(status(&world, &chain[1], &serial(&chain[0])).await, Status::Revoked { .. }));
        for one in asking {
            one.await.unwrap();
        }
        assert!(matches!(status(&world, &chain[1], &serial(&chain[0])).await, Status::Revoked { .. }));
    }
}

#[tokio::test]
async fn each_ca_delegates_once_and_that_is_in_the_ledger() {
    let world = World::new().await;
    let issuing = world.authority.issuing();
    for ca in issuing.iter().chain(&issuing).chain(&world.authority.roots()) {
        status(&world, ca, &Serial::from_be_bytes(&[1])).await;
    }
    let all = world.authority.store().certificates(SystemTime::now(), 1000).await.unwrap();
    let signers: Vec<_> = all.iter().filter(|one| one.role == store::Role::Ocsp).collect();
    assert_eq!(signers.len(), 3, "two issuing CAs and the root");
    // Its own certificate is good too, for whoever asks though it says that nobody needs to (RFC 6960 §4.2.2.2.1).
    let signer = signers.iter().find(|signer| signer.issuer == pki::facts(&issuing[0]).unwrap().subject).unwrap();
    assert_eq!(status(&world, &issuing[0], &signer.serial).await, Status::Good);
}

#[tokio::test]
async fn a_responder_is_replaced_long_before_its_word_ends() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let (issuer, leaf, began) = (&chain[1], serial(&chain[0]), SystemTime::now());
    let asked = request(issuer, &leaf).unwrap();
    let signers = async || {
        let all = world.authority.store().certificates(began, 1000).await.unwrap();
        all.iter().filter(|one| one.role == store::Role::Ocsp && one.issuer == pki::facts(issuer).unwrap().subject).count()
    };
    for (days, expected) in [(0, 1), (3, 1), (4, 2), (7, 2), (8, 3), (30, 4)] {
        let now = began + Duration::from_hours(24 * days);
        let answer = world.authority.inquire(&asked, now).await;
        let stapled = read_staple(&answer, issuer, &leaf, now).unwrap();
        assert_eq!((stapled.status, signers().await), (Status::Good, expected), "after {days} days");
        assert!(stapled.next_update > now + ANSWER_VALIDITY / 2, "it was not cut short by the end of who signed it");
    }
}

#[tokio::test]
async fn a_ca_whose_key_is_away_leaves_the_others_answering_and_is_asked_again() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    let (issuer, root) = (&chain[1], world.authority.roots().remove(0));
    world.issuing_away.store(true, Ordering::SeqCst);
    let asked = request(issuer, &serial(&chain[0])).unwrap();
    assert_eq!(outcome(&ask(&world, &asked).await), OcspResponseStatus::TryLater);
    assert_eq!(status(&world, &root, &serial(&chain[0])).await, Status::Unknown);
    assert_eq!(world.authority.freshen(SystemTime::now()).await.len(), 1);
    world.issuing_away.store(false, Ordering::SeqCst);
    assert_eq!(world.authority.freshen(SystemTime::now()).await, Vec::<String>::new());
    assert_eq!(status(&world, issuer, &serial(&chain[0])).await, Status::Good);
    // Who answers needs the CA no more: its own key tells of a revocation that no list could be signed for.
    world.issuing_away.store(true, Ordering::SeqCst);
    assert!(world.authority.revoke(FE2).await.is_err());
    assert!(matches!(status(&world, issuer, &serial(&chain[0])).await, Status::Revoked { .. }));
}

#[tokio::test]
async fn what_the_ledger_got_from_elsewhere_is_told_with_the_next_list() {
    let world = World::new().await;
    let (_, chain) = world.fetch_chain(&world.add(FE2).await).await;
    assert_eq!(status(&world, &chain[1], &serial(&chain[0])).await, Status::Good);
    world.authority.store().revoke(&serial(&chain[0]), store::Reason::KeyCompromise, SystemTime::now()).await.unwrap();
    assert_eq!(world.authority.freshen(SystemTime::now()).await, Vec::<String>::new());
    assert!(matches!(status(&world, &chain[1], &serial(&chain[0])).await, Status::Revoked { .. }));
}
