//! What a sound path may still get wrong: weak keys, weak signatures, a leaf that may sign others.
//! Path building (webpki) looks at none of these in every certificate.

use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::Oid,
    oid_registry,
    prelude::FromDer,
    public_key::{PublicKey, RSAPublicKey},
    x509::SubjectPublicKeyInfo,
};

use crate::{CertificateDer, Rejection, describe};

/// The smallest RSA key accepted anywhere in a chain, in bits (row N14).
pub(crate) const RSA_BITS_MIN: usize = 2048;

/// Parses one certificate of a chain, all of it.
pub(crate) fn parse<'a>(position: usize, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Rejection> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Rejection::Malformed { position, detail: "bytes after its end".into() }),
        Err(error) => Err(Rejection::Malformed { position, detail: error.to_string() }),
    }
}

/// Row N14: no SHA-1 or MD5 signature, no RSA key below 2048 bits, no odd curve.
pub(crate) fn check_strength(certificate: &X509Certificate<'_>) -> Result<(), Rejection> {
    let subject = || describe::name_text(certificate.subject());
    let algorithm = &certificate.signature_algorithm.algorithm;
    if !signature_is_strong(algorithm) {
        return Err(Rejection::WeakSignature { subject: subject(), algorithm: oid_text(algorithm) });
    }
    if key_is_strong(certificate) { Ok(()) } else { Err(Rejection::WeakKey { subject: subject(), key: key_text(certificate) }) }
}

/// A certificate that identifies somebody signs handshakes and no other certificates
/// (RFC 5280 §4.2.1.3).
pub(crate) fn check_leaf_usage(certificate: &X509Certificate<'_>) -> Result<(), Rejection> {
    let subject = || describe::name_text(certificate.subject());
    match certificate.key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.digital_signature() && !usage.value.key_cert_sign() => Ok(()),
        Ok(Some(_)) => Err(Rejection::KeyUsage { subject: subject() }),
        Err(error) => Err(Rejection::Malformed { position: 0, detail: error.to_string() }),
    }
}

/// An extension that must be understood and is not (RFC 5280 §4.2). Path building looks for those in
/// every certificate but the root.
pub(crate) fn unknown_critical(certificate: &X509Certificate<'_>) -> Option<String> {
    let known = [
        &oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
        &oid_registry::OID_X509_EXT_KEY_USAGE,
        &oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE,
        &oid_registry::OID_X509_EXT_NAME_CONSTRAINTS,
        &oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    let unknown = certificate.extensions().iter().find(|extension| extension.critical && !known.contains(&&extension.oid))?;
    Some(unknown.oid.to_id_string())
}

pub(crate) fn signature_is_strong(algorithm: &Oid<'_>) -> bool {
    let strong = [
        &oid_registry::OID_SIG_ECDSA_WITH_SHA256,
        &oid_registry::OID_SIG_ECDSA_WITH_SHA384,
        &oid_registry::OID_SIG_ED25519,
        &oid_registry::OID_PKCS1_SHA256WITHRSA,
        &oid_registry::OID_PKCS1_SHA384WITHRSA,
        &oid_registry::OID_PKCS1_SHA512WITHRSA,
        // Which hash it uses is in its parameters; webpki knows SHA-256, 384 and 512 only.
        &oid_registry::OID_PKCS1_RSASSAPSS,
    ];
    strong.contains(&algorithm)
}

pub(crate) fn key_is_strong(certificate: &X509Certificate<'_>) -> bool {
    match certificate.public_key().parsed() {
        // A modulus of an odd size is no key that a sound tool makes.
        Ok(PublicKey::RSA(key)) => rsa_bits(&key) >= RSA_BITS_MIN && rsa_bits(&key).is_multiple_of(8),
        Ok(PublicKey::EC(_)) => curve(certificate.public_key()).is_some(),
        _ => certificate.public_key().algorithm.algorithm == oid_registry::OID_SIG_ED25519,
    }
}

/// The size of the modulus.
fn rsa_bits(key: &RSAPublicKey<'_>) -> usize {
    let octets = key.modulus.iter().skip_while(|octet| **octet == 0);
    let unused = octets.clone().next().map_or(0, |highest| highest.leading_zeros() as usize);
    octets.count() * 8 - unused
}

fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<&'static str> {
    let parameters = key.algorithm.parameters.as_ref()?;
    match parameters.as_oid().ok()? {
        oid if oid == oid_registry::OID_EC_P256 => Some("P-256"),
        oid if oid == oid_registry::OID_NIST_EC_P384 => Some("P-384"),
        _ => None,
    }
}

/// The kind and size of the public key, for people.
pub(crate) fn key_text(certificate: &X509Certificate<'_>) -> String {
    public_key_text(certificate.public_key())
}

/// The kind and size of a public key, for people.
pub(crate) fn public_key_text(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(_)) => curve(key).unwrap_or("another curve").to_owned(),
        _ if key.algorithm.algorithm == oid_registry::OID_SIG_ED25519 => "Ed25519".into(),
        _ => oid_text(&key.algorithm.algorithm),
    }
}

pub(crate) fn oid_text(oid: &Oid<'_>) -> String {
    oid_registry::OidRegistry::default().with_all_crypto().get(oid).map_or_else(|| oid.to_id_string(), |entry| entry.sn().to_owned())
}
