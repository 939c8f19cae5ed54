//! A CA's private key, wherever it lies: in a file ([`Key`]), or in a token that never lets it out.
//!
//! Whoever holds a key elsewhere implements [`CaKey`]; everything that a CA signs goes through
//! [`CaSigner`].

use std::{fmt, sync::Arc};

use crate::{Key, KeyFault, PublicKey, SecretPem, der};

/// The octets of one of the two numbers of a P-256 signature.
const NUMBER_BYTES: usize = 32;

/// A P-256 private key that signs for a CA.
pub trait CaKey: fmt::Debug + Send + Sync {
    /// Its public half.
    fn public(&self) -> PublicKey;

    /// ECDSA with SHA-256 over `message`, as DER has it (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// [`KeyFault::NotSigned`]: the token is gone, or it refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault>;

    /// The key itself in PEM, for a file that only its owner can read.
    ///
    /// # Errors
    /// [`KeyFault::NotShown`], unless it is a key that was made to be kept in a file.
    fn to_pem(&self) -> Result<SecretPem, KeyFault> {
        Err(KeyFault::NotShown)
    }
}

impl CaKey for Key {
    fn public(&self) -> PublicKey {
        Self::public(self)
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        Self::sign(self, message)
    }
    fn to_pem(&self) -> Result<SecretPem, KeyFault> {
        Self::to_pem(self)
    }
}

/// A CA's key as the CA holds it.
#[derive(Clone, Debug)]
pub struct CaSigner {
    key: Arc<dyn CaKey>,
    public: PublicKey,
}

impl CaSigner {
    /// Signs with this key.
    pub fn new(key: Arc<dyn CaKey>) -> Self {
        let public = key.public();
        Self { key, public }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key itself in PEM, if it can be shown.
    pub(crate) fn to_pem(&self) -> Result<SecretPem, KeyFault> {
        self.key.to_pem()
    }
}

impl From<Key> for CaSigner {
    fn from(key: Key) -> Self {
        Self::new(Arc::new(key))
    }
}

impl rcgen::PublicKeyData for CaSigner {
    fn der_bytes(&self) -> &[u8] {
        self.public.point()
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// The two numbers of a P-256 signature one behind the other (as JWS and tokens have them) in DER.
/// `None` if these are not 64 octets.
pub fn signature_to_der(fixed: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = fixed.split_at_checked(NUMBER_BYTES).filter(|(_, s)| s.len() == NUMBER_BYTES)?;
    Some(der::element(der::SEQUENCE, &[der::unsigned(r), der::unsigned(s)].concat()))
}

/// The other way round: a P-256 signature in DER as 64 octets. `None` if it is none.
pub fn signature_from_der(signature: &[u8]) -> Option<[u8; 2 * NUMBER_BYTES]> {
    let (both, rest) = der::take(der::SEQUENCE, signature)?;
    let (r, after) = der::take(der::INTEGER, both)?;
    let (s, end) = der::take(der::INTEGER, after)?;
    (rest.is_empty() && end.is_empty()).then_some(())?;
    let mut fixed = [0; 2 * NUMBER_BYTES];
    let (left, right) = fixed.split_at_mut(NUMBER_BYTES);
    place(r, left).and(place(s, right))?;
    Some(fixed)
}

/// A positive number, right-aligned.
fn place(number: &[u8], into: &mut [u8]) -> Option<()> {
    let digits = match number {
        [0, digits @ ..] => digits,
        [first, ..] if first & 0x80 != 0 => return None,
        digits => digits,
    };
    let start = into.len().checked_sub(digits.len())?;
    into[start..].copy_from_slice(digits);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_two_forms_that_say_the_same() {
        let key = Key::generate().unwrap();
        // Enough of them that a number with leading zeros is among them.
        for round in 0u16..600 {
            let signature = CaKey::sign(&key, &round.to_be_bytes()).unwrap();
            let fixed = signature_from_der(&signature).unwrap();
            assert_eq!(signature_to_der(&fixed), Some(signature));
        }
    }

    #[test]
    fn what_is_no_signature_has_no_other_form() {
        for length in [0, 63, 65] {
            assert_eq!(signature_to_der(&vec![1; length]), None, "{length}");
        }
        let good = signature_to_der(&[7; 64]).unwrap();
        let longer = [&good[..], &[0]].concat();
        let negative = der::element(der::SEQUENCE, &[der::element(der::INTEGER, &[0x80]), der::unsigned(&[1])].concat());
        let wide = der::element(der::SEQUENCE, &[der::unsigned(&[1; 33]), der::unsigned(&[1])].concat());
        let three = der::element(der::SEQUENCE, &[der::unsigned(&[1]), der::unsigned(&[1]), der::unsigned(&[1])].concat());
        for bad in [&[][..], &good[1..], &good[..good.len() - 1], &longer, &negative, &wide, &three] {
            assert_eq!(signature_from_der(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_signer_shows_only_its_public_half() {
        let key = Key::generate().unwrap();
        let public = key.public();
        let signer = CaSigner::from(key);
        assert_eq!(*signer.public(), public);
        assert!(format!("{signer:?}").starts_with("CaSigner { key: Key(..)"), "{signer:?}");
    }
}
