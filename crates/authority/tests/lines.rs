//! The line between the authority and a member, over real TLS: who ends it, and when.

#![allow(clippy::unwrap_used)]

mod world;

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use member::{About, Agent, Believed, Holdings, Member};
use pki::{CertificateDer, Fingerprint, Key, RevocationReason, RevokedCertificate};
use registrar::{Credential, UserName};
use rustls::time_provider::DefaultTimeProvider;
use store::Embedded;
use tokio::sync::{mpsc, watch};
use trust::{
    Contact, Listener, LivePolicy, Peer, Refusal, judge,
    tls::{Outcome, ServerIdentity, decide, link_config, web_config},
};
use web::control::Update;
use world::{DOMAIN, World, fqdn};

const PATIENCE: Duration = Duration::from_secs(30);

/// The authority's HTTPS, and a member whose agent calls it.
struct Lines {
    world: World,
    member: Arc<Member>,
    /// Handshakes that the member broke off.
    broken_off: Arc<AtomicUsize>,
    _dir: tempfile::TempDir,
}

impl Lines {
    async fn new() -> Self {
        let world = World::new().await;
        let broken_off = Arc::new(AtomicUsize::new(0));
        let authority = serve(&world, Arc::clone(&broken_off)).await;
        // The topology says that the authority is where nobody is; the address of the join is right.
        world.add("fe2.a.test").await;
        let dir = tempfile::tempdir().unwrap();
        let member = join(&world, authority, &dir).await;
        Self { world, member, broken_off, _dir: dir }
    }

    async fn add_user(&self, name: &str) {
        let user = UserName::parse(name).unwrap();
        let credential = Credential::new(&user, DOMAIN, "secret");
        self.world.authority.add_user(&user, credential, None).await.unwrap();
    }

    fn knows(&self, name: &str) -> bool {
        self.member.holdings().users().iter().any(|(user, _)| user.as_str() == name)
    }

    /// A list of the servers' CA that revokes the authority's own certificate, or another one, as the member hears of it.
    async fn take_list(&self, serial: pki::Serial) {
        self.member.take(&self.list(serial), SystemTime::now()).await.unwrap();
    }

    fn list(&self, serial: pki::Serial) -> Update {
        let now = SystemTime::now();
        let ca = self.world.authority.ca();
        let number = self.member.holdings().lists().iter().map(pki::RevocationList::number).max().unwrap() + 1;
        let revoked = RevokedCertificate { serial, at: now, reason: RevocationReason::KeyCompromise };
        let list = ca.authority().servers().revocation_list(&[revoked], number, now).unwrap();
        Update::RevocationLists { lists: vec![list] }
    }
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Health;

impl web::Health for Health {
    fn node_answers(&self) -> web::Answer<'_, bool> {
        Box::pin(async { true })
    }
}

struct Gate {
    policy: Arc<LivePolicy>,
    epoch: watch::Receiver<u64>,
    broken_off: Arc<AtomicUsize>,
}

impl web::Gate for Gate {
    fn admit(&self, source: SocketAddr, outcome: Outcome<'_>) -> Result<Peer, Refusal> {
        if matches!(outcome, Outcome::Failed(_)) {
            self.broken_off.fetch_add(1, Ordering::Relaxed);
        }
        decide(&self.policy.current(), Listener::Web, source, outcome, SystemTime::now()).verdict
    }

