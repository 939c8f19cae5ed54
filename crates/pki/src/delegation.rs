//! Who may speak for a CA about what it revoked, and whether he did: for those who read OCSP answers.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::{
    der,
    describe::{facts, lists_purpose, signed_by},
    lint, purpose,
    verify::ALGORITHMS,
};

/// Whether `responder` may answer OCSP questions about what `issuer` issued, at this moment (RFC 6960 §4.2.2.2): it is that CA,
/// or that very CA issued it for nothing else. A CA above or beside it has no say; nor has a weak key (row N14).
pub fn speaks_for(responder: &CertificateDer<'_>, issuer: &CertificateDer<'_>, now: SystemTime) -> bool {
    if responder == issuer {
        return true;
    }
    let (Some(shown), Ok(parsed)) = (facts(responder), lint::parse(0, responder)) else { return false };
    lists_purpose(responder, purpose::OCSP_SIGNING)
        && !shown.is_ca
        && (shown.not_before..=shown.not_after).contains(&now)
        && lint::check_strength(&parsed).is_ok()
        && lint::check_leaf_usage(&parsed).is_ok()
        && signed_by(responder, issuer)
}

/// Whether `signature` over `message` is by the key of `certificate`; `algorithm` is an AlgorithmIdentifier in DER. Weak ones count
/// for nothing (row N14).
pub fn is_signature_of(certificate: &CertificateDer<'_>, algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Some((algorithm, [])), Ok(signer)) = (der::take(der::SEQUENCE, algorithm), EndEntityCert::try_from(certificate)) else {
        return false;
    };
    let mut known = ALGORITHMS.iter().filter(|known| *known.signature_alg_id() == *algorithm);
    known.any(|known| signer.verify_signature(*known, message, signature).is_ok())
}
