//! What a relayed message and a handshake cost the server, in processor time. Measured by hand, because the figures say
//! something on a quiet machine and in release builds only:
//! `cargo test --release -p net --test cost -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use net::Limits;
use support::{Phone, child, request};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn handshakes() {
    let server = child::Server::start("serve");
    let (address, config) = (server.address, server.client.clone());
    measure("TLS connection and its end", &server, vec![(); 8], move |()| {
        let config = config.clone();
        async move {
            let mut phone = Phone::connect(address, config).await.unwrap();
            phone.send("\r\n\r\n").await;
            phone.frame().await.unwrap();
        }
    })
    .await;
}
