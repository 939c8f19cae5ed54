//! Private keys: P-256, made on the machine that uses them, never printed (P5).

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rcgen::PublicKeyData as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::{Zeroize as _, Zeroizing};

use crate::pem;

/// A P-256 private key. AWS-LC holds it and wipes it; there is no way to print it, and the only
/// ways out are [`to_pem`](Self::to_pem) (to its owner's file) and [`to_der`](Self::to_der) (to TLS).
pub struct Key {
    pair: EcdsaKeyPair,
}

/// Why there is no usable private key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyFault {
    /// AWS-LC made none.
    #[error("the cryptographic library made no key")]
    NotMade,
    /// The text is no PEM with a `PRIVATE KEY` section.
    #[error("there is no private key in it (no BEGIN PRIVATE KEY); restore the file, or have a new key made")]
    NoPem,
    /// Another algorithm, or damaged.
    #[error("the private key is damaged or not of the curve P-256; restore the file, or have a new key made")]
    NotP256,
    /// A passphrase is needed where none can be asked for.
    #[error("the private key is encrypted, and no passphrase was given; give the one that it was encrypted with")]
    Encrypted,
    /// Missing, or another one.
    #[error("the passphrase of the private key is missing or wrong, or the file is damaged; give the one that it was encrypted with")]
    Passphrase,
    /// A key would be encrypted in vain.
    #[error("a passphrase needs at least {} characters; choose a longer one", crate::Passphrase::CHARS_MIN)]
    WeakPassphrase,
    /// An encryption that nobody should use, or one that would take for ever.
    #[error(
        "the private key is encrypted in a way that is not read here (PBES2 at a sane cost is); convert it with: openssl pkcs8 -topk8 -scrypt"
    )]
    Encryption,
    /// The key lies elsewhere, and there nothing was signed.
    #[error("the private key signed nothing; if it lies in a token, see that the token is there and open")]
    NotSigned,
    /// The key lies in a token, or belongs to somebody who does not show it.
    #[error("the private key cannot be written to a file: it never leaves the token that made it")]
    NotShown,
    /// A public key that we neither make nor accept.
    #[error("the public key is neither of P-256 nor of P-384")]
    PublicKey,
}

impl Key {
    /// A new key.
    pub fn generate() -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyFault::NotMade)?;
        Ok(Self { pair })
    }

    /// Reads PKCS#8 in PEM.
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        if Self::is_encrypted(text) {
            return Err(KeyFault::Encrypted);
        }
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyFault::NoPem)?;
        let key = Self::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        key
    }

    /// Reads PKCS#8 in DER.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map_err(|_| KeyFault::NotP256)?;
        Ok(Self { pair })
    }

    /// PKCS#8 in PEM: for a file that only its owner can read.
    pub fn to_pem(&self) -> Result<SecretPem, KeyFault> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyFault::NotMade)?;
        Ok(SecretPem(pem::section("PRIVATE KEY", der.as_ref())))
    }

    /// PKCS#8 in DER: for the TLS library on this machine.
    pub fn to_der(&self) -> Result<PrivatePkcs8KeyDer<'static>, KeyFault> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyFault::NotMade)?;
        Ok(PrivatePkcs8KeyDer::from(der.as_ref().to_vec()))
    }

    /// ECDSA with SHA-256 over `message`, in DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| KeyFault::NotSigned)?.as_ref().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { spki: rcgen::PublicKeyData::subject_public_key_info(self), curve: Curve::P256 }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(..)")
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// A private key as text. Wiped when dropped, not printable by accident.
pub struct SecretPem(Zeroizing<String>);

impl SecretPem {
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, to be written to a file that only its owner can read.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretPem(..)")
    }
}

/// The public half of a key that a certificate can be issued for: P-256 or P-384.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo in DER.
    spki: Vec<u8>,
    curve: Curve,
}

/// The curves that certificates are issued for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// The octets of an uncompressed point (SEC 1 §2.3.3).
    fn point_bytes(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7). Clients on older TLS libraries
    /// refuse Ed25519, and RSA is slow: neither is issued.
    pub fn from_der(spki: &[u8]) -> Result<Self, KeyFault> {
        let key = rcgen::SubjectPublicKeyInfo::from_der(spki).map_err(|_| KeyFault::PublicKey)?;
        let curve = match key.algorithm() {
            algorithm if *algorithm == rcgen::PKCS_ECDSA_P256_SHA256 => Curve::P256,
            algorithm if *algorithm == rcgen::PKCS_ECDSA_P384_SHA384 => Curve::P384,
            _ => return Err(KeyFault::PublicKey),
        };
        let uncompressed = key.der_bytes().len() == curve.point_bytes() && key.der_bytes()[0] == 4;
        if uncompressed { Ok(Self { spki: spki.to_vec(), curve }) } else { Err(KeyFault::PublicKey) }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.spki
    }

    /// Its curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Reads a point of P-256 alone, uncompressed: how tokens and JWS have it.
    pub fn from_p256_point(point: &[u8]) -> Result<Self, KeyFault> {
        const PREFIX: &[u8] =
            &[0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0];
        Self::from_der(&[PREFIX, point].concat())
    }

    /// The point alone, uncompressed: what stands at the very end of the whole.
    pub(crate) fn point(&self) -> &[u8] {
        &self.spki[self.spki.len().saturating_sub(self.curve.point_bytes())..]
    }

    pub(crate) fn for_issuing(&self) -> Result<rcgen::SubjectPublicKeyInfo, KeyFault> {
        rcgen::SubjectPublicKeyInfo::from_der(&self.spki).map_err(|_| KeyFault::PublicKey)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = Key::generate().unwrap();
        let again = Key::from_pem(key.to_pem().unwrap().expose()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(PublicKey::from_der(key.public().as_der()).unwrap(), key.public());
    }

    #[test]
    fn a_public_key_is_its_point_and_its_curve() {
        let public = Key::generate().unwrap().public();
        assert_eq!((public.point().len(), public.point()[0], public.curve()), (65, 4, Curve::P256));
        assert_eq!(PublicKey::from_p256_point(public.point()).unwrap(), public);
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let key = Key::generate().unwrap();
        assert_eq!(format!("{key:?} {:?}", key.to_pem().unwrap()), "Key(..) SecretPem(..)");
    }

    #[test]
    fn damaged_and_foreign_keys_are_refused() {
        assert_eq!(Key::from_pem("").unwrap_err(), KeyFault::NoPem);
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(Key::from_pem(&rsa.serialize_pem()).unwrap_err(), KeyFault::NotP256);
        assert_eq!(PublicKey::from_der(&rsa.subject_public_key_info()).unwrap_err(), KeyFault::PublicKey);
        assert_eq!(PublicKey::from_der(b"").unwrap_err(), KeyFault::PublicKey);
        assert_eq!(PublicKey::from_p256_point(&[4; 64]).unwrap_err(), KeyFault::PublicKey);
        let mut cut = Key::generate().unwrap().public().as_der().to_vec();
        cut.pop();
        assert_eq!(PublicKey::from_der(&cut).unwrap_err(), KeyFault::PublicKey);
    }
}
