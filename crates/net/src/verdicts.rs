//! Each verdict of `trust` becomes one event, one count and one record. The verdict itself is `trust`'s.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use registrar::Flow;
use trust::{Decision, DecisionRecord, Peer, Policy, Records};

use crate::{
    facts::Facts,
    meters,
    way::{End, Way},
};

/// The records of one server's verdicts, of all its ports and of the links it dials.
#[derive(Default)]
pub(crate) struct Verdicts(Mutex<Records>);

/// A yes, and the edition of the policy that it goes by: another may be in force when somebody acts on it.
pub(crate) struct Admitted {
    pub(crate) peer: Peer,
    pub(crate) policy: Arc<Policy>,
}

impl Verdicts {
    /// Who is at the other end of a finished handshake, and may they be there? By the policy in force now.
    pub(crate) fn admit(&self, flow: Flow, facts: &Facts) -> Option<Admitted> {
        let policy = facts.way.policy();
        let peer = self.keep(&facts.way, Some(flow), facts.judge(&policy))?;
        facts.note(&peer);
        Some(Admitted { peer, policy })
    }

    /// A handshake that did not end well is a decision too, and so is the end of a link before the server said anything.
    pub(crate) fn note_failure(&self, way: &Way, flow: Option<Flow>, remote: SocketAddr, end: End<'_>) {
        let admitted = self.keep(way, flow, way.failure(remote, end));
        debug_assert!(admitted.is_none(), "a handshake that failed admits nobody");
    }

    /// An open connection that no longer stands.
    pub(crate) fn note_cut(&self, way: &Way, flow: Flow, Decision { verdict, record }: Decision) {
        let (source, sni) = (record.contact.source, record.contact.sni.as_deref());
        if let Err(refusal) = verdict {
            tracing::warn!(flow = flow.0, %source, sni, reason = record.label, %refusal, "open connection cut: its peer is no longer trusted");
        }
        meters::count_cut(way.label(), record.label);
        self.records().push(record);
    }

    fn keep(&self, way: &Way, flow: Option<Flow>, Decision { verdict, record }: Decision) -> Option<Peer> {
        let (flow, source, sni) = (flow.map(|flow| flow.0), record.contact.source, record.contact.sni.as_deref());
        let admitted = match verdict {
            Ok(peer) => {
                tracing::info!(flow, way = way.label(), %source, sni, peer = record.verdict, "peer accepted");
                Some(peer)
            }
            Err(refusal) => {
                tracing::warn!(flow, way = way.label(), %source, sni, reason = record.label, %refusal, "peer refused");
                None
            }
        };
        meters::count_verdict(way.label(), if admitted.is_some() { "accepted" } else { "refused" }, record.label);
        self.records().push(record);
        admitted
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest first, at most so many of each verdict.
    pub(crate) fn newest(&self, of_each: usize) -> Vec<DecisionRecord> {
        self.records().newest_first(of_each).cloned().collect()
    }
}
