//! Real rustls in memory on both ends: what the ports let in, and what they do not.
#![allow(clippy::unwrap_used)]

mod world;

use pki::Rejection;
use trust::{Listener, Peer, Refusal};
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
