//! The client's end of TLS for those who belong to nobody yet: our own tools, a server that joins, our
//! tests. Servers that call servers have `link`.

use std::sync::Arc;

use pki::{Anchors, CertificateDer, Key, Purpose, Revocation, verify};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{ServerName, UnixTime};

use super::{
    Clock, TlsFault, VERSIONS,
    link::wanted_name,
    provider,
    server::certified,
    staple,
    verifier::{refused, system_time, whole},
};
use crate::Refusal;

/// What a caller shows of itself, if it has something: a chain (the leaf first) and its key.
pub struct ClientIdentity<'a> {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of its leaf.
    pub key: &'a Key,
}

/// TLS towards a server whose certificate must lead to `anchors` and prove, by a subject
/// alternative name, exactly the name that is called (promise P4; no wildcard, no common name, no
/// address). Sessions are not resumed.
///
/// # Errors
/// The identity's key is not that of its leaf.
pub fn client_config(
    anchors: Anchors,
    revocation: Revocation,
    identity: Option<ClientIdentity<'_>>,
    clock: Clock,
) -> Result<Arc<ClientConfig>, TlsFault> {
    let provider = provider();
    let verifier = ServerVerifier { anchors, revocation, algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_details(provider, clock).with_protocol_versions(VERSIONS).map_err(TlsFault::Library)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(ClientIdentity { chain, key }) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(chain, key)?))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Believes a server whose chain `pki` believes and that proves the very name called.
#[derive(Debug)]
pub struct ServerVerifier {
    anchors: Anchors,
    revocation: Revocation,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    fn check(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> Result<(), Refusal> {
        let wanted = wanted_name(name)?;
        let certificate = verify(chain, &self.anchors, &self.revocation, Purpose::Server, system_time(now))?;
        Ok(certificate.prove(&wanted)?)
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = whole(end_entity, intermediates);
        let checked = self.check(&chain, server_name, now).and_then(|()| staple::check(ocsp_response, &chain, system_time(now)));
        checked.map_err(|refusal| refused(refusal, &chain))?;
        Ok(ServerCertVerified::assertion())
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
