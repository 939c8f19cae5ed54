//! Certificate requests (PKCS #10, RFC 2986): the public key of somebody who proved to hold the private one.
//!
//! Nothing else in a request counts. Names, purposes and whatever more it asks for come from the
//! topology; the names are kept for one use only, to tell a requester that other ones were meant.

use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

use crate::{Fingerprint, Fqdn, Key, KeyFault, PublicKey, describe, lint, pem};

/// The most bytes of a request that are looked at. Ours have 400.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The most names of a request that are kept for comparison.
pub const REQUEST_NAMES_MAX: usize = 100;

/// A request that was read, and whose sender holds the private key of the public key in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateRequest {
    key: PublicKey,
    common_name: Option<String>,
    names: Vec<String>,
    fingerprint: Fingerprint,
}

/// Why a certificate request is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestFault {
    /// Looked at before anything is parsed.
    #[error("the certificate request has {bytes} bytes, at most {REQUEST_BYTES_MAX} are looked at; ask for fewer names and extensions")]
    TooLarge {
        /// How many came.
        bytes: usize,
    },
    /// No PKCS #10.
    #[error("this is no certificate request ({detail}); make one with: openssl req -new -key key.pem -subj / -out csr.pem")]
    Malformed {
        /// What the parser said.
        detail: String,
    },
    /// Phones on older TLS libraries refuse Ed25519, and RSA is slow.
    #[error(
        "the request is for a key of {kind}, and certificates are issued for P-256 and P-384 only; make a key with: \
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
    )]
    KeyKind {
        /// What it is.
        kind: String,
    },
    /// RFC 2986 §3: whoever asks must hold the key.
    #[error("the request is not signed by the key it is for, so the requester may not hold that key; make it again with that private key")]
    NoProofOfPossession,
}

impl CertificateRequest {
    /// Reads a request in PEM or DER and checks that it is signed by its own key.
    pub fn read(bytes: &[u8]) -> Result<Self, RequestFault> {
        check_size(bytes)?;
        if bytes.starts_with(&[DER_SEQUENCE]) {
            return Self::from_der(bytes);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(bytes)
            .map_err(|_| RequestFault::Malformed { detail: "neither DER nor PEM with BEGIN CERTIFICATE REQUEST".into() })?;
        Self::from_der(&der)
    }

    /// Reads a request in DER and checks that it is signed by its own key.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestFault> {
        check_size(der)?;
        let malformed = |detail: &dyn std::fmt::Display| RequestFault::Malformed { detail: describe::printable(&detail.to_string()) };
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"bytes after its end"));
        }
        let asked = &request.certification_request_info;
        let kind = || RequestFault::KeyKind { kind: lint::public_key_text(&asked.subject_pki) };
        let key = PublicKey::from_der(asked.subject_pki.raw).map_err(|_| kind())?;
        request.verify_signature().map_err(|_| RequestFault::NoProofOfPossession)?;
        let common_name = asked.subject.iter_common_name().next().and_then(|name| name.as_str().ok()).map(describe::printable);
        Ok(Self { key, common_name, names: names(&request), fingerprint: Fingerprint::of(der) })
    }

    /// The key that a certificate is wanted for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The common name it asks for: never issued, for comparison only.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The DNS names and URIs it asks for, as they stand, the first [`REQUEST_NAMES_MAX`] of them: never
    /// issued, for comparison only.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// SHA-256 of the whole request: what the audit log knows it by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// A request in DER for `key`, which says these names: what a member sends to its authority.
pub fn certificate_request(key: &Key, names: &[Fqdn]) -> Result<Vec<u8>, KeyFault> {
    certificate_request_by(key, names)
}

/// The same for a key that may lie elsewhere.
pub(crate) fn certificate_request_by(key: &impl rcgen::SigningKey, names: &[Fqdn]) -> Result<Vec<u8>, KeyFault> {
    let names: Vec<String> = names.iter().map(Fqdn::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).map_err(|_| KeyFault::NotMade)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(key).map_err(|_| KeyFault::NotMade)?;
    Ok(request.der().to_vec())
}

/// The same in PEM, for a file.
pub fn certificate_request_pem(key: &Key, names: &[Fqdn]) -> Result<String, KeyFault> {
    let text = pem::section("CERTIFICATE REQUEST", &certificate_request(key, names)?);
    Ok(text.as_str().to_owned())
}

