//! The server in a process of its own, so that what it costs can be told from what the phones cost.
#![allow(clippy::print_stdout)]

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use net::Limits;
use rustls::ClientConfig;

use super::{Log, Phone, TestCore, TestPki, client_trusting, hex, link_trusting};

/// Set in the process that is the server.
const IS_SERVER: &str = "VERBUND_NET_TEST_SERVER";

/// The server's process, for a test of its own that is ignored otherwise.
pub async fn serve(limits: Limits) {
    if std::env::var_os(IS_SERVER).is_none() {
        return;
    }
    let pki = TestPki::new();
    let ports = vec![(super::listen(), pki.gate()), (super::listen(), pki.gate_for_servers(Arc::clone(&pki.identity)))];
    let server = net::Server::on(ports, None, limits, TestCore::new(Log::quiet())).unwrap();
    let holder = pki.server("fe1.verbund.test");
    let (key, chain) = (holder.key.to_der().unwrap(), [hex(&holder.chain[0]), hex(&holder.chain[1])]);
    let addresses = server.addresses();
    let [leaf, issuing] = chain;
    println!("\nLISTENING {} {} {} {leaf} {issuing} {}", addresses[0], pki.root_hex(), addresses[1], hex(key.secret_pkcs8_der()));
    std::io::stdout().flush().unwrap();
    server.run().await;
}

/// A running server; ends with this value.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub client: Arc<ClientConfig>,
    /// Its port for servers, and what is let in there.
    pub servers: SocketAddr,
    pub link: Arc<ClientConfig>,
}

impl Server {
    /// Starts this very program again, as the test `name`, which calls [`serve`].
    pub fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env(IS_SERVER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("LISTENING")).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let link = link_trusting(words[2], &words[4..=5], words[6]);
        Self { child, address: words[1].parse().unwrap(), client: client_trusting(words[2]), servers: words[3].parse().unwrap(), link }
    }

    pub async fn phone(&self) -> Phone {
        Phone::connect(self.address, Arc::clone(&self.client)).await.unwrap()
    }

    /// Resident memory.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Processor time of all threads.
    pub fn processor_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
            std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(tasks.filter_map(nanoseconds).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
