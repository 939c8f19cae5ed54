//! A handshake that ended, one way or the other, becomes a decision.

use std::{net::SocketAddr, time::SystemTime};

use pki::Fqdn;
use rustls::{CertificateError, ClientConnection, CommonState, Error, InvalidMessage, ServerConnection};

use super::verifier::Refused;
use crate::{
    Contact, Decision, Listener, Policy, Refusal, ShownCertificate, TlsFacts, judge,
    judge::{answer_decision, decision},
    judge_answer,
};

/// How a handshake ended.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// It was finished.
    Finished(&'a ServerConnection),
    /// rustls broke it off.
    Failed(&'a Error),
    /// The connection ended, or our deadline came first.
    Lost(&'a str),
}

/// Turns the end of a handshake into a decision with its record. A finished handshake is judged
/// again from the start, by the policy in force now: a handshake takes time, a policy may change.
pub fn decide(policy: &Policy, listener: Listener, source: SocketAddr, outcome: Outcome<'_>, now: SystemTime) -> Decision {
    let mut contact = Contact { listener, source, sni: None, tls: None };
    match outcome {
        Outcome::Finished(connection) => {
            contact.sni = connection.server_name().map(str::to_owned);
            contact.tls = TlsFacts::of(connection);
            judge(policy, contact, connection.peer_certificates().unwrap_or_default(), now)
        }
        Outcome::Failed(error) => {
            let (refusal, chain) = refusal(error);
            decision(policy, contact, chain, Err(refusal), now)
        }
        Outcome::Lost(detail) => decision(policy, contact, Vec::new(), Err(Refusal::Lost { detail: detail.into() }), now),
    }
}

/// How a handshake that we began ended.
#[derive(Debug)]
pub enum AnswerOutcome<'a> {
    /// Our end of it was finished. In TLS 1.3 the other end may still refuse us: only its first answer
    /// says that we are connected.
    Finished(&'a ClientConnection),
    /// rustls broke it off, on our judgement or on an alert.
    Failed(&'a Error),
    /// It was finished on our end, and then the server refused us by this error.
    Late(&'a Error),
    /// The connection ended, or our deadline came first.
    Lost(&'a str),
}

/// The same as [`decide`] for a call of ours to the server `wanted`.
pub fn decide_answer(policy: &Policy, wanted: &Fqdn, address: SocketAddr, outcome: AnswerOutcome<'_>, now: SystemTime) -> Decision {
    let (refusal, chain) = match outcome {
        AnswerOutcome::Finished(connection) => {
            let mut decision = judge_answer(policy, wanted, address, connection.peer_certificates().unwrap_or_default(), now);
            decision.record.contact.tls = TlsFacts::of(connection);
            return decision;
        }
        AnswerOutcome::Failed(error) => refusal(error),
        AnswerOutcome::Late(error) => match error {
            Error::AlertReceived(_) => (Refusal::RefusedByServer { server: wanted.clone(), detail: error.to_string() }, Vec::new()),
            error => refusal(error),
        },
        AnswerOutcome::Lost(detail) => (Refusal::Lost { detail: detail.into() }, Vec::new()),
    };
    answer_decision(policy, wanted, address, chain, Err(refusal), now)
}

impl TlsFacts {
    /// What this connection negotiated; `None` before it did.
    pub fn of(connection: &CommonState) -> Option<Self> {
        Some(Self {
            version: connection.protocol_version()?.as_str()?,
            suite: connection.negotiated_cipher_suite()?.suite().as_str()?,
            key_exchange: connection.negotiated_key_exchange_group()?.name().as_str()?,
        })
    }
}

/// The reason behind an error that rustls gave our own client, in our words. In TLS 1.3 a client
/// hears of a refusal only after its own handshake is finished; that alert comes here too.
pub fn refusal_of(error: &Error) -> Refusal {
    refusal(error).0
}

/// The reason behind an error of rustls, in our words; what our own verifier found comes out of it
/// as it went in.
fn refusal(error: &Error) -> (Refusal, Vec<ShownCertificate>) {
    if let Error::InvalidCertificate(CertificateError::Other(other)) = error
        && let Some(found) = other.0.downcast_ref::<Refused>()
    {
        return (found.refusal.clone(), found.chain.clone());
    }
    let detail = error.to_string();
    let refusal = match error {
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        Error::PeerIncompatible(_) => Refusal::NoCommonTls { detail },
        Error::AlertReceived(_) => Refusal::Alert { detail },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Refusal::NotTls,
        // What else a stranger's bytes or a future rustls may bring: no handshake, no peer.
        _ => Refusal::Handshake { detail },
    };
    (refusal, Vec::new())
}
