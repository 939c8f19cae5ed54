//! The `openssl` program asks, we answer, and it believes the answers.
#![allow(clippy::unwrap_used)]

mod world;

use std::{sync::Arc, time::Duration};

use ocsp::{ANSWER_VALIDITY, Question, REQUEST_BYTES_MAX, Responder, ResponderFault, Status, request};
use pki::{CertificateDer, Key, OCSP_SIGNER_VALIDITY, certificates_to_pem};
use world::{World, issued};
use x509_cert::der::{Decode as _, Encode as _};
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus};

/// What the response says about each certificate, without a look at its signature.
fn statuses(response: &[u8]) -> Vec<CertStatus> {
    let response = OcspResponse::from_der(response).unwrap();
    let basic = BasicOcspResponse::from_der(response.response_bytes.unwrap().response.as_bytes()).unwrap();
    basic.tbs_response_data.responses.into_iter().map(|single| single.cert_status).collect()
}

fn outcome(response: &[u8]) -> OcspResponseStatus {
    OcspResponse::from_der(response).unwrap().response_status
}

#[test]
fn good_revoked_and_unknown_are_believed_with_the_nonce_that_was_sent() {
    let world = World::new();
    let (stranger, reason) = (issued(&world.authority, "fe3.contoso.example", world.now), "keyCompromise");
    world.write("unknown.pem", certificates_to_pem(&stranger.chain[..1]));
    for digest in ["", "-sha256"] {
        for (file, expected) in [("server.pem", "good"), ("revoked.pem", "revoked"), ("unknown.pem", "unknown")] {
            let asked = format!("{digest} -issuer issuing.pem -cert {file}");
            let Some(request) = world.request(&format!("{asked} -nonce")) else { return };
            world.write("response.der", world.answer(&request));
            let (well, said) =
                world.openssl(&format!("{asked} -no_nonce -reqin request.der -respin response.der -CAfile root.pem")).unwrap();
            assert!(well && said.contains("Response verify OK") && said.contains(&format!("{file}: {expected}")), "{said}");
            assert!(!said.to_lowercase().contains("nonce"), "{said}");
            assert_eq!(said.contains(reason), expected == "revoked", "{said}");
        }
    }
}

#[test]
fn several_certificates_are_answered_in_one_go() {
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -cert revoked.pem -serial 0x4711 -no_nonce") else { return };
    let said = statuses(&world.answer(&request));
    assert!(matches!(said[..], [CertStatus::Good(_), CertStatus::Revoked(_), CertStatus::Unknown(_)]), "{said:?}");
}

#[test]
fn a_responder_answers_for_its_own_ca_only() {
    let world = World::new();
    let users = world.authority.users().unwrap();
    world.write("users.pem", users.certificate_pem());
    // The serial number of a server, asked for as one of the users' CA.
    let Some(request) = world.request(&format!("-issuer users.pem -serial 0x{} -no_nonce", world.server.serial)) else { return };
    assert!(matches!(statuses(&world.answer(&request))[..], [CertStatus::Unknown(_)]));
    let request = world.request("-issuer issuing.pem -cert server.pem -issuer users.pem -serial 1 -no_nonce").unwrap();
    assert!(matches!(statuses(&world.answer(&request))[..], [CertStatus::Good(_), CertStatus::Unknown(_)]));
    let request = world.request("-issuer root.pem -cert issuing.pem -no_nonce").unwrap();
    assert_eq!(outcome(&world.answer(&request)), OcspResponseStatus::Unauthorized);
}

