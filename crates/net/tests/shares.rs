//! What happens on the port for clients leaves the links between servers alone (row N38).
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use net::Limits;
use support::{Phone, Running, request};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(8);

async fn check_links(server: &Running) {
    let holder = server.pki.server("fe1.verbund.test");
    let mut link = timeout(SOON, server.link(&holder)).await.expect("a link finds a place");
    link.check_alive().await;
}

#[tokio::test]
async fn n38_clients_that_take_every_place_they_can_leave_those_of_servers() {
    let limits = Limits { connections_max: 40, connections_for_servers_max: 8, links_dialled_max: 4, ..Limits::DEFAULT };
    let server = Running::network(limits).await;
    let mut idle = Vec::new();
    while let Ok(phone) = server.try_phone().await {
        idle.push(phone);
    }
    assert_eq!(idle.len(), 27, "but for one that another source keeps");
    check_links(&server).await;
}

/// A connection from an address at which the topology lists nobody.
async fn stranger(to: std::net::SocketAddr, number: u8) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, number], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn n38_strangers_on_the_port_for_servers_leave_places_and_handshakes_to_servers() {
    let server = Running::network(Limits { connections_max: 400, connections_for_servers_max: 40, ..Limits::DEFAULT }).await;
    let mut stalled = Vec::new();
    for number in 0..60 {
        let mut stream = stranger(server.servers, 2 + number % 6).await;
        let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await;
        stalled.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
    check_links(&server).await;
}

#[tokio::test]
async fn n38_stalled_handshakes_of_clients_do_not_stop_servers() {
    let limits = Limits { handshakes_max: 8, handshakes_per_source_max: 8, ..Limits::DEFAULT };
    let server = Running::network(limits).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
        stalled.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
    check_links(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_messages_of_clients_that_wait_for_the_core_are_not_waited_for_by_servers() {
    let server = Running::network(Limits { messages_queued_max: 64, ..Limits::DEFAULT }).await;
    let holder = server.pki.server("fe1.verbund.test");
    let mut link = server.link(&holder).await;
    let mut flooders = Vec::new();
    // 5 ms of the core's time each: ten seconds of work for it.
    let all: String = (1..=100).map(|number| request("slow", number)).collect();
    for _ in 0..20 {
        let mut phone = server.phone().await;
        phone.send(&all).await;
        flooders.push(phone);
    }
    server.log.until("the flood has begun", |log| log.messages() > 4).await;
    for _ in 0..5 {
        link.check_alive().await;
    }
    assert!(server.log.messages() < 1_900, "the link did not wait until the flood was worked off");
    assert_eq!(timeout(SOON, server.handle.with(|_, _| 1)).await.unwrap(), Some(1), "nor do questions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_a_flood_of_handshakes_of_clients_leaves_servers_their_turn() {
    let server = Running::network(Limits { handshakes_computing_max: 1, ..Limits::DEFAULT }).await;
    let (address, config) = (server.address, server.pki.client());
    let flood: Vec<_> = (0..150).map(|_| tokio::spawn(Phone::connect(address, config.clone()))).collect();
    check_links(&server).await;
    for connected in flood {
        connected.await.unwrap().unwrap().check_alive().await;
    }
}
