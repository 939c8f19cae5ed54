//! What a relayed message and a handshake cost the server, in processor time, and how fast a change of policy reaches
//! what is open. Measured by hand, because the figures say
//! something on a quiet machine and in release builds only:
//! `cargo test --release -p net --test cost -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use net::{Limits, Rejudged};
use rustls::ClientConfig;
use support::{Holder, Phone, Running, child, request};

/// Pairs of phones that write to each other.
const PAIRS: u32 = 100;
/// How long is measured.
const WINDOW: Duration = Duration::from_secs(3);

#[tokio::test]
#[ignore = "started by the measurements"]
async fn serve() {
    child::serve(Limits::DEFAULT).await;
}

/// Runs `work` in as many tasks as there are `workers` for the window; prints what one piece of it cost the server.
async fn measure<W, F>(name: &str, server: &child::Server, workers: Vec<W>, work: impl Fn(W) -> F + Clone + Send + 'static)
where
    W: Send + 'static,
    F: Future<Output = W> + Send,
{
    let (before, start) = (server.processor_time(), Instant::now());
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while start.elapsed() < WINDOW {
                    worker = work(worker).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    let each = (server.processor_time() - before).as_secs_f64() * 1e6 / done as f64;
    eprintln!("{name}: {each:.1} us of the server each, {:.0} a second", done as f64 / start.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn messages() {
    let server = child::Server::start("serve");
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let mut one = server.phone().await;
        one.send(request("alice", 1)).await;
        one.response().await;
        let mut other = server.phone().await;
        other.send(request("alice", 1)).await;
        other.response().await;
        pairs.push((one, other));
    }
    let text = "x".repeat(500);
    let message = request("relay", 1).replace("Content-Length: 0", "Content-Length: 500") + &text;
    measure("MESSAGE and 200, relayed", &server, pairs, move |(mut one, mut other): (Phone, Phone)| {
        let message = message.clone();
        async move {
            one.send(&message).await;
            other.response().await;
            other.send(OK).await;
            one.response().await;
            (one, other)
        }
    })
    .await;
}

const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK1\r\nFrom: <sip:alice@verbund.test>;tag=a\r\n\
To: <sip:bob@verbund.test>;tag=b\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";

/// Connections opened, answered once and ended, with this configuration.
async fn measure_handshakes(name: &str, server: &child::Server, address: SocketAddr, config: Arc<ClientConfig>) {
    measure(name, server, vec![(); 8], move |()| {
        let config = config.clone();
        async move {
            let mut phone = Phone::connect(address, config).await.unwrap();
            phone.send("\r\n\r\n").await;
            phone.frame().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn handshakes() {
    let server = child::Server::start("serve");
    measure_handshakes("TLS connection and its end", &server, server.address, server.client.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn mutual_handshakes() {
    let server = child::Server::start("serve");
    measure_handshakes("mutual TLS connection of a server and its end", &server, server.servers, server.link.clone()).await;
}

/// Two thousand connections are judged again; then some are cut.
async fn measure_rejudging(name: &str, holders: Vec<Holder>, address: impl Fn(&Running) -> SocketAddr, running: Running) {
    const CONNECTIONS: usize = 2_000;
    let mut phones = Vec::new();
    for number in 0..CONNECTIONS {
        let holder = &holders[number % holders.len()];
        let mut phone = Phone::connect(address(&running), running.pki.client_with(holder)).await.unwrap();
        phone.check_alive().await;
        phones.push(phone);
    }
    let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(running.handle.rejudge().await, Rejudged { judged: CONNECTIONS, cut: 0 });
        times.push(ms(start));
    }
    times.sort_unstable_by(f64::total_cmp);
    running.pki.revoke(&holders[0]);
    let (fallen, standing): (Vec<_>, Vec<_>) = phones.into_iter().enumerate().partition(|(number, _)| number % holders.len() == 0);
    let start = Instant::now();
    let cut = running.handle.rejudge().await.cut;
    let ordered = ms(start);
    for (_, mut phone) in fallen {
        phone.expect_farewell().await;
    }
    let told = ms(start);
    for (_, mut phone) in standing.into_iter().take(100) {
        phone.check_alive().await;
    }
    eprintln!(
        "{name}: {CONNECTIONS} judged again in {:.1} ms; {cut} revoked ones out of the core after {ordered:.1} ms, the last told after {told:.1} ms",
        times[2]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rejudging_links_of_twenty_servers() {
    let running = Running::network(Limits { connections_for_servers_max: 4_096, rejudge_seconds_max: 3_600, ..Limits::DEFAULT }).await;
    let holders = (1..=20).map(|number| running.pki.server(&format!("fe{number}.verbund.test"))).collect();
    measure_rejudging("links of 20 servers", holders, |running| running.servers, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rejudging_users_each_with_a_certificate() {
    let running = Running::network(Limits { rejudge_seconds_max: 3_600, ..Limits::DEFAULT }).await;
    let holders = (0..2_000).map(|number| running.pki.user(&format!("user{number}"))).collect();
    measure_rejudging("users with a certificate each", holders, |running| running.address, running).await;
}
