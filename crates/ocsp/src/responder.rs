//! Who answers for one CA, and the answers (RFC 6960 §4.2).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::{CaKey, CertificateDer, Fingerprint, RevocationReason, Serial};
use x509_cert::{
    Certificate,
    der::{
        self, Decode as _, Encode as _,
        asn1::{BitString, ObjectIdentifier, OctetString},
        oid::AssociatedOid as _,
    },
    ext::{Extension, pkix::CrlReason},
    spki::AlgorithmIdentifierOwned,
};
use x509_ocsp::{BasicOcspResponse, CertId, CertStatus, OcspResponse, ResponseData, RevokedInfo, SingleResponse, Version, ext::Nonce};

use crate::{
    Question,
    issuer::{Issuer, responder_id},
};

/// How long an answer counts. Whoever asks again within it may be given the same one by a cache.
pub const ANSWER_VALIDITY: Duration = Duration::from_hours(4);

/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// What is known about a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Issued, and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// Since when.
        at: SystemTime,
        /// Why.
        reason: RevocationReason,
    },
    /// Not one that was issued here.
    Unknown,
}

/// Why somebody cannot answer for a CA.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResponderFault {
    /// A certificate that cannot be read.
    #[error("the certificate of the CA or of its OCSP responder cannot be read; have the responder's issued again")]
    Malformed,
    /// Not of this CA, or not for this purpose (RFC 6960 §4.2.2.2).
    #[error("this certificate was not issued by the CA for OCSP signing, so its answers would count for nothing; have one issued")]
    NotDelegated,
    /// The key is another one.
    #[error("the OCSP responder's key does not belong to its certificate; have a new certificate issued")]
    KeyMismatch,
    /// The certificate has had its time.
    #[error("the OCSP responder's certificate does not count now; have a new one issued, or set the clock")]
    NotValidNow,
    /// The key signs nothing.
    #[error("the OCSP responder's key signed nothing; if it lies in a token, see that the token is there and open")]
    NotSigned,
}

impl From<der::Error> for ResponderFault {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Who answers for one CA: the CA itself, or somebody whom it gave a certificate for that.
pub struct Responder {
    ca: Fingerprint,
    /// The CA's name as text.
    name: String,
    /// Name and key of the CA, as requests have them.
    issuer: Issuer,
    certificate: Certificate,
    key: Arc<dyn CaKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl fmt::Debug for Responder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Responder(for {})", self.ca)
    }
}

impl Responder {
    /// Answers for `ca` with the key of `certificate`: that of the CA itself, or one that it issued for OCSP signing.
    pub fn new(ca: &CertificateDer<'_>, certificate: &CertificateDer<'_>, key: Arc<dyn CaKey>) -> Result<Self, ResponderFault> {
        let facts = pki::facts(certificate).ok_or(ResponderFault::Malformed)?;
        let (parsed_ca, parsed) = (Certificate::from_der(ca)?, Certificate::from_der(certificate)?);
        let delegated = parsed.tbs_certificate.issuer == parsed_ca.tbs_certificate.subject
            && facts.purposes.iter().any(|purpose| purpose == "OCSPSigning")
            && !facts.is_ca;
        if ca != certificate && !delegated {
            return Err(ResponderFault::NotDelegated);
        }
        if parsed.tbs_certificate.subject_public_key_info.to_der()? != key.public().as_der() {
            return Err(ResponderFault::KeyMismatch);
        }
        Ok(Self {
            ca: Fingerprint::of(ca),
            name: pki::facts(ca).ok_or(ResponderFault::Malformed)?.subject,
            issuer: Issuer::of(&parsed_ca)?,
            certificate: parsed,
            key,
            not_before: facts.not_before,
            not_after: facts.not_after,
        })
    }

    /// SHA-256 of the certificate of the CA that it answers for.
    pub fn ca(&self) -> Fingerprint {
        self.ca
    }

    /// The name of the CA that it answers for, as text.
    pub fn issuer(&self) -> &str {
        &self.name
    }

    /// When it is to be replaced by one with a new certificate.
    pub fn renew_at(&self) -> SystemTime {
        pki::renew_at(self.not_before, self.not_after)
    }

    /// When its certificate ends, and nobody believes its answers any more.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether this question is for it: the certificate that it names first is of its CA.
    pub fn is_asked(&self, question: &Question) -> bool {
        question.certificates.first().is_some_and(|first| self.issuer.is_meant(first))
    }

    /// The serial numbers that it has to know something about. Another CA's certificates are its responder's business.
    pub fn asked(&self, question: &Question) -> Vec<Serial> {
        question.certificates.iter().filter(|id| self.issuer.is_meant(id)).map(serial_of).collect()
    }

