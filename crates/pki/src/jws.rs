//! Signed documents of the organisation: JWS in its compact form (RFC 7515 §7.1), ES256, the signer's
//! chain inside.
//!
//! What a document says is for others: the topology to `topology`, the trust bundle to [`Bundle`](crate::Bundle).
//! Here it is proved who signed it, what kind it is, and that nobody changed it since. One
//! algorithm, one kind of signer: there is nothing to negotiate, so nothing to be talked down to.

use std::{fmt, time::SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    Anchors, Curve, Fingerprint, Key, KeyFault, PublicKey, Purpose, Rejection, Revocation, VerifiedCertificate, describe, facts,
    signature_from_der, verify,
};

/// The most bytes of a signed document that are looked at.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most bytes of its header: room for the longest chain that is looked at.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// The one algorithm (RFC 7518 §3.4).
const ALGORITHM: &str = "ES256";

/// What a document is, so that none is taken for another (RFC 7515 §4.1.9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DocumentKind {
    /// The published list of trusted servers.
    Topology,
    /// The roots, issuing CAs and revocation lists that a member believes.
    Bundle,
    /// The end of the audit log at some moment.
    AuditHead,
}

impl DocumentKind {
    /// The `typ` of its header.
    pub fn typ(self) -> &'static str {
        match self {
            Self::Topology => "verbund-topology",
            Self::Bundle => "verbund-bundle",
            Self::AuditHead => "verbund-audit-head",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Topology => "topology",
            Self::Bundle => "trust bundle",
            Self::AuditHead => "end of an audit log",
        })
    }
}

/// Why a document was not believed (row N29), or could not be signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentFault {
    /// Looked at before anything is parsed.
    #[error(
        "the document has {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are looked at; split the organisation, or take out what is not needed"
    )]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Not of the form `header.payload.signature`.
    #[error("this is no signed document ({detail}); fetch it again from the authority")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// Any other, `none` and HMAC among them.
    #[error("the document is signed with {shown:?}, and only {ALGORITHM} counts here; have the authority sign it")]
    Algorithm {
        /// What the header says.
        shown: String,
    },
    /// A signed document of another kind in its place.
    #[error("this document is a {shown:?}, and a {} was wanted; fetch the right one from the authority", wanted.typ())]
    Kind {
        /// What was wanted.
        wanted: DocumentKind,
        /// What the header says.
        shown: String,
    },
    /// RFC 7515 §4.1.11: what is marked critical and not understood must be refused.
    #[error("the document has a header that must be understood and is not (crit); bring this server to the authority's version")]
    Critical,
    /// Whoever signed it is nobody here.
    #[error("the signer of the document is not believed: {0}")]
    Signer(#[from] Rejection),
    /// The signer has a key for another algorithm.
    #[error("the signer's key is not of P-256, so it cannot have made this signature; have the authority sign it again")]
    SignerKey,
    /// Row N29.
    #[error("the document was changed after it was signed; fetch it again from the authority, and find out who changed it")]
    Tampered,
    /// A signer's key and certificate that do not belong together.
    #[error("the key of the document signer does not belong to its certificate; have a new certificate issued")]
    KeyMismatch,
    /// The signer's key signs nothing.
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// The header of a compact JWS, as we write it.
#[derive(Serialize)]
struct WrittenHeader<'a> {
    alg: &'a str,
    typ: &'a str,
    x5c: Vec<String>,
}

/// The header of a compact JWS, as strangers write it. What is not named here may be passed over
/// (RFC 7515 §4); a name that is here twice is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Who signs the organisation's documents: a key and the chain that says so.
#[derive(Debug)]
pub struct DocumentSigner {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
    not_after: SystemTime,
}

impl DocumentSigner {
    /// A signer with this chain (its own certificate first) and the key of that certificate.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: Key) -> Result<Self, DocumentFault> {
        let facts = chain.first().and_then(facts).ok_or(DocumentFault::KeyMismatch)?;
        if facts.public_key != key.public().as_der() {
            return Err(DocumentFault::KeyMismatch);
        }
        Ok(Self { chain, key, not_after: facts.not_after })
    }

    /// Signs a document.
    pub fn sign(&self, kind: DocumentKind, payload: &[u8]) -> Result<String, DocumentFault> {
        let x5c = self.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        let header = WrittenHeader { alg: ALGORITHM, typ: kind.typ(), x5c };
        let header = serde_json::to_vec(&header).map_err(|error| DocumentFault::Malformed { detail: error.to_string() })?;
        let mut text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = signature_from_der(&self.key.sign(text.as_bytes())?).ok_or(KeyFault::NotSigned)?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        if text.len() > DOCUMENT_BYTES_MAX { Err(DocumentFault::TooLarge { bytes: text.len() }) } else { Ok(text) }
    }

    /// Its certificate, then its issuer's.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// When it stops to count: nothing that it signed is believed after that.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// A document whose signature was checked. Only [`read_signed`] makes one, so holding it is the proof.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedDocument {
    kind: DocumentKind,
    payload: Vec<u8>,
    digest: Fingerprint,
    signer: VerifiedCertificate,
}

