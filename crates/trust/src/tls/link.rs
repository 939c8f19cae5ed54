//! The calling end of TLS between servers: what we show, and whom we believe, by what counts at that
//! moment.

use std::sync::Arc;

use pki::Fqdn;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    Clock, ServerIdentity, TlsFault, VERSIONS, provider, staple,
    verifier::{refused, system_time, whole},
};
use crate::{LivePolicy, Refusal, judge::answer};

/// TLS towards another server of the organisation, by mutual proof (promises P1, P8): shows this
/// server's certificate of that moment, and believes an answerer whom the policy of that moment
/// believes, whose certificate names exactly the server that was called, and whom the topology lists
/// (rows N1, N8). Sessions are not resumed.
///
/// The name given to rustls for a connection has to be that server's name in the topology.
///
/// # Errors
/// The TLS library lacks what is needed.
pub fn link_config(identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<Arc<ClientConfig>, TlsFault> {
    let provider = provider();
    let verifier = LinkVerifier { policy, algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_details(provider, clock).with_protocol_versions(VERSIONS).map_err(TlsFault::Library)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_client_cert_resolver(identity);
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The host name in what a caller told rustls to call.
pub(super) fn wanted_name(name: &ServerName<'_>) -> Result<Fqdn, Refusal> {
    let ServerName::DnsName(name) = name else {
        return Err(Refusal::Handshake { detail: "servers are verified by name, not by address".into() });
    };
    Fqdn::parse(name.as_ref()).map_err(|fault| Refusal::Handshake { detail: fault.to_string() })
}

#[derive(Debug)]
struct LinkVerifier {
    policy: Arc<LivePolicy>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for LinkVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (chain, now) = (whole(end_entity, intermediates), system_time(now));
        let verdict = wanted_name(server_name).and_then(|wanted| answer(&self.policy.current(), &wanted, &chain, now));
        match verdict.and_then(|_| staple::check(ocsp_response, &chain, now)) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
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

/// A server shows the same certificate whether it is called or calls (row N7); the hints of the
/// other end change nothing, there is only the one.
impl ResolvesClientCert for ServerIdentity {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