    /// Answers in DER; `status` says what is known about a certificate of its CA.
    ///
    /// # Errors
    /// Its certificate has ended, or its key signs nothing.
    pub fn answer(&self, question: &Question, status: impl Fn(&Serial) -> Status, now: SystemTime) -> Result<Vec<u8>, ResponderFault> {
        let of = |id: &CertId| if self.issuer.is_meant(id) { status(&serial_of(id)) } else { Status::Unknown };
        let singles = question.certificates.iter().map(|id| self.single(id.clone(), of(id), now));
        Ok(self.signed(singles.collect::<Result<_, _>>()?, question.nonce.as_ref(), now)?.to_der()?)
    }

    fn single(&self, cert_id: CertId, status: Status, now: SystemTime) -> Result<SingleResponse, ResponderFault> {
        let cert_status = match status {
            Status::Good => CertStatus::good(),
            Status::Unknown => CertStatus::unknown(),
            Status::Revoked { at, reason } => {
                CertStatus::Revoked(RevokedInfo { revocation_time: seconds(at).try_into()?, revocation_reason: reason_code(reason) })
            }
        };
        let until = (now + ANSWER_VALIDITY).min(self.not_after);
        let (this_update, next_update) = (seconds(now).try_into()?, Some(seconds(until).try_into()?));
        Ok(SingleResponse { cert_id, cert_status, this_update, next_update, single_extensions: None })
    }

    fn signed(&self, responses: Vec<SingleResponse>, nonce: Option<&Nonce>, now: SystemTime) -> Result<OcspResponse, ResponderFault> {
        if now < self.not_before || now > self.not_after {
            return Err(ResponderFault::NotValidNow);
        }
        let tbs_response_data = ResponseData {
            version: Version::V1,
            responder_id: responder_id(&self.certificate)?,
            produced_at: seconds(now).try_into()?,
            responses,
            response_extensions: nonce.map(nonce_extension).transpose()?.map(|extension| vec![extension]),
        };
        let signature = self.key.sign(&tbs_response_data.to_der()?).map_err(|_| ResponderFault::NotSigned)?;
        Ok(OcspResponse::successful(BasicOcspResponse {
            tbs_response_data,
            signature_algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
            signature: BitString::from_bytes(&signature)?,
            certs: Some(vec![self.certificate.clone()]),
        })?)
    }
}

pub(crate) fn serial_of(id: &CertId) -> Serial {
    Serial::from_be_bytes(id.serial_number.as_bytes())
}

/// What is said where nothing can be signed (RFC 6960 §2.3). Anybody could say so, and it counts for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// That was no request, or too much of one.
    Malformed,
    /// Nobody here answers for that CA (RFC 5019 §2.2.3).
    Unauthorized,
    /// Not at this moment.
    TryLater,
}

impl NoAnswer {
    /// OCSPResponse in DER: a sequence of nothing but its status.
    pub fn to_der(self) -> Vec<u8> {
        let status = match self {
            Self::Malformed => 1,
            Self::TryLater => 3,
            Self::Unauthorized => 6,
        };
        vec![0x30, 3, 0x0a, 1, status]
    }
}

fn nonce_extension(nonce: &Nonce) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id: Nonce::OID, critical: false, extn_value: OctetString::new(nonce.to_der()?)? })
}

fn reason_code(reason: RevocationReason) -> Option<CrlReason> {
    match reason {
        // As in lists: not told is better than "unspecified" (RFC 5280 §5.3.1).
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(CrlReason::KeyCompromise),
        RevocationReason::AffiliationChanged => Some(CrlReason::AffiliationChanged),
        RevocationReason::Superseded => Some(CrlReason::Superseded),
        RevocationReason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
    }
}

/// The other way; what we never give is told by what is nearest to it.
pub(crate) fn reason_of(code: Option<CrlReason>) -> RevocationReason {
    match code {
        Some(CrlReason::KeyCompromise | CrlReason::CaCompromise | CrlReason::AaCompromise) => RevocationReason::KeyCompromise,
        Some(CrlReason::AffiliationChanged) => RevocationReason::AffiliationChanged,
        Some(CrlReason::Superseded) => RevocationReason::Superseded,
        Some(CrlReason::CessationOfOperation) => RevocationReason::CessationOfOperation,
        Some(CrlReason::PrivilegeWithdrawn) => RevocationReason::PrivilegeWithdrawn,
        None | Some(CrlReason::Unspecified | CrlReason::CertificateHold | CrlReason::RemoveFromCRL) => RevocationReason::Unspecified,
    }
}

/// A moment without its fraction; times before 1970 do not occur in answers.
fn seconds(moment: SystemTime) -> SystemTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
