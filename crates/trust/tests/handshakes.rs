//! Real rustls in memory on both ends: what the ports let in, and what they do not.
#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use pki::Rejection;
use trust::{
    Listener, Peer, Refusal,
    tls::{Outcome, decide},
};
use world::*;

#[test]
fn a_client_needs_no_certificate() {
    let met = World::new().meet(Listener::Clients, None, now());
    assert!(matches!(met.decision.verdict, Ok(Peer::Client { user: None, .. })), "{:?}", met.decision);
    assert!(met.client_result.is_ok());
    let record = met.decision.record;
    assert!(record.accepted());
    assert_eq!(record.contact.sni.as_deref(), Some("fe1.contoso.example"));
    let tls = record.contact.tls.unwrap();
    assert_eq!((tls.version, tls.key_exchange, tls.suite), ("TLSv1_3", "X25519MLKEM768", "TLS13_AES_256_GCM_SHA384"));
    assert_eq!(record.topology_version, 12);
}

#[test]
fn a_user_signs_in_by_certificate() {
    let world = World::new();
    let anna = user(&world.authority, "Anna");
    let met = world.meet(Listener::Clients, Some(&anna), now());
    match met.decision.verdict {
        Ok(Peer::Client { user: Some(user), .. }) => assert_eq!(user.to_string(), "anna"),
        other => panic!("{other:?}"),
    }
    assert_eq!(met.decision.record.chain.len(), 2);
    assert_eq!(met.decision.record.shown, ["sip:Anna@contoso.example"]);
}

