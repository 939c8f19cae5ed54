//! The root of an organisation, fetched from a server that nobody can believe yet.
//!
//! Who joins knows the root's fingerprint from the join string, and nothing else. So the connection proves
//! nothing, nothing is sent over it but one GET, and of what comes only the certificate with that very
//! fingerprint counts: SHA-256 proves it, whoever sent it. In the same way a server that was away while the CA was replaced
//! fetches what proves itself by its signature ([`fetch_signed`]).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use hyper::{Request, StatusCode};
use pki::{CertificateDer, Fingerprint, Fqdn, certificates_from_pem, certificates_to_pem};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::{CallError, Target};

/// Where the root is.
const ROOT_PATH: &str = "/ca.pem";
/// The longest answer: some dozens of certificates.
const ROOT_BYTES_MAX: usize = 64 << 10;
/// The longest signed document: a bundle, or a revocation list of some ten thousand certificates.
const SIGNED_BYTES_MAX: usize = 4 << 20;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootFault {
    /// No connection, or no answer.
    #[error("the root cannot be fetched: {0}; check the address in the join string, and that the authority runs")]
    Call(CallError),
    /// The TLS library lacks what is needed.
    #[error("the TLS library lacks what is needed: {0}; report this")]
    Library(#[from] rustls::Error),
    /// It answered, but not with a root.
    #[error("{name} at {address} shows no root at {ROOT_PATH}: {detail}; check that this is the authority's HTTPS address")]
    NoRoot {
        /// Whom we called.
        name: Fqdn,
        /// Where.
        address: SocketAddr,
        /// What is wrong.
        detail: String,
    },
    /// It showed roots, but not the one that was pinned.
    #[error(
        "{name} at {address} shows another root than the join string has ({pinned}): it is another organisation's server, somebody is \
         in between, or the root has changed; compare the fingerprint at the authority and have a new join string made"
    )]
    OtherRoot {
        /// Whom we called.
        name: Fqdn,
        /// Where.
        address: SocketAddr,
        /// The fingerprint that was wanted.
        pinned: Fingerprint,
    },
}

/// The root with this fingerprint, as PEM, from the server at `address`. Nothing that server says is believed
/// for any other reason than the fingerprint.
///
/// # Errors
/// No connection, no answer, no root, or another root.
pub async fn fetch_root(address: SocketAddr, name: &Fqdn, pinned: Fingerprint) -> Result<String, RootFault> {
    let target = Target { address, name: name.clone(), port: address.port(), tls: unbelieving()? };
    let no_root = |detail: String| RootFault::NoRoot { name: name.clone(), address, detail };
    let request = Request::get(ROOT_PATH).body(Body::empty()).map_err(|error| no_root(error.to_string()))?;
    let answer = target.call_for(request, ROOT_BYTES_MAX).await.map_err(RootFault::Call)?;
    if answer.status != StatusCode::OK {
        return Err(no_root(format!("its answer is {}", answer.status)));
    }
    let text = String::from_utf8(answer.body).map_err(|_| no_root("its answer is no text".into()))?;
    let all = certificates_from_pem(&text).map_err(|fault| no_root(fault.to_string()))?;
    let other = || RootFault::OtherRoot { name: name.clone(), address, pinned };
    pinned_one(&all, pinned).ok_or_else(other)
}

/// What a server offers to everybody at this path, if it has it: a signed document, from a server that cannot be believed.
/// Whoever takes it must hold it against its signature; who gave it says nothing.
///
/// # Errors
/// No connection, no answer, or another answer than yes or no.
pub async fn fetch_signed(address: SocketAddr, name: &Fqdn, path: &str) -> Result<Option<Vec<u8>>, RootFault> {
    let target = Target { address, name: name.clone(), port: address.port(), tls: unbelieving()? };
    let no_root = |detail: String| RootFault::NoRoot { name: name.clone(), address, detail };
    let request = Request::get(path).body(Body::empty()).map_err(|error| no_root(error.to_string()))?;
    let answer = target.call_for(request, SIGNED_BYTES_MAX).await.map_err(RootFault::Call)?;
    match answer.status {
        StatusCode::OK => Ok(Some(answer.body)),
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(no_root(format!("its answer to {path} is {status}"))),
    }
}

fn pinned_one(all: &[CertificateDer<'static>], pinned: Fingerprint) -> Option<String> {
    let root = all.iter().find(|der| Fingerprint::of(der) == pinned)?;
    Some(certificates_to_pem([root]))
}

fn unbelieving() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider: CryptoProvider = aws_lc_rs::default_provider();
    let verifier = Unbelieving { algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Looks at no certificate, since there is nothing to hold it against; what is fetched is held against its
/// fingerprint or signature instead. Private to this file: no other connection may be made so.
#[derive(Debug)]
struct Unbelieving {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Unbelieving {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
