//! The two kinds of peers, and the kinds of ports they reach us on.

use std::sync::Arc;

use pki::{Fqdn, IssuerKind, Purpose, VerifiedCertificate};
use registrar::UserName;
use topology::Role;

/// Who reaches us here. A port is for the one or the other, never for whoever comes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Listener {
    /// Users' programs: TLS, a certificate is asked for but need not be shown (promise P2).
    Clients,
    /// Servers of the organisation: mutual TLS (promises P1, P8).
    Servers,
    /// HTTPS: browsers and tools without a certificate, and servers of the organisation that show
    /// theirs. Whoever shows another certificate is sent away.
    Web,
}

impl Listener {
    /// What a certificate shown here has to be good for.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Clients => Purpose::Client,
            // The certificate of a server, also when it calls: row N7.
            Self::Servers | Self::Web => Purpose::Server,
        }
    }

    /// Whether somebody without a certificate is sent away (row N11).
    pub(crate) const fn demands_certificate(self) -> bool {
        match self {
            Self::Servers => true,
            Self::Clients | Self::Web => false,
        }
    }

    /// Whose certificates count here.
    pub(crate) const fn issuers(self) -> IssuerKind {
        match self {
            Self::Clients => IssuerKind::Users,
            Self::Servers | Self::Web => IssuerKind::Servers,
        }
    }

    /// Whose certificate would do, for records.
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Self::Clients => "a user of the organisation, or no certificate",
            Self::Servers => "a server listed in the topology",
            Self::Web => "a server listed in the topology, or no certificate",
        }
    }

    /// As records and counters call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Servers => "servers",
            Self::Web => "web",
        }
    }
}

/// Whom a connection leads to. Only this crate makes one, so holding it is the proof that the
/// question was asked; whoever matches it writes every case out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// A server that the topology lists and whose certificate proves the name (promise P14).
    #[non_exhaustive]
    TrustedServer {
        /// Its name in the topology.
        name: Fqdn,
        /// What the topology says it is there for.
        roles: Vec<Role>,
        /// What it showed.
        certificate: Arc<VerifiedCertificate>,
    },
    /// A user's program. What it says about itself is not believed before a sign-in.
    #[non_exhaustive]
    Client {
        /// Who signed in by certificate; `None` has to sign in by other means.
        user: Option<UserName>,
        /// What was shown, if anything was.
        certificate: Option<Arc<VerifiedCertificate>>,
    },
}

impl Peer {
    /// In a few words, for records and logs.
    pub fn describe(&self) -> String {
        match self {
            Self::TrustedServer { name, .. } => format!("server {name}"),
            Self::Client { user: Some(user), .. } => format!("client of user {user}"),
            Self::Client { user: None, .. } => "client".into(),
        }
    }
}
