//! What this server believes at the moment.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pki::{Anchors, Revoked};
use topology::Topology;

/// What this server believes: the list of servers, the roots, and what was revoked. One edition
/// of it; a change makes a new one.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who belongs to the organisation.
    pub topology: Topology,
    /// The roots that members' certificates lead to. Empty: nobody with a certificate is let in.
    pub anchors: Anchors,
    /// Certificates that no longer count.
    pub revoked: Revoked,
}

/// The policy in force, to be replaced while handshakes go on: the next one sees the new policy.
/// Connections that are open already have to be judged again by whoever holds them.
#[derive(Debug)]
pub struct LivePolicy(ArcSwap<Policy>);

impl LivePolicy {
    /// Starts with this policy.
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(policy)))
    }

    /// The policy in force now.
    pub fn current(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another policy in force.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}
