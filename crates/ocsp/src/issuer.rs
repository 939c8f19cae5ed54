//! A CA as requests and answers name it.

use aws_lc_rs::digest;
use pki::{CertificateDer, Serial};
use x509_cert::{
    Certificate,
    der::{
        self, Decode as _, Encode as _,
        asn1::{Null, ObjectIdentifier, OctetString},
    },
    serial_number::SerialNumber,
    spki::AlgorithmIdentifierOwned,
};
use x509_ocsp::{CertId, ResponderId};

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// A CA as requests name it (RFC 6960 §4.1.1): digests of its name and of its key.
pub(crate) struct Issuer {
    sha1: [Vec<u8>; 2],
    sha256: [Vec<u8>; 2],
}

impl Issuer {
    pub(crate) fn of(ca: &Certificate) -> Result<Self, der::Error> {
        let name = ca.tbs_certificate.subject.to_der()?;
        let key = ca.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
        let both = |algorithm| [name.as_slice(), key].map(|bytes| digest::digest(algorithm, bytes).as_ref().to_vec());
        // Nothing here rests on SHA-1: it is only how most software writes down whom it means.
        Ok(Self { sha1: both(&digest::SHA1_FOR_LEGACY_USE_ONLY), sha256: both(&digest::SHA256) })
    }

    pub(crate) fn read(ca: &CertificateDer<'_>) -> Result<Self, der::Error> {
        Self::of(&Certificate::from_der(ca)?)
    }

    pub(crate) fn is_meant(&self, asked: &CertId) -> bool {
        let digests = match asked.hash_algorithm.oid {
            SHA1 => &self.sha1,
            SHA256 => &self.sha256,
            // A digest that we do not make names nobody whom we know.
            _ => return false,
        };
        // These digests have no parameters (RFC 5754 §2). What stands there is repeated in the answer, so nothing may.
        let plain = asked.hash_algorithm.parameters.as_ref().is_none_or(der::Any::is_null);
        let [name, key] = digests;
        plain && asked.issuer_name_hash.as_bytes() == name && asked.issuer_key_hash.as_bytes() == key
    }

    pub(crate) fn id_of(&self, serial: &Serial) -> Result<CertId, der::Error> {
        let [name, key] = &self.sha1;
        Ok(CertId {
            hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Null.into()) },
            issuer_name_hash: OctetString::new(name.clone())?,
            issuer_key_hash: OctetString::new(key.clone())?,
            serial_number: SerialNumber::new(serial.as_bytes())?,
        })
    }
}

/// How an answer names who signed it (RFC 6960 §4.2.1): by its key, of which a digest is shorter than its name.
pub(crate) fn responder_id(signer: &Certificate) -> Result<ResponderId, der::Error> {
    let key = signer.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key);
    Ok(ResponderId::ByKey(OctetString::new(hash.as_ref())?))
}
