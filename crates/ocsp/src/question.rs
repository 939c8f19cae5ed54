//! What was asked, read within limits; and how we ask.

use pki::{CertificateDer, Serial};
use x509_cert::der::{Decode as _, Encode as _, asn1::ObjectIdentifier, oid::AssociatedOid as _};
use x509_ocsp::{CertId, OcspRequest, Request, TbsRequest, ext::Nonce};

use crate::{ResponderFault, issuer::Issuer};

/// The most bytes of a request that are looked at.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The most certificates that one request may ask about.
pub const REQUEST_CERTIFICATES_MAX: usize = 16;
/// The longest nonce that is repeated (RFC 9654 §2.1).
pub const NONCE_BYTES_MAX: usize = 128;

/// A request that will be answered.
#[derive(Clone, Debug)]
pub struct Question {
    /// At least one, about certificates of any CA.
    pub(crate) certificates: Vec<CertId>,
    /// To be repeated, so that the answer is known to be fresh.
    pub(crate) nonce: Option<Nonce>,
}

impl Question {
    /// Reads a request in DER; `None` if it is none, or too much. A signature on it is of no interest:
    /// everybody may ask.
    pub fn read(der: &[u8]) -> Option<Self> {
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
        let shown = request.request_extensions.iter().flatten().map(|extension| (extension.extn_id, extension.extn_value.as_bytes()));
        let nonce = nonce(shown)?;
        let certificates = request.request_list.iter().map(|one| one.req_cert.clone()).collect();
        Some(Self { certificates, nonce })
    }

    /// Whether the answer shall repeat something, so that it cannot be one that was kept.
    pub fn has_nonce(&self) -> bool {
        self.nonce.is_some()
    }

    /// The same without: a responder may leave the nonce out (RFC 5019 §4), and who insists on it will ask again.
    #[must_use]
    pub fn without_nonce(self) -> Self {
        Self { nonce: None, ..self }
    }

    /// What an answer to it may be kept under: the one certificate, as it was written. `None` where the answer is
    /// for this asker only.
    pub fn key(&self) -> Option<Vec<u8>> {
        match (&self.certificates[..], &self.nonce) {
            ([one], None) => one.to_der().ok(),
            _ => None,
        }
    }
}

/// The nonce among these extensions; the outer `None` if it is not of an acceptable length or there twice.
fn nonce<'a>(extensions: impl Iterator<Item = (ObjectIdentifier, &'a [u8])>) -> Option<Option<Nonce>> {
    let mut nonces = extensions.filter(|(id, _)| *id == Nonce::OID);
    let Some((_, value)) = nonces.next() else { return Some(None) };
    let nonce = Nonce::from_der(value).ok()?;
    let fits = (1..=NONCE_BYTES_MAX).contains(&nonce.0.as_bytes().len());
    (fits && nonces.next().is_none()).then_some(Some(nonce))
}

/// A request in DER about one certificate of `ca`, without a nonce: the answer may be one that was kept.
///
/// # Errors
/// The certificate of the CA cannot be read.
pub fn request(ca: &CertificateDer<'_>, serial: &Serial) -> Result<Vec<u8>, ResponderFault> {
    let req_cert = Issuer::read(ca)?.id_of(serial)?;
    let request_list = vec![Request { req_cert, single_request_extensions: None }];
    let tbs_request = TbsRequest { request_list, ..TbsRequest::default() };
    Ok(OcspRequest { tbs_request, optional_signature: None }.to_der()?)
}
