//! Links that the core asks for: who answers must be the very server that was called.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use net::{Connection, Direction, Limits, Rejudged};
use registrar::Flow;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use support::{Holder, PATIENCE, Running, Said, TestPki, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// As the core counts them.
const FLOW: Flow = Flow(1 << 63 | 1);

async fn start() -> Running {
    Running::network(Limits::DEFAULT).await
}

/// Another server of the same organisation, at work.
fn fe(server: &Running, number: usize) -> Running {
    let identity = server.pki.server(&format!("fe{number}.verbund.test")).identity();
    Running::member(Arc::clone(&server.pki), identity, Limits::DEFAULT)
}

async fn connect(server: &Running, name: &'static str, addresses: Vec<SocketAddr>) {
    server.handle.with(move |core, _| core.connect(FLOW, name, addresses)).await.unwrap();
}

async fn send(server: &Running, text: impl Into<Bytes>) {
    let bytes = text.into();
    server.handle.with(move |core, _| core.send(FLOW, bytes)).await.unwrap();
}

async fn dialled(server: &Running) -> Option<Connection> {
    server.handle.connections().await.into_iter().find(|connection| connection.flow == FLOW)
}

/// It came to nothing: the core heard of that, once, and of nothing else.
async fn expect_failure(server: &Running) {
    server.log.until("the end of the call", |log| log.closed() > 0).await;
    assert_eq!(server.log.all(), [Said::Closed(FLOW)]);
    assert_eq!(dialled(server).await, None);
}

#[tokio::test]
async fn a_listed_server_is_called_and_what_waited_goes_out_first() {
    let (server, other) = {
        let server = start().await;
        let other = fe(&server, 1);
        (server, other)
    };
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    for number in 1..=50 {
        send(&server, request("bob", number)).await;
    }
    other.log.until("all of it", |log| log.messages() == 50).await;
    server.log.until("it is told", |log| log.all().contains(&Said::Connected(FLOW))).await;
    let (ours, theirs) = (dialled(&server).await.unwrap(), other.handle.connections().await.remove(0));
    assert_eq!((ours.direction, theirs.direction), (Direction::Dialled, Direction::Accepted));
    assert_eq!(ours.server, Some(support::fqdn("fe1.verbund.test")));
    assert_eq!(theirs.server, Some(support::fqdn(support::SERVER_NAME)));
    assert_eq!((ours.remote, ours.server_name.as_str()), (other.servers, "fe1.verbund.test"));
    assert_eq!((ours.version, theirs.server_name.as_str()), ("TLSv1_3", "fe1.verbund.test"));
    assert!(ours.serial.is_some() && theirs.serial.is_some());
    let record = &server.handle.decisions(1)[0];
    assert!(record.accepted() && record.direction.as_str() == "outgoing" && record.contact.tls.is_some(), "{record:?}");
    // The other server answers each over the same connection.
    server.log.until("the answers", |log| log.closed() == 0).await;
}

#[tokio::test]
async fn a_link_that_ends_later_is_told_once() {
    let server = start().await;
    let other = fe(&server, 1);
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    other.handle.shutdown();
    server.log.until("closed", |log| log.closed() == 1).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.log.all(), [Said::Connected(FLOW), Said::Closed(FLOW)]);
}

#[tokio::test]
async fn the_core_may_end_a_link_open_or_not() {
    let server = start().await;
    let other = fe(&server, 1);
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    server.handle.with(|core, _| core.close(FLOW)).await;
    server.log.until("closed", |log| log.closed() == 1).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(&server, "fe1.verbund.test", vec![silent.local_addr().unwrap()]).await;
    server.handle.with(|core, _| core.close(FLOW)).await;
    server.log.until("closed", |log| log.closed() == 2).await;
    assert_eq!(server.log.connected(), 1);
}