#[test]
fn a_listed_server_with_a_certificate_for_its_name_is_trusted() {
    let world = World::new();
    let fe2 = server(&world.authority, "fe2.contoso.example");
    let met = world.meet(Listener::Servers, Some(&fe2), now());
    match met.decision.verdict {
        Ok(Peer::TrustedServer { name, .. }) => assert_eq!(name, fqdn("fe2.contoso.example")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn n11_a_server_port_demands_a_certificate() {
    let met = World::new().meet(Listener::Servers, None, now());
    assert_eq!(met.decision.verdict, Err(Refusal::NoCertificate));
    assert!(met.client_result.is_err());
}

#[test]
fn n11_a_server_is_sent_away_from_the_client_port() {
    let world = World::new();
    let fe2 = server(&world.authority, "fe2.contoso.example");
    let met = world.meet(Listener::Clients, Some(&fe2), now());
    assert!(matches!(met.decision.verdict, Err(Refusal::ServerOnClientPort { .. })), "{:?}", met.decision);
    assert_eq!(met.decision.record.chain.len(), 2, "the chain is kept although the handshake failed");
}

#[test]
fn n2_a_foreign_certificate_is_refused_on_both_ports() {
    let world = World::new();
    let fabrikam = authority("Fabrikam");
    for (listener, holder) in [(Listener::Servers, server(&fabrikam, "fe2.contoso.example")), (Listener::Clients, user(&fabrikam, "anna"))]
    {
        let met = world.meet(listener, Some(&holder), now());
        assert!(matches!(met.decision.verdict, Err(Refusal::Certificate(Rejection::UnknownIssuer { .. }))), "{:?}", met.decision);
    }
}

#[test]
fn a_stolen_certificate_without_its_key_is_worth_nothing() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let thief = lax_client(version, Some(Holder { chain: anna.chain.clone(), key: pki::Key::generate().unwrap() }));
        let met =
            meet(&world.policy, Listener::Clients, world.server_config(Listener::Clients, now()), thief, "fe1.contoso.example", now());
        assert!(matches!(met.decision.verdict, Err(Refusal::Handshake { .. })), "{:?}", met.decision);
    }
}

#[test]
fn phones_with_tls_1_2_are_served() {
    let world = World::new();
    let met = meet(
        &world.policy,
        Listener::Clients,
        world.server_config(Listener::Clients, now()),
        lax_client(&rustls::version::TLS12, None),
        "fe1.contoso.example",
        now(),
    );
    assert!(matches!(met.decision.verdict, Ok(Peer::Client { user: None, .. })), "{:?}", met.decision);
    let tls = met.decision.record.contact.tls.unwrap();
    assert_eq!((tls.version, tls.suite), ("TLSv1_2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
}

/// What becomes of raw bytes on a client port.
fn first_bytes(bytes: &[u8]) -> Refusal {
    let world = World::new();
    let mut server = rustls::ServerConnection::new(world.server_config(Listener::Clients, now())).unwrap();
    server.read_tls(&mut &bytes[..]).unwrap();
    let error = server.process_new_packets().unwrap_err();
    let decision = decide(&world.policy.current(), Listener::Clients, source(), Outcome::Failed(&error), now());
    assert!(server.peer_certificates().is_none());
    decision.verdict.unwrap_err()
}

/// A ClientHello of the old kind: this version, these suites, signatures and groups as usual.
fn old_hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    suites.iter().for_each(|suite| body.extend(suite.to_be_bytes()));
    body.extend([1, 0]);
    // supported_groups secp256r1; ec_point_formats; signature_algorithms ecdsa_secp256r1_sha256
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1];
    hello.extend((length + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend(length.to_be_bytes());
    hello.extend(body);
    hello
}

#[test]
fn n13_old_tls_is_refused() {
    for version in [[3, 0], [3, 1], [3, 2]] {
        let refusal = first_bytes(&old_hello(version, &[0xc02c, 0xc02b, 0x002f]));
        assert!(matches!(refusal, Refusal::NoCommonTls { .. }), "{version:?}: {refusal}");
    }
}

#[test]
fn n13_weak_suites_are_refused() {
    // CBC, RSA key exchange, anonymous, null, RC4, export.
    for suite in [0xc023, 0xc009, 0x009c, 0x002f, 0x0034, 0xc018, 0x0001, 0xc006, 0x0005, 0x0003] {
        let refusal = first_bytes(&old_hello([3, 3], &[suite]));
        assert!(matches!(refusal, Refusal::NoCommonTls { .. }), "{suite:04x}: {refusal}");
    }
}

#[test]
fn n13_the_same_hello_with_a_good_suite_goes_on() {
    let world = World::new();
    let mut server = rustls::ServerConnection::new(world.server_config(Listener::Clients, now())).unwrap();
    server.read_tls(&mut &old_hello([3, 3], &[0xc02c])[..]).unwrap();
    assert!(server.process_new_packets().is_ok() && server.wants_write());
}

#[test]
fn n12_clear_text_is_refused_and_nothing_of_it_is_read() {
    for text in ["REGISTER sip:contoso.example SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n\r\n\r\n\r\n"] {
        assert_eq!(first_bytes(text.as_bytes()), Refusal::NotTls, "{text:?}");
    }
}

#[test]
fn a_session_is_never_resumed() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        // This client remembers sessions and tickets whenever it gets some.
        let client = lax_client(version, Some(Holder { chain: anna.chain.clone(), key: copy(&anna.key) }));
        let server = world.server_config(Listener::Clients, now());
        for round in 0..3 {
            let met = meet(&world.policy, Listener::Clients, server.clone(), client.clone(), "fe1.contoso.example", now());
            assert!(matches!(met.decision.verdict, Ok(Peer::Client { user: Some(_), .. })), "{:?}", met.decision);
            assert_ne!(met.server.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{version:?} {round}");
            assert_ne!(met.client.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{version:?} {round}");
            assert_eq!(met.client.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn n5_n28_revocation_acts_on_the_next_handshake_of_the_running_server() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let anna = user(&world.authority, "anna");
        let client = lax_client(version, Some(Holder { chain: anna.chain.clone(), key: copy(&anna.key) }));
        let server = world.server_config(Listener::Clients, now());
        let met = meet(&world.policy, Listener::Clients, server.clone(), client.clone(), "fe1.contoso.example", now());
        assert!(met.decision.verdict.is_ok());
        world.revoke(&anna);
        let met = meet(&world.policy, Listener::Clients, server, client, "fe1.contoso.example", now());
        assert_eq!(met.decision.record.label, "revoked");
        assert!(met.client_result.is_err(), "the client is told by an alert");
    }
    assert!(world.meet(Listener::Clients, Some(&anna), now()).decision.verdict.is_ok(), "her other certificate stays good");
}

#[test]
fn n5_a_withdrawn_certificate_is_shown_to_nobody_until_there_is_another() {
    let world = World::new();
    let fe2 = server(&world.authority, "fe2.contoso.example");
    world.identity.withdraw(&fe2.chain);
    assert!(world.meet(Listener::Clients, None, now()).client_result.is_ok(), "another one is not meant");
    world.identity.withdraw(&world.identity.chain());
    for (listener, holder) in [(Listener::Clients, None), (Listener::Servers, Some(&fe2))] {
        assert!(world.meet(listener, holder, now()).client_result.is_err(), "{listener:?}");
    }
    let another = server(&world.authority, "fe1.contoso.example");
    world.identity.replace(another.chain, &another.key).unwrap();
    assert!(world.meet(Listener::Clients, None, now()).client_result.is_ok());
}

#[test]
fn what_the_peer_is_told_is_less_than_what_is_recorded() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    world.revoke(&anna);
    let met = world.meet(Listener::Clients, Some(&anna), now());
    assert!(met.decision.record.verdict.contains("was revoked"));
    let told = met.client_result.unwrap_err();
    assert!(matches!(told, rustls::Error::AlertReceived(rustls::AlertDescription::CertificateUnknown)), "{told}");
}

#[test]
fn a_policy_that_changed_during_the_handshake_counts() {
    let world = World::new();
    let anna = user(&world.authority, "anna");
    let met = world.meet(Listener::Clients, Some(&anna), now());
    assert!(met.decision.verdict.is_ok());
    world.revoke(&anna);
    let again = decide(&world.policy.current(), Listener::Clients, source(), Outcome::Finished(&met.server), now());
    assert_eq!(again.record.label, "revoked");
    assert!(again.record.contact.tls.is_some());
}

#[test]
fn n3_an_expired_certificate_is_refused_during_the_handshake() {
    let world = World::new();
    let fe2 = server(&world.authority, "fe2.contoso.example");
    let later = now() + 8 * Duration::from_hours(24);
    let met = meet(
        &world.policy,
        Listener::Servers,
        world.server_config(Listener::Servers, later),
        lax_client(&rustls::version::TLS13, Some(fe2)),
        "fe1.contoso.example",
        later,
    );
    assert_eq!(met.decision.record.label, "expired");
}

#[test]
fn a_new_certificate_is_shown_from_the_next_handshake_on() {
    let world = World::new();
    let config = world.server_config(Listener::Clients, now());
    let shown = || {
        let met = meet(&world.policy, Listener::Clients, config.clone(), world.client_config(None, now()), "fe1.contoso.example", now());
        met.client.peer_certificates().unwrap()[0].clone()
    };
    let before = shown();
    let next = server(&world.authority, "fe1.contoso.example");
    world.identity.replace(next.chain.clone(), &next.key).unwrap();
    let after = shown();
    assert_ne!(before, after);
    assert_eq!(after, next.chain[0]);
    let wrong = server(&world.authority, "fe1.contoso.example");
    assert!(world.identity.replace(wrong.chain, &next.key).is_err(), "a key of another certificate");
    assert_eq!(shown(), after, "the old one stays");
}

#[test]
fn n35_the_name_asked_for_changes_nothing() {
    let world = World::new();
    let client = lax_client(&rustls::version::TLS13, None);
    for (name, sni) in
        [("fe1.contoso.example", Some("fe1.contoso.example")), ("elsewhere.test", Some("elsewhere.test")), ("127.0.0.1", None)]
    {
        let met = meet(&world.policy, Listener::Clients, world.server_config(Listener::Clients, now()), client.clone(), name, now());
        assert!(met.decision.verdict.is_ok(), "{name}");
        assert_eq!(met.decision.record.contact.sni.as_deref(), sni);
        assert_eq!(met.client.peer_certificates().unwrap(), world.identity.chain(), "{name}");
        let met = meet(&world.policy, Listener::Servers, world.server_config(Listener::Servers, now()), client.clone(), name, now());
        assert_eq!(met.decision.verdict, Err(Refusal::NoCertificate), "{name}");
    }
}

/// What our own client finds when it calls `name` and reaches a server with this certificate.
fn call(name: &str, anchors: pki::Anchors, server: &Holder) -> Result<(), Refusal> {
    let world = World::new();
    world.identity.replace(server.chain.clone(), &server.key).unwrap();
    let met =
        meet(&world.policy, Listener::Clients, world.server_config(Listener::Clients, now()), client(anchors, None, now()), name, now());
    match met.client_result {
        Ok(()) => {
            assert!(met.decision.verdict.is_ok());
            Ok(())
        }
        Err(error) => {
            assert!(matches!(met.decision.verdict, Err(Refusal::Alert { .. })), "the server learns of it: {:?}", met.decision);
            Err(refusal_of(&error))
        }
    }
}

#[test]
fn p4_our_client_believes_the_name_it_called_and_no_other() {
    let authority = authority("Contoso");
    let fe1 = server(&authority, "fe1.contoso.example");
    assert_eq!(call("fe1.contoso.example", authority.anchors(), &fe1), Ok(()));
    assert_eq!(call("contoso.example", authority.anchors(), &fe1), Ok(()), "the SIP domain (RFC 5922)");
    for name in ["fe2.contoso.example", "x.fe1.contoso.example", "example.test"] {
        let refusal = call(name, authority.anchors(), &fe1).unwrap_err();
        assert!(matches!(refusal, Refusal::Certificate(Rejection::WrongName { .. })), "{name}: {refusal}");
    }
    assert!(matches!(call("127.0.0.1", authority.anchors(), &fe1), Err(Refusal::Handshake { .. })), "an address is no name");
}

#[test]
fn n8_n9_n10_our_client_believes_alternative_names_only_and_no_wildcard() {
    let ca = Ca::new();
    let check = |names: &[&str], label: &str| {
        let holder = ca.issue(&ca.leaf(names, rcgen::ExtendedKeyUsagePurpose::ServerAuth));
        let found = call("fe1.contoso.example", ca.anchors(), &holder).map_err(|refusal| refusal.label());
        assert_eq!(found, if label.is_empty() { Ok(()) } else { Err(label) }, "{names:?}");
    };
    check(&["fe1.contoso.example"], "");
    check(&["fe2.contoso.example"], "wrong_name");
    check(&[], "no_identity");
    check(&["*.contoso.example"], "wildcard");
    check(&["*.contoso.example", "fe2.contoso.example"], "wrong_name");
}

#[test]
fn p15_our_client_believes_its_own_roots_only_and_servers_only() {
    let contoso = authority("Contoso");
    let fe1 = server(&contoso, "fe1.contoso.example");
    let label = |anchors, holder: &Holder| call("fe1.contoso.example", anchors, holder).unwrap_err().label();
    assert_eq!(label(authority("Fabrikam").anchors(), &fe1), "unknown_issuer");
    assert_eq!(label(pki::Anchors::nobody(), &fe1), "no_anchors");
    let ca = Ca::new();
    let no_server = ca.issue(&ca.leaf(&["fe1.contoso.example"], rcgen::ExtendedKeyUsagePurpose::ClientAuth));
    assert_eq!(label(ca.anchors(), &no_server), "wrong_purpose");
}

#[test]
fn a_chain_bomb_is_refused_before_it_is_read() {
    let world = World::new();
    let mut anna = user(&world.authority, "anna");
    anna.chain.extend(std::iter::repeat_n(anna.chain[1].clone(), 8));
    let met = world.meet(Listener::Clients, Some(&anna), now());
    assert_eq!(met.decision.record.label, "chain_too_large");
}

#[test]
fn who_leaves_in_the_middle_is_recorded_as_lost() {
    let world = World::new();
    let decision = decide(&world.policy.current(), Listener::Clients, source(), Outcome::Lost("the deadline of 10 s passed"), now());
    assert_eq!(decision.record.label, "lost");
    assert!(decision.record.verdict.contains("10 s"));
}
