//! A handshake that ended, one way or the other, becomes a decision.

use std::{net::SocketAddr, time::SystemTime};

use rustls::{CertificateError, Error, InvalidMessage, ServerConnection};

use super::verifier::Refused;
use crate::{Contact, Decision, Listener, Policy, Refusal, ShownCertificate, TlsFacts, judge, judge::decision};

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

impl TlsFacts {
    /// What this connection negotiated; `None` before it did.
    pub fn of(connection: &ServerConnection) -> Option<Self> {
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
