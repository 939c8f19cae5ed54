//! How a connection came about, and so what `trust` is asked about its other end.

use std::{fmt, net::SocketAddr, sync::Arc, time::SystemTime};

use pki::{CertificateDer, Fqdn};
use rustls::Error;
use trust::{
    Contact, Decision, Listener, Policy, TlsFacts, judge, judge_answer,
    tls::{AnswerOutcome, Outcome, decide, decide_answer},
};

use crate::{
    gate::{Belief, Dialler, Gate},
    tls::{Failure, Tls},
};

/// Where a connection comes from.
#[derive(Clone)]
pub(crate) enum Way {
    /// Somebody reached this port.
    Accepted(Arc<Gate>),
    /// We called the server of this name.
    Dialled(Arc<Dialler>, Fqdn),
}

/// What a finished handshake showed.
pub(crate) struct Shown<'a> {
    pub(crate) remote: SocketAddr,
    /// The name that was asked for.
    pub(crate) sni: Option<&'a str>,
    pub(crate) tls: Option<TlsFacts>,
    /// The leaf first; empty if no certificate was shown.
    pub(crate) chain: &'a [CertificateDer<'static>],
}

/// How a connection came to nothing.
pub(crate) enum End<'a> {
    /// TLS broke the handshake off, on our judgement or on an alert.
    Failed(&'a Error),
    /// The handshake was finished on our side; then the other refused us by this error.
    Late(&'a Error),
    /// It ended, or our deadline came first.
    Lost(&'a str),
}

/// Kinds of connections that have their own share of the server: what happens to one leaves the others alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Whoever comes to the port for users' programs.
    Clients,
    /// Whoever comes to the port for servers.
    Servers,
    /// Whom we called.
    Dialled,
}

impl Way {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Accepted(gate) => match gate.listener {
                // No gate is made for the latter; if there were one, strangers would come to it.
                Listener::Clients | Listener::Web => Kind::Clients,
                Listener::Servers => Kind::Servers,
            },
            Self::Dialled(..) => Kind::Dialled,
        }
    }

    /// As counters and events call it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Accepted(gate) => gate.listener.as_str(),
            Self::Dialled(..) => "dialled",
        }
    }

    /// Our end of TLS on a new connection.
    pub(crate) fn tls(&self, handshake_bytes_max: usize) -> Result<Tls, Failure> {
        match self {
            Self::Accepted(gate) => Tls::accepting(Arc::clone(&gate.tls), handshake_bytes_max),
            Self::Dialled(dialler, server) => Tls::dialling(Arc::clone(&dialler.tls), server, handshake_bytes_max),
        }
    }

    /// Which certificate of ours a handshake that begins now shows, at least.
    pub(crate) fn edition(&self) -> u64 {
        match self {
            Self::Accepted(gate) => gate.identity.edition(),
            Self::Dialled(dialler, _) => dialler.identity.edition(),
        }
    }

    fn belief(&self) -> &Belief {
        match self {
            Self::Accepted(gate) => gate.belief(),
            Self::Dialled(dialler, _) => dialler.belief(),
        }
    }

    /// The policy in force now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.belief().policy()
    }

    /// The time by which certificates are judged.
    pub(crate) fn now(&self) -> SystemTime {
        self.belief().now()
    }

    /// The one question, about a finished handshake.
    pub(crate) fn judge(&self, policy: &Policy, facts: Shown<'_>) -> Decision {
        let Shown { remote, sni, tls, chain } = facts;
        match self {
            Self::Accepted(gate) => {
                let contact = Contact { listener: gate.listener, source: remote, sni: sni.map(str::to_owned), tls };
                judge(policy, contact, chain, self.now())
            }
            Self::Dialled(_, server) => {
                let mut decision = judge_answer(policy, server, remote, chain, self.now());
                decision.record.contact.tls = tls;
                decision
            }
        }
    }

    /// The answer for a connection that came to nothing.
    pub(crate) fn failure(&self, remote: SocketAddr, end: End<'_>) -> Decision {
        let (policy, now) = (self.policy(), self.now());
        match self {
            Self::Accepted(gate) => {
                let outcome = match end {
                    End::Failed(error) | End::Late(error) => Outcome::Failed(error),
                    End::Lost(detail) => Outcome::Lost(detail),
                };
                decide(&policy, gate.listener, remote, outcome, now)
            }
            Self::Dialled(_, server) => {
                let outcome = match end {
                    End::Failed(error) => AnswerOutcome::Failed(error),
                    End::Late(error) => AnswerOutcome::Late(error),
                    End::Lost(detail) => AnswerOutcome::Lost(detail),
                };
                decide_answer(&policy, server, remote, outcome, now)
            }
        }
    }

    /// Whether the questions about two connections are the same but for where they come from.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Accepted(one), Self::Accepted(other)) => Arc::ptr_eq(one, other),
            (Self::Dialled(one, server), Self::Dialled(other, wanted)) => Arc::ptr_eq(one, other) && server == wanted,
            (Self::Accepted(_), Self::Dialled(..)) | (Self::Dialled(..), Self::Accepted(_)) => false,
        }
    }
}

/// The port, or the server that was called.
impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(gate) => out.write_str(gate.listener.as_str()),
            Self::Dialled(_, server) => server.fmt(out),
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Way({self})")
    }
}
