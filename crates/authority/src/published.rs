//! What the authority shows to everyone: roots, issuing CAs, revocation lists, the trust bundle; and what it answers.

use std::{
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use pki::{CertificateDer, Fingerprint};
use store::Replacements as _;
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
        if self.is_recovering() {
            // No list is better than one that has forgotten somebody.
            return None;
        }
        let holdings = self.member.holdings();
        let Some(issuer) = holdings.bundle().list_issuers().find(|ca| Fingerprint::of(ca).to_string() == name) else {
            return self.shelf.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        };
        let key = pki::facts(issuer)?.public_key_fingerprint();
        holdings.lists().iter().find(|list| list.issuer_key() == key).map(|list| list.as_der().to_vec())
    }

    fn bundle_after(&self, sequence: u64) -> Answer<'_, Option<String>> {
        Box::pin(async move {
            let newest = Arc::clone(&self.member.holdings());
            match self.store.bridge_after(sequence).await {
                Ok(Some(bridge)) if bridge.sequence < newest.bundle().sequence => Some(bridge.signed),
                Ok(_) => (newest.bundle().sequence > sequence).then(|| newest.bundle_text().text.clone()),
                Err(error) => {
                    tracing::error!(%error, "a bundle of before cannot be read");
                    None
                }
            }
        })
    }

    fn bundle(&self) -> Option<String> {
        Some(self.member.holdings().bundle_text().text.clone())
    }

    fn ocsp<'a>(&'a self, request: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async { Some(self.inquire(request, SystemTime::now()).await) })
    }
}
