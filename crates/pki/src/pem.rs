//! PEM: the text form of certificates and keys (RFC 7468).

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use zeroize::Zeroizing;

/// Why a text is no list of certificates.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemFault {
    /// There is no `BEGIN CERTIFICATE` in it.
    #[error("there is no certificate in it (no BEGIN CERTIFICATE)")]
    Empty,
    /// A section is broken.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// More certificates than anybody needs.
    #[error("it holds more than {PEM_CERTIFICATES_MAX} certificates")]
    TooMany,
}

/// The most certificates one PEM file may hold.
pub const PEM_CERTIFICATES_MAX: usize = 256;

/// The characters of a line (RFC 7468 §2).
const LINE_BYTES: usize = 64;

/// All certificates of a PEM text, in order; other sections are passed over.
pub fn certificates_from_pem(text: &str) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    let mut all = Vec::new();
    for item in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if all.len() == PEM_CERTIFICATES_MAX {
            return Err(PemFault::TooMany);
        }
        all.push(item.map_err(|error| PemFault::Damaged(error.to_string()))?);
    }
    if all.is_empty() { Err(PemFault::Empty) } else { Ok(all) }
}

/// The PEM text of certificates, in order.
pub fn certificates_to_pem<'a, 'b: 'a>(chain: impl IntoIterator<Item = &'a CertificateDer<'b>>) -> String {
    let mut text = String::new();
    for certificate in chain {
        text.push_str(&section("CERTIFICATE", certificate));
    }
    text
}

/// The content of the first section with this label; `None` if there is none, or it is damaged.
pub(crate) fn read_section(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, after) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = after.split_once(&format!("-----END {label}-----"))?;
    let coded: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(coded).ok()
}

/// One PEM section. What it went through is wiped, since it may be a private key.
pub(crate) fn section(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut coded = Zeroizing::new(vec![0; der.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(der, &mut coded).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(length + length / LINE_BYTES + 2 * label.len() + 40));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in coded[..length].chunks(LINE_BYTES) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let chain: Vec<_> = [1usize, 47, 48, 49, 600].map(|n| CertificateDer::from(vec![7u8; n])).into();
        let text = certificates_to_pem(&chain);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(certificates_from_pem(&text).unwrap(), chain);
    }

    #[test]
    fn nothing_and_garbage_are_told_apart() {
        assert_eq!(certificates_from_pem("hello"), Err(PemFault::Empty));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(certificates_from_pem(cut), Err(PemFault::Damaged(_))));
    }
}
