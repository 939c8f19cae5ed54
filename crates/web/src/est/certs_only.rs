//! Certificates in a CMS message that signs nothing (RFC 5652 §5, "certs-only" of RFC 8951 §3.2 and RFC 7030 §4.1.3).

use pki::CertificateDer;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed: explicit around the content, implicit before the certificates.
const CONTEXT_0: u8 = 0xa0;
/// id-signedData, with its tag and length.
const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// SEQUENCE { id-data }: there is no content.
const NO_CONTENT: [u8; 13] = [0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// INTEGER 1: only X.509 certificates in it (RFC 5652 §5.1).
const VERSION: [u8; 3] = [0x02, 0x01, 0x01];

/// ContentInfo in DER with these certificates.
pub(super) fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Vec<u8> {
    let mut certificates: Vec<&[u8]> = certificates.into_iter().map(AsRef::as_ref).collect();
    // DER orders the members of a SET by their octets.
    certificates.sort_unstable();
    let signed_data =
        element(SEQUENCE, &[&VERSION, &element(SET, &[]), &NO_CONTENT, &element(CONTEXT_0, &certificates), &element(SET, &[])]);
    element(SEQUENCE, &[&SIGNED_DATA, &element(CONTEXT_0, &[&signed_data])])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length.to_le_bytes()[0]);
    } else {
        let octets = length.to_be_bytes();
        let used = &octets[octets.iter().position(|octet| *octet != 0).unwrap_or(0)..];
        out.push(0x80 | used.len().to_le_bytes()[0]);
        out.extend_from_slice(used);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest() {
        assert_eq!(element(SET, &[]), [0x31, 0]);
        assert_eq!(element(SET, &[&[7; 127]])[..3], [0x31, 127, 7]);
        assert_eq!(element(SET, &[&[7; 128]])[..4], [0x31, 0x81, 128, 7]);
        assert_eq!(element(SET, &[&[7; 255], &[7; 1]])[..5], [0x31, 0x82, 1, 0, 7]);
    }

    #[test]
    fn certificates_stand_in_order_of_their_octets() {
        let [one, two] = [CertificateDer::from(vec![0x30, 1, 2]), CertificateDer::from(vec![0x30, 1, 1])];
        assert_eq!(certs_only([&one, &two]), certs_only([&two, &one]));
        assert!(certs_only([&one, &two]).ends_with(&[0xa0, 6, 0x30, 1, 1, 0x30, 1, 2, 0x31, 0]));
    }
}
