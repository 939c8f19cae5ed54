//! What tells one certificate from all others: serial number, issuer, fingerprint.

use std::fmt;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

use crate::{NoRandomness, random};

/// A serial number: the octets of the positive integer, without leading zeros (RFC 5280 §4.1.2.2).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Octets of the serial numbers that we issue: far beyond guessing, below the 20 allowed.
    pub const ISSUED_BYTES: usize = 16;

    /// A new random one. The highest bit is 0 (a positive integer of this size), the one below it
    /// is 1 (so the size is always the same).
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = random::<{ Self::ISSUED_BYTES }>()?;
        bytes[0] = (bytes[0] & 0x7f) | 0x40;
        Ok(Self(bytes.to_vec()))
    }

    /// From the content octets of a DER INTEGER: leading zeros are dropped, so one number has one form.
    pub fn from_be_bytes(bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Self(bytes[start..].to_vec())
    }

    /// From hexadecimal digits, as it is shown; colons between them, as OpenSSL prints, are passed over.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        // RFC 5280 §4.1.2.2: at most 20 octets.
        if digits.is_empty() || digits.len() > 40 {
            return None;
        }
        let mut bytes = vec![0; digits.len().div_ceil(2)];
        for (place, digit) in digits.iter().rev().enumerate() {
            let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
            let byte = bytes.len() - 1 - place / 2;
            bytes[byte] |= if place % 2 == 0 { value } else { value << 4 };
        }
        Some(Self::from_be_bytes(&bytes))
    }

    /// The octets, highest first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Serial({self})")
    }
}

/// The name of an issuer as its octets stand in the certificate (DER of the RDNSequence without
/// its outer tag): compared octet by octet, like path building does.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct IssuerName(Vec<u8>);

impl IssuerName {
    pub(crate) fn new(raw: &[u8]) -> Self {
        Self(raw.to_vec())
    }

    /// Who issued this certificate; `None` if it is none.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        Some(Self::new(webpki::EndEntityCert::try_from(der).ok()?.issuer()))
    }

    /// The name in DER, with its SEQUENCE tag.
    pub fn to_der(&self) -> Vec<u8> {
        crate::der::element(crate::der::SEQUENCE, &self.0)
    }
}

impl fmt::Debug for IssuerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("IssuerName(")?;
        write_hex(out, &self.0)?;
        out.write_str(")")
    }
}

/// SHA-256 of a whole certificate.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 32 octets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a SHA-256 fingerprint has 64 hexadecimal digits")]
pub struct FingerprintFault;

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintFault;

    /// Reads 64 hexadecimal digits in any case; colons between them, as OpenSSL prints, are passed over.
    fn from_str(text: &str) -> Result<Self, FingerprintFault> {
        let mut bytes = [0; 32];
        let mut digits = text.bytes().filter(|byte| *byte != b':').map(|byte| char::from(byte).to_digit(16));
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else { return Err(FingerprintFault) };
            *byte = u8::try_from(high * 16 + low).map_err(|_| FingerprintFault)?;
        }
        if digits.next().is_some() { Err(FingerprintFault) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fingerprint({self})")
    }
}

fn write_hex(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_number_has_one_form() {
        assert_eq!(Serial::from_be_bytes(&[0, 0x80, 1]), Serial::from_be_bytes(&[0x80, 1]));
        assert_ne!(Serial::from_be_bytes(&[0x80]), Serial::from_be_bytes(&[0x80, 0]));
        assert_eq!(Serial::from_be_bytes(&[0x0a, 0xff]).to_string(), "0aff");
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let print = Fingerprint::of(b"x");
        assert_eq!(print.to_string().parse(), Ok(print));
        assert_eq!(print.to_string().to_uppercase().parse(), Ok(print));
        for bad in ["", "00", &print.to_string()[1..], &format!("{print}0"), &print.to_string().replace('a', "g")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintFault));
        }
    }

    #[test]
    fn issued_serials_are_positive_random_and_of_one_size() {
        let serials: HashSet<_> = (0..100).map(|_| Serial::generate().unwrap()).collect();
        assert_eq!(serials.len(), 100);
        assert!(serials.iter().all(|serial| serial.as_bytes().len() == 16 && serial.as_bytes()[0] & 0xc0 == 0x40));
    }

    #[test]
    fn a_serial_is_read_as_it_is_shown() {
        let serial = Serial::generate().unwrap();
        assert_eq!(Serial::parse(&serial.to_string()), Some(serial));
        assert_eq!(Serial::parse("0A:ff"), Some(Serial::from_be_bytes(&[0x0a, 0xff])));
        assert_eq!(Serial::parse("aff"), Some(Serial::from_be_bytes(&[0x0a, 0xff])));
        for bad in ["", ":", "0x1", "g", &"1".repeat(41)] {
            assert_eq!(Serial::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let print = Fingerprint::of(b"x");
        assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
        assert_eq!(Fingerprint::parse(&print.to_string().to_uppercase()), Some(print));
        for bad in ["", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }
}
