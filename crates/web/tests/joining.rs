//! A member joins and renews at a real HTTPS server, whose policy is a small one in memory.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pki::{Authority, CertificateDer, CertificateRequest, Fingerprint, Fqdn, Key, Revocation, ServerNames};
use rustls::ServerConfig;
use rustls::time_provider::DefaultTimeProvider;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use topology::{Listeners, Topology};
use trust::tls::{ServerIdentity, client_config, web_config};
use trust::{LivePolicy, Policy};
use web::client::Target;
use web::client::acme::{AcmeFault, Enrolled, enrol, renew};
use web::client::root::{RootFault, fetch_root};
use web::control::{Control, ControlFault, Held, Hello, InForce, Update};
use web::enrolment::{
    Account, AccountId, AccountState, Applicant, CertificateId, Enrolment, Fault, RenewalWindow, Revoker, Ticket, TicketId, TicketKey,
    TicketState,
};
use web::jose::AccountKey;
use web::{About, Answer, Desk, Door, Health, Limits, RootOnly, Site, metrics};

const AUTHORITY: &str = "ca.verbund.test";
const MEMBER: &str = "fe1.verbund.test";
const TICKET: &str = "t-1";
const TICKET_KEY: [u8; 32] = [7; 32];

fn fqdn(name: &str) -> Fqdn {
    Fqdn::parse(name).unwrap()
}

/// One member, one ticket, at most one account.
struct Policies {
    authority: Authority,
    account: Mutex<Option<Account>>,
    burnt: Mutex<Option<SystemTime>>,
}

fn now<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Policies {
    fn account_if(&self, wanted: impl Fn(&Account) -> bool) -> Option<Account> {
        self.account.lock().unwrap().clone().filter(wanted)
    }

    fn ticket_state(&self) -> TicketState {
        self.burnt.lock().unwrap().map_or(TicketState::Open, |at| TicketState::Used { at })
    }
}

impl Enrolment for Policies {
    fn ticket<'a>(&'a self, id: &'a TicketId) -> Answer<'a, Result<Option<Ticket>, Fault>> {
        let ticket = Ticket { id: id.clone(), key: TicketKey::new(TICKET_KEY).unwrap(), member: fqdn(MEMBER), state: self.ticket_state() };
        now(Ok((id.as_str() == TICKET).then_some(ticket)))
    }

    fn account_of<'a>(&'a self, key: &'a AccountKey) -> Answer<'a, Result<Option<Account>, Fault>> {
        now(Ok(self.account_if(|account| account.key == *key)))
    }

    fn account<'a>(&'a self, id: &'a AccountId) -> Answer<'a, Result<Option<Account>, Fault>> {
        now(Ok(self.account_if(|account| account.id == *id)))
    }

    fn create_account(&self, _ticket: TicketId, key: AccountKey) -> Answer<'_, Result<Account, Fault>> {
        let account = Account { id: AccountId::parse("a-1").unwrap(), key, member: fqdn(MEMBER), state: AccountState::Valid };
        *self.account.lock().unwrap() = Some(account.clone());
        now(Ok(account))
    }

    fn deactivate_account(&self, _id: AccountId) -> Answer<'_, Result<Account, Fault>> {
        now(Err(Fault::NoAccount))
    }

    fn change_key(&self, _id: AccountId, _key: AccountKey) -> Answer<'_, Result<Account, Fault>> {
        now(Err(Fault::NoAccount))
    }

    fn authorize<'a>(&'a self, _applicant: &'a Applicant, names: &'a [Fqdn]) -> Answer<'a, Result<(), Fault>> {
        let (member, allowed) = (fqdn(MEMBER), vec![fqdn(MEMBER)]);
        let names: Vec<_> = names.iter().filter(|name| **name != member).cloned().collect();
        now(if names.is_empty() { Ok(()) } else { Err(Fault::NamesOutside { member, names, allowed }) })
    }

    fn issue(&self, _applicant: Applicant, request: Vec<u8>) -> Answer<'_, Result<Vec<CertificateDer<'static>>, Fault>> {
        let request = CertificateRequest::read(&request).unwrap();
        let names = ServerNames { server: fqdn(MEMBER), aliases: vec![], domains: vec![] };
        now(Ok(self.authority.issue_server(&names, request.key(), SystemTime::now()).unwrap().chain))
    }

    fn fetched(&self, _leaf: CertificateDer<'static>) -> Answer<'_, Result<(), Fault>> {
        self.burnt.lock().unwrap().get_or_insert_with(SystemTime::now);
        now(Ok(()))
    }

    fn is_ours<'a>(&'a self, _certificate: &'a CertificateDer<'static>) -> Answer<'a, Result<bool, Fault>> {
        now(Ok(false))
    }

    fn revoke(self: Arc<Self>, _by: Revoker, _certificate: CertificateDer<'static>, _reason: u8) -> Answer<'static, Result<(), Fault>> {
        now(Err(Fault::ForeignCertificate))
    }

    fn renewal_window<'a>(&'a self, _certificate: &'a CertificateId) -> Answer<'a, Result<Option<RenewalWindow>, Fault>> {
        now(Ok(None))
    }
}

