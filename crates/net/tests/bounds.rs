//! What a stranger can make grow or last has an end, and others do not feel it (row N38).
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use net::Limits;
use support::{PATIENCE, Phone, Running, Said, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// The server ends this socket, in whatever way.
async fn expect_end(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    let ended = async { while matches!(stream.read(&mut bytes).await, Ok(read) if read > 0) {} };
    timeout(PATIENCE, ended).await.expect("the server leaves it open");
}

#[tokio::test]
async fn n38_a_handshake_that_never_begins_or_never_ends_is_cut() {
    let server = Running::with(Limits { handshake_seconds_max: 1, ..Limits::DEFAULT }).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a ClientHello.
    slow.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
    server.phone().await.check_alive().await;
    expect_end(&mut silent).await;
    expect_end(&mut slow).await;
    let reasons: Vec<_> = server.handle.decisions(10).into_iter().filter(|record| !record.accepted()).collect();
    assert_eq!(reasons.len(), 2, "each leaves a decision record: {reasons:?}");
}

#[tokio::test]
async fn n38_silent_connections_hold_no_place_among_the_handshakes() {
    let limits = Limits { handshakes_max: 4, handshakes_per_source_max: 4, ..Limits::DEFAULT };
    let server = Running::with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    server.phone().await.check_alive().await;
}

#[tokio::test]
async fn n38_stalled_handshakes_of_one_source_do_not_stop_another() {
    let limits = Limits { handshakes_max: 8, handshakes_per_source_max: 4, ..Limits::DEFAULT };
    let server = Running::with(limits).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
        stalled.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
    // Another address of this machine is another source.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = timeout(PATIENCE, socket.connect(server.address)).await.unwrap().unwrap();
    let mut phone = timeout(Duration::from_secs(8), Phone::over(stream, server.pki.client())).await.unwrap().unwrap();
    phone.check_alive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_a_flood_of_handshakes_is_worked_off_while_a_call_goes_on() {
    let server = Running::with(Limits { handshakes_computing_max: 1, ..Limits::DEFAULT }).await;
    let mut phone = server.phone().await;
    let flood: Vec<_> = (0..150).map(|_| tokio::spawn(Phone::connect(server.address, server.pki.client()))).collect();
    for _ in 0..50 {
        phone.check_alive().await;
    }
    for connected in flood {
        connected.await.unwrap().unwrap().check_alive().await;
    }
}

#[tokio::test]
async fn n38_idle_connections_of_one_source_leave_places_for_others() {
    let limits = Limits { connections_max: 60, connections_per_source_max: 40, ..Limits::DEFAULT };
    let server = Running::with(limits).await;
    let mut idle = Vec::new();
    let mut refused = 0;
    for _ in 0..50 {
        match server.try_phone().await {
            Ok(phone) => idle.push(phone),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((idle.len(), refused), (40, 10));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let mut elsewhere = Phone::over(stream, server.pki.client()).await.unwrap();
    elsewhere.check_alive().await;
    // A place given back can be taken again.
    drop(idle.pop());
    server.log.until("closed", |log| log.closed() == 1).await;
    let end = Instant::now() + PATIENCE;
    while server.try_phone().await.is_err() {
        assert!(Instant::now() < end);
    }
}

#[tokio::test]
async fn n38_a_message_begun_and_not_finished_ends_its_connection_only() {
    let server = Running::with(Limits { message_seconds_max: 1, ..Limits::DEFAULT }).await;
    let mut slow = server.phone().await;
    let mut other = server.phone().await;
    slow.send(&request("alice", 1)[..40]).await;
    slow.expect_farewell().await;
    other.check_alive().await;
}

#[test]
fn what_one_user_may_send_another_unheard_does_not_overflow_an_outbox() {
    // Otherwise whoever writes fast could end the connection of whoever they write to.
    let proxy::Limits { client, link, ack_bytes_max, .. } = proxy::Limits::DEFAULT;
    let Limits { outbox_bytes_max, link_outbox_bytes_max, .. } = Limits::DEFAULT;
    assert!(client.unheard_bytes_max + 4 * ack_bytes_max < outbox_bytes_max);
    assert!(link.unheard_bytes_max + 4 * ack_bytes_max < link_outbox_bytes_max);
}

#[tokio::test]
async fn n38_strangers_cannot_fill_the_memory_with_halves_of_messages() {
    let limits = Limits { unfinished_bytes_per_source_max: 150_000, ..Limits::DEFAULT };
    let server = Running::with(limits).await;
    let mut other = server.phone().await;
    let (mut first, mut second) = (server.phone().await, server.phone().await);
    let half = request("alice", 1).replace("Content-Length: 0", "Content-Length: 200000") + &"x".repeat(100_000);
    first.send(&half).await;
    second.send(&half).await;
    let mut ended = 0;
    for phone in [&mut first, &mut second] {
        ended += usize::from(tokio::time::timeout(Duration::from_secs(1), phone.expect_farewell()).await.is_ok());
    }
    assert!(ended > 0, "one of the two is one too many");
    other.check_alive().await;
}

#[tokio::test]
async fn n38_halves_of_tls_records_count_like_halves_of_messages() {
    let server = Running::with(Limits { unfinished_bytes_per_source_max: 20_000, ..Limits::DEFAULT }).await;
    let mut other = server.phone().await;
    let (mut first, mut second) = (server.phone().await, server.phone().await);
    // The head of a record of 16 KiB, and most of it.
    let half = [[23, 3, 3, 0x40, 0].as_slice(), &[0; 12_000]].concat();
    first.stream.get_mut().0.write_all(&half).await.unwrap();
    second.stream.get_mut().0.write_all(&half).await.unwrap();
    let mut ended = 0;
    for phone in [&mut first, &mut second] {
        ended += usize::from(timeout(Duration::from_secs(1), phone.expect_farewell()).await.is_ok());
    }
    assert_eq!(ended, 1, "one of the two is one too many");
    other.check_alive().await;
}

#[tokio::test]
async fn n38_an_idle_connection_may_stay_silent_longer_than_a_message_may_take() {
    let server = Running::with(Limits { message_seconds_max: 1, ..Limits::DEFAULT }).await;
    let mut phone = server.phone().await;
    phone.check_alive().await;
    sleep(Duration::from_millis(1_500)).await;
    phone.check_alive().await;
}

#[tokio::test]
async fn n38_a_head_that_never_ends_is_cut_at_its_bound() {
    let server = Running::start().await;
    let mut phone = server.phone().await;
    phone.send(request("alice", 1).trim_end_matches("\r\n").to_owned() + "\r\n").await;
    for _ in 0..40 {
        let line = format!("X: {}\r\n", "x".repeat(1_000));
        if phone.stream.write_all(line.as_bytes()).await.is_err() || phone.stream.flush().await.is_err() {
            break;
        }
    }
    assert_eq!(phone.status().await, 513);
    assert_eq!(server.log.messages(), 0);
    server.phone().await.check_alive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_who_does_not_read_is_cut_and_others_go_on() {
    let server = Running::start().await;
    let mut deaf = server.phone().await;
    let mut other = server.phone().await;
    deaf.send(request("pour", 1)).await;
    for _ in 0..20 {
        other.check_alive().await;
    }
    server.log.until("the deaf one is closed", |log| log.closed() == 1).await;
    other.check_alive().await;
}

#[tokio::test]
async fn n38_what_waits_too_long_for_its_reader_ends_the_connection() {
    let server = Running::with(Limits { write_stall_seconds_max: 1, outbox_bytes_max: 64 * 1024 * 1024, ..Limits::DEFAULT }).await;
    let mut deaf = server.phone().await;
    deaf.send(request("pour", 1)).await;
    server.log.until("the deaf one is closed", |log| log.closed() == 1).await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything_that_fits_its_outbox() {
    let server = Running::with(Limits { outbox_bytes_max: 64 * 1024 * 1024, ..Limits::DEFAULT }).await;
    let mut phone = server.phone().await;
    phone.send(request("pour", 1)).await;
    sleep(Duration::from_millis(300)).await;
    let mut bytes = vec![0; 64 * 1024];
    let mut total = 0;
    while total < 20_000_000 {
        total += timeout(PATIENCE, phone.stream.read(&mut bytes)).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n38_a_flooding_sender_waits_for_itself_and_others_are_served_between() {
    let server = Running::with(Limits { messages_in_flight_max: 4, messages_queued_max: 16, ..Limits::DEFAULT }).await;
    let mut flooder = server.phone().await;
    let mut other = server.phone().await;
    // 5 ms of the core's time each: two seconds of work for it.
    let all: String = (1..=400).map(|number| request("slow", number)).collect();
    flooder.send(all).await;
    server.log.until("the flood has begun", |log| log.messages() > 4).await;
    other.check_alive().await;
    let before = server.log.count(|said| matches!(said, Said::Message(_, uri) if uri.contains("slow")));
    assert!(before < 400, "the other phone was served before the flood was worked off");
    for number in 1..=400 {
        assert_eq!(flooder.response().await.call_id().unwrap(), format!("c{number}"), "nothing is lost, nothing overtakes");
    }
}
