//! rustls configurations that ask the one question during the handshake.
//!
//! TLS 1.2 and 1.3 only, AEAD suites with ephemeral keys only, the post-quantum hybrid first.
//! Sessions are never resumed: a resumed session skips the judge, so a revoked, de-listed or
//! expired peer would come back with it. A full handshake costs 0.2 ms more.

mod client;
mod link;
mod outcome;
mod server;
mod staple;
mod verifier;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::{ClientIdentity, ServerVerifier, client_config};
pub use link::link_config;
pub use outcome::{AnswerOutcome, Outcome, decide, decide_answer, refusal_of};
pub use server::{ServerIdentity, server_config, web_config};

/// A source of time for handshakes, as rustls wants it. `rustls::time_provider::DefaultTimeProvider`
/// is the system's clock; a test brings its own.
pub type Clock = Arc<dyn rustls::time_provider::TimeProvider>;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The certificate and the key do not fit, or one is unusable.
    #[error("the server's certificate and key cannot be used for TLS ({0}); have a new certificate issued")]
    Identity(rustls::Error),
    /// The private key cannot be handed to the TLS library.
    #[error(transparent)]
    Key(#[from] pki::KeyFault),
    /// The provider does not have what we need.
    #[error("the TLS library lacks what is needed: {0}")]
    Library(rustls::Error),
}

/// Versions we speak (row N13).
static VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Suites and key exchanges we speak, best first. Our certificates have ECDSA keys, so the RSA
/// suites of TLS 1.2 would never be chosen.
fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::{cipher_suite as suite, kx_group as kx};
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx::X25519MLKEM768, kx::X25519, kx::SECP256R1, kx::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
}
