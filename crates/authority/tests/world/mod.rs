//! An authority with everything that it is made of, and no phones: sip.a.test, of the domain a.test.

#![allow(dead_code, clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use authority::{Authority, Ca, NewServer, Prepared};
use member::{JoinString, Member};
use net::Gate;
use node::{Node, Secrets, Settings};
use pki::{
    CaKey, CaSigner, CertificateDer, DocumentSigner, Fqdn, IssuerKind, IssuingAuthority, IssuingPlan, Key, KeyFault, PublicKey, Root,
};
use rustls::time_provider::DefaultTimeProvider;
use store::{Embedded, IssuanceLedger as _, Issued, RevocationListStore as _, TopologyStore as _, Version};
use topology::{Listeners, Role, Topology};
use trust::{Listener, LivePolicy, tls::ServerIdentity};
use vault::Memory;
use web::{
    control::{Control as _, ControlFault, Hello, MemberListeners},
    enrolment::{Applicant, Enrolment as _, Fault, TicketId},
};

pub(crate) mod servers;
pub(crate) mod vault;

pub(crate) const DOMAIN: &str = "a.test";

pub(crate) fn fqdn(name: &str) -> Fqdn {
    Fqdn::parse(name).unwrap()
}

pub(crate) struct World {
    pub(crate) authority: Arc<Authority>,
    pub(crate) vault: Arc<Memory>,
    pub(crate) root_key: Key,
    /// Whether the keys of root and issuing CAs are away, as a token is that was pulled out.
    pub(crate) root_away: Arc<AtomicBool>,
    pub(crate) issuing_away: Arc<AtomicBool>,
    pub(crate) policy: Arc<LivePolicy>,
    pub(crate) identity: Arc<ServerIdentity>,
    _dir: tempfile::TempDir,
}

/// A key that can be away.
#[derive(Debug)]
struct Removable {
    key: Key,
    away: Arc<AtomicBool>,
}

impl CaKey for Removable {
    fn public(&self) -> PublicKey {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        if self.away.load(Ordering::SeqCst) { Err(KeyFault::NotSigned) } else { self.key.sign(message) }
    }
}

fn removable(key: Key, away: &Arc<AtomicBool>) -> CaSigner {
    CaSigner::new(Arc::new(Removable { key, away: Arc::clone(away) }))
}

/// The same key once more.
pub(crate) fn copy_of(key: &Key) -> Key {
    Key::from_pem(key.to_pem().unwrap().expose()).unwrap()
}

fn make_ca(
    domain: &Fqdn,
    root_key: Key,
    root_away: &Arc<AtomicBool>,
    issuing_away: &Arc<AtomicBool>,
    now: SystemTime,
) -> (Root, pki::Authority) {
    let root = Root::create_with("A", 1, removable(root_key, root_away), now).unwrap();
    let issuing = |kind| {
        let plan = IssuingPlan { organisation: "A", generation: 1, kind, domains: std::slice::from_ref(domain), urls: None };
        let key = removable(Key::generate().unwrap(), issuing_away);
        IssuingAuthority::of(kind, root.issue(&plan, key.public(), now).unwrap(), key).unwrap()
    };
    let (servers, users) = (issuing(IssuerKind::Servers), issuing(IssuerKind::Users));
    let authority = pki::Authority::of(root.certificate().clone(), servers, Some(users)).unwrap();
    (root, authority)
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (now, own, domain) = (SystemTime::now(), fqdn("sip.a.test"), fqdn(DOMAIN));
        let store = Embedded::create(&dir.path().join("state.db")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sip = listener.local_addr().unwrap();
        // Nobody calls it there.
        let [servers, https] = [5062, 443].map(|port| Some(([127, 0, 0, 1], port).into()));
        let listeners = Listeners { sip: Some(sip), servers, https, ..Listeners::default() };
        let topology = Topology::single_server("A", &domain, &own, listeners).unwrap();
        store.publish(&topology.to_commented_toml(), None, Version(topology.version()), None, now).await.unwrap();

        let [root_away, issuing_away] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
        let root_key = Key::generate().unwrap();
        let (root, ca) = make_ca(&domain, copy_of(&root_key), &root_away, &issuing_away, now);
        let signer_key = Key::generate().unwrap();
        let signer = ca.issue_document_signer(&own, &signer_key.public(), now).unwrap();
        store.record_issued(&Issued::read(store::Role::Documents, &signer.chain[0]).unwrap(), now).await.unwrap();
        let signer = DocumentSigner::new(signer.chain, signer_key).unwrap();
        let key = Key::generate().unwrap();
        let chain = ca.issue_server(&topology.certificate_names(&own).unwrap(), &key.public(), now).unwrap().chain;
        store.record_issued(&Issued::read(store::Role::Server, &chain[0]).unwrap(), now).await.unwrap();
        let vault = Arc::new(Memory::default());
        let ca = Ca::new(ca, Some(root), signer, None).kept_in(vault.clone(), Vec::new());
        let Prepared { ca, holdings } = Prepared::prepare(ca, &store, &own, DOMAIN, now).await.unwrap();

        let policy = LivePolicy::new(holdings.policy(now).unwrap());
        let identity = ServerIdentity::new(chain, &key).unwrap();
        let member = member(own, holdings, &policy, &identity, listener, store.clone());
        let copy = dir.path().join("topology.toml");
        let authority = Authority::new(ca, store, member, DOMAIN, copy);
        Self { authority, vault, root_key, root_away, issuing_away, policy, identity, _dir: dir }
    }

    /// A certificate of this server in the ledger, as if it had been issued so long ago.
    pub(crate) async fn issued_before(&self, name: &str, ago: Duration) {
        let now = SystemTime::now();
        let names = self.authority.member().holdings().topology().certificate_names(&fqdn(name)).unwrap();
        let key = Key::generate().unwrap().public();
        let chain = self.authority.ca().authority().issue_server(&names, &key, now).unwrap().chain;
        let issued = Issued::read(store::Role::Server, &chain[0]).unwrap();
        let issued = Issued { not_before: now - ago - pki::BACKDATE, ..issued };
        self.authority.store().record_issued(&issued, now).await.unwrap();
    }

    /// A revocation list of this size in the store, as if so many had been revoked; the next one that is signed takes its place.
    pub(crate) async fn plant_list(&self, bytes: usize) {
        let store = self.authority.store();
        let issuer = pki::Fingerprint::of(self.authority.ca().authority().issuing()).to_string();
        let held = store.list(&issuer).await.unwrap().unwrap();
        let planted = store::RevocationList { number: held.number + 1, der: vec![0; bytes], ..held };
        store.publish_list(&planted, SystemTime::now()).await.unwrap();
    }

    /// What a server joins with.
    pub(crate) async fn add(&self, name: &str) -> JoinString {
        let new = NewServer { name: fqdn(name), role: Role::FrontEnd, pool: None, new_pool: false };
        self.authority.add_server(&new).await.unwrap().join
    }

    /// A server that was added and has fetched its first certificate; with its ticket.
    pub(crate) async fn joined(&self, name: &str) -> Applicant {
        let join = self.add(name).await;
        self.fetch(&join).await
    }

    /// Fetches a certificate with what a server joins with; its ticket is spent then.
    pub(crate) async fn fetch(&self, join: &JoinString) -> Applicant {
        self.fetch_chain(join).await.0
    }

    /// The same, with the certificate and what is above it.
    pub(crate) async fn fetch_chain(&self, join: &JoinString) -> (Applicant, Vec<CertificateDer<'static>>) {
        let ticket = Applicant::Ticket(TicketId::parse(&join.kid).unwrap());
        let chain = issue(&self.authority, &ticket).await.unwrap();
        self.authority.fetched(chain[0].clone()).await.unwrap();
        (ticket, chain)
    }
}

