//! An enterprise CA, a server with its certificate, and strict clients.
#![allow(dead_code, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use pki::{Authority, Fqdn, Key, Revocation, ServerNames};
use rustls::ServerConfig;
use rustls::time_provider::DefaultTimeProvider;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use topology::{Listeners, Topology};
use trust::tls::{ServerIdentity, client_config, web_config};
use trust::{LivePolicy, Policy};
use web::{About, Answer, Door, Health, Limits, RootOnly, Site, metrics};

pub(crate) const NAME: &str = "sip.verbund.test";

pub(crate) struct Lab {
    authority: Authority,
    tls: Arc<ServerConfig>,
    /// The root in a file, for programs.
    pub(crate) root: NamedTempFile,
}

/// A signalling core that answers as it is told to.
pub(crate) struct Core {
    pub(crate) answers: AtomicBool,
    pub(crate) hangs: AtomicBool,
}

impl Health for Core {
    fn node_answers(&self) -> Answer<'_, bool> {
        Box::pin(async {
            if self.hangs.load(Ordering::Relaxed) {
                sleep(Duration::from_secs(3600)).await;
            }
            self.answers.load(Ordering::Relaxed)
        })
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) core: Arc<Core>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let (now, domain) = (SystemTime::now(), Fqdn::parse("verbund.test").unwrap());
        let (root, authority) = Authority::create("Verbund", std::slice::from_ref(&domain), now).unwrap();
        let key = Key::generate().unwrap();
        let names = ServerNames { server: Fqdn::parse(NAME).unwrap(), aliases: vec![], domains: vec![domain.clone()] };
        let issued = authority.issue_server(&names, &key.public(), now).unwrap();
        let identity = ServerIdentity::new(issued.chain, &key).unwrap();
        let server = Fqdn::parse(NAME).unwrap();
        let listeners = Listeners { sip: Some(([127, 0, 0, 1], 5061).into()), ..Listeners::default() };
        let policy = Policy {
            topology: Topology::single_server("Verbund", &domain, &server, listeners).unwrap(),
            anchors: authority.anchors(),
            revocation: Revocation::strict(authority.first_lists(&root, now).unwrap(), Duration::ZERO),
            issuing: authority.pinned(),
        };
        let tls = web_config(identity, LivePolicy::new(policy), Arc::new(DefaultTimeProvider)).unwrap();
        let root = NamedTempFile::new().unwrap();
        std::fs::write(root.path(), authority.root_pem()).unwrap();
        Self { authority, tls, root }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// A server on a free port.
    pub(crate) async fn serve(&self, limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let core = Arc::new(Core { answers: AtomicBool::new(true), hangs: AtomicBool::new(false) });
        let about = About { domain: "verbund.test".into(), server_name: NAME.into(), sip: "sip.verbund.test:5061".into() };
        let published = Arc::new(RootOnly(self.root_pem()));
        let site = Site { about, published, health: core.clone(), metrics: metrics::install().unwrap(), authority: None };
        let door = Door { tls: self.tls.clone(), gate: None };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or(()) };
        let task = tokio::spawn(web::serve(listener, door, site, limits, shutdown));
        Server { address, core, stop, task }
    }

    /// A handshake that verifies the server strictly; HTTP/1.1 is spoken over it.
    pub(crate) async fn connect(&self, server: &Server) -> TlsStream<TcpStream> {
        self.connect_as(server, &[]).await
    }

    /// The same for HTTP/2.
    pub(crate) async fn connect_h2(&self, server: &Server) -> TlsStream<TcpStream> {
        self.connect_as(server, &[b"h2"]).await
    }

    async fn connect_as(&self, server: &Server, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let clock = Arc::new(DefaultTimeProvider);
        let tls = client_config(self.authority.anchors(), Revocation::none(), None, clock).unwrap();
        let mut tls = (*tls).clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(server.address).await.unwrap();
        TlsConnector::from(Arc::new(tls)).connect(NAME.try_into().unwrap(), stream).await.unwrap()
    }
}

impl Server {
    /// Ends it; how long that took.
    pub(crate) async fn end(self) -> Duration {
        let begin = std::time::Instant::now();
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        begin.elapsed()
    }
}
