//! What a member holds, over the years: a CA that signs whatever is wanted, and a clock that is an argument.

#![allow(clippy::unwrap_used)]

mod disk;
mod holdings;

use std::time::{Duration, SystemTime};

use pki::{
    Authority, Bundle, CertificateDer, DocumentKind, DocumentSigner, Fingerprint, Fqdn, HeldBundle, IssuerKind, IssuingCa, IssuingPlan,
    Key, ListPlace, Root,
};
use topology::{Listeners, SignedTopology, Topology};
use web::control::{Update, UserRecord};

use crate::{Believed, Holdings};

const DOMAIN: &str = "a.test";
const DAY: Duration = Duration::from_hours(24);
/// How long a bundle of this CA counts.
const BUNDLE_LIFE: Duration = Duration::from_hours(30 * 24);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn fqdn(name: &str) -> Fqdn {
    Fqdn::parse(name).unwrap()
}

struct World {
    root: Root,
    ca: Authority,
    signer: DocumentSigner,
    topology: String,
}

impl World {
    fn new() -> Self {
        let (root, ca) = Authority::create("A", &[fqdn(DOMAIN)], start()).unwrap();
        let key = Key::generate().unwrap();
        let signer =
            DocumentSigner::new(ca.issue_document_signer(&fqdn("sip.a.test"), &key.public(), start()).unwrap().chain, key).unwrap();
        let [sip, servers, https] = [5061, 5062, 8443].map(|port| Some(([127, 0, 0, 1], port).into()));
        let listeners = Listeners { sip, servers, https, ..Listeners::default() };
        let topology = Topology::single_server("A", &fqdn(DOMAIN), &fqdn("sip.a.test"), listeners).unwrap().to_commented_toml();
        let topology = SignedTopology::sign(&topology, None, &signer, start(), start() + 365 * DAY).unwrap();
        Self { root, ca, signer, topology }
    }

    fn issuing(&self) -> IssuingCa {
        IssuingCa { kind: IssuerKind::Servers, certificate: self.ca.issuing().clone() }
    }

    /// Another issuing CA of the same root, with its key.
    fn other_issuing(&self) -> (IssuingCa, pki::IssuingAuthority) {
        let plan = IssuingPlan { organisation: "A", generation: 2, kind: IssuerKind::Servers, domains: &[fqdn(DOMAIN)], urls: None };
        let key = Key::generate().unwrap();
        let certificate = self.root.issue(&plan, &key.public(), start()).unwrap();
        let pem = pki::certificates_to_pem([&certificate]);
        let ca = pki::IssuingAuthority::load(IssuerKind::Servers, &pem, key.to_pem().unwrap().expose()).unwrap();
        (IssuingCa { kind: IssuerKind::Servers, certificate }, ca)
    }

    /// A bundle of these CAs that says that this list of each is there already.
    fn bundle(&self, held: Option<&HeldBundle>, issuing: Vec<IssuingCa>, list_number: u64, now: SystemTime) -> String {
        let root = self.ca.root().clone();
        let issuers: Vec<CertificateDer<'static>> =
            std::iter::once(root.clone()).chain(issuing.iter().map(|ca| ca.certificate.clone())).collect();
        let place = |issuer: &CertificateDer<'static>| ListPlace { issuer: Fingerprint::of(issuer), url: None, number: list_number };
        let bundle = Bundle {
            sequence: held.map_or(1, |held| held.sequence + 1),
            previous: held.map(|held| held.digest),
            issued_at: now,
            valid_until: now + BUNDLE_LIFE,
            refresh: Duration::from_mins(5),
            roots: vec![root],
            lists: issuers.iter().map(place).collect(),
            issuing,
            partners: Vec::new(),
        };
        self.signer.sign(DocumentKind::Bundle, &bundle.to_payload().unwrap()).unwrap()
    }

    /// The lists of root and issuing CA with this number.
    fn lists(&self, number: u64, now: SystemTime) -> Vec<Vec<u8>> {
        vec![self.root.revocation_list(&[], number, now).unwrap(), self.ca.servers().revocation_list(&[], number, now).unwrap()]
    }

    fn begin(&self, list_number: u64, named: u64) -> Result<Holdings, crate::Refused> {
        let at = |text: String| Believed { text, at: start() };
        let root = Fingerprint::of(self.ca.root());
        Holdings::begin(
            root,
            at(self.bundle(None, vec![self.issuing()], named, start())),
            &self.lists(list_number, start()),
            at(self.topology.clone()),
        )
    }
}

fn users(revision: u64, from_scratch: bool, names: &[String], gone: &[String]) -> Update {
    let record = |name: &String| UserRecord { name: name.clone(), domain: DOMAIN.into(), pool: "sip.a.test".into(), credential: None };
    Update::Users { revision, from_scratch, more: false, put: names.iter().map(record).collect(), gone: gone.to_vec() }
}

fn names(holdings: &Holdings) -> Vec<String> {
    let mut names: Vec<String> = holdings.users().iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    names
}
