//! What counts as a key: SDES (RFC 4568) and certificate fingerprints (RFC 8122).

use super::Unprotected;

/// Suites whose cipher is AES and whose packets are authenticated, with the bytes of key and salt together
/// (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14). `AES_CM_256` is how older phones spell the draft of RFC 6188.
const SUITES: [(&str, usize); 11] = [
    ("AES_CM_128_HMAC_SHA1_80", 30),
    ("AES_CM_128_HMAC_SHA1_32", 30),
    ("F8_128_HMAC_SHA1_80", 30),
    ("AES_192_CM_HMAC_SHA1_80", 38),
    ("AES_192_CM_HMAC_SHA1_32", 38),
    ("AES_256_CM_HMAC_SHA1_80", 46),
    ("AES_256_CM_HMAC_SHA1_32", 46),
    ("AES_CM_256_HMAC_SHA1_80", 46),
    ("AES_CM_256_HMAC_SHA1_32", 46),
    ("AEAD_AES_128_GCM", 28),
    ("AEAD_AES_256_GCM", 44),
];

/// Hashes that identify a certificate, with their length in bytes. SHA-1 is what older phones have; MD5
/// and MD2 can be forged (RFC 8122 §5).
const HASHES: [(&str, usize); 5] = [("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64)];

/// `tag SP suite SP key-params *( SP session-param )`: whether it can key a medium.
///
/// # Errors
/// It switches encryption or authentication off. One such line is enough: the other side may choose it.
pub(super) fn crypto(value: &str) -> Result<bool, Unprotected> {
    const SWITCHES: [&str; 3] = ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP"];
    let words = || value.split([' ', '\t', ';']).filter(|word| !word.is_empty());
    let is_switch = |word: &str| {
        let name = word.split('=').next().unwrap_or(word);
        SWITCHES.iter().any(|switch| switch.eq_ignore_ascii_case(name))
    };
    if words().any(is_switch) {
        return Err(Unprotected::ProtectionOff);
    }
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(tag), Some(suite), Some(params)) = (words.next(), words.next(), words.next()) else { return Ok(false) };
    let length = SUITES.iter().find(|(name, _)| name.eq_ignore_ascii_case(suite)).map(|(_, length)| *length);
    let is_tag = tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit());
    Ok(is_tag && length.is_some_and(|length| params.split(';').all(|param| is_inline_key(param, length))))
}

/// `inline:` and so many bytes in base64, then perhaps lifetime and MKI behind bars.
fn is_inline_key(param: &str, length: usize) -> bool {
    let Some((method, info)) = param.split_once(':') else { return false };
    let key = info.split('|').next().unwrap_or_default().trim_end_matches('=');
    method.eq_ignore_ascii_case("inline")
        && key.len() == (length * 8).div_ceil(6)
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// `hash-func SP 2UHEX *( ":" 2UHEX )`: whether it can identify a certificate.
pub(super) fn fingerprint(value: &str) -> bool {
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(hash), Some(bytes), None) = (words.next(), words.next(), words.next()) else { return false };
    let length = HASHES.iter().find(|(name, _)| name.eq_ignore_ascii_case(hash)).map(|(_, length)| *length);
    let is_byte = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    length == Some(bytes.split(':').count()) && bytes.split(':').all(is_byte)
}