/// Nobody is fed here.
struct NoControl;

impl Control for NoControl {
    fn hello(self: Arc<Self>, peer: Fqdn, _source: IpAddr, _hello: Hello) -> Answer<'static, Result<(), ControlFault>> {
        now(Err(ControlFault::NotInTopology(peer)))
    }

    fn feed<'a>(&'a self, peer: &'a Fqdn, _held: Held) -> Answer<'a, Result<mpsc::Receiver<Arc<Update>>, ControlFault>> {
        now(Err(ControlFault::NotInTopology(peer.clone())))
    }

    fn ack<'a>(&'a self, peer: &'a Fqdn, _in_force: InForce) -> Answer<'a, Result<(), ControlFault>> {
        now(Err(ControlFault::NotInTopology(peer.clone())))
    }
}

impl Health for NoControl {
    fn node_answers(&self) -> Answer<'_, bool> {
        now(true)
    }
}

/// An authority that is served, and what a member knows of it.
struct Lab {
    policies: Arc<Policies>,
    target: Target,
    root_pem: String,
    server_tls: Arc<ServerConfig>,
}

impl Lab {
    async fn new() -> Self {
        let domain = fqdn("verbund.test");
        let (root, authority) = Authority::create("Verbund", std::slice::from_ref(&domain), SystemTime::now()).unwrap();
        let lists = authority.first_lists(&root, SystemTime::now()).unwrap();
        let tls = server_tls(&authority, Revocation::strict(lists, Duration::ZERO), &domain);
        let (anchors, root_pem) = (authority.anchors(), authority.root_pem());
        let policies = Arc::new(Policies { authority, account: Mutex::default(), burnt: Mutex::default() });
        let address = serve(Arc::clone(&tls), Arc::clone(&policies), root_pem.clone()).await;
        let server_tls = tls;
        let tls = client_config(anchors, Revocation::none(), None, Arc::new(DefaultTimeProvider)).unwrap();
        let target = Target { address, name: fqdn(AUTHORITY), port: address.port(), tls };
        Self { policies, target, root_pem, server_tls }
    }

    /// The same authority at another port.
    async fn serve_again(&self) -> Target {
        let address = serve(Arc::clone(&self.server_tls), Arc::clone(&self.policies), self.root_pem.clone()).await;
        Target { address, port: address.port(), ..self.target.clone() }
    }

    fn pinned(&self) -> Fingerprint {
        Fingerprint::of(&pki::certificates_from_pem(&self.root_pem).unwrap()[0])
    }

    async fn enrol(&self, kid: &str, key: &str, member: &str) -> Result<Enrolled, AcmeFault> {
        enrol(&self.target, kid, key, &fqdn(member), &request(&Key::generate().unwrap(), member)).await
    }
}

