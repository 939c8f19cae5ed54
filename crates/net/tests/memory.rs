//! An idle connection costs the server 16 KB of resident memory or less, keys and all.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use net::Limits;
use support::{child, request};

/// What a connection may cost.
const IDLE_BYTES_MAX: u64 = 16 * 1024;
/// Enough that the pages shared by all do not matter.
const CONNECTIONS: u64 = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn serve() {
    child::serve(Limits::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_costs_16_kilobytes_at_most() {
    let server = child::Server::start("serve");
    let connect = async || {
        let mut phone = server.phone().await;
        phone.send(request("alice", 1)).await;
        assert_eq!(phone.status().await, 200);
        phone
    };
    let mut phones = Vec::new();
    // The first ones pay for what all share.
    for _ in 0..50 {
        phones.push(connect().await);
    }
    let before = server.resident_bytes();
    for _ in 0..CONNECTIONS {
        phones.push(connect().await);
    }
    let each = (server.resident_bytes() - before) / CONNECTIONS;
    eprintln!("{each} bytes of resident memory for an idle connection");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes for an idle connection");
}
