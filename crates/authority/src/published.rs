//! What the authority shows to everyone: roots, issuing CAs, revocation lists, the trust bundle; and what it answers.

use std::time::SystemTime;

use pki::{CertificateDer, Fingerprint};
use web::{Answer, Published};

use crate::Authority;

impl Published for Authority {
    fn root_pem(&self) -> String {
        self.member.holdings().bundle().roots_pem()
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.member.holdings().bundle().roots.clone()
    }

    fn issuing(&self) -> Vec<CertificateDer<'static>> {
        self.member.holdings().bundle().issuing.iter().map(|ca| ca.certificate.clone()).collect()
    }

    fn revocation_list(&self, name: &str) -> Option<Vec<u8>> {
        let holdings = self.member.holdings();
        let issuer = holdings.bundle().list_issuers().find(|ca| Fingerprint::of(ca).to_string() == name)?;
        let key = pki::facts(issuer)?.public_key_fingerprint();
        holdings.lists().iter().find(|list| list.issuer_key() == key).map(|list| list.as_der().to_vec())
    }

    fn bundle(&self) -> Option<String> {
        Some(self.member.holdings().bundle_text().text.clone())
    }

    fn ocsp<'a>(&'a self, request: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async { Some(self.inquire(request, SystemTime::now()).await) })
    }
}