/// Asks for a certificate with a new key.
pub(crate) async fn issue(authority: &Authority, applicant: &Applicant) -> Result<Vec<CertificateDer<'static>>, Fault> {
    issue_for(authority, applicant, &Key::generate().unwrap()).await
}

/// Asks for a certificate of this key.
pub(crate) async fn issue_for(authority: &Authority, applicant: &Applicant, key: &Key) -> Result<Vec<CertificateDer<'static>>, Fault> {
    authority.issue(applicant.clone(), pki::certificate_request(key, &[]).unwrap()).await
}

/// A member says what it is, from this machine.
pub(crate) async fn hello(authority: &Arc<Authority>, name: &str, listeners: MemberListeners) -> Result<(), ControlFault> {
    let hello = Hello { version: "1".into(), listeners };
    Arc::clone(authority).hello(fqdn(name), Ipv4Addr::LOCALHOST.into(), hello).await
}

/// Where a server of this machine listens.
pub(crate) fn listeners(port: u16) -> MemberListeners {
    let [sip, servers, https] = [0, 1, 2].map(|nth| Some(([127, 0, 0, 1], port + nth).into()));
    MemberListeners { sip, servers, https }
}

/// A server that runs, with this listener for phones.
pub(crate) fn member(
    own: Fqdn,
    holdings: member::Holdings,
    policy: &Arc<LivePolicy>,
    identity: &Arc<ServerIdentity>,
    listener: TcpListener,
    store: Embedded,
) -> Arc<Member> {
    let port = listener.local_addr().unwrap().port();
    let gate = Gate::new(Listener::Clients, Arc::clone(identity), Arc::clone(policy), Arc::new(DefaultTimeProvider)).unwrap();
    let server = net::Server::on(vec![(listener, gate)], None, net::Limits::DEFAULT, node(&holdings, &own, port)).unwrap();
    let handle = server.handle();
    tokio::spawn(server.run());
    Arc::new(Member::new(own, DOMAIN, holdings, Arc::clone(policy), handle, store))
}

fn node(holdings: &member::Holdings, own: &Fqdn, port: u16) -> Node {
    let (directory, homes) = member::directory(holdings).unwrap();
    let settings = Settings {
        topology: Arc::clone(holdings.topology()),
        domain: DOMAIN.into(),
        name: own.clone(),
        port,
        servers_port: None,
        also_named: Vec::new(),
        limits: node::Limits::default(),
    };
    let secrets = Secrets { proxy: pki::random().unwrap().into(), challenger: pki::random().unwrap().into() };
    let mut node = Node::new(settings, directory, &secrets, Instant::now());
    node.set_homes(homes, Instant::now());
    node
}