#[test]
fn what_we_ask_ourselves_is_answered_for_some_hours() {
    let world = World::new();
    let asked = request(world.authority.issuing(), &world.server.serial).unwrap();
    let staple = world.answer(&asked);
    world.write("response.der", &staple);
    let Some((well, said)) = world.openssl("-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem -no_nonce") else {
        return;
    };
    assert!(well && said.contains("server.pem: good") && said.contains("Response verify OK"), "{said}");
    let response = OcspResponse::from_der(&staple).unwrap().response_bytes.unwrap();
    let single = BasicOcspResponse::from_der(response.response.as_bytes()).unwrap().tbs_response_data.responses.remove(0);
    let length = single.next_update.unwrap().0.to_unix_duration() - single.this_update.0.to_unix_duration();
    assert_eq!(length, ANSWER_VALIDITY);
    let late = world.now + OCSP_SIGNER_VALIDITY + Duration::from_secs(2);
    let answer = |now| world.responders[0].answer(&Question::read(&asked).unwrap(), |_| Status::Good, now);
    assert_eq!(answer(late), Err(ResponderFault::NotValidNow));
}

#[test]
fn a_root_whose_key_is_at_hand_answers_for_its_issuing_cas() {
    let mut world = World::new();
    let key = Key::generate().unwrap();
    let signer = world.root.issue_ocsp_signer(&key.public(), world.now).unwrap();
    world.responders.push(Responder::new(world.authority.root(), &signer, Arc::new(key)).unwrap());
    let asked = "-issuer root.pem -cert issuing.pem -no_nonce";
    let Some(request) = world.request(asked) else { return };
    let responder = &world.responders[2];
    let question = Question::read(&request).unwrap();
    assert!(responder.is_asked(&question) && responder.asked(&question) == [pki::facts(world.authority.issuing()).unwrap().serial]);
    world.write("response.der", responder.answer(&question, |_| Status::Good, world.now).unwrap());
    let (well, said) = world.openssl(&format!("{asked} -respin response.der -CAfile root.pem")).unwrap();
    assert!(well && said.contains("Response verify OK") && said.contains("issuing.pem: good"), "{said}");
}

#[test]
fn what_stands_beside_a_digest_is_not_repeated_to_everybody() {
    let world = World::new();
    let mut parsed = OcspRequest::from_der(&request(world.authority.issuing(), &world.server.serial).unwrap()).unwrap();
    let text = x509_cert::der::asn1::OctetString::new(vec![7; 4000]).unwrap();
    parsed.tbs_request.request_list[0].req_cert.hash_algorithm.parameters =
        Some(x509_cert::der::Any::from_der(&text.to_der().unwrap()).unwrap());
    assert_eq!(outcome(&world.answer(&parsed.to_der().unwrap())), OcspResponseStatus::Unauthorized);
    parsed.tbs_request.request_list[0].req_cert.hash_algorithm.parameters = None;
    assert!(matches!(statuses(&world.answer(&parsed.to_der().unwrap()))[..], [CertStatus::Good(_)]));
}

#[test]
fn a_changed_answer_is_not_believed() {
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert revoked.pem -no_nonce") else { return };
    let mut response = world.answer(&request);
    let serial = world.revoked.serial.as_bytes();
    let at = response.windows(serial.len()).position(|bytes| bytes == serial).unwrap();
    response[at..at + serial.len()].copy_from_slice(world.server.serial.as_bytes());
    world.write("response.der", response);
    let (_, said) = world.openssl("-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem").unwrap();
    assert!(said.contains("Response Verify Failure"), "{said}");
}

#[test]
fn what_is_no_request_or_too_much_is_told_so() {
    let world = World::new();
    let malformed = |request: &[u8]| assert_eq!(outcome(&world.answer(request)), OcspResponseStatus::MalformedRequest);
    for bad in [&b""[..], b"hello", &[0x30, 0], &vec![0x30; REQUEST_BYTES_MAX + 1]] {
        malformed(bad);
    }
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -no_nonce") else { return };
    malformed(&request[..request.len() - 1]);
    malformed(&[&request[..], &[0]].concat());
    let parsed = OcspRequest::from_der(&request).unwrap();
    let many = |count: usize| {
        let mut many = parsed.clone();
        many.tbs_request.request_list = vec![many.tbs_request.request_list[0].clone(); count];
        many.to_der().unwrap()
    };
    assert_eq!(statuses(&world.answer(&many(16))).len(), 16);
    malformed(&many(17));
    malformed(&many(0));
}

