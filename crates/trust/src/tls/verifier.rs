//! Our verifier of client certificates: the judge, asked by rustls.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{Listener, LivePolicy, Refusal, ShownCertificate, judge::verdict};

/// What the verifier found, carried inside the error of this one handshake: so the record has the
/// true reason although the peer is told nothing but "certificate unknown".
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) chain: Vec<ShownCertificate>,
}

#[derive(Debug)]
pub(crate) struct Verifier {
    listener: Listener,
    policy: Arc<LivePolicy>,
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl Verifier {
    /// The hints (DER of distinguished names, RFC 8446 §4.2.4) are for those who have several
    /// certificates; who shows another one is judged all the same.
    pub(crate) fn new(listener: Listener, policy: Arc<LivePolicy>, algorithms: WebPkiSupportedAlgorithms, hints: Vec<Vec<u8>>) -> Self {
        let hints = hints.into_iter().map(DistinguishedName::from).collect();
        Self { listener, policy, algorithms, hints }
    }
}

/// A moment as rustls gives it.
pub(crate) fn system_time(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

/// The chain as one list. Copies references, not certificates.
pub(crate) fn whole<'a>(leaf: &'a CertificateDer<'_>, rest: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    let borrow = |der: &'a CertificateDer<'_>| CertificateDer::from(der.as_ref());
    std::iter::once(leaf).chain(rest).map(borrow).collect()
}

/// The error that carries what was found through rustls.
pub(crate) fn refused(refusal: Refusal, chain: &[CertificateDer<'_>]) -> Error {
    let found = Refused { refusal, chain: ShownCertificate::of(chain) };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(found))))
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.listener.demands_certificate()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = whole(end_entity, intermediates);
        match verdict(&self.policy.current(), self.listener, &chain, system_time(now)) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => Err(refused(refusal, &chain)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
