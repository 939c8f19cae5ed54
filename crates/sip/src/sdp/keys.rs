//! What counts as a key: SDES (RFC 4568) and certificate fingerprints (RFC 8122).

use super::{Unprotected, cut, words};
use crate::chars::is_base64_byte;

/// Suites whose cipher is AES and whose packets are authenticated, with the bytes of key and salt together
/// (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14). `AES_CM_256` is how older phones spell the draft of RFC 6188.
const SUITES: [(&[u8], usize); 11] = [
    (b"AES_CM_128_HMAC_SHA1_80", 30),
    (b"AES_CM_128_HMAC_SHA1_32", 30),
    (b"F8_128_HMAC_SHA1_80", 30),
    (b"AES_192_CM_HMAC_SHA1_80", 38),
    (b"AES_192_CM_HMAC_SHA1_32", 38),
    (b"AES_256_CM_HMAC_SHA1_80", 46),
    (b"AES_256_CM_HMAC_SHA1_32", 46),
    (b"AES_CM_256_HMAC_SHA1_80", 46),
    (b"AES_CM_256_HMAC_SHA1_32", 46),
    (b"AEAD_AES_128_GCM", 28),
    (b"AEAD_AES_256_GCM", 44),
];

/// Hashes that identify a certificate, with their length in bytes. SHA-1 is what older phones have; MD5
/// and MD2 can be forged (RFC 8122 §5).
const HASHES: [(&[u8], usize); 5] = [(b"sha-1", 20), (b"sha-224", 28), (b"sha-256", 32), (b"sha-384", 48), (b"sha-512", 64)];

/// `tag SP suite SP key-params *( SP session-param )`: whether it can key a medium.
///
/// # Errors
/// It switches encryption or authentication off. One such line is enough: the other side may choose it.
pub(super) fn crypto(value: &[u8]) -> Result<bool, Unprotected> {
    const SWITCHES: [&[u8]; 3] = [b"UNENCRYPTED_SRTP", b"UNENCRYPTED_SRTCP", b"UNAUTHENTICATED_SRTP"];
    let is_named = |word: &[u8], name: &[u8]| {
        word.split_at_checked(name.len()).is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name) && matches!(rest, [] | [b'=', ..]))
    };
    let is_switch = |word: &[u8]| SWITCHES.iter().any(|switch| is_named(word, switch));
    if value.split(|b| matches!(b, b' ' | b'\t' | b';')).any(is_switch) {
        return Err(Unprotected::ProtectionOff);
    }
    let mut words = words(value);
    let (Some(tag), Some(suite), Some(params)) = (words.next(), words.next(), words.next()) else { return Ok(false) };
    let length = SUITES.iter().find(|(name, _)| name.eq_ignore_ascii_case(suite)).map(|(_, length)| *length);
    let is_tag = tag.len() <= 9 && tag.iter().all(u8::is_ascii_digit);
    Ok(is_tag && length.is_some_and(|length| params.split(|b| *b == b';').all(|param| is_inline_key(param, length))))
}

/// `inline:` and so many bytes in base64, then perhaps lifetime and MKI behind bars.
fn is_inline_key(param: &[u8], length: usize) -> bool {
    let Some((method, info)) = cut(param, b':') else { return false };
    let digits = info.iter().take_while(|b| is_base64_byte(**b)).count();
    let padding = info[digits..].iter().take_while(|b| **b == b'=').count();
    method.eq_ignore_ascii_case(b"inline") && digits == (length * 8).div_ceil(6) && matches!(info[digits + padding..], [] | [b'|', ..])
}

/// `hash-func SP 2UHEX *( ":" 2UHEX )`: whether it can identify a certificate.
pub(super) fn fingerprint(value: &[u8]) -> bool {
    let mut words = words(value);
    let (Some(hash), Some(bytes), None) = (words.next(), words.next(), words.next()) else { return false };
    let length = HASHES.iter().find(|(name, _)| name.eq_ignore_ascii_case(hash)).map(|(_, length)| *length);
    let is_byte = |pair: &[u8]| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
    let pairs = || bytes.split(|b| *b == b':');
    length == Some(pairs().count()) && pairs().all(is_byte)
}
