//! An idle connection costs the server 16 KB of resident memory or less, keys and all.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use net::Limits;
use support::{Log, Phone, TestPki, request};

/// What a connection may cost.
const IDLE_BYTES_MAX: u64 = 16 * 1024;
/// Enough that the pages shared by all do not matter.
const CONNECTIONS: u64 = 1_500;
/// Set in the process that is the server.
const IS_SERVER: &str = "VERBUND_NET_MEMORY_TEST_SERVER";

/// Resident bytes of a process, from `/proc`.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Ends the server however the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server, in a process of its own: the phones' memory must not be counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the memory test"]
async fn serve_for_the_memory_test() {
    if std::env::var_os(IS_SERVER).is_none() {
        return;
    }
    let pki = TestPki::new();
    let server = support::bind(&pki, Limits::DEFAULT, &Log::quiet());
    println!("\nLISTENING {} {}", server.local_addr(), pki.root_hex());
    std::io::stdout().flush().unwrap();
    server.run().await;
}

fn start_server() -> (Ended, SocketAddr, String) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve_for_the_memory_test", "--ignored", "--nocapture"])
        .env(IS_SERVER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("LISTENING")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    (child, words[1].parse().unwrap(), words[2].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_costs_16_kilobytes_at_most() {
    let (server, address, root) = start_server();
    let client = support::client_trusting(&root);
    let connect = async || {
        let mut phone = Phone::connect(address, client.clone()).await.unwrap();
        phone.send(request("alice", 1)).await;
        assert_eq!(phone.status().await, 200);
        phone
    };
    let mut phones = Vec::new();
    // The first ones pay for what all share.
    for _ in 0..50 {
        phones.push(connect().await);
    }
    let before = resident_bytes(server.0.id());
    for _ in 0..CONNECTIONS {
        phones.push(connect().await);
    }
    let each = (resident_bytes(server.0.id()) - before) / CONNECTIONS;
    eprintln!("{each} bytes of resident memory for an idle connection");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes for an idle connection");
}
