//! What is known of a connection: who is at the other end of the wire, since when, and what TLS agreed on. What follows
//! from it is judged elsewhere.

use std::{
    net::SocketAddr,
    time::{Instant, SystemTime},
};

use node::Arrival;
use registrar::Flow;
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
use trust::TlsFacts;

use crate::tls::Tls;

/// An open connection, for `verbund status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Its number, as in registrations and logs.
    pub flow: Flow,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// When its handshake ended.
    pub since: SystemTime,
    /// `TLSv1_3`, `TLSv1_2`.
    pub version: &'static str,
    /// `TLS13_AES_256_GCM_SHA384`, …
    pub suite: &'static str,
    /// `X25519MLKEM768`, `X25519`, …
    pub key_exchange: &'static str,
    /// The name the client asked for (SNI, RFC 6066 §3); empty when it named none.
    pub server_name: String,
}

/// What the handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) remote: SocketAddr,
    local: SocketAddr,
    pub(crate) since: Instant,
    version: Option<ProtocolVersion>,
    suite: Option<CipherSuite>,
    group: Option<NamedGroup>,
    server_name: Option<Box<str>>,
}

impl Facts {
    pub(crate) fn new(remote: SocketAddr, local: SocketAddr, tls: &Tls, server_name: Option<Box<str>>) -> Self {
        let suite = tls.suite().map(|suite| suite.suite());
        Self { remote, local, since: Instant::now(), version: tls.version(), suite, group: tls.group(), server_name }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        Self { remote, local: remote, since: Instant::now(), version: None, suite: None, group: None, server_name: None }
    }

    /// `TLSv1_3`
    pub(crate) fn version(&self) -> &'static str {
        self.version.and_then(|version| version.as_str()).unwrap_or_default()
    }

    /// `TLS13_AES_256_GCM_SHA384`
    pub(crate) fn suite(&self) -> &'static str {
        self.suite.and_then(|suite| suite.as_str()).unwrap_or_default()
    }

    /// `X25519MLKEM768`
    pub(crate) fn key_exchange(&self) -> &'static str {
        self.group.and_then(|group| group.as_str()).unwrap_or_default()
    }

    /// The name the client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// How it came, for the core.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival { source: self.remote.ip(), local: self.local, server_name: self.server_name().map(str::to_owned) }
    }

    /// For the decision record.
    pub(crate) fn negotiated(&self) -> Option<TlsFacts> {
        Some(TlsFacts { version: self.version?.as_str()?, suite: self.suite?.as_str()?, key_exchange: self.group?.as_str()? })
    }

    pub(crate) fn connection(&self, flow: Flow) -> Connection {
        Connection {
            flow,
            remote: self.remote,
            since: SystemTime::now() - self.since.elapsed(),
            version: self.version(),
            suite: self.suite(),
            key_exchange: self.key_exchange(),
            server_name: self.server_name().unwrap_or_default().to_owned(),
        }
    }
}
