//! An answer that a server got about its own certificate and shows in its handshakes (RFC 6066 §8), read with suspicion.

use std::time::{Duration, SystemTime};

use pki::{CertificateDer, Serial};
use x509_cert::{
    Certificate,
    der::{self, Decode as _, Encode as _, Reader as _, SliceReader, asn1::BitString, oid::AssociatedOid as _},
    ext::Extensions,
    spki::AlgorithmIdentifierOwned,
};
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, ResponseData, SingleResponse};

use crate::{
    Status,
    issuer::Issuer,
    responder::{reason_of, serial_of},
};

/// The most bytes of an answer that are looked at.
pub const STAPLE_BYTES_MAX: usize = 16 * 1024;
/// The most certificates of an answer that are looked at: those who sign have one.
pub const STAPLE_CERTIFICATES_MAX: usize = 3;
/// How far ahead the clock of who answered may be.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// What an answer that counts says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stapled {
    /// Of the certificate that was meant.
    pub status: Status,
    /// When that was known.
    pub this_update: SystemTime,
    /// Until when it counts.
    pub next_update: SystemTime,
}

/// Why an answer counts for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StapleFault {
    /// Looked at before anything is parsed.
    #[error("the OCSP answer has more than {STAPLE_BYTES_MAX} bytes or {STAPLE_CERTIFICATES_MAX} certificates; look at who sent it")]
    TooLarge,
    /// Not an answer, or one with rules that we do not know.
    #[error("the OCSP answer is damaged or not understood; fetch it again")]
    Malformed,
    /// The responder says that it does not answer.
    #[error("the OCSP responder gave no answer; ask it again later, and look at its log")]
    NoAnswer,
    /// It speaks of others.
    #[error("the OCSP answer is about another certificate; fetch one for this one")]
    OtherCertificate,
    /// Nobody signed it whom the issuer lets speak (RFC 6960 §4.2.2.2).
    #[error("the OCSP answer is not signed by the certificate's issuer or by one whom that delegated; whoever sent it has no say")]
    NotBelieved,
    /// It has no end, has ended, or is of tomorrow.
    #[error("the OCSP answer does not count at this moment; fetch a new one, or set the clock")]
    NotNow,
}

impl From<der::Error> for StapleFault {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Reads an answer about the certificate number `serial` of `issuer`. Whether the issuer itself is believed is not asked here.
///
/// # Errors
/// It counts for nothing, whatever it says.
pub fn read_staple(staple: &[u8], issuer: &CertificateDer<'_>, serial: &Serial, now: SystemTime) -> Result<Stapled, StapleFault> {
    if staple.len() > STAPLE_BYTES_MAX {
        return Err(StapleFault::TooLarge);
    }
    let answer = Answer::read(staple)?;
    let ca = Issuer::read(issuer)?;
    let meant = |single: &&SingleResponse| ca.is_meant(&single.cert_id) && serial_of(&single.cert_id) == *serial;
    let single = answer.data.responses.iter().find(meant).ok_or(StapleFault::OtherCertificate)?;
    if is_strange(&answer.data.response_extensions) || is_strange(&single.single_extensions) {
        return Err(StapleFault::Malformed);
    }
    answer.check_signer(issuer, now)?;
    stapled(single, now)
}

/// RFC 6960 §4.4: what is critical and not understood.
fn is_strange(extensions: &Option<Extensions>) -> bool {
    extensions.iter().flatten().any(|extension| extension.critical)
}

fn stapled(single: &SingleResponse, now: SystemTime) -> Result<Stapled, StapleFault> {
    let this_update = single.this_update.0.to_system_time();
    // One without an end says that there is always something newer (RFC 6960 §4.2.2.1): then this one is of no use.
    let next_update = single.next_update.ok_or(StapleFault::NotNow)?.0.to_system_time();
    if this_update > now + CLOCK_SKEW_MAX || now > next_update {
        return Err(StapleFault::NotNow);
    }
    let status = match &single.cert_status {
        CertStatus::Good(_) => Status::Good,
        CertStatus::Unknown(_) => Status::Unknown,
        CertStatus::Revoked(info) => {
            Status::Revoked { at: info.revocation_time.0.to_system_time(), reason: reason_of(info.revocation_reason) }
        }
    };
    Ok(Stapled { status, this_update, next_update })
}

/// An answer in its parts; what was signed as it came, octet by octet.
struct Answer {
    data: ResponseData,
    signed: Vec<u8>,
    algorithm: Vec<u8>,
    signature: BitString,
    certificates: Vec<Certificate>,
}

impl Answer {
    fn read(der: &[u8]) -> Result<Self, StapleFault> {
        let response = OcspResponse::from_der(der)?;
        let bytes = match (response.response_status, response.response_bytes) {
            (OcspResponseStatus::Successful, Some(bytes)) if bytes.response_type == BasicOcspResponse::OID => bytes,
            (OcspResponseStatus::Successful, _) => return Err(StapleFault::Malformed),
            _ => return Err(StapleFault::NoAnswer),
        };
        let basic = BasicOcspResponse::from_der(bytes.response.as_bytes())?;
        let certificates = basic.certs.unwrap_or_default();
        if certificates.len() > STAPLE_CERTIFICATES_MAX {
            return Err(StapleFault::TooLarge);
        }
        Ok(Self {
            data: basic.tbs_response_data,
            signed: first_element(bytes.response.as_bytes())?,
            algorithm: AlgorithmIdentifierOwned::to_der(&basic.signature_algorithm)?,
            signature: basic.signature,
            certificates,
        })
    }

    /// By the issuer itself, or by one that it issued for this (RFC 6960 §4.2.2.2).
    fn check_signer(&self, issuer: &CertificateDer<'_>, now: SystemTime) -> Result<(), StapleFault> {
        let signature = self.signature.as_bytes().ok_or(StapleFault::Malformed)?;
        let issuer_parsed = Certificate::from_der(issuer)?;
        for certificate in self.certificates.iter().chain(std::iter::once(&issuer_parsed)) {
            let der = CertificateDer::from(certificate.to_der()?);
            // Whom it names as its signer matters to nobody who looks at all of the few that it could be.
            if pki::speaks_for(&der, issuer, now) && pki::is_signature_of(&der, &self.algorithm, &self.signed, signature) {
                return Ok(());
            }
        }
        Err(StapleFault::NotBelieved)
    }
}

/// The first element within a SEQUENCE, whole.
fn first_element(der: &[u8]) -> Result<Vec<u8>, der::Error> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|inside| {
        let first = inside.tlv_bytes()?.to_vec();
        while !inside.is_finished() {
            inside.tlv_bytes()?;
        }
        Ok(first)
    })
}
