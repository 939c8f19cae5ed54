//! The name a client asked for (SNI, RFC 6066 §3).
//!
//! rustls' unbuffered interface does not keep it, but it asks for a certificate with the client's hello at hand. That
//! question is answered within one call on one thread, so a thread-local carries the name out. It is shown to
//! administrators; no decision hangs on it.

use std::{cell::RefCell, sync::Arc};

use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

thread_local! {
    static ASKED_FOR: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The name asked for in the hello that this thread worked off last, once.
pub(crate) fn take() -> Option<Box<str>> {
    ASKED_FOR.take()
}

/// The same configuration, overheard.
pub(crate) fn overhear(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.cert_resolver = Arc::new(Overheard(Arc::clone(&config.cert_resolver)));
    Arc::new(config)
}

#[derive(Debug)]
struct Overheard(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Overheard {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED_FOR.set(hello.server_name().map(Into::into));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}
