//! What was asked, read within limits.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use x509_cert::der::{Decode as _, asn1::ObjectIdentifier, oid::AssociatedOid as _};
use x509_ocsp::{CertId, OcspRequest, ext::Nonce};

/// The most bytes of a request that are looked at.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The most certificates that one request may ask about.
pub const REQUEST_CERTIFICATES_MAX: usize = 16;
/// The longest nonce that is repeated (RFC 9654 §2.1).
pub const NONCE_BYTES_MAX: usize = 128;

/// A request that will be answered.
pub(crate) struct Asked {
    /// At least one, about certificates of any CA.
    pub(crate) certificates: Vec<CertId>,
    /// To be repeated, so that the answer is known to be fresh.
    pub(crate) nonce: Option<Nonce>,
}

/// Reads a request in DER; `None` if it is none, or too much. A signature on it is of no interest:
/// everybody may ask.
pub(crate) fn read(der: &[u8]) -> Option<Asked> {
    if der.len() > REQUEST_BYTES_MAX {
        return None;
    }
    let request = OcspRequest::from_der(der).ok()?.tbs_request;
    let fits = (1..=REQUEST_CERTIFICATES_MAX).contains(&request.request_list.len());
    let single = request.request_list.iter().filter_map(|one| one.single_request_extensions.as_ref());
    let extensions = || request.request_extensions.iter().chain(single.clone()).flatten();
    // RFC 6960 §4.4: what is critical and not understood cannot be honoured.
    let understood = extensions().all(|extension| !extension.critical || extension.extn_id == Nonce::OID);
    if !fits || !understood {
        return None;
    }
    let nonce = nonce(request.request_extensions.iter().flatten().map(|extension| (extension.extn_id, extension.extn_value.as_bytes())))?;
    let certificates = request.request_list.iter().map(|one| one.req_cert.clone()).collect();
    Some(Asked { certificates, nonce })
}

/// The nonce among these extensions; the outer `None` if it is not of an acceptable length or there twice.
fn nonce<'a>(extensions: impl Iterator<Item = (ObjectIdentifier, &'a [u8])>) -> Option<Option<Nonce>> {
    let mut nonces = extensions.filter(|(id, _)| *id == Nonce::OID);
    let Some((_, value)) = nonces.next() else { return Some(None) };
    let nonce = Nonce::from_der(value).ok()?;
    let fits = (1..=NONCE_BYTES_MAX).contains(&nonce.0.as_bytes().len());
    (fits && nonces.next().is_none()).then_some(Some(nonce))
}

/// The request of a GET (RFC 6960 appendix A.1): what follows the responder's path, base64 with
/// percent-coding. `None` if it is no such text.
pub fn request_of_path(path: &str) -> Option<Vec<u8>> {
    // Base64 is a third longer, percent-coding up to three times.
    if path.len() > 4 * REQUEST_BYTES_MAX {
        return None;
    }
    let mut text = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            plain => plain,
        });
    }
    STANDARD.decode(text).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_carries_its_request_in_the_path() {
        assert_eq!(request_of_path("MAA%3D"), Some(vec![0x30, 0]));
        assert_eq!(request_of_path("+/%2b%2F"), Some(vec![0xfb, 0xff, 0xbf]));
        for bad in ["MAA", "%", "%3", "%zz", "a b=", "ä"] {
            assert_eq!(request_of_path(bad), None, "{bad}");
        }
        assert_eq!(request_of_path(&"A".repeat(4 * REQUEST_BYTES_MAX + 4)), None);
    }
}
