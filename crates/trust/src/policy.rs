//! What this server believes at the moment.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pki::{Anchors, IssuerKind, PinnedIssuer, Revocation, VerifiedCertificate};
use topology::Topology;

use crate::Refusal;

/// What this server believes: the list of servers, the roots, the issuing CAs and what was revoked.
/// One edition of it; a change makes a new one.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who belongs to the organisation.
    pub topology: Topology,
    /// The roots that members' certificates lead to. Empty: nobody with a certificate is let in.
    pub anchors: Anchors,
    /// What was revoked. Has to be strict: with anything less, nobody with a certificate is let in
    /// (row N6).
    pub revocation: Revocation,
    /// The CAs whose certificates count, directly below which a certificate has to stand. Empty:
    /// nobody with a certificate is let in.
    pub issuing: Vec<PinnedIssuer>,
}

impl Policy {
    /// Whether the CA directly above this certificate may issue for holders of this kind.
    pub(crate) fn check_issuer(&self, certificate: &VerifiedCertificate, kind: IssuerKind) -> Result<(), Refusal> {
        let issuer = certificate.issuer_fingerprint();
        if self.issuing.iter().any(|pinned| pinned.kind == kind && Some(pinned.fingerprint) == issuer) {
            return Ok(());
        }
        Err(Refusal::NotPinned { issuer: certificate.issuer_text().to_owned(), kind })
    }
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
