//! What phones say comes through, whatever its shape on the wire.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;

use sip::Frame;
use support::{Phone, Running, Said, request};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_request_over_tls_is_answered() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.check_alive().await;
}

#[tokio::test]
async fn a_phone_that_speaks_tls_1_2_only_is_served() {
    let server = Running::start().await;
    let mut phone = Phone::connect(server.address, server.pki.client_of_tls12()).await.unwrap();
    phone.check_alive().await;
    assert_eq!(server.handle.connections().await[0].version, "TLSv1_2");
}

#[tokio::test]
async fn requests_in_one_segment_are_all_answered_in_order() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    let all: String = (1..=200).map(|number| request("alice", number)).collect();
    phone.send(all).await;
    for number in 1..=200 {
        assert_eq!(phone.response().await.call_id().unwrap(), format!("c{number}"));
    }
}

#[tokio::test]
async fn a_request_split_into_a_record_a_byte_is_one_request() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    for byte in request("alice", 1).as_bytes() {
        phone.stream.write_all(&[*byte]).await.unwrap();
        phone.stream.flush().await.unwrap();
    }
    assert_eq!(phone.status().await, 200);
    assert_eq!(server.log.messages(), 1);
}

#[tokio::test]
async fn a_body_larger_than_a_record_comes_through() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    let body = "x".repeat(100_000);
    phone.send(request("alice", 1).replace("Content-Length: 0", "Content-Length: 100000") + &body).await;
    assert_eq!(phone.status().await, 200);
    phone.check_alive().await;
}

#[tokio::test]
async fn a_ping_is_answered_with_a_pong_and_reaches_nobody() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.send("\r\n\r\n").await;
    assert!(matches!(phone.frame().await, Ok(Some(Frame::Pong))));
    phone.check_alive().await;
    assert_eq!(server.log.messages(), 1);
}

#[tokio::test]
async fn pings_that_come_together_get_one_pong_and_disturb_no_request() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.send(format!("\r\n\r\n{}\r\n\r\n\r\n\r\n", request("alice", 1))).await;
    assert!(matches!(phone.frame().await, Ok(Some(Frame::Pong))));
    assert_eq!(phone.status().await, 200);
    phone.check_alive().await;
}

#[tokio::test]
async fn a_ping_cut_in_two_is_answered_too() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.check_alive().await;
    phone.send("\r\n").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    phone.send("\r\n").await;
    assert!(matches!(phone.frame().await, Ok(Some(Frame::Pong))));
    phone.check_alive().await;
}

#[tokio::test]
async fn what_a_phone_says_right_behind_its_handshake_is_heard() {
    let server = Running::start().await;
    for _ in 0..20 {
        let mut phone = server.phone().await;
        phone.check_alive().await;
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_framed_is_answered_and_ended_and_nothing_of_it_delivered() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    let smuggled = request("alice", 1).replace("Content-Length: 0\r\n", "");
    phone.send(smuggled + &request("bob", 2)).await;
    assert_eq!(phone.status().await, 400);
    phone.expect_farewell().await;
    assert_eq!(server.log.messages(), 0);
}

#[tokio::test]
async fn the_core_can_end_a_connection_and_its_last_words_arrive() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.send(request("close", 1)).await;
    phone.expect_farewell().await;
    server.log.until("closed", |log| log.closed() == 1).await;
}

#[tokio::test]
async fn a_phone_may_renew_its_keys_at_any_time() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    for _ in 0..5 {
        phone.check_alive().await;
        phone.stream.get_mut().1.refresh_traffic_keys().unwrap();
    }
    phone.check_alive().await;
}

#[tokio::test]
async fn a_phone_hears_others_while_a_record_of_its_own_is_half_sent() {
    let server = Running::start().await;
    let (mut one, mut other) = (server.phone().await, server.phone().await);
    one.check_alive().await;
    other.check_alive().await;
    let mut record = Vec::new();
    let (socket, tls) = one.stream.get_mut();
    tls.writer().write_all(request("alice", 7).as_bytes()).unwrap();
    tls.write_tls(&mut record).unwrap();
    let (first, rest) = record.split_at(record.len() / 2);
    socket.write_all(first).await.unwrap();
    other.send(request("relay", 8)).await;
    assert_eq!(one.response().await.call_id().unwrap(), "c8");
    one.stream.get_mut().0.write_all(rest).await.unwrap();
    assert_eq!(one.response().await.call_id().unwrap(), "c7");
}

#[tokio::test]
async fn status_knows_the_connections_with_their_tls_facts() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.check_alive().await;
    let connections = server.handle.connections().await;
    let [connection] = &connections[..] else { panic!("one connection, not {connections:?}") };
    assert_eq!(connection.remote, phone.stream.get_ref().0.local_addr().unwrap());
    assert_eq!((connection.version, connection.key_exchange), ("TLSv1_3", "X25519MLKEM768"));
    assert!(connection.suite.starts_with("TLS13_"), "{}", connection.suite);
    assert_eq!(connection.server_name, support::SERVER_NAME);
    assert_eq!(server.log.all()[0], Said::Connected(connection.flow));
}