#[tokio::test]
async fn addresses_are_tried_in_turn_until_the_server_answers() {
    let server = start().await;
    let (wrong, right) = (fe(&server, 2), fe(&server, 1));
    let closed = support::listen().local_addr().unwrap();
    connect(&server, "fe1.verbund.test", vec![closed, wrong.servers, right.servers]).await;
    send(&server, request("bob", 1)).await;
    right.log.until("it found the right one", |log| log.messages() == 1).await;
    assert_eq!(wrong.log.messages(), 0);
    assert_eq!(server.labels(), ["accepted", "wrong_name"]);
}

#[tokio::test]
async fn n17_n18_who_answers_with_the_certificate_of_another_listed_server_is_refused() {
    let server = start().await;
    let other = fe(&server, 2);
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    send(&server, request("bob", 1)).await;
    expect_failure(&server).await;
    assert_eq!(server.labels(), ["wrong_name"]);
    assert_eq!(other.log.messages(), 0, "it never hears what was meant for another");
}

/// A server that shows `holder`, whatever it is, and lets everybody in; in this version of TLS.
async fn careless(holder: &Holder, version: &'static rustls::SupportedProtocolVersion) -> (SocketAddr, TlsAcceptor, TcpListener) {
    let key = PrivateKeyDer::Pkcs8(holder.key.to_der().unwrap());
    let builder = ServerConfig::builder_with_protocol_versions(&[version]).with_no_client_auth();
    let config = builder.with_single_cert(holder.chain.clone(), key).unwrap();
    let listener = TcpListener::from_std(support::listen()).unwrap();
    (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)), listener)
}

/// A call to `fe1` that reaches somebody who shows this fails for this reason.
async fn check_refused(server: &Running, holder: &Holder, label: &str) {
    let (address, acceptor, listener) = careless(holder, &rustls::version::TLS13).await;
    let answering = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await });
    connect(server, "fe1.verbund.test", vec![address]).await;
    send(server, request("bob", 1)).await;
    let closed = server.log.closed();
    server.log.until("the end of the call", |log| log.closed() > closed).await;
    assert_eq!((server.labels()[0], server.log.connected()), (label, 0));
    if let Ok(mut stream) = answering.await.unwrap() {
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        assert_eq!(heard, b"", "nothing was said to it");
    }
}

#[tokio::test]
async fn n1_to_n10_a_called_server_is_held_to_the_same_rules_as_one_that_calls() {
    let server = start().await;
    let pki = &server.pki;
    let purpose = || rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    let revoked = pki.server("fe1.verbund.test");
    pki.revoke(&revoked);
    check_refused(&server, &pki.foreign_server("fe1.verbund.test"), "unknown_issuer").await;
    let old = std::time::SystemTime::now() - Duration::from_hours(24 * 8);
    check_refused(&server, &pki.server_since("fe1.verbund.test", old), "expired").await;
    check_refused(&server, &revoked, "revoked").await;
    check_refused(&server, &pki.misissued(&["*.verbund.test"], purpose()), "wildcard").await;
    check_refused(&server, &pki.misissued(&[], purpose()), "no_identity").await;
    check_refused(&server, &pki.misissued(&["fe1.verbund.test"], rcgen::ExtendedKeyUsagePurpose::ClientAuth), "wrong_purpose").await;
    check_refused(&server, &pki.user("alice"), "wrong_purpose").await;
    pki.delist(&["fe1.verbund.test"]);
    check_refused(&server, &pki.server("fe1.verbund.test"), "not_in_topology").await;
}

/// The other end of a link, by hand.
async fn answer(server: &Running, version: &'static rustls::SupportedProtocolVersion) -> TlsStream<TcpStream> {
    let holder = server.pki.server("fe1.verbund.test");
    let (address, acceptor, listener) = careless(&holder, version).await;
    connect(server, "fe1.verbund.test", vec![address]).await;
    acceptor.accept(listener.accept().await.unwrap().0).await.unwrap()
}

