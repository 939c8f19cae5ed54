//! What a CA's certificate must be before it is used: whole, a CA, of its key, in its time.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::{
    Anchors, AuthorityFault, CertificateFacts, PublicKey, certificates_from_pem,
    describe::{facts, rfc3339},
    profile::Validity,
};

/// The one certificate of a PEM file.
pub(crate) fn only_certificate(which: &'static str, pem: &str) -> Result<CertificateDer<'static>, AuthorityFault> {
    let mut all = certificates_from_pem(pem).map_err(|fault| AuthorityFault::Pem { which, fault })?;
    match all.pop() {
        Some(certificate) if all.is_empty() => Ok(certificate),
        Some(_) | None => Err(AuthorityFault::Foreign { which }),
    }
}

pub(crate) fn anchors(root: &CertificateDer<'static>) -> Result<Anchors, AuthorityFault> {
    Anchors::of([root.clone()]).map_err(|_| AuthorityFault::Foreign { which: "root" })
}

pub(crate) fn check_key(which: &'static str, certificate: &CertificateDer<'_>, key: &PublicKey) -> Result<(), AuthorityFault> {
    let facts = ca_facts(which, certificate)?;
    if facts.public_key == key.as_der() { Ok(()) } else { Err(AuthorityFault::KeyMismatch { which }) }
}

pub(crate) fn ca_facts(which: &'static str, certificate: &CertificateDer<'_>) -> Result<CertificateFacts, AuthorityFault> {
    facts(certificate).filter(|facts| facts.is_ca).ok_or(AuthorityFault::Foreign { which })
}

/// The validity of something issued now, inside that of the issuer; a fault if the issuer itself
/// does not count now.
pub(crate) fn checked_validity(
    what: &str,
    issuer: &CertificateDer<'_>,
    now: SystemTime,
    length: Duration,
) -> Result<Validity, AuthorityFault> {
    let facts = ca_facts("issuing", issuer)?;
    if now < facts.not_before || now > facts.not_after {
        return Err(AuthorityFault::NotValidNow {
            what: what.into(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
            now: rfc3339(now),
        });
    }
    let issuer = Validity { not_before: facts.not_before.into(), not_after: facts.not_after.into() };
    Ok(Validity::starting(now, length).within(issuer))
}
