//! The port for servers: who is listed and proves it gets in, nobody else does, and the others do not feel it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use net::{Direction, Limits};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{ClientConfig, HandshakeKind};
use support::{Holder, PATIENCE, Phone, Running, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn start() -> Running {
    Running::network(Limits::DEFAULT).await
}

/// Whoever comes with this configuration is refused for this reason, and the core never hears of it.
async fn check_refused(server: &Running, config: Arc<ClientConfig>, label: &str) {
    let connected = server.log.connected();
    // In TLS 1.3 a client believes itself connected before the server has judged it.
    if let Ok(mut phone) = Phone::connect(server.servers, config).await {
        let _ = phone.stream.write_all(request("alice", 1).as_bytes()).await;
        phone.expect_end().await;
    }
    assert_eq!(server.log.connected(), connected, "{label}");
    let records = server.handle.decisions(1);
    assert_eq!((records[0].label, records[0].contact.listener), (label, trust::Listener::Servers), "{records:?}");
}

async fn check_refused_with(server: &Running, holder: &Holder, label: &str) {
    check_refused(server, server.pki.client_with(holder), label).await;
}

#[tokio::test]
async fn a_listed_server_is_let_in_and_status_knows_it() {
    let server = start().await;
    let holder = server.pki.server("fe1.verbund.test");
    let mut link = server.link(&holder).await;
    link.check_alive().await;
    server.phone().await.check_alive().await;
    let connections = server.handle.connections().await;
    assert_eq!(connections.len(), 2);
    let link = &connections[0];
    assert_eq!(link.server.as_ref().map(pki::Fqdn::as_str), Some("fe1.verbund.test"));
    assert_eq!(link.serial, Some(pki::facts(&holder.chain[0]).unwrap().serial));
    assert_eq!(link.direction, Direction::Accepted);
    assert_eq!((connections[1].server.clone(), connections[1].serial.clone()), (None, None));
}

#[tokio::test]
async fn a_listed_server_may_speak_tls_1_2_or_1_3() {
    let server = start().await;
    let holder = server.pki.server("fe1.verbund.test");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = server.pki.resuming_client(version, Some(&holder));
        Phone::connect(server.servers, config).await.unwrap().check_alive().await;
    }
    let mut versions: Vec<_> = server.handle.connections().await.iter().map(|connection| connection.version).collect();
    versions.dedup();
    assert!(versions.iter().all(|version| ["TLSv1_2", "TLSv1_3"].contains(version)), "{versions:?}");
    assert_eq!(server.log.connected(), 2);
}

#[tokio::test]
async fn n11_who_shows_no_certificate_is_refused() {
    let server = start().await;
    check_refused(&server, server.pki.client(), "no_certificate").await;
    check_refused(&server, server.pki.client_of_tls12(), "no_certificate").await;
}

#[tokio::test]
async fn n11_a_server_on_the_port_for_clients_and_a_user_on_the_port_for_servers_are_refused() {
    let server = start().await;
    check_refused_with(&server, &server.pki.user("alice"), "wrong_purpose").await;
    if let Ok(mut phone) = Phone::connect(server.address, server.pki.client_with(&server.pki.server("fe1.verbund.test"))).await {
        phone.expect_end().await;
    }
    assert_eq!(server.labels()[0], "server_on_client_port");
    assert_eq!(server.log.connected(), 0);
}

#[tokio::test]
async fn n1_a_certificate_of_our_own_authority_for_an_unlisted_name_is_refused() {
    let server = start().await;
    check_refused_with(&server, &server.pki.server("fe99.verbund.test"), "not_in_topology").await;
}

#[tokio::test]
async fn n2_a_listed_name_in_a_certificate_of_a_foreign_authority_is_refused() {
    let server = start().await;
    check_refused_with(&server, &server.pki.foreign_server("fe1.verbund.test"), "unknown_issuer").await;
}

#[tokio::test]
async fn n3_n4_an_expired_or_not_yet_valid_certificate_is_refused() {
    let server = start().await;
    let days = |days: u64| Duration::from_hours(24 * days);
    let then = SystemTime::now();
    check_refused_with(&server, &server.pki.server_since("fe1.verbund.test", then - days(8)), "expired").await;
    check_refused_with(&server, &server.pki.server_since("fe1.verbund.test", then + days(2)), "not_yet_valid").await;
}

#[tokio::test]
async fn n5_a_revoked_certificate_is_refused_and_another_of_the_same_server_is_not() {
    let server = start().await;
    let (stolen, new) = (server.pki.server("fe1.verbund.test"), server.pki.server("fe1.verbund.test"));
    server.pki.revoke(&stolen);
    check_refused_with(&server, &stolen, "revoked").await;
    server.link(&new).await.check_alive().await;
}

#[tokio::test]
async fn n7_a_certificate_for_another_purpose_is_refused_and_one_for_servers_only_is_not() {
    let server = start().await;
    let (mail, web) = (ExtendedKeyUsagePurpose::EmailProtection, ExtendedKeyUsagePurpose::ServerAuth);
    check_refused_with(&server, &server.pki.misissued(&["fe1.verbund.test"], mail), "wrong_purpose").await;
    server.link(&server.pki.misissued(&["fe1.verbund.test"], web)).await.check_alive().await;
}