fn server_tls(authority: &Authority, revocation: Revocation, domain: &Fqdn) -> Arc<ServerConfig> {
    let key = Key::generate().unwrap();
    let names = ServerNames { server: fqdn(AUTHORITY), aliases: vec![], domains: vec![] };
    let issued = authority.issue_server(&names, &key.public(), SystemTime::now()).unwrap();
    let listeners = Listeners { sip: Some(([127, 0, 0, 1], 5061).into()), ..Listeners::default() };
    let topology = Topology::single_server("Verbund", domain, &fqdn(AUTHORITY), listeners).unwrap();
    let policy = Policy { topology, anchors: authority.anchors(), revocation, issuing: authority.pinned() };
    let identity = ServerIdentity::new(issued.chain, &key).unwrap();
    web_config(identity, LivePolicy::new(policy), Arc::new(DefaultTimeProvider)).unwrap()
}

async fn serve(tls: Arc<ServerConfig>, enrolment: Arc<Policies>, root_pem: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let about = About { domain: "verbund.test".into(), server_name: AUTHORITY.into(), sip: format!("{AUTHORITY}:5061") };
    let desk = Desk { name: fqdn(AUTHORITY), port: address.port(), enrolment, control: Arc::new(NoControl) };
    let site = Site {
        about,
        published: Arc::new(RootOnly(root_pem)),
        health: Arc::new(NoControl),
        metrics: metrics::install().unwrap(),
        authority: Some(desk),
    };
    tokio::spawn(web::serve(listener, Door { tls, gate: None }, site, Limits::HTTPS, std::future::pending()));
    address
}

fn request(key: &Key, name: &str) -> Vec<u8> {
    pki::certificate_request(key, &[fqdn(name)]).unwrap()
}

fn ticket_key() -> String {
    TicketKey::new(TICKET_KEY).unwrap().to_text().to_string()
}

/// The chain is for this key: TLS would take both.
fn fits(chain_pem: &str, key: &Key) -> bool {
    ServerIdentity::new(pki::certificates_from_pem(chain_pem).unwrap(), key).is_ok()
}

#[tokio::test]
async fn a_member_enrols_and_then_renews_with_another_key() {
    let lab = Lab::new().await;
    let (first, second) = (Key::generate().unwrap(), Key::generate().unwrap());
    let csr = request(&first, MEMBER);
    let enrolled = enrol(&lab.target, TICKET, &ticket_key(), &fqdn(MEMBER), &csr).await.unwrap();
    assert!(fits(&enrolled.chain_pem, &first) && !fits(&enrolled.chain_pem, &second));
    assert!(matches!(lab.policies.ticket_state(), TicketState::Used { .. }), "the ticket is burnt with the fetching");
    let chain = renew(&lab.target, &enrolled.account, &fqdn(MEMBER), &request(&second, MEMBER)).await.unwrap();
    assert!(fits(&chain, &second));
    assert!(!format!("{enrolled:?}").contains(enrolled.account.as_str()));
}

#[tokio::test]
async fn n33_a_used_ticket_is_refused_with_the_reason() {
    let lab = Lab::new().await;
    lab.enrol(TICKET, &ticket_key(), MEMBER).await.unwrap();
    let fault = lab.enrol(TICKET, &ticket_key(), MEMBER).await.unwrap_err();
    assert!(matches!(&fault, AcmeFault::Refused { kind, .. } if kind == "unauthorized"), "{fault}");
    assert!(fault.to_string().contains("the ticket was used at"), "{fault}");
}

#[tokio::test]
async fn n33_a_wrong_ticket_key_and_an_unknown_ticket_get_the_same_answer() {
    let lab = Lab::new().await;
    let wrong = TicketKey::new([8; 32]).unwrap().to_text();
    let answer = lab.enrol(TICKET, &wrong, MEMBER).await.unwrap_err().to_string();
    assert!(answer.contains("not signed with the key of a ticket") && !answer.contains(wrong.as_str()), "{answer}");
    assert_eq!(lab.enrol("t-2", &ticket_key(), MEMBER).await.unwrap_err().to_string(), answer);
    assert!(lab.policies.account.lock().unwrap().is_none());
}

