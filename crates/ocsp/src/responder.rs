//! Who answers for one CA, and the answers (RFC 6960 §4.2).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest;
use pki::{CaKey, CertificateDer, Fingerprint, RevocationReason, Serial};
use x509_cert::{
    Certificate,
    der::{
        self, Decode as _, Encode as _,
        asn1::{BitString, Null, ObjectIdentifier, OctetString},
        oid::AssociatedOid as _,
    },
    ext::{Extension, pkix::CrlReason},
    serial_number::SerialNumber,
    spki::AlgorithmIdentifierOwned,
};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspResponse, ResponderId, ResponseData, RevokedInfo, SingleResponse, Version, ext::Nonce,
};

use crate::request::{self, Asked};

/// How long an answer counts. Whoever asks again within it may be given the same one by a cache.
pub const ANSWER_VALIDITY: Duration = Duration::from_hours(4);

/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

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

/// A CA as requests name it (RFC 6960 §4.1.1): digests of its name and of its key.
struct Issuer {
    sha1: [Vec<u8>; 2],
    sha256: [Vec<u8>; 2],
}

impl Issuer {
    fn of(ca: &Certificate) -> Result<Self, der::Error> {
        let name = ca.tbs_certificate.subject.to_der()?;
        let key = ca.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
        let both = |algorithm| [name.as_slice(), key].map(|bytes| digest::digest(algorithm, bytes).as_ref().to_vec());
        // Nothing here rests on SHA-1: it is only how most software writes down whom it means.
        Ok(Self { sha1: both(&digest::SHA1_FOR_LEGACY_USE_ONLY), sha256: both(&digest::SHA256) })
    }

    fn is_meant(&self, asked: &CertId) -> bool {
        let digests = match asked.hash_algorithm.oid {
            SHA1 => &self.sha1,
            SHA256 => &self.sha256,
            // A digest that we do not make names nobody whom we know.
            _ => return false,
        };
        let [name, key] = digests;
        asked.issuer_name_hash.as_bytes() == name && asked.issuer_key_hash.as_bytes() == key
    }

    fn id_of(&self, serial: &Serial) -> Result<CertId, der::Error> {
        let [name, key] = &self.sha1;
        Ok(CertId {
            hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Null.into()) },
            issuer_name_hash: OctetString::new(name.clone())?,
            issuer_key_hash: OctetString::new(key.clone())?,
            serial_number: SerialNumber::new(serial.as_bytes())?,
        })
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

    /// When it is to be replaced by one with a new certificate.
    pub fn renew_at(&self) -> SystemTime {
        pki::renew_at(self.not_before, self.not_after)
    }

    /// An answer about one certificate that nobody had to ask for, to be stapled into its handshakes (RFC 6066 §8).
    pub fn staple(&self, serial: &Serial, status: Status, now: SystemTime) -> Result<Vec<u8>, ResponderFault> {
        let single = self.single(self.issuer.id_of(serial)?, status, now)?;
        Ok(self.signed(vec![single], None, now)?.to_der()?)
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

    fn signed(&self, responses: Vec<SingleResponse>, nonce: Option<Nonce>, now: SystemTime) -> Result<OcspResponse, ResponderFault> {
        if now < self.not_before || now > self.not_after {
            return Err(ResponderFault::NotValidNow);
        }
        let key = self.certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
        let key_hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key);
        let tbs_response_data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(OctetString::new(key_hash.as_ref())?),
            produced_at: seconds(now).try_into()?,
            responses,
            response_extensions: nonce.map(|nonce| nonce_extension(&nonce)).transpose()?.map(|extension| vec![extension]),
        };
        let signature = self.key.sign(&tbs_response_data.to_der()?).map_err(|_| ResponderFault::NotSigned)?;
        Ok(OcspResponse::successful(BasicOcspResponse {
            tbs_response_data,
            signature_algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
            signature: BitString::from_bytes(&signature)?,
            certs: Some(vec![self.certificate.clone()]),
        })?)
    }

    fn answer(
        &self,
        asked: Asked,
        status: impl Fn(Fingerprint, &Serial) -> Status,
        now: SystemTime,
    ) -> Result<OcspResponse, ResponderFault> {
        let of = |id: &CertId| {
            // Another CA's certificates are its responder's business.
            let ours = self.issuer.is_meant(id);
            if ours { status(self.ca, &Serial::from_be_bytes(id.serial_number.as_bytes())) } else { Status::Unknown }
        };
        let singles = asked.certificates.into_iter().map(|id| (of(&id), id)).map(|(status, id)| self.single(id, status, now));
        self.signed(singles.collect::<Result<_, _>>()?, asked.nonce, now)
    }
}

/// Answers a request in DER by the responder of the CA that it names first; `status` says what is known about
/// a certificate of a CA (by SHA-256 of its certificate). Every request gets an answer: those that cannot be
/// read, and those about nobody known here, get one that says just that and is not signed (RFC 6960 §2.3).
pub fn answer(request: &[u8], responders: &[Responder], status: impl Fn(Fingerprint, &Serial) -> Status, now: SystemTime) -> Vec<u8> {
    let Some(asked) = request::read(request) else { return encoded(&OcspResponse::malformed_request()) };
    let meant = |id: &CertId| responders.iter().find(|responder| responder.issuer.is_meant(id));
    let Some(responder) = asked.certificates.first().and_then(meant) else {
        // RFC 5019 §2.2.3: not our CA.
        return encoded(&OcspResponse::unauthorized());
    };
    encoded(&match responder.answer(asked, status, now) {
        Ok(answer) => answer,
        Err(ResponderFault::NotValidNow | ResponderFault::NotSigned) => OcspResponse::try_later(),
        Err(ResponderFault::Malformed | ResponderFault::NotDelegated | ResponderFault::KeyMismatch) => OcspResponse::internal_error(),
    })
}

/// SEQUENCE { ENUMERATED internalError }: for the case that nothing else can be written.
const INTERNAL_ERROR: [u8; 5] = [0x30, 3, 0x0a, 1, 2];

fn encoded(response: &OcspResponse) -> Vec<u8> {
    response.to_der().unwrap_or_else(|_| INTERNAL_ERROR.to_vec())
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

/// A moment without its fraction; times before 1970 do not occur in answers.
fn seconds(moment: SystemTime) -> SystemTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
