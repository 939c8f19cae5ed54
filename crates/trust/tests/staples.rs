//! OCSP answers that are sent along with a certificate: ours while they count, those of others when they tell on who sends them.
#![allow(clippy::unwrap_used)]

mod world;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use ocsp::{ANSWER_VALIDITY, Question, Responder, StapleFault, Status, request};
use pki::{CertificateDer, Key, RevocationReason};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use trust::{
    Listener, Refusal,
    tls::{AnswerOutcome, ServerIdentity, decide_answer, link_config, web_config},
};
use world::*;

const FE1: &str = "fe1.contoso.example";
const FE2: &str = "fe2.contoso.example";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Somebody who answers for a CA of this world, the one of kind `users` or the one for servers.
fn responder(world: &World, users: bool) -> Responder {
    let ca = if users { world.authority.users().unwrap() } else { world.authority.servers() };
    let key = Key::generate().unwrap();
    let signer = ca.issue_ocsp_signer(&key.public(), now()).unwrap();
    Responder::new(ca.certificate(), &signer.chain[0], Arc::new(key)).unwrap()
}

/// What the CA for servers says about a certificate.
fn answer(world: &World, leaf: &CertificateDer<'_>, status: Status) -> Vec<u8> {
    let asked = request(world.authority.issuing(), &pki::facts(leaf).unwrap().serial).unwrap();
    responder(world, false).answer(&Question::read(&asked).unwrap(), |_| status, now()).unwrap()
}

const REVOKED: Status = Status::Revoked { at: SystemTime::UNIX_EPOCH, reason: RevocationReason::KeyCompromise };

/// Notes what was stapled, and believes everything.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<u8>>);

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = stapled.to_vec();
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a phone that asks for a stapled answer gets.
fn stapled(server: Arc<ServerConfig>, version: &'static SupportedProtocolVersion) -> Vec<u8> {
    let noting = Arc::new(Noting::default());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let client = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&noting) as _).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), FE1.try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    // A server port goes on to refuse who has no certificate: the answer has come by then.
    let _ = shake(&mut client, &mut server);
    noting.0.lock().unwrap().clone()
}

#[test]
fn every_port_sends_the_answer_along_in_tls_1_2_and_1_3_until_it_ends() {
    let world = World::new();
    let staple = answer(&world, &world.identity.chain()[0], Status::Good);
    world.identity.staple(staple.clone(), now()).unwrap();
    assert_eq!(world.identity.stapled_until(), Some(now() + ANSWER_VALIDITY));
    let (last, over) = (now() + ANSWER_VALIDITY - Duration::from_secs(1), now() + ANSWER_VALIDITY);
    for version in VERSIONS {
        for (at, expected) in [(now(), &staple), (last, &staple), (over, &Vec::new())] {
            for listener in [Listener::Clients, Listener::Servers] {
                assert_eq!(&stapled(world.server_config(listener, at), version), expected, "{listener:?} {version:?}");
            }
            let web = web_config(Arc::clone(&world.identity), Arc::clone(&world.policy), clock(at)).unwrap();
            assert_eq!(&stapled(web, version), expected, "web {version:?}");
        }
    }
}

#[test]
fn only_an_answer_that_counts_and_says_good_is_sent() {
    let world = World::new();
    let leaf = world.identity.chain().remove(0);
    let sent = || stapled(world.server_config(Listener::Clients, now()), &TLS13);
    let good = answer(&world, &leaf, Status::Good);
    world.identity.staple(good.clone(), now()).unwrap();
    // Of the CA for users, about a certificate of that number; about another server; damaged; of yesterday.
    let asked = request(world.authority.users().unwrap().certificate(), &pki::facts(&leaf).unwrap().serial).unwrap();
    let of_users = responder(&world, true).answer(&Question::read(&asked).unwrap(), |_| Status::Good, now()).unwrap();
    let about_fe2 = answer(&world, &server(&world.authority, FE2).chain[0], Status::Good);
    let refused = |answer: Vec<u8>, at| world.identity.staple(answer, at).unwrap_err();
    assert_eq!(refused(of_users, now()), StapleFault::OtherCertificate);
    assert_eq!(refused(about_fe2, now()), StapleFault::OtherCertificate);
    assert_eq!(refused(good[..good.len() - 1].to_vec(), now()), StapleFault::Malformed);
    assert_eq!(refused(good.clone(), now() + ANSWER_VALIDITY + Duration::from_secs(1)), StapleFault::NotNow);
    assert_eq!(sent(), good, "none of these takes away what counts");
    for status in [REVOKED, Status::Unknown] {
        world.identity.staple(good.clone(), now()).unwrap();
        assert_eq!(world.identity.staple(answer(&world, &leaf, status), now()).unwrap().status, status);
        assert_eq!(sent(), Vec::<u8>::new(), "{status:?} is not advertised, and the word before is taken back");
    }
}

