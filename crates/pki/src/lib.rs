//! The enterprise CA and what certificates say: issue them, and verify a chain that a peer shows.
//!
//! Whether the holder of a verified certificate may be where it is, is not known here: `trust`
//! decides that with the topology. Start with [`Authority`] (it issues) and [`verify()`] (it judges
//! a chain and leaves a [`VerifiedCertificate`] behind, the proof that the check took place).
//!
//! Time is an argument everywhere; randomness comes from one function, [`random()`].

mod anchors;
mod authority;
mod bundle;
mod bundle_json;
mod ceremony;
mod crl;
mod csr;
mod delegation;
mod der;
mod describe;
mod fqdn;
mod identity;
mod jws;
mod key;
mod key_file;
mod lint;
mod pem;
mod profile;
mod purpose;
mod random;
mod rejection;
mod revocation;
mod rollover;
mod rollover_json;
mod serial;
mod shape;
mod signer;
mod verify;

pub use anchors::{AnchorFault, Anchors, IssuerKind, PinnedIssuer};
pub use authority::{
    Authority, AuthorityFault, ISSUING_VALIDITY, IssuingAuthority, IssuingPlan, ROOT_LIST_VALIDITY, ROOT_VALIDITY, Root, Urls, check_link,
};
pub use bundle::{
    BUNDLE_ISSUING_MAX, BUNDLE_PARTNERS_MAX, BUNDLE_ROOTS_MAX, Bundle, BundleFault, HeldBundle, IssuingCa, ListPlace, PartnerAnchors,
    URL_BYTES_MAX,
};
pub use ceremony::{CEREMONY_BYTES_MAX, CeremonyFault, IssuedCa, IssuingRequest, RootRegister};
pub use crl::{
    REVOCATION_LIST_BYTES_MAX, REVOCATION_LIST_VALIDITY, RevocationList, RevocationListFault, RevocationReason, RevokedCertificate,
    revocation_lists_from, sign_revocation_list,
};
pub use csr::{CertificateRequest, REQUEST_BYTES_MAX, REQUEST_NAMES_MAX, RequestFault, certificate_request, certificate_request_pem};
pub use delegation::{is_signature_of, speaks_for};
pub use describe::{CertificateFacts, facts, moment, organisation_of, rfc3339};
pub use fqdn::{Fqdn, FqdnFault};
pub use identity::SipUser;
pub use jws::{DOCUMENT_BYTES_MAX, DocumentFault, DocumentKind, DocumentSigner, SignedDocument, read_signed};
pub use key::{Curve, Key, KeyFault, PublicKey, SecretPem};
pub use key_file::Passphrase;
pub use pem::{PEM_CERTIFICATES_MAX, PemFault, certificates_from_pem, certificates_to_pem};
pub use profile::{
    BACKDATE, DOCUMENT_SIGNER_VALIDITY, Issued, OCSP_SIGNER_VALIDITY, SERVER_VALIDITY, ServerNames, USER_VALIDITY, renew_at,
};
pub use purpose::Purpose;
pub use random::{NoRandomness, random};
pub use rejection::Rejection;
pub use revocation::{ListUsed, Revocation, RevocationLists};
pub use rollover::{EMERGENCY_WAIT, Pace, Phase, Rollover, RolloverFault, Side, Step, Waiting};
pub use rollover_json::RolloverRecordFault;
/// A certificate in DER, as it travels in a handshake.
pub use rustls_pki_types::CertificateDer;
pub use serial::{Fingerprint, FingerprintFault, IssuerName, Serial};
pub use signer::{CaKey, CaSigner, signature_from_der, signature_to_der};
pub use verify::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, VerifiedCertificate, verify};
