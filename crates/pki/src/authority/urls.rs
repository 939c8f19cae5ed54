//! Where what a CA publishes can be fetched, by those who are told nothing: over plain HTTP, since all
//! of it is signed and public (the exception of promise P3).
//!
//! The paths are made of the CA's fingerprint, so that no generation is taken for another.

use std::fmt;

use rustls_pki_types::CertificateDer;

use crate::{AuthorityFault, Fingerprint, bundle_json::check_url, profile::Places};

/// The address of the authority's public data, without a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Urls(String);

impl Urls {
    /// Where OCSP requests go.
    pub const OCSP_PATH: &str = "/ocsp";

    /// Everything below this address, like `http://sip.contoso.example:8080`.
    pub fn below(base: &str) -> Result<Self, AuthorityFault> {
        let base = base.strip_suffix('/').unwrap_or(base);
        let plain = base.strip_prefix("http://").is_some_and(|host| !host.contains(['/', '?', '#', '@']));
        match check_url(base) {
            Some(()) if plain => Ok(Self(base.into())),
            Some(()) | None => Err(AuthorityFault::Url { url: base.into() }),
        }
    }

    /// Where the revocation list of this CA is.
    pub fn list(&self, ca: &CertificateDer<'_>) -> String {
        format!("{}{}", self.0, Self::list_path(ca))
    }

    /// Where the certificate of this CA is.
    pub fn certificate(&self, ca: &CertificateDer<'_>) -> String {
        format!("{}{}", self.0, Self::certificate_path(ca))
    }

    /// Where the OCSP responder is.
    pub fn ocsp(&self) -> String {
        format!("{}{}", self.0, Self::OCSP_PATH)
    }

    pub(crate) fn places(&self, ca: &CertificateDer<'_>) -> Places {
        Places { list: self.list(ca), ocsp: Some(self.ocsp()), certificate: self.certificate(ca) }
    }

    /// The path of [`list`](Self::list).
    pub fn list_path(ca: &CertificateDer<'_>) -> String {
        format!("/crl/{}.crl", Fingerprint::of(ca))
    }

    /// The path of [`certificate`](Self::certificate).
    pub fn certificate_path(ca: &CertificateDer<'_>) -> String {
        format!("/ca/{}.cer", Fingerprint::of(ca))
    }
}

impl fmt::Display for Urls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_without_a_path() {
        let ca = CertificateDer::from(vec![1]);
        let urls = Urls::below("http://sip.contoso.example:8080/").unwrap();
        assert_eq!(urls.ocsp(), "http://sip.contoso.example:8080/ocsp");
        assert_eq!(urls.list(&ca), format!("http://sip.contoso.example:8080/crl/{}.crl", Fingerprint::of(&[1])));
        assert_eq!(urls.certificate(&ca), format!("{urls}/ca/{}.cer", Fingerprint::of(&[1])));
        for bad in
            ["", "http://", "https://a.example", "ftp://a.example", "http://a.example/x", "http://u@a.example", "http://a b", "a.example"]
        {
            assert!(matches!(Urls::below(bad), Err(AuthorityFault::Url { .. })), "{bad}");
        }
    }
}