#[tokio::test]
async fn n33_names_of_others_are_refused_and_the_ticket_stays_open() {
    let lab = Lab::new().await;
    let fault = lab.enrol(TICKET, &ticket_key(), "fe2.verbund.test").await.unwrap_err();
    assert!(matches!(&fault, AcmeFault::Refused { kind, .. } if kind == "rejectedIdentifier"), "{fault}");
    assert_eq!(lab.policies.ticket_state(), TicketState::Open);
    lab.enrol(TICKET, &ticket_key(), MEMBER).await.unwrap();
}

#[tokio::test]
async fn damaged_texts_are_refused_without_repeating_them() {
    let lab = Lab::new().await;
    for (kid, key) in [("t 1", ticket_key().as_str()), (TICKET, "short"), (TICKET, "???")] {
        assert!(matches!(lab.enrol(kid, key, MEMBER).await, Err(AcmeFault::BadTicket)), "{kid} {key}");
    }
    let csr = request(&Key::generate().unwrap(), MEMBER);
    for account in ["", "{}", "{\"id\":\"x\",\"key_pkcs8\":\"hunter2!\"}"] {
        let fault = renew(&lab.target, account, &fqdn(MEMBER), &csr).await.unwrap_err();
        assert!(matches!(fault, AcmeFault::BadAccount) && !fault.to_string().contains("hunter2"), "{fault}");
    }
}

#[tokio::test]
async fn an_account_is_not_shown_to_another_authority() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let enrolled = lab.enrol(TICKET, &ticket_key(), MEMBER).await.unwrap();
    let csr = request(&Key::generate().unwrap(), MEMBER);
    for name in ["other.verbund.test", "ca.verbund.test.evil.test"] {
        let elsewhere = Target { name: fqdn(name), ..other.target.clone() };
        let fault = renew(&elsewhere, &enrolled.account, &fqdn(MEMBER), &csr).await.unwrap_err();
        assert!(fault.to_string().contains("leads away"), "{fault}");
    }
    let impostor = Target { address: other.target.address, ..lab.target.clone() };
    let fault = renew(&impostor, &enrolled.account, &fqdn(MEMBER), &csr).await.unwrap_err();
    assert!(matches!(fault, AcmeFault::Call(_)), "{fault}");
}

#[tokio::test]
async fn an_account_is_good_at_an_authority_that_listens_elsewhere_by_now() {
    let lab = Lab::new().await;
    let enrolled = lab.enrol(TICKET, &ticket_key(), MEMBER).await.unwrap();
    let moved = lab.serve_again().await;
    assert_ne!(moved.port, lab.target.port);
    let key = Key::generate().unwrap();
    let chain = renew(&moved, &enrolled.account, &fqdn(MEMBER), &request(&key, MEMBER)).await.unwrap();
    assert!(fits(&chain, &key));
}

#[tokio::test]
async fn the_pinned_root_is_fetched_from_a_server_that_nobody_believes_yet() {
    let lab = Lab::new().await;
    assert_eq!(fetch_root(lab.target.address, &fqdn(AUTHORITY), lab.pinned()).await.unwrap(), lab.root_pem);
}

#[tokio::test]
async fn another_root_than_the_pinned_one_is_refused() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let fault = fetch_root(lab.target.address, &fqdn(AUTHORITY), other.pinned()).await.unwrap_err();
    assert!(matches!(fault, RootFault::OtherRoot { .. }), "{fault}");
    assert!(fault.to_string().contains(&other.pinned().to_string()), "{fault}");
}

#[tokio::test]
async fn nobody_at_the_address_is_said() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fault = fetch_root(address, &fqdn(AUTHORITY), Fingerprint::of(b"")).await.unwrap_err();
    assert!(matches!(fault, RootFault::Call(_)), "{fault}");
}
