//! An enterprise CA, a server with its certificate, and strict clients.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod acme;
pub(crate) mod office;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use office::Office;
use pki::{Authority, CertificateDer, Fqdn, Key, Revocation, Root, ServerNames};
use rustls::ServerConfig;
use rustls::time_provider::DefaultTimeProvider;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use topology::Topology;
use trust::tls::{ClientIdentity, Outcome, ServerIdentity, client_config, decide, web_config};
use trust::{Contact, Listener, LivePolicy, Peer, Policy, Refusal, judge};
use web::client::Target;
use web::control::{Control, ControlFault, Held, Hello, InForce, Update};
use web::{About, Answer, Desk, Door, Gate, Health, Limits, Published, RootOnly, Site, metrics};

pub(crate) const NAME: &str = "sip.verbund.test";

/// This server and two members. FE2 is listed or not.
fn topology(fe2_is_listed: bool) -> Topology {
    let server = |name: &str, roles: &str, port: u16| {
        format!(
            "[[pool]]\nname = \"{name}\"\n[[pool.server]]\nfqdn = \"{name}\"\nroles = [{roles}]\nsip = \"127.0.0.1:{port}\"\nservers = \
             \"127.0.0.1:{}\"\nhttps = \"127.0.0.1:{}\"\n",
            port + 1,
            port + 2
        )
    };
    let mut text = "version = 1\norganisation = \"Verbund\"\ndomains = [\"verbund.test\"]\n".to_owned();
    text.push_str(&server(NAME, r#""authority", "front-end""#, 5061));
    text.push_str(&server("fe1.verbund.test", r#""front-end""#, 5071));
    if fe2_is_listed {
        text.push_str(&server("fe2.verbund.test", r#""front-end""#, 5081));
    }
    Topology::parse(&text).unwrap()
}

pub(crate) struct Lab {
    authority: Authority,
    root_ca: Root,
    tls: Arc<ServerConfig>,
    policy: Arc<LivePolicy>,
    changed: watch::Sender<u64>,
    pub(crate) refusals: Arc<Mutex<Vec<Refusal>>>,
    pub(crate) office: Arc<Office>,
    pub(crate) channel: Arc<Channel>,
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

/// The gate as the program has it: the policy in force, and what was refused.
struct Judge {
    policy: Arc<LivePolicy>,
    changed: watch::Receiver<u64>,
    refusals: Arc<Mutex<Vec<Refusal>>>,
}

impl Judge {
    fn note(&self, verdict: Result<Peer, Refusal>) -> Result<Peer, Refusal> {
        if let Err(refusal) = &verdict {
            self.refusals.lock().unwrap().push(refusal.clone());
        }
        verdict
    }
}

/// Where members are expected to come from.
pub(crate) const EXPECTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

impl Gate for Judge {
    fn admit(&self, source: SocketAddr, outcome: Outcome<'_>) -> Result<Peer, Refusal> {
        self.note(decide(&self.policy.current(), Listener::Web, source, outcome, SystemTime::now()).verdict)
    }

    fn still_admits(&self, source: SocketAddr, chain: &[CertificateDer<'_>]) -> Result<Peer, Refusal> {
        let contact = Contact { listener: Listener::Web, source, sni: None, tls: None };
        self.note(judge(&self.policy.current(), contact, chain, SystemTime::now()).verdict)
    }

    fn expects(&self, address: IpAddr) -> bool {
        address == EXPECTED
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }
}

/// The authority's side of the control channel: what members said, and the senders of their feeds.
#[derive(Default)]
pub(crate) struct Channel {
    pub(crate) said: Mutex<Vec<String>>,
    pub(crate) feeds: Mutex<Vec<OpenFeed>>,
}

/// Whose it is, what it holds, and how it hears.
type OpenFeed = (Fqdn, Held, mpsc::Sender<Arc<Update>>);

impl Control for Channel {
    fn hello(self: Arc<Self>, peer: Fqdn, _source: IpAddr, hello: Hello) -> Answer<'static, Result<(), ControlFault>> {
        self.said.lock().unwrap().push(format!("{peer} hello {}", hello.version));
        Box::pin(async { Ok(()) })
    }

    fn feed<'a>(&'a self, peer: &'a Fqdn, held: Held) -> Answer<'a, Result<mpsc::Receiver<Arc<Update>>, ControlFault>> {
        let (sender, receiver) = mpsc::channel(8);
        self.feeds.lock().unwrap().push((peer.clone(), held, sender));
        Box::pin(async { Ok(receiver) })
    }

    fn ack<'a>(&'a self, peer: &'a Fqdn, in_force: InForce) -> Answer<'a, Result<(), ControlFault>> {
        self.said.lock().unwrap().push(format!("{peer} ack {}", in_force.topology));
        Box::pin(async { Ok(()) })
    }
}

/// What the authority publishes.
struct Shelf {
    root_pem: String,
    issuing: Vec<CertificateDer<'static>>,
    list: Vec<u8>,
}

impl Published for Shelf {
    fn root_pem(&self) -> String {
        self.root_pem.clone()
    }

    fn issuing(&self) -> Vec<CertificateDer<'static>> {
        self.issuing.clone()
    }

    fn revocation_list(&self, name: &str) -> Option<Vec<u8>> {
        (name == "servers").then(|| self.list.clone())
    }

    fn bundle(&self) -> Option<String> {
        Some("a.bundle.signed".into())
    }

    fn ocsp<'a>(&'a self, request: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        let answer = [b"answer to ", request].concat();
        Box::pin(async { Some(answer) })
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) core: Arc<Core>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A server's certificate and key.
pub(crate) struct Member {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let (now, domain) = (SystemTime::now(), Fqdn::parse("verbund.test").unwrap());
        let (root_ca, authority) = Authority::create("Verbund", std::slice::from_ref(&domain), now).unwrap();
        let key = Key::generate().unwrap();
        let names = ServerNames { server: Fqdn::parse(NAME).unwrap(), aliases: vec![], domains: vec![domain.clone()] };
        let issued = authority.issue_server(&names, &key.public(), now).unwrap();
        let identity = ServerIdentity::new(issued.chain, &key).unwrap();
        let policy = LivePolicy::new(policy(&authority, &root_ca, topology(true)));
        let tls = web_config(identity, policy.clone(), Arc::new(DefaultTimeProvider)).unwrap();
        let root = NamedTempFile::new().unwrap();
        std::fs::write(root.path(), authority.root_pem()).unwrap();
        let copy = Authority::load(&authority.root_pem(), &authority.issuing_pem(), authority.key_pem().unwrap().expose()).unwrap();
        let office = Arc::new(Office::new(copy, topology(true)));
        let (changed, refusals) = (watch::Sender::new(0), Arc::default());
        Self { authority, root_ca, tls, policy, changed, refusals, office, channel: Arc::default(), root }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// Takes FE2 out of the topology.
    pub(crate) fn remove_fe2(&self) {
        *self.office.topology.lock().unwrap() = topology(false);
        self.policy.replace(policy(&self.authority, &self.root_ca, topology(false)));
        self.changed.send_modify(|epoch| *epoch += 1);
    }

    /// Publishes what is in force once more.
    pub(crate) fn publish_again(&self) {
        self.changed.send_modify(|epoch| *epoch += 1);
    }

    /// A certificate of the CA for this server.
    pub(crate) fn member(&self, name: &str) -> Member {
        let key = Key::generate().unwrap();
        let names = ServerNames { server: Fqdn::parse(name).unwrap(), aliases: vec![], domains: vec![] };
        let issued = self.authority.issue_server(&names, &key.public(), SystemTime::now()).unwrap();
        Member { chain: issued.chain, key }
    }

    /// How this server is called, without a certificate or with one.
    pub(crate) fn target(&self, server: &Server, member: Option<&Member>) -> Target {
        let identity = member.map(|member| ClientIdentity { chain: member.chain.clone(), key: &member.key });
        let tls = client_config(self.authority.anchors(), Revocation::none(), identity, Arc::new(DefaultTimeProvider)).unwrap();
        Target { address: server.address, name: Fqdn::parse(NAME).unwrap(), port: server.address.port(), tls }
    }

    /// A server on a free port that is no authority.
    pub(crate) async fn serve(&self, limits: Limits) -> Server {
        let published = Arc::new(RootOnly(self.root_pem()));
        self.serve_with(limits, published, |_| None).await
    }

    /// The authority on a free port.
    pub(crate) async fn serve_authority(&self, limits: Limits) -> Server {
        let (enrolment, control) = (self.office.clone(), self.channel.clone());
        let desk = |port| Some(Desk { name: Fqdn::parse(NAME).unwrap(), port, enrolment, control });
        self.serve_with(limits, self.shelf(), desk).await
    }

    /// What the authority publishes.
    pub(crate) fn shelf(&self) -> Arc<dyn Published> {
        let list = self.authority.servers().revocation_list(&[], 7, SystemTime::now()).unwrap();
        Arc::new(Shelf { root_pem: self.root_pem(), issuing: vec![self.authority.issuing().clone()], list })
    }

    /// The authority once more where it was: what it keeps on disk is there, what it had in memory is gone.
    pub(crate) async fn restart_authority(&self, server: Server) -> Server {
        let address = server.address;
        server.end().await;
        let (enrolment, control) = (self.office.clone(), self.channel.clone());
        let desk = |port| Some(Desk { name: Fqdn::parse(NAME).unwrap(), port, enrolment, control });
        self.serve_at(address, Limits::HTTPS, self.shelf(), desk).await
    }

    async fn serve_with(&self, limits: Limits, published: Arc<dyn Published>, desk: impl FnOnce(u16) -> Option<Desk>) -> Server {
        self.serve_at(([127, 0, 0, 1], 0).into(), limits, published, desk).await
    }

    async fn serve_at(
        &self,
        address: SocketAddr,
        limits: Limits,
        published: Arc<dyn Published>,
        desk: impl FnOnce(u16) -> Option<Desk>,
    ) -> Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let core = Arc::new(Core { answers: AtomicBool::new(true), hangs: AtomicBool::new(false) });
        let about = About { domain: "verbund.test".into(), server_name: NAME.into(), sip: "sip.verbund.test:5061".into() };
        let authority = desk(address.port());
        let site = Site { about, published, health: core.clone(), metrics: metrics::install().unwrap(), authority };
        let judge = Judge { policy: self.policy.clone(), changed: self.changed.subscribe(), refusals: self.refusals.clone() };
        let door = Door { tls: self.tls.clone(), gate: Some(Arc::new(judge)) };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or(()) };
        let task = tokio::spawn(web::serve(listener, door, site, limits, shutdown));
        Server { address, core, stop, task }
    }

    /// A handshake that verifies the server strictly; HTTP/1.1 is spoken over it.
    pub(crate) async fn connect(&self, server: &Server) -> TlsStream<TcpStream> {
        self.connect_as(server, None, &[]).await
    }

    /// The same for HTTP/2.
    pub(crate) async fn connect_h2(&self, server: &Server) -> TlsStream<TcpStream> {
        self.connect_as(server, None, &[b"h2"]).await
    }

    /// The same with a certificate.
    pub(crate) async fn connect_as(&self, server: &Server, member: Option<&Member>, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut tls = (*self.target(server, member).tls).clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(server.address).await.unwrap();
        TlsConnector::from(Arc::new(tls)).connect(NAME.try_into().unwrap(), stream).await.unwrap()
    }
}

fn policy(authority: &Authority, root: &Root, topology: Topology) -> Policy {
    let lists = authority.first_lists(root, SystemTime::now()).unwrap();
    Policy { topology, anchors: authority.anchors(), revocation: Revocation::strict(lists, Duration::ZERO), issuing: authority.pinned() }
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
