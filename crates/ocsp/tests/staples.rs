//! Stapled answers are read with suspicion: whoever is revoked would like to show another one.
#![allow(clippy::unwrap_used)]

mod world;

use std::{sync::Arc, time::Duration};

use ocsp::{
    ANSWER_VALIDITY, CLOCK_SKEW_MAX, Question, Responder, STAPLE_BYTES_MAX, STAPLE_CERTIFICATES_MAX, StapleFault, Stapled, Status,
    read_staple, request,
};
use pki::{CaKey as _, CertificateDer, Key, RevocationReason, Serial};
use world::{World, responder};
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _, asn1::BitString, asn1::OctetString},
};
use x509_ocsp::{BasicOcspResponse, OcspResponse};

/// An answer about the server of this world.
fn staple(world: &World, by: &Responder, status: Status) -> Vec<u8> {
    let question = Question::read(&request(world.authority.issuing(), &world.server.serial).unwrap()).unwrap();
    by.answer(&question, |_| status, world.now).unwrap()
}

fn read(world: &World, staple: &[u8]) -> Result<Stapled, StapleFault> {
    read_staple(staple, world.authority.issuing(), &world.server.serial, world.now)
}

/// The same answer with something changed and, where there is a key, signed again.
fn altered(staple: &[u8], key: Option<&Key>, change: impl FnOnce(&mut BasicOcspResponse)) -> Vec<u8> {
    let bytes = OcspResponse::from_der(staple).unwrap().response_bytes.unwrap();
    let mut basic = BasicOcspResponse::from_der(bytes.response.as_bytes()).unwrap();
    change(&mut basic);
    if let Some(key) = key {
        basic.signature = BitString::from_bytes(&key.sign(&basic.tbs_response_data.to_der().unwrap()).unwrap()).unwrap();
    }
    OcspResponse::successful(basic).unwrap().to_der().unwrap()
}

/// A responder of the CA for servers, with its key.
fn delegated(world: &World) -> (Responder, Arc<Key>) {
    let key = Arc::new(Key::generate().unwrap());
    let signer = world.authority.servers().issue_ocsp_signer(&key.public(), world.now).unwrap();
    (Responder::new(world.authority.issuing(), &signer.chain[0], Arc::clone(&key) as _).unwrap(), key)
}

#[test]
fn what_the_issuer_lets_say_is_believed_until_it_ends() {
    let world = World::new();
    let good = read(&world, &staple(&world, &world.responders[0], Status::Good)).unwrap();
    assert_eq!((good.status, good.next_update), (Status::Good, good.this_update + ANSWER_VALIDITY));
    let reason = RevocationReason::KeyCompromise;
    let revoked = read(&world, &staple(&world, &world.responders[0], Status::Revoked { at: world.now, reason })).unwrap();
    assert!(matches!(revoked.status, Status::Revoked { reason: found, .. } if found == reason));
    let unknown = read(&world, &staple(&world, &world.responders[0], Status::Unknown)).unwrap();
    assert_eq!(unknown.status, Status::Unknown);
}

#[test]
fn an_answer_of_yesterday_or_tomorrow_does_not_count() {
    let world = World::new();
    let answer = staple(&world, &world.responders[0], Status::Good);
    let at = |now| read_staple(&answer, world.authority.issuing(), &world.server.serial, now).map(|stapled| stapled.status);
    assert_eq!(at(world.now + ANSWER_VALIDITY - Duration::from_secs(1)), Ok(Status::Good));
    assert_eq!(at(world.now + ANSWER_VALIDITY + Duration::from_secs(1)), Err(StapleFault::NotNow));
    assert_eq!(at(world.now - CLOCK_SKEW_MAX + Duration::from_secs(2)), Ok(Status::Good));
    assert_eq!(at(world.now - CLOCK_SKEW_MAX - Duration::from_secs(2)), Err(StapleFault::NotNow));
    let (by, key) = delegated(&world);
    let endless = altered(&staple(&world, &by, Status::Good), Some(&key), |basic| basic.tbs_response_data.responses[0].next_update = None);
    assert_eq!(read(&world, &endless), Err(StapleFault::NotNow), "one without an end");
}

