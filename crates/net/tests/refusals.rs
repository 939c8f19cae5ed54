//! What must not get in does not, leaves a decision record, and nobody else suffers.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;

use support::{PATIENCE, Phone, Running, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

/// Everything the server says before it ends the connection.
async fn answer_to(server: &Running, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server leaves it open");
    answer
}

fn labels(server: &Running) -> Vec<&'static str> {
    server.handle.decisions(10).iter().map(|record| record.label).collect()
}

#[tokio::test]
async fn n12_clear_text_on_the_tls_port_is_closed_without_a_word_and_nothing_is_parsed() {
    let server = Running::start().await;
    assert_eq!(answer_to(&server, request("alice", 1).as_bytes()).await, b"");
    assert_eq!(answer_to(&server, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    assert_eq!(server.log.all(), []);
    assert_eq!(labels(&server).len(), 2);
    assert_eq!(labels(&server)[0], labels(&server)[1]);
    server.phone().await.check_alive().await;
}

#[tokio::test]
async fn noise_that_begins_like_tls_is_refused_with_an_alert() {
    let server = Running::start().await;
    // A ClientHello in which nothing is as it should be.
    let mut noise = vec![22, 3, 1, 0, 100, 1, 0, 0, 96];
    noise.extend([0xff; 96]);
    let answer = answer_to(&server, &noise).await;
    assert_eq!(answer.first(), Some(&21), "an alert record");
    assert_eq!(server.log.all(), []);
}

/// What `openssl s_client` says of a handshake with these options; `None` when it is not installed.
async fn openssl(server: &Running, options: &[&str]) -> Option<(bool, String)> {
    let address = server.address.to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", support::SERVER_NAME];
    let child = Command::new("openssl").args(arguments).args(options).stdin(Stdio::null()).output();
    let output = timeout(PATIENCE, child).await.unwrap().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

#[tokio::test]
async fn n13_tls_1_0_and_1_1_and_weak_suites_are_refused() {
    let server = Running::start().await;
    let Some((success, text)) = openssl(&server, &["-tls1_2"]).await else { return eprintln_skip() };
    assert!(success, "the client works as such: {text}");
    for options in [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
    ] {
        let Some((success, text)) = openssl(&server, options).await else { return };
        assert!(!success, "{options:?}: {text}");
    }
    assert_eq!(server.log.count(|said| matches!(said, support::Said::Connected(_))), 1);
}

#[allow(clippy::print_stderr)]
fn eprintln_skip() {
    assert!(std::env::var_os("CI").is_none(), "openssl is not installed, and in CI nothing is passed over");
    eprintln!("skipped: openssl is not installed");
}

#[tokio::test]
async fn n2_a_certificate_of_a_foreign_authority_is_refused_before_the_core_hears_of_it() {
    let server = Running::start().await;
    // In TLS 1.3 a client believes itself connected before the server has judged it.
    if let Ok(mut phone) = Phone::connect(server.address, server.pki.client_of_a_stranger()).await {
        let _ = phone.stream.write_all(request("alice", 1).as_bytes()).await;
        phone.expect_end().await;
    }
    assert_eq!(server.log.all(), []);
    assert_eq!(server.handle.decisions(10).len(), 1);
    assert!(!server.handle.decisions(10)[0].accepted());
}

#[tokio::test]
async fn a_certificate_of_a_user_is_accepted_and_leaves_a_record() {
    let server = Running::start().await;
    let mut phone = Phone::connect(server.address, server.pki.client_of("alice")).await.unwrap();
    phone.check_alive().await;
    let records = server.handle.decisions(10);
    assert!(records[0].accepted());
    assert!(records[0].shown.iter().any(|name| name.contains("alice")), "{records:?}");
    assert_eq!(records[0].contact.sni.as_deref(), Some(support::SERVER_NAME));
}

#[tokio::test]
async fn n34_a_failing_handshake_leaves_eighty_others_alone() {
    let server = Running::start().await;
    let mut phones = Vec::new();
    for _ in 0..80 {
        phones.push(server.phone().await);
    }
    for said in [&[22, 3, 1, 0, 4, 1, 2, 3, 4][..], b"REGISTER", &[22, 3, 3, 255, 255]] {
        answer_to(&server, said).await;
    }
    if let Ok(mut phone) = Phone::connect(server.address, server.pki.client_of_a_stranger()).await {
        phone.expect_end().await;
    }
    for phone in &mut phones {
        phone.check_alive().await;
    }
    assert_eq!(server.handle.connections().await.len(), 80);
    assert_eq!(server.log.closed(), 0);
}

#[tokio::test]
async fn broken_records_end_their_connection_only() {
    let server = Running::start().await;
    let mut broken = server.phone().await;
    let mut other = server.phone().await;
    broken.check_alive().await;
    // A record that nobody with the keys made.
    let (socket, _) = broken.stream.get_mut();
    let mut forged = vec![23, 3, 3, 0, 64];
    forged.extend([0; 64]);
    socket.write_all(&forged).await.unwrap();
    broken.expect_end().await;
    server.log.until("closed", |log| log.closed() == 1).await;
    other.check_alive().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_the_next_handshake_on_and_open_connections_stay() {
    let server = Running::start().await;
    let leaf = |phone: &Phone| phone.stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let mut before = server.phone().await;
    let (chain, key) = server.pki.new_server_certificate();
    server.pki.identity.replace(chain.clone(), &key).unwrap();
    let mut after = server.phone().await;
    assert_eq!(leaf(&after), chain[0]);
    assert_ne!(leaf(&before), chain[0]);
    before.check_alive().await;
    after.check_alive().await;
    let (chain, _) = server.pki.new_server_certificate();
    assert!(server.pki.identity.replace(chain, &key).is_err(), "a key that does not fit changes nothing");
    server.phone().await.check_alive().await;
}