#[test]
fn another_certificate_starts_without_an_answer() {
    let world = World::new();
    let good = answer(&world, &world.identity.chain()[0], Status::Good);
    world.identity.staple(good.clone(), now()).unwrap();
    let next = server(&world.authority, FE1);
    world.identity.replace(next.chain.clone(), &next.key).unwrap();
    assert_eq!(stapled(world.server_config(Listener::Clients, now()), &TLS12), Vec::<u8>::new());
    assert_eq!(world.identity.staple(good, now()), Err(StapleFault::OtherCertificate));
    world.identity.staple(answer(&world, &next.chain[0], Status::Good), now()).unwrap();
    assert!(!stapled(world.server_config(Listener::Clients, now()), &TLS12).is_empty());
}

/// How a call to fe2 ends, which sends this along; by our link, and by a tool of ours.
fn called(world: &World, fe2: &Holder, staple: &[u8], version: &'static SupportedProtocolVersion) -> [Result<(), Refusal>; 2] {
    let fe1 = server(&world.authority, FE1);
    let identity = ServerIdentity::new(fe1.chain, &fe1.key).unwrap();
    let link = link_config(identity, Arc::clone(&world.policy), clock(now())).unwrap();
    [link, world.client_config(None, now())].map(|client| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap().with_no_client_auth();
        let key = fe2.key.to_der().unwrap().into();
        let server = builder.with_single_cert_with_ocsp(fe2.chain.clone(), key, staple.to_vec()).unwrap();
        let mut client = ClientConnection::new(client, FE2.try_into().unwrap()).unwrap();
        let (result, _) = shake(&mut client, &mut ServerConnection::new(Arc::new(server)).unwrap());
        let outcome = match &result {
            Ok(()) => AnswerOutcome::Finished(&client),
            Err(error) => AnswerOutcome::Failed(error),
        };
        decide_answer(&world.policy.current(), &fqdn(FE2), source(), outcome, now()).verdict.map(drop)
    })
}

#[test]
fn n5_a_server_that_tells_on_itself_is_refused_before_any_list_says_so() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    let revoked = answer(&world, &fe2.chain[0], REVOKED);
    for version in VERSIONS {
        for verdict in called(&world, &fe2, &revoked, version) {
            let refusal = verdict.unwrap_err();
            assert!(matches!(refusal, Refusal::RevokedByStaple { .. }), "{refusal}");
            assert_eq!(refusal.label(), "revoked");
        }
    }
}

#[test]
fn an_answer_that_is_missing_damaged_or_of_nobody_changes_nothing() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    let revoked = answer(&world, &fe2.chain[0], REVOKED);
    let asked = request(world.authority.users().unwrap().certificate(), &pki::facts(&fe2.chain[0]).unwrap().serial).unwrap();
    let of_users = responder(&world, true).answer(&Question::read(&asked).unwrap(), |_| REVOKED, now()).unwrap();
    let others = answer(&world, &server(&world.authority, FE2).chain[0], REVOKED);
    let unknown = answer(&world, &fe2.chain[0], Status::Unknown);
    let damaged = revoked[..revoked.len() - 1].to_vec();
    for staple in [Vec::new(), b"hello".to_vec(), vec![0x30; 60_000], damaged, of_users, others, unknown] {
        for version in VERSIONS {
            assert_eq!(called(&world, &fe2, &staple, version), [Ok(()), Ok(())]);
        }
    }
}

#[test]
fn n5_an_answer_that_says_good_saves_nobody_whom_a_list_names() {
    let world = World::new();
    let fe2 = server(&world.authority, FE2);
    let good = answer(&world, &fe2.chain[0], Status::Good);
    world.revoke(&fe2);
    let [by_link, _] = called(&world, &fe2, &good, &TLS13);
    assert_eq!(by_link.unwrap_err().label(), "revoked");
}