#[tokio::test]
async fn a_called_server_may_speak_tls_1_2_or_1_3() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = start().await;
        let mut stream = answer(&server, version).await;
        send(&server, request("bob", 1)).await;
        let mut heard = vec![0; request("bob", 1).len()];
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, request("bob", 1).as_bytes());
        stream.write_all(request("alice", 2).as_bytes()).await.unwrap();
        server.log.until("it speaks too", |log| log.messages() == 1).await;
    }
}

#[tokio::test]
async fn n12_a_called_server_that_speaks_clear_text_is_refused_and_told_nothing() {
    let server = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(&server, "fe1.verbund.test", vec![listener.local_addr().unwrap()]).await;
    send(&server, request("bob", 1)).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"SIP/2.0 200 OK\r\n\r\n").await.unwrap();
    expect_failure(&server).await;
    assert_eq!(server.labels(), ["not_tls"]);
}

#[tokio::test]
async fn a_refusal_that_comes_after_our_handshake_is_kept_as_what_it_is() {
    let server = start().await;
    let other = fe(&server, 1);
    // The other server no longer believes in us, and we believe in it.
    let lone = Running::member(Arc::new(TestPki::new()), other.pki.server("fe1.verbund.test").identity(), Limits::DEFAULT);
    connect(&server, "fe1.verbund.test", vec![lone.servers]).await;
    server.log.until("closed", |log| log.closed() == 1).await;
    let record = &server.handle.decisions(1)[0];
    assert_eq!(record.label, "refused_by_server", "{record:?}");
    assert_eq!(lone.log.all(), []);
    drop(other);
}

#[tokio::test]
async fn an_end_before_the_first_word_leaves_a_record_and_one_after_it_does_not() {
    let server = start().await;
    let mut silent = answer(&server, &rustls::version::TLS13).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    silent.shutdown().await.unwrap();
    server.log.until("closed", |log| log.closed() == 1).await;
    assert_eq!(server.labels(), ["lost", "accepted"]);
    let mut talking = answer(&server, &rustls::version::TLS13).await;
    talking.write_all(request("alice", 1).as_bytes()).await.unwrap();
    server.log.until("heard", |log| log.messages() == 1).await;
    talking.shutdown().await.unwrap();
    server.log.until("closed", |log| log.closed() == 2).await;
    assert_eq!(server.labels(), ["accepted", "lost", "accepted"]);
}

#[tokio::test]
async fn n38_a_call_into_a_black_hole_ends_and_what_waited_is_freed() {
    let limits = Limits { dial_handshake_seconds_max: 1, ..Limits::DEFAULT };
    let server = Running::network(limits).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(&server, "fe1.verbund.test", vec![silent.local_addr().unwrap()]).await;
    send(&server, vec![b'x'; 500_000]).await;
    expect_failure(&server).await;
    assert_eq!(server.labels(), ["lost"]);
}

#[tokio::test]
async fn n38_an_address_where_nobody_answers_the_knock_costs_its_time_and_no_more() {
    let server = Running::network(Limits { connect_seconds_max: 1, ..Limits::DEFAULT }).await;
    let other = fe(&server, 1);
    // A full queue of connections: the kernel lets further ones wait without a word.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let deaf = socket.listen(1).unwrap().local_addr().map(|address| (address, ())).unwrap().0;
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(deaf)).await {
        waiting.push(stream);
    }
    connect(&server, "fe1.verbund.test", vec![deaf, other.servers]).await;
    server.log.until("the next address", |log| log.connected() == 1).await;
}

#[tokio::test]
async fn n38_a_call_takes_no_longer_than_a_call_may_however_many_addresses_there_are() {
    let limits = Limits { dial_seconds_max: 1, ..Limits::DEFAULT };
    let server = Running::network(limits).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(&server, "fe1.verbund.test", vec![silent.local_addr().unwrap(); 100]).await;
    let begin = Instant::now();
    expect_failure(&server).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "one second, not ten for each");
}

