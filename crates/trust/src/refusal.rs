//! Why somebody is not let in.

use std::fmt::Display;

use pki::{Fqdn, IssuerKind, Rejection, Serial, SipUser};

/// Why somebody is not let in: the fact, then the cure. For our own log and records; the peer is
/// told less (an alert, or a closed connection).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Row N11. A server port was reached without a certificate.
    #[error(
        "the peer sent no certificate, and servers talk to servers by mutual TLS only; join it to the organisation, or use the client port"
    )]
    NoCertificate,
    /// Rows N2 to N10, N14, N28. What was shown is not believed; there is no second way in.
    #[error("the peer's certificate is not believed: {0}")]
    Certificate(#[from] Rejection),
    /// Row N5. The server's own stapled answer says so, and no list here did.
    #[error(
        "the certificate number {serial} of {subject} was revoked at {at}, says the OCSP answer that the server itself sent; issue a new one, and look why the revocation list here does not say so"
    )]
    RevokedByStaple {
        /// Whom it names.
        subject: String,
        /// Its serial number.
        serial: Serial,
        /// Since when.
        at: String,
    },
    /// Row N1. A good certificate of nobody we know.
    #[error(
        "the certificate names {}, which topology version {version} does not list; add it and publish, or check that the server joined the right organisation",
        join(presented)
    )]
    NotInTopology {
        /// The hosts that it names.
        presented: Vec<Fqdn>,
        /// The topology asked.
        version: u64,
    },
    /// A CA that the root vouches for, but not for this: what the root's other CAs issue is nothing
    /// to us.
    #[error(
        "the certificate was issued by {issuer}, which is not among the issuing CAs for {kind} that this organisation publishes; have it issued by one of those, or publish that CA"
    )]
    NotPinned {
        /// The issuer, for people.
        issuer: String,
        /// Which CAs were looked through.
        kind: IssuerKind,
    },
    /// One certificate for several listed servers: whose is it?
    #[error("the certificate names several servers of the topology ({}); issue one to each", join(presented))]
    SeveralServers {
        /// The listed servers that it names.
        presented: Vec<Fqdn>,
    },
    /// Row N11. Servers have a port of their own.
    #[error("the certificate is that of a server ({}), and this port is for users' programs; connect to the server port", join(presented))]
    ServerOnClientPort {
        /// The hosts and domains that it names.
        presented: Vec<Fqdn>,
    },
    /// A user's certificate on a server port.
    #[error("the certificate is that of a user ({}), and this port is for servers; connect to the client port", join(presented))]
    UserOnServerPort {
        /// The users that it names.
        presented: Vec<SipUser>,
    },
    /// A user whom we do not serve.
    #[error(
        "the certificate names {presented}, whose domain this organisation does not serve; use the certificate of a user of this organisation"
    )]
    ForeignUser {
        /// The user that it names.
        presented: SipUser,
    },
    /// Not exactly one user who can exist here.
    #[error("the certificate names {}, which is not one user of this organisation; issue one to each user", join(presented))]
    NotOneUser {
        /// The users that it names.
        presented: Vec<SipUser>,
    },
    /// Row N12. No TLS at all.
    #[error("the peer did not speak TLS; this port speaks nothing else: set the peer's transport to TLS")]
    NotTls,
    /// Row N13. Nothing in common that is safe.
    #[error(
        "no common TLS version, cipher suite or key exchange ({detail}); the peer needs TLS 1.2 with ECDHE-ECDSA and AES-GCM, or TLS 1.3"
    )]
    NoCommonTls {
        /// What rustls said.
        detail: String,
    },
    /// The peer does not believe us, or broke off with an alert.
    #[error("the peer broke off the handshake ({detail}); if it names a certificate, give the peer this organisation's root")]
    Alert {
        /// The alert.
        detail: String,
    },
    /// The server that we called judged us after our end of the handshake was finished (in TLS 1.3 the
    /// caller is done first), and does not want us.
    #[error(
        "{server} refused this server after the handshake ({detail}); its log has the reason: does the topology it holds list this server, and was this server's certificate revoked or not yet published?"
    )]
    RefusedByServer {
        /// Whom we called.
        server: Fqdn,
        /// The alert.
        detail: String,
    },
    /// The peer broke the protocol, or cannot prove that it holds the certificate's key.
    #[error("the TLS handshake went wrong ({detail}); if it persists, look at the peer's TLS settings")]
    Handshake {
        /// What rustls said.
        detail: String,
    },
    /// The connection ended during the handshake, by the peer or by our deadline.
    #[error("the connection ended before the TLS handshake did ({detail})")]
    Lost {
        /// How it ended.
        detail: String,
    },
}

impl Refusal {
    /// The reason in one word, for counters: its set is small and fixed.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Certificate(rejection) => rejection_label(rejection),
            Self::RevokedByStaple { .. } => "revoked",
            Self::NotInTopology { .. } => "not_in_topology",
            Self::NotPinned { .. } => "not_pinned",
            Self::SeveralServers { .. } => "several_servers",
            Self::ServerOnClientPort { .. } => "server_on_client_port",
            Self::UserOnServerPort { .. } => "user_on_server_port",
            Self::ForeignUser { .. } => "foreign_user",
            Self::NotOneUser { .. } => "not_one_user",
            Self::NotTls => "not_tls",
            Self::NoCommonTls { .. } => "no_common_tls",
            Self::Alert { .. } => "alert",
            Self::RefusedByServer { .. } => "refused_by_server",
            Self::Handshake { .. } => "handshake",
            Self::Lost { .. } => "lost",
        }
    }
}

const fn rejection_label(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Empty => "no_certificate",
        Rejection::NoAnchors => "no_anchors",
        Rejection::TooLong { .. } | Rejection::TooLarge { .. } => "chain_too_large",
        Rejection::Malformed { .. } => "malformed",
        Rejection::WeakSignature { .. } | Rejection::WeakKey { .. } => "weak",
        Rejection::Expired { .. } => "expired",
        Rejection::NotYetValid { .. } => "not_yet_valid",
        Rejection::AnchorOutOfTime { .. } => "anchor_out_of_time",
        Rejection::UnknownIssuer { .. } => "unknown_issuer",
        Rejection::BadSignature { .. } => "bad_signature",
        Rejection::WrongPurpose { .. } | Rejection::KeyUsage { .. } => "wrong_purpose",
        Rejection::Shape { .. } => "odd_certificate",
        Rejection::BrokenPath { .. } => "broken_path",
        Rejection::NameConstraint { .. } => "name_constraint",
        Rejection::Wildcard { .. } => "wildcard",
        Rejection::NoIdentity { .. } => "no_identity",
        Rejection::WrongName { .. } => "wrong_name",
        Rejection::Revoked { .. } => "revoked",
        Rejection::NoRevocationList { .. } => "no_revocation_list",
        Rejection::StaleRevocationList { .. } => "stale_revocation_list",
        Rejection::Other { .. } => "not_acceptable",
    }
}

fn join<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "no host".into();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