#[test]
fn a_nonce_is_repeated_within_limits_and_critical_rules_are_understood_or_refused() {
    use x509_cert::{
        der::asn1::{ObjectIdentifier, OctetString},
        ext::Extension,
    };
    let world = World::new();
    let Some(request) = world.request("-issuer issuing.pem -cert server.pem -no_nonce") else { return };
    let nonce = "1.3.6.1.5.5.7.48.1.2";
    let value = |length: usize| OctetString::new(vec![7; length]).unwrap().to_der().unwrap();
    let with = |extensions: &[(&str, bool, Vec<u8>)]| {
        let mut request = OcspRequest::from_der(&request).unwrap();
        let extension = |(id, critical, value): &(&str, bool, Vec<u8>)| Extension {
            extn_id: ObjectIdentifier::new(id).unwrap(),
            critical: *critical,
            extn_value: OctetString::new(value.clone()).unwrap(),
        };
        request.tbs_request.request_extensions = Some(extensions.iter().map(extension).collect());
        world.answer(&request.to_der().unwrap())
    };
    for (length, taken) in [(0, false), (1, true), (32, true), (128, true), (129, false)] {
        let response = with(&[(nonce, false, value(length))]);
        assert_eq!(outcome(&response) == OcspResponseStatus::Successful, taken, "{length}");
        let repeated = response.windows(value(length).len()).any(|bytes| bytes == value(length));
        assert_eq!(repeated, taken, "{length}");
    }
    let refused = |response: Vec<u8>| assert_eq!(outcome(&response), OcspResponseStatus::MalformedRequest);
    refused(with(&[(nonce, false, value(8)), (nonce, false, value(8))]));
    refused(with(&[("1.3.6.1.4.1.99999.1", true, vec![5, 0])]));
    assert_eq!(outcome(&with(&[("1.3.6.1.4.1.99999.1", false, vec![5, 0])])), OcspResponseStatus::Successful);
}

#[test]
fn who_answers_must_be_the_ca_or_have_its_word() {
    let world = World::new();
    let issuing = world.authority.issuing();
    let key = || Arc::new(Key::generate().unwrap());
    let fault = |certificate: &CertificateDer<'_>, key: Arc<Key>| Responder::new(issuing, certificate, key).unwrap_err();
    assert_eq!(fault(&world.server.chain[0], key()), ResponderFault::NotDelegated, "a server is no responder");
    let users = world.authority.users().unwrap().issue_ocsp_signer(&key().public(), world.now).unwrap();
    assert_eq!(fault(&users.chain[0], key()), ResponderFault::NotDelegated, "nor is the other CA's");
    let ours = world.authority.servers().issue_ocsp_signer(&key().public(), world.now).unwrap();
    assert_eq!(fault(&ours.chain[0], key()), ResponderFault::KeyMismatch);
    assert_eq!(fault(&CertificateDer::from(vec![1]), key()), ResponderFault::Malformed);
    let itself = Arc::new(Key::from_pem(world.authority.key_pem().unwrap().expose()).unwrap());
    let itself = Responder::new(issuing, issuing, itself).unwrap();
    let question = Question::read(&request(issuing, &world.server.serial).unwrap()).unwrap();
    world.write("response.der", itself.answer(&question, |_| Status::Good, world.now).unwrap());
    let asked = "-issuer issuing.pem -cert server.pem -respin response.der -CAfile root.pem -no_nonce";
    let Some((well, said)) = world.openssl(asked) else { return };
    assert!(well && said.contains("Response verify OK"), "{said}");
}

#[test]
fn a_request_damaged_anywhere_is_answered_somehow() {
    let world = World::new();
    let asked = request(world.authority.issuing(), &world.server.serial).unwrap();
    for at in 0..asked.len() {
        for bit in 0..8 {
            let mut damaged = asked.clone();
            damaged[at] ^= 1 << bit;
            let status = outcome(&world.answer(&damaged));
            let good = || matches!(statuses(&world.answer(&damaged))[..], [CertStatus::Good(_)]);
            assert!(status != OcspResponseStatus::Successful || !good(), "bit {bit} of octet {at} asks for somebody else");
        }
    }
}