#[tokio::test]
async fn n9_n10_a_wildcard_or_a_common_name_proves_nothing() {
    let server = start().await;
    let purpose = || ExtendedKeyUsagePurpose::ServerAuth;
    check_refused_with(&server, &server.pki.misissued(&["*.verbund.test"], purpose()), "wildcard").await;
    check_refused_with(&server, &server.pki.misissued(&[], purpose()), "no_identity").await;
}

#[tokio::test]
async fn n12_clear_text_on_the_port_for_servers_is_closed_without_a_word() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.servers).await.unwrap();
    stream.write_all(request("alice", 1).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!((answer, server.log.all()), (vec![], vec![]));
    assert_eq!(server.labels(), ["not_tls"]);
}

#[tokio::test]
async fn n15_a_server_taken_off_the_list_is_refused() {
    let server = start().await;
    let holder = server.pki.server("fe1.verbund.test");
    server.pki.delist(&["fe1.verbund.test"]);
    check_refused_with(&server, &holder, "not_in_topology").await;
    server.pki.delist(&[]);
    server.link(&holder).await.check_alive().await;
}

#[tokio::test]
async fn n31_a_stale_revocation_list_lets_no_server_in_and_phones_without_certificate_are_served() {
    let server = start().await;
    let config = server.pki.client_with(&server.pki.server_since("fe1.verbund.test", SystemTime::now() + Duration::from_hours(72)));
    server.pki.clock.go_forward(Duration::from_hours(24 * 5));
    check_refused(&server, config.clone(), "stale_revocation_list").await;
    server.pki.renew_lists();
    Phone::connect(server.servers, config).await.unwrap().check_alive().await;
}

#[tokio::test]
async fn n34_eighty_links_survive_every_kind_of_failing_handshake() {
    let server = start().await;
    let pki = &server.pki;
    let (gone, revoked) = (pki.server("fe20.verbund.test"), pki.server("fe1.verbund.test"));
    pki.revoke(&revoked);
    pki.delist(&["fe20.verbund.test"]);
    let mut links = Vec::new();
    for number in 0..80 {
        links.push(server.link(&pki.server(&format!("fe{}.verbund.test", number % 19 + 1))).await);
    }
    for link in &mut links {
        link.check_alive().await;
    }
    let purpose = || ExtendedKeyUsagePurpose::ServerAuth;
    check_refused(&server, pki.client(), "no_certificate").await;
    check_refused_with(&server, &pki.foreign_server("fe1.verbund.test"), "unknown_issuer").await;
    check_refused_with(&server, &pki.server_since("fe1.verbund.test", SystemTime::now() - Duration::from_hours(24 * 8)), "expired").await;
    check_refused_with(&server, &revoked, "revoked").await;
    check_refused_with(&server, &gone, "not_in_topology").await;
    check_refused_with(&server, &pki.misissued(&["*.verbund.test"], purpose()), "wildcard").await;
    check_refused_with(&server, &pki.misissued(&[], purpose()), "no_identity").await;
    check_refused_with(&server, &pki.misissued(&["fe1.verbund.test"], ExtendedKeyUsagePurpose::CodeSigning), "wrong_purpose").await;
    for link in &mut links {
        link.check_alive().await;
    }
    assert_eq!((server.handle.connections().await.len(), server.log.closed()), (80, 0));
}

/// Two connections with one configuration that would resume; both have to be full handshakes.
async fn check_never_resumed(server: &Running, address: std::net::SocketAddr, config: Arc<ClientConfig>) {
    for _ in 0..2 {
        let mut phone = Phone::connect(address, config.clone()).await.unwrap();
        phone.check_alive().await;
        assert_eq!(phone.tls().handshake_kind(), Some(HandshakeKind::Full), "{address}");
        assert_eq!(phone.tls().tls13_tickets_received(), 0);
        phone.stream.shutdown().await.unwrap();
        phone.expect_end().await;
    }
    assert_eq!(server.handle.decisions(2).iter().filter(|record| record.accepted()).count(), 2, "both were judged");
}

#[tokio::test]
async fn n5_no_session_is_resumed_on_any_port_in_any_version_whoever_asks() {
    let server = start().await;
    let (holder, user) = (server.pki.server("fe1.verbund.test"), server.pki.user("alice"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        check_never_resumed(&server, server.servers, server.pki.resuming_client(version, Some(&holder))).await;
        check_never_resumed(&server, server.address, server.pki.resuming_client(version, Some(&user))).await;
        check_never_resumed(&server, server.address, server.pki.resuming_client(version, None)).await;
    }
}

#[tokio::test]
async fn n27_a_link_is_known_by_what_it_proved_never_by_where_it_comes_from_or_what_it_says() {
    let server = start().await;
    let mut one = server.link(&server.pki.server("fe1.verbund.test")).await;
    let mut other = server.link(&server.pki.server("fe2.verbund.test")).await;
    // Both come from one address, and one says that it is the other's, alias and all (RFC 5923).
    let alias = request("alice", 1).replace("Via: SIP/2.0/TLS 127.0.0.1:5061;", "Via: SIP/2.0/TLS fe2.verbund.test:6002;alias;");
    one.send(&alias).await;
    assert_eq!(one.status().await, 200, "the answer goes to whoever asked");
    other.check_alive().await;
    let names: Vec<_> = server.handle.connections().await.into_iter().filter_map(|link| link.server).collect();
    assert_eq!(names, [support::fqdn("fe1.verbund.test"), support::fqdn("fe2.verbund.test")]);
}