#[test]
fn only_the_issuer_and_whom_it_delegated_have_a_say() {
    let world = World::new();
    let issuing = world.authority.issuing();
    let not_believed = |staple: &[u8]| assert_eq!(read(&world, staple), Err(StapleFault::NotBelieved));
    // A responder of the CA for users, which signs what it likes.
    let (good, key) = (staple(&world, &world.responders[0], Status::Good), Key::generate().unwrap());
    let of_users = world.authority.users().unwrap().issue_ocsp_signer(&key.public(), world.now).unwrap().chain.remove(0);
    not_believed(&signed_by(&good, &of_users, &key));
    // One of the root: above the issuer is not the issuer.
    not_believed(&signed_by(&good, &world.root.issue_ocsp_signer(&key.public(), world.now).unwrap(), &key));
    // The server itself, which would like to be good.
    let names = pki::ServerNames { server: world::fqdn("fe9.contoso.example"), aliases: vec![], domains: vec![] };
    let server = world.authority.issue_server(&names, &key.public(), world.now).unwrap().chain.remove(0);
    not_believed(&signed_by(&good, &server, &key));
    // One that was delegated, and whose time is over.
    let long_ago = world.now - pki::OCSP_SIGNER_VALIDITY - Duration::from_secs(3600);
    let (_, other) = pki::Authority::create("Contoso", &[world::fqdn("contoso.example")], long_ago - Duration::from_secs(60)).unwrap();
    let late = other.servers().issue_ocsp_signer(&key.public(), long_ago).unwrap().chain.remove(0);
    let answer = signed_by(&staple_of(&other, &world.server.serial, &world), &late, &key);
    assert_eq!(read_staple(&answer, other.issuing(), &world.server.serial, world.now), Err(StapleFault::NotBelieved));
    // The CA itself is believed.
    let itself = Key::from_pem(world.authority.key_pem().unwrap().expose()).unwrap();
    let own = altered(&signed_by(&good, issuing, &itself), None, |basic| basic.certs = None);
    assert_eq!(read(&world, &own).unwrap().status, Status::Good, "its certificate need not be there");
}

/// An answer that names `signer` and is signed by this key.
fn signed_by(staple: &[u8], signer: &CertificateDer<'_>, key: &Key) -> Vec<u8> {
    let signer = Certificate::from_der(signer).unwrap();
    altered(staple, Some(key), |basic| {
        basic.tbs_response_data.responder_id = x509_ocsp::ResponderId::ByName(signer.tbs_certificate.subject.clone());
        basic.certs = Some(vec![signer]);
    })
}

fn staple_of(authority: &pki::Authority, serial: &Serial, world: &World) -> Vec<u8> {
    let by = responder(authority.servers(), world.now);
    by.answer(&Question::read(&request(authority.issuing(), serial).unwrap()).unwrap(), |_| Status::Good, world.now).unwrap()
}

#[test]
fn what_was_changed_on_the_way_is_not_believed() {
    let world = World::new();
    let reason = RevocationReason::Unspecified;
    let revoked = staple(&world, &world.responders[0], Status::Revoked { at: world.now, reason });
    let whitewashed = altered(&revoked, None, |basic| basic.tbs_response_data.responses[0].cert_status = x509_ocsp::CertStatus::good());
    assert_eq!(read(&world, &whitewashed), Err(StapleFault::NotBelieved));
    for at in 0..revoked.len() {
        let mut flipped = revoked.clone();
        flipped[at] ^= 1;
        if let Ok(stapled) = read(&world, &flipped) {
            // Bits that nobody signs and nothing depends on, such as those of the certificate's own copy of the issuer's name.
            assert!(matches!(stapled.status, Status::Revoked { .. }), "octet {at} turned it");
        }
    }
    for length in 0..revoked.len() {
        assert!(read(&world, &revoked[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn answers_about_others_and_rules_not_understood_are_of_no_use() {
    let world = World::new();
    let good = staple(&world, &world.responders[0], Status::Good);
    let other = |issuer: &CertificateDer<'_>, serial: &Serial| read_staple(&good, issuer, serial, world.now);
    assert_eq!(other(world.authority.issuing(), &world.revoked.serial), Err(StapleFault::OtherCertificate));
    assert_eq!(other(world.authority.users().unwrap().certificate(), &world.server.serial), Err(StapleFault::OtherCertificate));
    let (by, key) = delegated(&world);
    let rule = x509_cert::ext::Extension {
        extn_id: "1.3.6.1.4.1.99999.1".parse().unwrap(),
        critical: true,
        extn_value: OctetString::new(vec![5, 0]).unwrap(),
    };
    let critical = altered(&staple(&world, &by, Status::Good), Some(&key), |basic| {
        basic.tbs_response_data.responses[0].single_extensions = Some(vec![rule]);
    });
    assert_eq!(read(&world, &critical), Err(StapleFault::Malformed));
    assert_eq!(read(&world, &ocsp::NoAnswer::TryLater.to_der()), Err(StapleFault::NoAnswer));
}

#[test]
fn too_much_is_not_looked_at() {
    let world = World::new();
    let good = staple(&world, &world.responders[0], Status::Good);
    let crowd = |count: usize| {
        altered(&good, None, |basic| {
            let one = basic.certs.as_ref().unwrap()[0].clone();
            basic.certs = Some(vec![one; count]);
        })
    };
    assert!(read(&world, &crowd(STAPLE_CERTIFICATES_MAX)).is_ok());
    assert_eq!(read(&world, &crowd(STAPLE_CERTIFICATES_MAX + 1)), Err(StapleFault::TooLarge));
    assert_eq!(read(&world, &vec![0x30; STAPLE_BYTES_MAX + 1]), Err(StapleFault::TooLarge));
    for bad in [&b""[..], b"hello", &[0x30, 0], &[0x30, 3, 0x0a, 1, 0]] {
        assert_eq!(read(&world, bad), Err(StapleFault::Malformed), "{bad:?}");
    }
}
