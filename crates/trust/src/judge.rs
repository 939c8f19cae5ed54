//! The one question.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::SystemTime};

use pki::{CertificateDer, Fqdn, IssuerKind, Purpose, Rejection, VerifiedCertificate, verify};
use registrar::UserName;

use crate::{Contact, DecisionRecord, Direction, Listener, Peer, Policy, Refusal, ShownCertificate};

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

/// Whom did a call for the server `wanted` reach? The answerer has to be believed, to be the very
/// server that was wanted, and to be listed (rows N1, N2, N8): an address proves nothing.
pub fn judge_answer(policy: &Policy, wanted: &Fqdn, address: SocketAddr, chain: &[CertificateDer<'_>], now: SystemTime) -> Decision {
    let verdict = answer(policy, wanted, chain, now);
    answer_decision(policy, wanted, address, ShownCertificate::of(chain), verdict, now)
}

/// The answer alone: what the verifier asks in the middle of a handshake.
pub(crate) fn verdict(policy: &Policy, listener: Listener, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Peer, Refusal> {
    if chain.is_empty() {
        return if listener.demands_certificate() {
            Err(Refusal::NoCertificate)
        } else {
            Ok(Peer::Client { user: None, certificate: None })
        };
    }
    let certificate = believed(policy, chain, listener.purpose(), now)?;
    match listener {
        Listener::Clients => client(policy, certificate),
        Listener::Servers | Listener::Web => server(policy, certificate),
    }
}

/// The same of the other end: what answers when we call.
pub(crate) fn answer(policy: &Policy, wanted: &Fqdn, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Peer, Refusal> {
    let certificate = believed(policy, chain, Purpose::Server, now)?;
    certificate.prove(wanted)?;
    let peer = server(policy, certificate)?;
    match &peer {
        Peer::TrustedServer { name, .. } if name == wanted => Ok(peer),
        // It names `wanted`, but the server of that certificate is another one: a pool's name, say.
        Peer::TrustedServer { .. } | Peer::Client { .. } => {
            Err(Refusal::NotInTopology { presented: vec![wanted.clone()], version: policy.topology.version() })
        }
    }
}

fn believed(policy: &Policy, chain: &[CertificateDer<'_>], purpose: Purpose, now: SystemTime) -> Result<VerifiedCertificate, Refusal> {
    let certificate = verify(chain, &policy.anchors, &policy.revocation, purpose, now)?;
    if policy.revocation.is_strict() {
        return Ok(certificate);
    }
    let (subject, issuer) = (certificate.subject().to_owned(), certificate.issuer_text().to_owned());
    Err(Rejection::NoRevocationList { subject, issuer }.into())
}

/// Listed *and* proved (promise P14). The name comes from the topology, the proof from the
/// certificate.
fn server(policy: &Policy, certificate: VerifiedCertificate) -> Result<Peer, Refusal> {
    if certificate.names().is_empty() && !certificate.users().is_empty() {
        return Err(Refusal::UserOnServerPort { presented: certificate.users().to_vec() });
    }
    policy.check_issuer(&certificate, IssuerKind::Servers)?;
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
    policy.check_issuer(&certificate, Listener::Clients.issuers())?;
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
    let wanted = contact.listener.wanted().into();
    with_record(policy, Direction::Incoming, contact, wanted, chain, verdict, now)
}

/// The same for a call of ours.
pub(crate) fn answer_decision(
    policy: &Policy,
    wanted: &Fqdn,
    address: SocketAddr,
    chain: Vec<ShownCertificate>,
    verdict: Result<Peer, Refusal>,
    now: SystemTime,
) -> Decision {
    let contact = Contact { listener: Listener::Servers, source: address, sni: Some(wanted.to_string()), tls: None };
    let text = format!("the server {wanted}");
    with_record(policy, Direction::Outgoing { wanted: wanted.clone() }, contact, text.into(), chain, verdict, now)
}

fn with_record(
    policy: &Policy,
    direction: Direction,
    contact: Contact,
    wanted: Cow<'static, str>,
    chain: Vec<ShownCertificate>,
    verdict: Result<Peer, Refusal>,
    now: SystemTime,
) -> Decision {
    let certificate = match &verdict {
        Ok(Peer::TrustedServer { certificate, .. }) => Some(certificate),
        Ok(Peer::Client { certificate, .. }) => certificate.as_ref(),
        Err(_) => None,
    };
    let text = verdict.as_ref().map_or_else(Refusal::to_string, Peer::describe);
    let record = DecisionRecord {
        at: now,
        direction,
        purpose: contact.listener.purpose(),
        wanted,
        contact,
        chain,
        anchor: certificate.map(|certificate| certificate.anchor().to_owned()),
        shown: certificate.map(|certificate| certificate.shown()).unwrap_or_default(),
        topology_version: policy.topology.version(),
        revocation_list: certificate.and_then(|certificate| certificate.revocation_list()),
        revoked: policy.revocation.lists().revoked(),
        label: verdict.as_ref().err().map_or(DecisionRecord::ACCEPTED, Refusal::label),
        verdict: text.chars().take(DecisionRecord::VERDICT_CHARS_MAX).collect(),
    };
    Decision { verdict, record }
}
