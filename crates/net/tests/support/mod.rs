//! Servers around a small core, and phones and other servers that speak to them over real sockets.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

pub mod child;
mod core;
mod phone;
mod tls;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use net::{Handle, Limits, Server};
use tokio::task::JoinHandle;
use trust::tls::ServerIdentity;

pub use self::core::{Log, Said, TestCore};
pub use phone::{PATIENCE, Phone, request};
pub use tls::{Holder, OTHER_SERVERS, SERVER_NAME, TestPki, client_trusting, fqdn, hex, link_trusting};

/// A running server.
pub struct Running {
    /// Its port for clients.
    pub address: SocketAddr,
    /// Its port for servers; the same as for clients if there is but one.
    pub servers: SocketAddr,
    pub handle: Handle<TestCore>,
    pub log: Log,
    pub pki: Arc<TestPki>,
    pub task: JoinHandle<()>,
}

impl Running {
    /// With the limits that a server starts with.
    pub async fn start() -> Self {
        Self::with(Limits::DEFAULT).await
    }

    /// With limits that a test can reach.
    pub async fn with(limits: Limits) -> Self {
        let pki = TestPki::new();
        let log = Log::default();
        let server = bind(&pki, limits, &log);
        Self::run(server, Arc::new(pki), log)
    }

    /// With a port for clients and one for servers, and able to call others.
    pub async fn network(limits: Limits) -> Self {
        let pki = Arc::new(TestPki::new());
        let identity = Arc::clone(&pki.identity);
        Self::member(pki, identity, limits)
    }

    /// One more server of this organisation, which shows `identity`.
    pub fn member(pki: Arc<TestPki>, identity: Arc<ServerIdentity>, limits: Limits) -> Self {
        let log = Log::default();
        let ports = vec![(listen(), pki.gate()), (listen(), pki.gate_for_servers(Arc::clone(&identity)))];
        let server = Server::on(ports, Some(pki.dialler(identity)), limits, TestCore::new(log.clone())).unwrap();
        Self::run(server, pki, log)
    }

    fn run(server: Server<TestCore>, pki: Arc<TestPki>, log: Log) -> Self {
        let (address, servers, handle) = (server.local_addr(), *server.addresses().last().unwrap(), server.handle());
        Self { address, servers, handle, log, pki, task: tokio::spawn(server.run()) }
    }

    /// A signed-in phone, as far as TLS goes.
    pub async fn phone(&self) -> Phone {
        self.try_phone().await.unwrap()
    }

    pub async fn try_phone(&self) -> std::io::Result<Phone> {
        Phone::connect(self.address, self.pki.client()).await
    }

    /// A server that calls this one's port for servers and shows this.
    pub async fn link(&self, holder: &Holder) -> Phone {
        Phone::connect(self.servers, self.pki.client_with(holder)).await.unwrap()
    }

    /// The labels of the last verdicts, newest first.
    pub fn labels(&self) -> Vec<&'static str> {
        self.handle.decisions(100).iter().map(|record| record.label).collect()
    }
}

/// Ports below 32768 are free for servers here; which of them is taken nobody knows before trying.
pub fn bind(pki: &TestPki, limits: Limits, log: &Log) -> Server<TestCore> {
    Server::on(vec![(listen(), pki.gate())], None, limits, TestCore::new(log.clone())).unwrap()
}

/// A port of this machine that was free.
pub fn listen() -> TcpListener {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut seed = std::process::id() ^ now.subsec_nanos();
    for _ in 0..100 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let port = 20_000 + u16::try_from((seed >> 8) % 12_000).unwrap();
        match net::listen(SocketAddr::from(([127, 0, 0, 1], port))) {
            Ok(listener) => return listener,
            Err(net::BindError::InUse(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free port");
}
