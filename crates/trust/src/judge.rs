//! The one question.

use std::{sync::Arc, time::SystemTime};

use pki::{CertificateDer, Fqdn, VerifiedCertificate, verify};
use registrar::UserName;

use crate::{Contact, DecisionRecord, Listener, Peer, Policy, Refusal, ShownCertificate};

/// The answer and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Who it is, or why not.
    pub verdict: Result<Peer, Refusal>,
    /// The evidence, to be kept in [`Records`](crate::Records).
    pub record: DecisionRecord,
}

/// Who is at the other end of a connection whose handshake showed `chain` (the leaf first, empty if
/// none was shown), and may they be there? Asked after every handshake, and again whenever the
/// policy changes.
pub fn judge(policy: &Policy, contact: Contact, chain: &[CertificateDer<'_>], now: SystemTime) -> Decision {
    let verdict = verdict(policy, contact.listener, chain, now);
    decision(policy, contact, ShownCertificate::of(chain), verdict, now)
}

/// The answer alone: what the verifier asks in the middle of a handshake.
pub(crate) fn verdict(policy: &Policy, listener: Listener, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Peer, Refusal> {
    if chain.is_empty() {
        return match listener {
            Listener::Clients => Ok(Peer::Client { user: None, certificate: None }),
            Listener::Servers => Err(Refusal::NoCertificate),
        };
    }
    let certificate = verify(chain, &policy.anchors, &policy.revoked, listener.purpose(), now)?;
    match listener {
        Listener::Clients => client(policy, certificate),
        Listener::Servers => server(policy, certificate),
    }
}

/// Listed *and* proved (promise P14). The name comes from the topology, the proof from the
/// certificate.
fn server(policy: &Policy, certificate: VerifiedCertificate) -> Result<Peer, Refusal> {
    if certificate.names().is_empty() && !certificate.users().is_empty() {
        return Err(Refusal::UserOnServerPort { presented: certificate.users().to_vec() });
    }
    let listed: Vec<_> = certificate.names().iter().filter_map(|name| policy.topology.server(name)).collect();
    match listed[..] {
        [server] => {
            Ok(Peer::TrustedServer { name: server.fqdn().clone(), roles: server.roles().to_vec(), certificate: Arc::new(certificate) })
        }
        [] => Err(Refusal::NotInTopology { presented: certificate.names().to_vec(), version: policy.topology.version() }),
        [..] => Err(Refusal::SeveralServers { presented: listed.iter().map(|server| server.fqdn().clone()).collect() }),
    }
}

/// Exactly one user of a domain of ours, and nothing else. Whoever shows anything else is sent
/// away: a certificate that does not do is no reason to ask for a password (row N28).
fn client(policy: &Policy, certificate: VerifiedCertificate) -> Result<Peer, Refusal> {
    let hosts: Vec<Fqdn> = certificate.names().iter().chain(certificate.domains()).cloned().collect();
    if !hosts.is_empty() {
        return Err(Refusal::ServerOnClientPort { presented: hosts });
    }
    let [user] = certificate.users() else {
        return Err(Refusal::NotOneUser { presented: certificate.users().to_vec() });
    };
    if !policy.topology.serves(user.domain()) {
        return Err(Refusal::ForeignUser { presented: user.clone() });
    }
    match UserName::parse(user.user()) {
        Ok(name) => Ok(Peer::Client { user: Some(name), certificate: Some(Arc::new(certificate)) }),
        Err(_) => Err(Refusal::NotOneUser { presented: vec![user.clone()] }),
    }
}

/// Puts the evidence beside the answer.
pub(crate) fn decision(
    policy: &Policy,
    contact: Contact,
    chain: Vec<ShownCertificate>,
    verdict: Result<Peer, Refusal>,
    now: SystemTime,
) -> Decision {
    let certificate = match &verdict {
        Ok(Peer::TrustedServer { certificate, .. }) => Some(certificate),
        Ok(Peer::Client { certificate, .. }) => certificate.as_ref(),
        Err(_) => None,
    };
    let record = DecisionRecord {
        at: now,
        purpose: contact.listener.purpose(),
        wanted: match contact.listener {
            Listener::Clients => "a user of the organisation, or no certificate",
            Listener::Servers => "a server listed in the topology",
        },
        contact,
        chain,
        anchor: certificate.map(|certificate| certificate.anchor().to_owned()),
        shown: certificate.map(|certificate| certificate.shown()).unwrap_or_default(),
        topology_version: policy.topology.version(),
        revoked: policy.revoked.len(),
        label: verdict.as_ref().err().map_or(DecisionRecord::ACCEPTED, Refusal::label),
        verdict: verdict.as_ref().map_or_else(Refusal::to_string, Peer::describe).chars().take(DecisionRecord::VERDICT_CHARS_MAX).collect(),
    };
    Decision { verdict, record }
}
