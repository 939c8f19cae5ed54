//! What a server publishes to everyone: signed data that needs no secrecy.

use pki::CertificateDer;

use crate::Answer;

/// Whoever holds what is published. Only the root is a must; a server that holds the rest may show it too.
pub trait Published: Send + Sync + 'static {
    /// The roots in force, as PEM: what phones get.
    fn root_pem(&self) -> String;

    /// The certificates of the issuing CAs in force, and cross certificates, without the roots.
    fn issuing(&self) -> Vec<CertificateDer<'static>> {
        Vec::new()
    }

    /// The roots, as EST's `cacerts` wants them in DER.
    fn roots(&self) -> Vec<CertificateDer<'static>> {
        pki::certificates_from_pem(&self.root_pem()).unwrap_or_default()
    }

    /// The newest revocation list of this name (the NAME of `/crl/NAME.crl`), in DER.
    fn revocation_list(&self, name: &str) -> Option<Vec<u8>> {
        let _ = name;
        None
    }

    /// The trust bundle in force, signed (JWS compact).
    fn bundle(&self) -> Option<String> {
        None
    }

    /// The bundle that whoever holds this one should take next, signed (JWS compact): of those that were signed before the CA was
    /// replaced the first newer one, else the one in force; whoever keeps none of before has that only. `None` when there is nothing newer.
    fn bundle_after(&self, sequence: u64) -> Answer<'_, Option<String>> {
        let _ = sequence;
        Box::pin(async { self.bundle() })
    }

    /// The answer (OCSPResponse, RFC 6960) to an OCSPRequest, both in DER; `None` when no responder is here. A damaged request has
    /// an answer too (`malformedRequest`).
    fn ocsp<'a>(&'a self, request: &'a [u8]) -> Answer<'a, Option<Vec<u8>>> {
        let _ = request;
        Box::pin(async { None })
    }
}

/// A server that publishes nothing but its roots.
#[derive(Clone, Debug)]
pub struct RootOnly(
    /// The roots in PEM.
    pub String,
);

impl Published for RootOnly {
    fn root_pem(&self) -> String {
        self.0.clone()
    }
}