    fn still_admits(&self, source: SocketAddr, chain: &[CertificateDer<'_>]) -> Result<Peer, Refusal> {
        let contact = Contact { listener: Listener::Web, source, sni: None, tls: None };
        judge(&self.policy.current(), contact, chain, SystemTime::now()).verdict
    }

    fn expects(&self, _address: IpAddr) -> bool {
        false
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.epoch.clone()
    }
}

async fn serve(world: &World, broken_off: Arc<AtomicUsize>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let authority = &world.authority;
    let name = authority.member().name().clone();
    let desk =
        web::Desk { name: name.clone(), port: address.port(), enrolment: Arc::clone(authority) as _, control: Arc::clone(authority) as _ };
    let site = web::Site {
        about: web::About { domain: DOMAIN.into(), server_name: name.to_string(), sip: "none".into() },
        published: Arc::clone(authority) as _,
        health: Arc::new(Health),
        metrics: web::metrics::install().unwrap(),
        authority: Some(desk),
    };
    let gate = Gate { policy: Arc::clone(&world.policy), epoch: authority.member().epoch(), broken_off };
    let tls = web_config(Arc::clone(&world.identity), Arc::clone(&world.policy), Arc::new(DefaultTimeProvider)).unwrap();
    let door = web::Door { tls, gate: Some(Arc::new(gate)) };
    tokio::spawn(web::serve(listener, door, site, web::Limits::HTTPS, std::future::pending()));
    address
}

/// fe2.a.test with what a join brings home, and its agent.
async fn join(world: &World, authority: SocketAddr, dir: &tempfile::TempDir) -> Arc<Member> {
    let now = SystemTime::now();
    let (ca, theirs, own) = (world.authority.ca(), world.authority.member().holdings(), fqdn("fe2.a.test"));
    let key = Key::generate().unwrap();
    let chain = ca.authority().issue_server(&theirs.topology().certificate_names(&own).unwrap(), &key.public(), now).unwrap().chain;
    let identity = ServerIdentity::new(chain, &key).unwrap();
    let believed = |text: &Believed| Believed { text: text.text.clone(), at: now };
    let lists: Vec<Vec<u8>> = theirs.lists().iter().map(|list| list.as_der().to_vec()).collect();
    let root = Fingerprint::of(ca.authority().root());
    let holdings = Holdings::begin(root, believed(theirs.bundle_text()), &lists, believed(theirs.topology_text())).unwrap();
    let policy = LivePolicy::new(holdings.policy(now).unwrap());
    let store = Embedded::create(&dir.path().join("state.db")).unwrap();
    let member = world::member(own, holdings, &policy, &identity, TcpListener::bind("127.0.0.1:0").unwrap(), store);
    let tls = link_config(Arc::clone(&identity), policy, Arc::new(DefaultTimeProvider)).unwrap();
    // Nobody calls it there.
    let [sip, servers, https] = [5061, 5062, 8443].map(|port| Some(([127, 0, 0, 2], port).into()));
    let about = About { listeners: web::control::MemberListeners { sip, servers, https }, authority };
    let agent = Agent::new(Arc::clone(&member), about, tls, mpsc::channel(1).0, identity);
    tokio::spawn(agent.run());
    member
}

#[tokio::test]
async fn n5_an_authority_whose_certificate_is_revoked_is_heard_no_more_on_the_line_that_is_open() {
    let lines = Lines::new().await;
    lines.add_user("anna").await;
    wait_until("the member hears of anna", || lines.knows("anna")).await;
    // Somebody else's certificate is nothing to the line.
    lines.take_list(pki::Serial::from_be_bytes(&[1; 16])).await;
    lines.add_user("bert").await;
    wait_until("the member hears of bert", || lines.knows("bert")).await;
    assert_eq!(lines.broken_off.load(Ordering::Relaxed), 0);

    let own = pki::facts(lines.world.identity.chain().first().unwrap()).unwrap().serial;
    lines.take_list(own).await;
    wait_until("the member called again, and believed nobody", || lines.broken_off.load(Ordering::Relaxed) > 0).await;
    lines.add_user("carla").await;
    wait_until("and again", || lines.broken_off.load(Ordering::Relaxed) > 2).await;
    assert!(!lines.knows("carla"), "nothing comes over it");
}

#[tokio::test]
async fn n5_what_was_revoked_is_asked_for_by_a_server_that_lost_its_line() {
    let lines = Lines::new().await;
    lines.add_user("anna").await;
    wait_until("the member hears of anna", || lines.knows("anna")).await;
    // In force at the authority, and told to nobody.
    let serial = pki::Serial::from_be_bytes(&[1; 16]);
    let authority = &lines.world.authority;
    authority.member().take(&lines.list(serial.clone()), SystemTime::now()).await.unwrap();
    lines.add_user("bert").await;
    wait_until("the member hears of bert", || lines.knows("bert")).await;
    let is_known = || lines.member.holdings().lists().iter().any(|list| list.contains(&serial));
    assert!(!is_known());
    // No line any more: it is no member, and still has links that may have to be cut.
    authority.remove_server(&fqdn("fe2.a.test")).await.unwrap();
    wait_until("the list was fetched", is_known).await;
}
