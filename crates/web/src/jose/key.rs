//! The public key of an account as a JSON Web Key (RFC 7517), and its thumbprint (RFC 7638).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{CertificateDer, PublicKey};
use serde_json::{Map, Value};

/// How a signature is made (RFC 7518 §3.1, RFC 8037 §3.1). `none` and the symmetric ones are not among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, for the problem document that lists them (RFC 8555 §6.2).
    pub const NAMES: [&'static str; 4] = ["ES256", "ES384", "RS256", "EdDSA"];

    /// By its name in a header.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "RS256" => Some(Self::Rs256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// Why a JSON Web Key is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyFault {
    /// A member is missing, doubled, or not base64url without padding.
    #[error("the key's member {0:?} is missing or damaged")]
    Member(&'static str),
    /// Neither EC, RSA nor OKP.
    #[error("keys are of the kinds EC (P-256, P-384), RSA (2048 to 4096 bits) and OKP (Ed25519)")]
    Kind,
    /// Too short to be safe, too long to be checked quickly.
    #[error("an RSA key has 2048 to 4096 bits and the exponent 65537")]
    Rsa,
    /// A private key was sent.
    #[error("this is a private key: it is lost now, make another one and send its public half only")]
    Private,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Public {
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

/// A public key that may sign for an account.
#[derive(Clone, Eq, PartialEq)]
pub struct AccountKey {
    public: Public,
    /// Its required members in order of their names (RFC 7638 §3): one key, one text.
    canonical: String,
}

/// The members of a key that only its owner may have (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// What stands before the point in a SubjectPublicKeyInfo: id-ecPublicKey, the curve, the head of the bit string.
const P256_SPKI: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_SPKI: [u8; 23] = *b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const RSA_BYTES_MIN: usize = 2048 / 8;
const RSA_BYTES_MAX: usize = 4096 / 8;

impl AccountKey {
    /// Reads a JSON Web Key; members that say nothing about the key's value are passed over.
    ///
    /// # Errors
    /// It is private, weak, damaged, or of a kind that is not taken.
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, KeyFault> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(KeyFault::Private);
        }
        let text = |member: &'static str| jwk.get(member).and_then(Value::as_str).ok_or(KeyFault::Member(member));
        match (text("kty")?, jwk.get("crv").and_then(Value::as_str)) {
            ("EC", Some("P-256")) => Ok(Self::of(Public::P256(point(jwk, 32)?))),
            ("EC", Some("P-384")) => Ok(Self::of(Public::P384(point(jwk, 48)?))),
            ("OKP", Some("Ed25519")) => Ok(Self::of(Public::Ed25519(bytes(jwk, "x", Some(32))?))),
            ("RSA", _) => rsa(bytes(jwk, "n", None)?, bytes(jwk, "e", None)?),
            _ => Err(KeyFault::Kind),
        }
    }

    /// From its canonical text, as it is stored.
    ///
    /// # Errors
    /// It is not that text.
    pub fn from_text(text: &str) -> Result<Self, KeyFault> {
        let jwk: Map<String, Value> = serde_json::from_str(text).map_err(|_| KeyFault::Kind)?;
        Self::read(&jwk)
    }

    /// The key of a certificate request, as an account would have it: no key is both (RFC 8555 §11.1).
    pub fn of_request(key: &PublicKey) -> Option<Self> {
        let spki = key.as_der();
        let p256 = spki.strip_prefix(&P256_SPKI[..]).map(|point| Public::P256(point.to_vec()));
        p256.or_else(|| spki.strip_prefix(&P384_SPKI[..]).map(|point| Public::P384(point.to_vec()))).map(Self::of)
    }

    /// The canonical text: the required members in order of their names (RFC 7638 §3).
    pub fn as_text(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical text, in base64url (RFC 7638).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.canonical.as_bytes()))
    }

    /// Whether `signature` over `message` was made with this key's private half. The algorithm must be the key's own.
    pub(crate) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let by =
            |with: &'static dyn VerificationAlgorithm, key: &[u8]| UnparsedPublicKey::new(with, key).verify(message, signature).is_ok();
        match (&self.public, algorithm) {
            (Public::P256(point), Algorithm::Es256) => by(&ECDSA_P256_SHA256_FIXED, point),
            (Public::P384(point), Algorithm::Es384) => by(&ECDSA_P384_SHA384_FIXED, point),
            (Public::Ed25519(key), Algorithm::EdDsa) => by(&ED25519, key),
            (Public::Rsa { n, e }, Algorithm::Rs256) => {
                PublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            (Public::P256(_) | Public::P384(_) | Public::Ed25519(_) | Public::Rsa { .. }, _) => false,
        }
    }

    /// Whether this is the key of a certificate request.
    pub(crate) fn is_of(&self, key: &PublicKey) -> bool {
        self.spki().is_some_and(|spki| spki == key.as_der())
    }

    /// Whether this is the key of a certificate. Certificates are issued for P-256 and P-384 only.
    pub(crate) fn is_of_certificate(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
        self.spki().is_some_and(|spki| spki == certificate.subject_public_key_info().as_ref())
    }

    /// SubjectPublicKeyInfo in DER (RFC 5480), for the kinds that certificates are issued for.
    fn spki(&self) -> Option<Vec<u8>> {
        match &self.public {
            Public::P256(point) => Some([&P256_SPKI[..], point].concat()),
            Public::P384(point) => Some([&P384_SPKI[..], point].concat()),
            Public::Ed25519(_) | Public::Rsa { .. } => None,
        }
    }

    fn of(public: Public) -> Self {
        let code = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            format!(r#"{{"crv":"{name}","kty":"EC","x":"{}","y":"{}"}}"#, code(x), code(y))
        };
        let canonical = match &public {
            Public::P256(point) => curve("P-256", point),
            Public::P384(point) => curve("P-384", point),
            Public::Ed25519(key) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, code(key)),
            Public::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, code(e), code(n)),
        };
        Self { public, canonical }
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AccountKey({})", self.thumbprint())
    }
}

