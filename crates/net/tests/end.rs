//! However a connection or the server ends, who must know is told, once.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use net::{BindError, Limits, Server};
use socket2::SockRef;
use support::{Log, PATIENCE, Running, Said, TestCore, TestPki, request};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

#[tokio::test]
async fn a_connection_that_dies_is_told_to_the_core_exactly_once() {
    let server = Running::start().await;
    let mut reset = server.phone().await;
    reset.check_alive().await;
    SockRef::from(reset.stream.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(reset);
    let mut cut = server.phone().await;
    cut.check_alive().await;
    drop(cut);
    let mut orderly = server.phone().await;
    orderly.check_alive().await;
    orderly.stream.shutdown().await.unwrap();
    orderly.expect_end().await;
    server.log.until("all three are closed", |log| log.closed() == 3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.log.closed(), 3);
    assert_eq!(server.handle.connections().await, []);
}

#[tokio::test]
async fn what_was_said_before_the_end_is_heard_before_the_end() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    let all: String = (1..=100).map(|number| request("alice", number)).collect();
    phone.send(all).await;
    phone.stream.shutdown().await.unwrap();
    server.log.until("closed", |log| log.closed() == 1).await;
    let said = server.log.all();
    assert_eq!(server.log.messages(), 100);
    assert!(matches!(said.last(), Some(Said::Closed(_))));
}

#[tokio::test]
async fn a_message_that_breaks_the_core_ends_its_sender_and_nobody_else() {
    let server = Running::start().await;
    let mut sender = server.phone().await;
    let mut other = server.phone().await;
    sender.send(request("panic", 1)).await;
    sender.expect_end().await;
    server.log.until("closed", |log| log.closed() == 1).await;
    other.check_alive().await;
}

#[tokio::test]
async fn a_timer_that_panics_once_harms_nobody() {
    let server = Running::start().await;
    let mut sender = server.phone().await;
    sender.send(request("late", 1)).await;
    sender.check_alive().await;
    server.phone().await.check_alive().await;
}

#[tokio::test]
async fn a_core_that_is_broken_ends_the_server_and_does_not_stay_unseen() {
    let server = Running::start().await;
    let mut sender = server.phone().await;
    sender.send(request("broken", 1)).await;
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_tells_every_connection_and_comes_to_an_end() {
    let server = Running::start().await;
    let mut phones = Vec::new();
    for _ in 0..20 {
        let mut phone = server.phone().await;
        phone.check_alive().await;
        phones.push(phone);
    }
    server.handle.shutdown();
    for phone in &mut phones {
        phone.expect_farewell().await;
    }
    drop(phones);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(server.log.all().contains(&Said::Shutdown));
    assert_eq!(server.log.closed(), 20);
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing listens any more");
    assert_eq!(server.handle.with(|_, _| ()).await, None, "nobody is there to be asked");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_those_who_do_not_listen() {
    let server = Running::with(Limits { closing_seconds_max: 1, shutdown_seconds_max: 3, ..Limits::DEFAULT }).await;
    let _deaf = server.phone().await;
    let _half_shaken = TcpStream::connect(server.address).await.unwrap();
    server.handle.shutdown();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_cure() {
    let server = Running::start().await;
    let pki = TestPki::new();
    let bound = Server::bind(server.address, pki.gate(), Limits::DEFAULT, TestCore::new(Log::default()));
    let Err(error @ BindError::InUse(_)) = bound else { panic!("the port is taken") };
    assert!(error.to_string().contains(&server.address.to_string()));
}

#[tokio::test]
async fn a_restarted_server_gets_its_port_back_at_once() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.check_alive().await;
    server.handle.shutdown();
    phone.expect_farewell().await;
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    let pki = TestPki::new();
    assert!(Server::bind(server.address, pki.gate(), Limits::DEFAULT, TestCore::new(Log::default())).is_ok());
}
