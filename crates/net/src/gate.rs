//! Where `net` asks `trust`: each handshake becomes one verdict, one event, one count and one record. The verdict itself
//! is `trust`'s.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use pki::CertificateDer;
use registrar::Flow;
use rustls::ServerConfig;
use trust::{
    Contact, Decision, DecisionRecord, Listener, LivePolicy, Peer, Records, judge,
    tls::{Clock, Outcome, ServerIdentity, TlsFault, decide, server_config},
};

use crate::{facts::Facts, meters, server_name};

/// The way to `trust`: its TLS configuration, its question after each handshake, and the records of its answers.
pub struct Gate {
    listener: Listener,
    policy: Arc<LivePolicy>,
    tls: Arc<ServerConfig>,
    records: Mutex<Records>,
}

impl Gate {
    /// For a port of this kind. `identity` is what the server shows and `policy` what it believes; both may be replaced
    /// while it runs, and count from the next handshake on.
    ///
    /// # Errors
    /// The TLS library lacks what is needed.
    pub fn new(listener: Listener, identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<Self, TlsFault> {
        let config = server_config(listener, identity, Arc::clone(&policy), clock)?;
        Ok(Self { listener, policy, tls: server_name::overhear(&config), records: Mutex::default() })
    }

    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }

    /// Who is at the other end of a finished handshake, and may they be there?
    pub(crate) fn judge(&self, flow: Flow, facts: &Facts, chain: Option<&[CertificateDer<'static>]>) -> Option<Peer> {
        let contact =
            Contact { listener: self.listener, source: facts.remote, sni: facts.server_name().map(str::to_owned), tls: facts.negotiated() };
        let decision = judge(&self.policy.current(), contact, chain.unwrap_or_default(), SystemTime::now());
        self.keep(Some(flow), decision)
    }

    /// A handshake that did not end well is a decision too.
    pub(crate) fn note_failure(&self, source: SocketAddr, outcome: Outcome<'_>) {
        let decision = decide(&self.policy.current(), self.listener, source, outcome, SystemTime::now());
        let admitted = self.keep(None, decision);
        debug_assert!(admitted.is_none(), "a handshake that failed admits nobody");
    }

    /// One event, one count, one record for each verdict.
    fn keep(&self, flow: Option<Flow>, Decision { verdict, record }: Decision) -> Option<Peer> {
        let (flow, source, sni) = (flow.map(|flow| flow.0), record.contact.source, record.contact.sni.as_deref());
        let admitted = match verdict {
            Ok(peer) => {
                tracing::info!(flow, %source, sni, peer = record.verdict, "peer accepted");
                Some(peer)
            }
            Err(refusal) => {
                tracing::warn!(flow, %source, sni, reason = record.label, %refusal, "peer refused");
                None
            }
        };
        meters::count_verdict(self.listener.as_str(), if admitted.is_some() { "accepted" } else { "refused" }, record.label);
        self.records().push(record);
        admitted
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn decisions(&self, limit: usize) -> Vec<DecisionRecord> {
        self.records().newest_first().take(limit).cloned().collect()
    }
}