fn bytes(jwk: &Map<String, Value>, member: &'static str, length: Option<usize>) -> Result<Vec<u8>, KeyFault> {
    let fault = KeyFault::Member(member);
    let text = jwk.get(member).and_then(Value::as_str).ok_or(fault.clone())?;
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if !bytes.is_empty() && length.is_none_or(|length| bytes.len() == length) => Ok(bytes),
        Ok(_) | Err(_) => Err(fault),
    }
}

/// The uncompressed point (SEC 1 §2.3.3). That it lies on its curve is checked with each signature.
fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, KeyFault> {
    let mut point = vec![4];
    point.extend(bytes(jwk, "x", Some(length))?);
    point.extend(bytes(jwk, "y", Some(length))?);
    Ok(point)
}

/// Without leading zeros (RFC 7518 §6.3.1.1), so that one key has one text.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<AccountKey, KeyFault> {
    let sized = (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len()) && n[0] >= 0x80;
    if sized && e == [1, 0, 1] { Ok(AccountKey::of(Public::Rsa { n, e })) } else { Err(KeyFault::Rsa) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(jwk: &Value) -> Result<AccountKey, KeyFault> {
        AccountKey::read(jwk.as_object().unwrap())
    }

    #[test]
    fn the_thumbprint_of_the_rfc_is_found() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = read(&json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" })).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(AccountKey::from_text(key.as_text()).unwrap(), key);
    }

    #[test]
    fn the_key_of_a_request_is_recognised() {
        let key = pki::Key::generate().unwrap().public();
        let (x, y) = key.as_der()[27..].split_at(32);
        let jwk = |x: &[u8]| read(&json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }));
        assert!(jwk(x).unwrap().is_of(&key));
        assert!(!jwk(y).unwrap().is_of(&key));
    }

    #[test]
    fn weak_private_and_foreign_keys_are_refused() {
        let b64 = |length: usize| URL_SAFE_NO_PAD.encode(vec![0xff; length]);
        let check = |jwk: Value, fault: KeyFault| assert_eq!(read(&jwk).unwrap_err(), fault, "{jwk}");
        check(json!({ "kty": "EC", "crv": "P-256", "x": b64(32), "y": b64(32), "d": b64(32) }), KeyFault::Private);
        check(json!({ "kty": "oct", "k": b64(32) }), KeyFault::Private);
        check(json!({ "kty": "RSA", "n": b64(128), "e": "AQAB" }), KeyFault::Rsa);
        check(json!({ "kty": "RSA", "n": b64(1024), "e": "AQAB" }), KeyFault::Rsa);
        check(json!({ "kty": "RSA", "n": b64(256), "e": "Aw" }), KeyFault::Rsa);
        check(json!({ "kty": "EC", "crv": "P-521", "x": b64(66), "y": b64(66) }), KeyFault::Kind);
        check(json!({ "kty": "EC", "crv": "P-256", "x": b64(31), "y": b64(32) }), KeyFault::Member("x"));
        check(json!({ "kty": "EC", "crv": "P-256", "x": b64(32) }), KeyFault::Member("y"));
        check(json!({ "kty": "EC", "crv": "P-256", "x": format!("{}=", b64(32)), "y": b64(32) }), KeyFault::Member("x"));
        check(json!({ "crv": "P-256" }), KeyFault::Member("kty"));
        check(json!({ "kty": "OKP", "crv": "X25519", "x": b64(32) }), KeyFault::Kind);
    }

    #[test]
    fn a_point_beside_the_curve_signs_nothing() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let key = read(&json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x })).unwrap();
        assert!(!key.has_signed(Algorithm::Es256, b"m", &[0; 64]));
    }
}
