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

    /// The newest verdicts about those who showed a certificate, or should have been able to; at most so many of each.
    pub(super) fn decisions(&self, of_each: usize) -> Vec<DecisionRecord> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).newest_first(of_each).cloned().collect()
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
        let decision = judge(&self.policy.current(), contact, chain, SystemTime::now());
        // Every new list asks again. That somebody may stay is nothing new, and would only take the place of what is.
        if decision.verdict.is_ok() { decision.verdict } else { self.keep(decision) }
    }

    fn expects(&self, address: IpAddr) -> bool {
        self.policy.current().topology.lists_address(address)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.epoch.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use pki::{Authority, Fqdn, Key, Revocation};
    use topology::{Listeners, Topology};
    use trust::Policy;
    use web::Gate as _;

    use super::*;

    /// An organisation of one server, what that server shows, and what is believed there.
    fn believed() -> (Policy, Vec<CertificateDer<'static>>) {
        let (domain, name): (Fqdn, Fqdn) = ("contoso.example".parse().unwrap(), "fe1.contoso.example".parse().unwrap());
        let now = SystemTime::now();
        let (root, authority) = Authority::create("Contoso", std::slice::from_ref(&domain), now).unwrap();
        let listeners = Listeners { sip: Some(([192, 0, 2, 10], 5061).into()), ..Listeners::default() };
        let topology = Topology::single_server("Contoso", &domain, &name, listeners).unwrap();
        let names = topology.certificate_names(&name).unwrap();
        let chain = authority.issue_server(&names, &Key::generate().unwrap().public(), now).unwrap().chain;
        let revocation = Revocation::strict(authority.first_lists(&root, now).unwrap(), Duration::ZERO);
        (Policy { topology, anchors: authority.anchors(), revocation, issuing: authority.pinned() }, chain)
    }

    #[test]
    fn that_somebody_may_stay_leaves_no_record_and_that_they_may_not_does() {
        let (policy, chain) = believed();
        let live = LivePolicy::new(policy.clone());
        let door = Door::new(Arc::clone(&live), watch::channel(0).1);
        let source = ([192, 0, 2, 11], 40_000).into();
        (0..10).for_each(|_| assert!(door.still_admits(source, &chain).is_ok()));
        assert_eq!(door.decisions(usize::MAX), []);
        live.replace(Policy { issuing: Vec::new(), ..policy });
        assert!(door.still_admits(source, &chain).is_err());
        let labels: Vec<&str> = door.decisions(usize::MAX).iter().map(|record| record.label).collect();
        assert_eq!(labels, ["not_pinned"]);
    }
}
