//! Signed documents: believed when a document signer of this organisation signed exactly this.
#![allow(clippy::unwrap_used)]

mod support;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pki::{
    Anchors, Authority, CertificateDer, DOCUMENT_BYTES_MAX, DOCUMENT_SIGNER_VALIDITY, DocumentFault, DocumentKind, DocumentSigner,
    Fingerprint, Key, Purpose, Rejection, Revocation, ServerNames, SignedDocument, read_signed,
};
use support::{DAY, fqdn, now};

const PAYLOAD: &[u8] = b"{\"sequence\":1}";

struct World {
    authority: Authority,
    signer: DocumentSigner,
}

fn world(organisation: &str) -> World {
    let (_, authority) = Authority::create(organisation, &[fqdn("contoso.example")], now()).unwrap();
    let key = Key::generate().unwrap();
    let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key.public(), now()).unwrap();
    World { authority, signer: DocumentSigner::new(issued.chain, key).unwrap() }
}

impl World {
    fn read(&self, text: &str) -> Result<SignedDocument, DocumentFault> {
        read(&self.authority.anchors(), text)
    }
}

fn read(anchors: &Anchors, text: &str) -> Result<SignedDocument, DocumentFault> {
    read_signed(DocumentKind::Bundle, text, anchors, &Revocation::none(), now())
}

/// A document that is put together by hand, to be wrong in one way.
fn assembled(header: &str, payload: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn x5c(chain: &[CertificateDer<'_>]) -> String {
    let all: Vec<String> = chain.iter().map(|der| format!("\"{}\"", STANDARD.encode(der))).collect();
    format!("[{}]", all.join(","))
}

#[test]
fn a_signed_document_is_believed_and_names_its_signer() {
    let world = world("Contoso");
    let text = world.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    let read = world.read(&text).unwrap();
    assert_eq!((read.payload(), read.kind(), read.digest()), (PAYLOAD, DocumentKind::Bundle, Fingerprint::of(PAYLOAD)));
    assert_eq!(read.signer().names(), [fqdn("sip.contoso.example")]);
    assert_eq!(read.signer().purpose(), Purpose::Documents);
    assert_eq!(world.signer.not_after(), now() + DOCUMENT_SIGNER_VALIDITY);
}

#[test]
fn signed_anew_it_is_the_same_document() {
    let world = world("Contoso");
    let [one, two] = [(); 2].map(|()| world.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap());
    assert_ne!(one, two);
    assert_eq!(world.read(&one).unwrap().digest(), world.read(&two).unwrap().digest());
}

#[test]
fn n29_tampered_with_anywhere_is_refused() {
    let world = world("Contoso");
    let text = world.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    for at in 0..text.len() {
        let mut spoilt = text.clone().into_bytes();
        spoilt[at] = if spoilt[at] == b'A' { b'B' } else { b'A' };
        assert!(world.read(std::str::from_utf8(&spoilt).unwrap()).is_err(), "at {at}");
    }
    let other = text.replace(&URL_SAFE_NO_PAD.encode(PAYLOAD), &URL_SAFE_NO_PAD.encode(b"{\"sequence\":2}"));
    assert_eq!(world.read(&other), Err(DocumentFault::Tampered));
}

#[test]
fn n29_a_document_of_another_organisation_is_refused() {
    let (ours, theirs) = (world("Contoso"), world("Fabrikam"));
    let text = theirs.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    assert!(matches!(ours.read(&text), Err(DocumentFault::Signer(Rejection::UnknownIssuer { .. }))));
    assert!(matches!(read(&Anchors::nobody(), &text), Err(DocumentFault::Signer(Rejection::NoAnchors))));
}

#[test]
fn a_topology_is_no_bundle() {
    let world = world("Contoso");
    let text = world.signer.sign(DocumentKind::Topology, PAYLOAD).unwrap();
    let fault = world.read(&text).unwrap_err();
    assert_eq!(fault, DocumentFault::Kind { wanted: DocumentKind::Bundle, shown: "verbund-topology".into() });
}

#[test]
fn a_server_of_the_organisation_signs_no_documents_and_a_signer_is_no_server() {
    let world = world("Contoso");
    let key = Key::generate().unwrap();
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![] };
    let issued = world.authority.issue_server(&names, &key.public(), now()).unwrap();
    let text = DocumentSigner::new(issued.chain, key).unwrap().sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    assert!(matches!(world.read(&text), Err(DocumentFault::Signer(Rejection::WrongPurpose { .. }))));
    for purpose in [Purpose::Server, Purpose::Client] {
        let found = pki::verify(world.signer.chain(), &world.authority.anchors(), &Revocation::none(), purpose, now());
        assert!(matches!(found, Err(Rejection::WrongPurpose { .. })), "{found:?}");
    }
}

#[test]
fn n29_a_document_does_not_outlive_its_signer() {
    let world = world("Contoso");
    let text = world.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    let late = now() + DOCUMENT_SIGNER_VALIDITY + DAY;
    let found = read_signed(DocumentKind::Bundle, &text, &world.authority.anchors(), &Revocation::none(), late);
    assert!(matches!(found, Err(DocumentFault::Signer(Rejection::Expired { .. }))), "{found:?}");
}

#[test]
fn there_is_one_algorithm_and_nothing_to_negotiate() {
    let world = world("Contoso");
    let x5c = x5c(world.signer.chain());
    let none = |_: &[u8]| Vec::new();
    for algorithm in ["none", "None", "HS256", "ES384", "RS256", "es256", ""] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"verbund-bundle","x5c":{x5c}}}"#);
        let found = world.read(&assembled(&header, PAYLOAD, none));
        assert_eq!(found, Err(DocumentFault::Algorithm { shown: algorithm.into() }));
    }
}