impl SignedDocument {
    /// What kind it is.
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// SHA-256 of what it says: what the next one links to. The signature does not count, so the
    /// same document signed anew is the same.
    pub fn digest(&self) -> Fingerprint {
        self.digest
    }

    /// Who signed it.
    pub fn signer(&self) -> &VerifiedCertificate {
        &self.signer
    }
}

/// Reads a document of this kind, signed by somebody whom these roots vouch for as a document signer.
///
/// # Errors
/// Row N29: anything else. Whether it is newer than the one held, and not expired, is asked of what it says.
pub fn read_signed(
    kind: DocumentKind,
    text: &str,
    anchors: &Anchors,
    revocation: &Revocation,
    now: SystemTime,
) -> Result<SignedDocument, DocumentFault> {
    let parts = Parts::of(text)?;
    let header = parts.header()?;
    check_header(kind, &header)?;
    let chain = header.x5c.iter().map(|text| certificate(text)).collect::<Result<Vec<_>, _>>()?;
    let signer = verify(&chain, anchors, revocation, Purpose::Documents, now)?;
    check_signature(chain.first(), &parts)?;
    let payload = decode("payload", parts.payload)?;
    Ok(SignedDocument { kind, digest: Fingerprint::of(&payload), payload, signer })
}

/// What an unchecked document says: to find the pinned root in it, and for nothing else.
pub(crate) fn unchecked_payload(text: &str) -> Result<Vec<u8>, DocumentFault> {
    decode("payload", Parts::of(text)?.payload)
}

/// The three parts of the compact form, still coded.
struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, DocumentFault> {
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentFault::TooLarge { bytes: text.len() });
        }
        let malformed = || DocumentFault::Malformed { detail: "not three parts with dots between".into() };
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        if payload.contains('.') { Err(malformed()) } else { Ok(Self { signed, header, payload, signature }) }
    }

    fn header(&self) -> Result<Header, DocumentFault> {
        if self.header.len() > HEADER_BYTES_MAX {
            return Err(DocumentFault::Malformed { detail: format!("its header is longer than {HEADER_BYTES_MAX} bytes") });
        }
        let malformed = |error: serde_json::Error| DocumentFault::Malformed { detail: describe::printable(&error.to_string()) };
        serde_json::from_slice(&decode("header", self.header)?).map_err(malformed)
    }
}

fn decode(part: &str, text: &str) -> Result<Vec<u8>, DocumentFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| DocumentFault::Malformed { detail: format!("its {part} is no base64url") })
}

fn certificate(text: &str) -> Result<CertificateDer<'static>, DocumentFault> {
    let der = STANDARD.decode(text).map_err(|_| DocumentFault::Malformed { detail: "its x5c is no base64".into() })?;
    Ok(CertificateDer::from(der))
}

fn check_header(wanted: DocumentKind, header: &Header) -> Result<(), DocumentFault> {
    if header.alg != ALGORITHM {
        return Err(DocumentFault::Algorithm { shown: describe::printable(&header.alg) });
    }
    if header.typ != wanted.typ() {
        return Err(DocumentFault::Kind { wanted, shown: describe::printable(&header.typ) });
    }
    if header.crit { Err(DocumentFault::Critical) } else { Ok(()) }
}

fn check_signature(leaf: Option<&CertificateDer<'_>>, parts: &Parts<'_>) -> Result<(), DocumentFault> {
    let spki = leaf.and_then(facts).map(|facts| facts.public_key).ok_or(DocumentFault::SignerKey)?;
    let key = PublicKey::from_der(&spki).ok().filter(|key| key.curve() == Curve::P256).ok_or(DocumentFault::SignerKey)?;
    let signature = decode("signature", parts.signature)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point());
    key.verify(parts.signed.as_bytes(), &signature).map_err(|_| DocumentFault::Tampered)
}
