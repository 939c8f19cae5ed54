//! How a connection came about, and so what `trust` is asked about its other end.

use std::{fmt, net::SocketAddr, sync::Arc, time::SystemTime};

use pki::{CertificateDer, Fqdn};
use trust::{
    Contact, Decision, Listener, Policy, judge,
    tls::{Outcome, decide},
};

use crate::{
    gate::{Belief, Dialler, Gate},
    shim::judge_answer,
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
                Listener::Clients => Kind::Clients,
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

    /// Which port's rules hold. Whom we call is held to the rules of the port for servers.
    pub(crate) fn listener(&self) -> Listener {
        match self {
            Self::Accepted(gate) => gate.listener,
            Self::Dialled(..) => Listener::Servers,
        }
    }

    /// The one question, about a finished handshake.
    pub(crate) fn judge(&self, policy: &Policy, contact: Contact, chain: &[CertificateDer<'_>]) -> Decision {
        match self {
            Self::Accepted(_) => judge(policy, contact, chain, self.now()),
            Self::Dialled(_, server) => judge_answer(policy, server, contact, chain, self.now()),
        }
    }

    /// The answer for a handshake that was not finished.
    pub(crate) fn failure(&self, remote: SocketAddr, outcome: Outcome<'_>) -> Decision {
        decide(&self.policy(), self.listener(), remote, outcome, self.now())
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
