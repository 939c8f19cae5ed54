//! What the fuzz targets share: an organisation made at start, whose keys sign whatever a target puts in front of them.
//!
//! Mutations never guess a signature. So that they reach what lies behind one, a target signs them itself: an authority or a
//! CA gone bad is the attacker then.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use member::{Believed, Holdings};
use pki::{
    Anchors, Authority, Bundle, CaKey, CertificateDer, DocumentKind, DocumentSigner, Fingerprint, Fqdn, IssuingCa, Key, Revocation,
    RevocationLists, Root, ServerNames,
};
use topology::{Listeners, SignedTopology, Topology};

/// ecdsa-with-SHA256 (RFC 5758 §3.2), as an AlgorithmIdentifier.
const ECDSA_WITH_SHA256: [u8; 12] = *b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// The organisation of this process.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// An organisation: its CAs with their keys, and what a member of it holds.
pub struct World {
    pub now: SystemTime,
    pub authority: Authority,
    pub anchors: Anchors,
    pub lists: RevocationLists,
    pub signer: DocumentSigner,
    pub holdings: Holdings,
    root_key: Key,
    issuing_key: Key,
    /// A server of it.
    pub leaf: CertificateDer<'static>,
}

/// A name in the organisation.
pub fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).expect("a name")
}

impl World {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (root, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now).expect("an organisation");
        let key_of = |pem: pki::SecretPem| Key::from_pem(pem.expose()).expect("a key");
        let signer_key = Key::generate().expect("a key");
        let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &signer_key.public(), now).expect("a certificate");
        let signer = DocumentSigner::new(issued.chain, signer_key).expect("a signer");
        let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![fqdn("contoso.example")] };
        let leaf = authority.issue_server(&names, &Key::generate().expect("a key").public(), now).expect("a certificate");
        Self {
            now,
            anchors: authority.anchors(),
            lists: authority.first_lists(&root, now).expect("lists"),
            holdings: holdings(&root, &authority, &signer, now),
            root_key: key_of(root.key_pem().expect("a key")),
            issuing_key: key_of(authority.key_pem().expect("a key")),
            leaf: leaf.chain[0].clone(),
            authority,
            signer,
        }
    }

    /// What is revoked: nothing, and that is known.
    pub fn revocation(&self) -> Revocation {
        Revocation::strict(self.lists.clone(), Duration::ZERO)
    }

    /// A certificate that our issuing CA signed, whatever it says.
    pub fn signed_by_issuing(&self, to_be_signed: &[u8]) -> CertificateDer<'static> {
        signed(to_be_signed, &self.issuing_key)
    }

    /// A certificate that our root signed.
    pub fn signed_by_root(&self, to_be_signed: &[u8]) -> CertificateDer<'static> {
        signed(to_be_signed, &self.root_key)
    }

    /// A document that our authority signed.
    pub fn document(&self, kind: DocumentKind, payload: &[u8]) -> Option<String> {
        self.signer.sign(kind, payload).ok()
    }
}

/// The payload of a bundle with these CAs.
pub fn bundle(authority: &Authority, now: SystemTime) -> Vec<u8> {
    let bundle = Bundle {
        sequence: 1,
        previous: None,
        issued_at: now,
        valid_until: now + Duration::from_hours(24),
        refresh: Duration::from_mins(5),
        roots: vec![authority.root().clone()],
        issuing: authority.issuing_authorities().map(|ca| IssuingCa { kind: ca.kind(), certificate: ca.certificate().clone() }).collect(),
        lists: vec![],
        partners: vec![],
    };
    bundle.to_payload().expect("a bundle")
}

/// A topology of one server.
pub fn topology_text() -> String {
    let listeners = Listeners { sip: "127.0.0.1:5061".parse().ok(), https: "127.0.0.1:8443".parse().ok(), ..Listeners::default() };
    Topology::single_server("Contoso", &fqdn("contoso.example"), &fqdn("sip.contoso.example"), listeners)
        .expect("a topology")
        .to_commented_toml()
}

fn holdings(root: &Root, authority: &Authority, signer: &DocumentSigner, now: SystemTime) -> Holdings {
    let believed = |text: String| Believed { text, at: now };
    let signed = signer.sign(DocumentKind::Bundle, &bundle(authority, now)).expect("a document");
    let topology = SignedTopology::sign(&topology_text(), None, signer, now, now + Duration::from_hours(24)).expect("a topology");
    let mut ders = vec![root.revocation_list(&[], 1, now).expect("a list")];
    ders.extend(authority.issuing_authorities().map(|ca| ca.revocation_list(&[], 1, now).expect("a list")));
    Holdings::begin(Fingerprint::of(authority.root()), believed(signed), &ders, believed(topology)).expect("what a member holds")
}

/// `SEQUENCE { tbs, algorithm, signature }` (RFC 5280 §4.1).
fn signed(to_be_signed: &[u8], key: &Key) -> CertificateDer<'static> {
    let signature = CaKey::sign(key, to_be_signed).expect("a signature");
    let bits = element(0x03, &[&[0], signature.as_slice()].concat());
    element(0x30, &[to_be_signed, &ECDSA_WITH_SHA256, &bits].concat()).into()
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}

/// What is signed of a certificate: the first element within it.
pub fn to_be_signed(certificate: &[u8]) -> &[u8] {
    let start = after_head(certificate).0;
    let (head, length) = after_head(&certificate[start..]);
    &certificate[start..start + head + length]
}

/// Where the content of an element begins, and how long it is.
fn after_head(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..0x80 => (2, short.into()),
        long => {
            let count = usize::from(long & 0x7f);
            (2 + count, der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    }
}