/// The key of the signer, wrapped so that any header can be signed.
fn hand_signed(header: impl Fn(&str) -> String) -> Result<SignedDocument, DocumentFault> {
    let (_, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now()).unwrap();
    let key = Key::generate().unwrap();
    let issued = authority.issue_document_signer(&fqdn("sip.contoso.example"), &key.public(), now()).unwrap();
    let sign = |message: &[u8]| pki::signature_from_der(&pki::CaKey::sign(&key, message).unwrap()).unwrap().to_vec();
    read(&authority.anchors(), &assembled(&header(&x5c(&issued.chain)), PAYLOAD, sign))
}

#[test]
fn what_must_be_understood_and_is_not_is_refused() {
    let plain = |x5c: &str, more: &str| format!(r#"{{"alg":"ES256","typ":"verbund-bundle","x5c":{x5c}{more}}}"#);
    assert!(hand_signed(|x5c| plain(x5c, "")).is_ok());
    assert!(hand_signed(|x5c| plain(x5c, r#","kid":"1","jwk":{}"#)).is_ok(), "what is not critical may be passed over");
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null"] {
        assert_eq!(hand_signed(|x5c| plain(x5c, &format!(r#","crit":{crit},"b64":false"#))), Err(DocumentFault::Critical), "{crit}");
    }
    for twice in [r#","alg":"none""#, r#","typ":"verbund-topology""#, r#","x5c":[]"#] {
        assert!(matches!(hand_signed(|x5c| plain(x5c, twice)), Err(DocumentFault::Malformed { .. })), "{twice}");
    }
    for header in [r#"{"alg":"ES256","typ":"verbund-bundle"}"#, r#"{"alg":"ES256","x5c":[]}"#, "[]", "", "{"] {
        assert!(matches!(hand_signed(|_| header.into()), Err(DocumentFault::Malformed { .. })), "{header}");
    }
    let empty = hand_signed(|_| r#"{"alg":"ES256","typ":"verbund-bundle","x5c":[]}"#.into());
    assert_eq!(empty, Err(DocumentFault::Signer(Rejection::Empty)));
}

#[test]
fn what_is_no_document_is_refused() {
    let world = world("Contoso");
    let text = world.signer.sign(DocumentKind::Bundle, PAYLOAD).unwrap();
    let four = format!("{text}.{text}");
    let padded = format!("{text}=");
    let spaced = format!("{text}\n");
    for bad in ["", ".", "..", "a.b", "a.b.c", &four, &padded, &spaced, &text[1..]] {
        assert!(matches!(world.read(bad), Err(DocumentFault::Malformed { .. })), "{bad:.20}");
    }
    let huge = "a".repeat(DOCUMENT_BYTES_MAX + 1);
    assert_eq!(world.read(&huge), Err(DocumentFault::TooLarge { bytes: huge.len() }));
    assert!(matches!(world.signer.sign(DocumentKind::Bundle, huge.as_bytes()), Err(DocumentFault::TooLarge { .. })));
}

#[test]
fn a_signer_needs_the_key_of_its_certificate() {
    let world = world("Contoso");
    let chain = world.signer.chain().to_vec();
    assert!(matches!(DocumentSigner::new(chain, Key::generate().unwrap()), Err(DocumentFault::KeyMismatch)));
    assert!(matches!(DocumentSigner::new(vec![], Key::generate().unwrap()), Err(DocumentFault::KeyMismatch)));
}