const DER_SEQUENCE: u8 = 0x30;

fn check_size(bytes: &[u8]) -> Result<(), RequestFault> {
    if bytes.len() > REQUEST_BYTES_MAX { Err(RequestFault::TooLarge { bytes: bytes.len() }) } else { Ok(()) }
}

/// The subject alternative names asked for, of the kinds that we issue.
fn names(request: &X509CertificationRequest<'_>) -> Vec<String> {
    let asked = request.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(describe::printable(name)),
        _ => None,
    };
    asked.flatten().filter_map(text).take(REQUEST_NAMES_MAX).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(names: &[&str]) -> (Key, Vec<u8>) {
        let key = Key::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| Fqdn::parse(name).unwrap()).collect();
        let der = certificate_request(&key, &names).unwrap();
        (key, der)
    }

    #[test]
    fn a_request_gives_its_key_and_for_comparison_its_names() {
        let (key, der) = request(&["fe1.contoso.example", "contoso.example"]);
        let read = CertificateRequest::read(&der).unwrap();
        assert_eq!(*read.key(), key.public());
        assert_eq!(read.names(), ["fe1.contoso.example", "contoso.example"]);
        assert_eq!((read.common_name(), read.fingerprint()), (None, Fingerprint::of(&der)));
    }

    #[test]
    fn pem_says_the_same_as_der() {
        let (key, der) = request(&["fe1.contoso.example"]);
        let pem = pem::section("CERTIFICATE REQUEST", &der);
        assert_eq!(CertificateRequest::read(pem.as_bytes()), CertificateRequest::read(&der));
        let again = certificate_request_pem(&key, &[]).unwrap();
        assert_eq!(*CertificateRequest::read(again.as_bytes()).unwrap().key(), key.public());
    }

    #[test]
    fn a_stolen_public_key_is_no_request() {
        let ((_, mine), (_, theirs)) = (request(&[]), request(&[]));
        let spki = Key::public(&request(&[]).0).as_der().len();
        let (at, swapped) = (position(&mine), position(&theirs));
        let mut forged = mine.clone();
        forged[at..at + spki].copy_from_slice(&theirs[swapped..swapped + spki]);
        assert_eq!(CertificateRequest::read(&forged), Err(RequestFault::NoProofOfPossession));
    }

    /// Where the SubjectPublicKeyInfo of a P-256 key stands: its first bytes are always the same.
    fn position(der: &[u8]) -> usize {
        der.windows(6).position(|bytes| bytes == [0x30, 0x59, 0x30, 0x13, 6, 7]).unwrap()
    }

    #[test]
    fn a_flipped_bit_is_refused_or_changes_nothing_that_counts() {
        let (key, der) = request(&["fe1.contoso.example"]);
        for bit in 0..der.len() * 8 {
            let mut spoilt = der.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            // What lies around the signed part (the tag before the signature, say) may be read leniently.
            let same = |read: CertificateRequest| *read.key() == key.public() && read.names() == ["fe1.contoso.example"];
            assert!(CertificateRequest::read(&spoilt).map_or(true, same), "bit {bit}");
        }
    }

    #[test]
    fn other_kinds_of_keys_are_refused_with_the_cure() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let der = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        let fault = CertificateRequest::read(&der).unwrap_err();
        assert!(matches!(&fault, RequestFault::KeyKind { kind } if kind.contains("25519")), "{fault}");
        assert!(fault.to_string().contains("openssl genpkey -algorithm EC"), "{fault}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let (_, der) = request(&[]);
        let longer = [&der[..], &[0]].concat();
        for bytes in [&b""[..], b"hello", &der[..der.len() - 1], &longer, b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"] {
            assert!(matches!(CertificateRequest::read(bytes), Err(RequestFault::Malformed { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn a_request_has_a_limited_size_and_a_limited_number_of_names() {
        let many: Vec<String> = (0..150).map(|number| format!("a{number}.contoso.example")).collect();
        let (_, der) = request(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(CertificateRequest::read(&der).unwrap().names().len(), REQUEST_NAMES_MAX);
        let huge = vec![DER_SEQUENCE; REQUEST_BYTES_MAX + 1];
        assert_eq!(CertificateRequest::read(&huge), Err(RequestFault::TooLarge { bytes: huge.len() }));
    }
}
