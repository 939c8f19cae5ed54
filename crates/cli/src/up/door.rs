//! The HTTPS port's way to `trust`: who comes with a certificate is judged like on every other port.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use pki::CertificateDer;
use tokio::sync::watch;
use trust::{
    Contact, Decision, DecisionRecord, Listener, LivePolicy, Peer, Records, Refusal, judge,
    tls::{Outcome, decide},
};

pub(super) struct Door {
    policy: Arc<LivePolicy>,
    epoch: watch::Receiver<u64>,
    records: Mutex<Records>,
}

impl Door {
    pub(super) fn new(policy: Arc<LivePolicy>, epoch: watch::Receiver<u64>) -> Self {
        Self { policy, epoch, records: Mutex::default() }
    }

    /// The newest verdicts about those who showed a certificate, or should have been able to.
    pub(super) fn decisions(&self, limit: usize) -> Vec<DecisionRecord> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).newest_first().take(limit).cloned().collect()
    }

    fn keep(&self, Decision { verdict, record }: Decision) -> Result<Peer, Refusal> {
        let has_certificate = !record.chain.is_empty();
        match &verdict {
            Ok(peer) if has_certificate => {
                tracing::info!(source = %record.contact.source, peer = peer.describe(), "peer accepted on HTTPS")
            }
            Ok(_) => {}
            Err(refusal) => tracing::info!(source = %record.contact.source, reason = record.label, %refusal, "peer refused on HTTPS"),
        }
        // Browsers without a certificate are no decision worth remembering.
        if has_certificate || verdict.is_err() {
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
        verdict
    }
}

impl web::Gate for Door {
    fn admit(&self, source: SocketAddr, outcome: Outcome<'_>) -> Result<Peer, Refusal> {
        self.keep(decide(&self.policy.current(), Listener::Web, source, outcome, SystemTime::now()))
    }

    fn still_admits(&self, source: SocketAddr, chain: &[CertificateDer<'_>]) -> Result<Peer, Refusal> {
        let contact = Contact { listener: Listener::Web, source, sni: None, tls: None };
        self.keep(judge(&self.policy.current(), contact, chain, SystemTime::now()))
    }

    fn expects(&self, address: IpAddr) -> bool {
        self.policy.current().topology.lists_address(address)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.epoch.clone()
    }
}
