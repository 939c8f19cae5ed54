//! A server around a small core, and phones that speak to it over real sockets.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

pub mod child;
mod core;
mod phone;
mod tls;

use std::net::SocketAddr;

use net::{Handle, Limits, Server};
use tokio::task::JoinHandle;

pub use self::core::{Log, Said, TestCore};
pub use phone::{PATIENCE, Phone, request};
pub use tls::{SERVER_NAME, TestPki, client_trusting};

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub handle: Handle<TestCore>,
    pub log: Log,
    pub pki: TestPki,
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
        let (address, handle) = (server.local_addr(), server.handle());
        Self { address, handle, log, pki, task: tokio::spawn(server.run()) }
    }

    /// A signed-in phone, as far as TLS goes.
    pub async fn phone(&self) -> Phone {
        self.try_phone().await.unwrap()
    }

    pub async fn try_phone(&self) -> std::io::Result<Phone> {
        Phone::connect(self.address, self.pki.client()).await
    }
}

/// Ports below 32768 are free for servers here; which of them is taken nobody knows before trying.
pub fn bind(pki: &TestPki, limits: Limits, log: &Log) -> Server<TestCore> {
    let mut seed = std::process::id() ^ std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    for _ in 0..100 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let port = 20_000 + u16::try_from((seed >> 8) % 12_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match Server::bind(address, pki.gate(), limits, TestCore::new(log.clone())) {
            Ok(server) => return server,
            Err(net::BindError::InUse(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free port");
}
