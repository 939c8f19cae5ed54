//! What is known of a connection: who is at the other end of the wire, since when, and what TLS agreed on. What follows
//! from it is judged elsewhere.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime},
};

use node::Arrival;
use pki::{CertificateDer, Fqdn, Serial, VerifiedCertificate};
use registrar::Flow;
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
use trust::{Decision, Peer, Policy, TlsFacts};

use crate::{
    handshake::Established,
    way::{Kind, Shown, Way},
};

/// Who opened a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The other side did.
    Accepted,
    /// We did.
    Dialled,
}

/// An open connection, for `verbund status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Its number, as in registrations and logs.
    pub flow: Flow,
    /// Where the other end is.
    pub remote: SocketAddr,
    /// Who opened it.
    pub direction: Direction,
    /// When its handshake ended.
    pub since: SystemTime,
    /// `TLSv1_3`, `TLSv1_2`.
    pub version: &'static str,
    /// `TLS13_AES_256_GCM_SHA384`, …
    pub suite: &'static str,
    /// `X25519MLKEM768`, `X25519`, …
    pub key_exchange: &'static str,
    /// The name that was asked for (SNI, RFC 6066 §3); empty when none was.
    pub server_name: String,
    /// The listed server at the other end; `None` for a client.
    pub server: Option<Fqdn>,
    /// Of the certificate that the other end showed.
    pub serial: Option<Serial>,
}

/// What the handshake settled.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) way: Way,
    pub(crate) remote: SocketAddr,
    local: SocketAddr,
    since: Instant,
    version: Option<ProtocolVersion>,
    suite: Option<CipherSuite>,
    group: Option<NamedGroup>,
    server_name: Option<Box<str>>,
    /// Which certificate of ours was shown.
    edition: u64,
    /// What the other side showed and proved to hold the key of; leaf first, empty if nothing.
    chain: Box<[CertificateDer<'static>]>,
    holder: OnceLock<Box<Holder>>,
}

/// Whom the certificate was issued to, once `trust` believed it.
#[derive(Debug)]
struct Holder {
    server: Option<Fqdn>,
    certificate: Arc<VerifiedCertificate>,
}

impl Facts {
    pub(crate) fn new(way: Way, remote: SocketAddr, local: SocketAddr, established: &mut Established) -> Self {
        let tls = &established.tls;
        let server_name = match &way {
            Way::Accepted(_) => established.server_name.take(),
            Way::Dialled(_, server) => Some(server.as_str().into()),
        };
        Self {
            way,
            remote,
            local,
            since: Instant::now(),
            version: tls.version(),
            suite: tls.suite().map(|suite| suite.suite()),
            group: tls.group(),
            server_name,
            edition: established.edition,
            chain: tls.peer_chain().unwrap_or_default().into(),
            holder: OnceLock::new(),
        }
    }

    /// Who is at the other end, by this policy?
    pub(crate) fn judge(&self, policy: &Policy) -> Decision {
        self.way.judge(policy, Shown { remote: self.remote, sni: self.server_name(), tls: self.negotiated(), chain: &self.chain })
    }

    /// Remembers whom `trust` took the other end for.
    pub(crate) fn note(&self, peer: &Peer) {
        let holder = match peer {
            Peer::TrustedServer { name, certificate, .. } => Holder { server: Some(name.clone()), certificate: Arc::clone(certificate) },
            Peer::Client { certificate: Some(certificate), .. } => Holder { server: None, certificate: Arc::clone(certificate) },
            Peer::Client { certificate: None, .. } => return,
        };
        // The first verdict and a later yes differ in nothing that is kept here.
        let _ = self.holder.set(Box::new(holder));
    }

    /// What the other side showed; empty if nothing.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whether the certificate that was shown has ended by now.
    pub(crate) fn has_expired(&self) -> bool {
        self.holder.get().is_some_and(|holder| holder.certificate.not_after() < self.way.now())
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

    /// The name that was asked for.
    fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// How it came, for the core.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival { source: self.remote.ip(), local: self.local, server_name: self.server_name().map(str::to_owned), edition: self.edition }
    }

    /// For the decision record.
    fn negotiated(&self) -> Option<TlsFacts> {
        Some(TlsFacts { version: self.version?.as_str()?, suite: self.suite?.as_str()?, key_exchange: self.group?.as_str()? })
    }

    pub(crate) fn connection(&self, flow: Flow) -> Connection {
        let holder = self.holder.get();
        Connection {
            flow,
            remote: self.remote,
            direction: match self.way.kind() {
                Kind::Clients | Kind::Servers => Direction::Accepted,
                Kind::Dialled => Direction::Dialled,
            },
            since: SystemTime::now() - self.since.elapsed(),
            version: self.version(),
            suite: self.suite(),
            key_exchange: self.key_exchange(),
            server_name: self.server_name().unwrap_or_default().to_owned(),
            server: holder.and_then(|holder| holder.server.clone()),
            serial: holder.map(|holder| holder.certificate.serial().clone()),
        }
    }
}