#[tokio::test]
async fn n38_what_waits_for_a_link_is_bounded_like_any_outbox() {
    let server = Running::network(Limits { link_outbox_bytes_max: 1_000_000, ..Limits::DEFAULT }).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(&server, "fe1.verbund.test", vec![silent.local_addr().unwrap()]).await;
    for _ in 0..3 {
        send(&server, vec![b'x'; 500_000]).await;
    }
    expect_failure(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_a_server_that_does_not_read_is_cut_and_others_go_on() {
    let server = Running::network(Limits { link_outbox_bytes_max: 1_000_000, ..Limits::DEFAULT }).await;
    let (_deaf, other) = (answer(&server, &rustls::version::TLS13).await, fe(&server, 2));
    let mut phone = server.phone().await;
    for _ in 0..100 {
        send(&server, vec![b' '; 200_000]).await;
    }
    server.log.until("the deaf one is closed", |log| log.closed() == 1).await;
    phone.check_alive().await;
    connect(&server, "fe2.verbund.test", vec![other.servers]).await;
    other.log.until("another link", |log| log.connected() == 1).await;
}

#[tokio::test]
async fn a_server_that_calls_nobody_says_so_at_once() {
    let server = Running::start().await;
    connect(&server, "fe1.verbund.test", vec!["127.0.0.1:9".parse().unwrap()]).await;
    expect_failure(&server).await;
}

#[tokio::test]
async fn n38_links_have_places_of_their_own_and_no_more_than_those() {
    let server = Running::network(Limits { links_dialled_max: 1, ..Limits::DEFAULT }).await;
    let (one, other) = (fe(&server, 1), fe(&server, 2));
    connect(&server, "fe1.verbund.test", vec![one.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    let second = Flow(FLOW.0 + 1);
    server.handle.with(move |core, _| core.connect(second, "fe2.verbund.test", vec![other.servers])).await;
    server.log.until("no place", |log| log.all().contains(&Said::Closed(second))).await;
    server.handle.with(|core, _| core.close(FLOW)).await;
    server.log.until("closed", |log| log.closed() == 2).await;
}

#[tokio::test]
async fn n5_n15_a_called_server_that_no_longer_stands_is_cut_on_both_sides() {
    let server = start().await;
    let other = fe(&server, 1);
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    server.pki.delist(&["fe1.verbund.test"]);
    assert_eq!(server.handle.rejudge().await, Rejudged { judged: 1, cut: 1 });
    assert_eq!(server.log.all(), [Said::Connected(FLOW), Said::Closed(FLOW)]);
    assert_eq!(server.handle.decisions(1)[0].direction.as_str(), "outgoing");
    other.log.until("it hears of its end", |log| log.closed() == 1).await;
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    server.log.until("it cannot be called any more", |log| log.closed() == 2).await;
    assert_eq!(server.labels()[0], "not_in_topology");
}

#[tokio::test]
async fn a_shutdown_ends_links_and_calls_under_way() {
    let server = start().await;
    let other = fe(&server, 1);
    connect(&server, "fe1.verbund.test", vec![other.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = Flow(FLOW.0 + 1);
    let address = silent.local_addr().unwrap();
    server.handle.with(move |core, _| core.connect(second, "fe2.verbund.test", vec![address])).await;
    server.handle.shutdown();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(server.log.closed(), 2);
    other.log.until("it was told", |log| log.closed() == 1).await;
}

#[tokio::test]
async fn a_number_that_is_taken_is_not_taken_twice() {
    let server = start().await;
    let (one, other) = (fe(&server, 1), fe(&server, 2));
    connect(&server, "fe1.verbund.test", vec![one.servers]).await;
    server.log.until("connected", |log| log.connected() == 1).await;
    connect(&server, "fe2.verbund.test", vec![other.servers]).await;
    send(&server, request("bob", 1)).await;
    one.log.until("the first has it", |log| log.messages() == 1).await;
    assert_eq!((server.log.closed(), other.log.connected()), (0, 0));
}
