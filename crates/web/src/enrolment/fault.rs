//! Why the policy says no.

use std::time::{Duration, SystemTime};

use pki::Fqdn;

/// Why there is no certificate, account or revocation. The words are for the one who holds the ticket or
/// the account; a stranger hears less.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Nobody made such a ticket, or its time is long over.
    #[error("there is no such ticket; have one made with `verbund server add`")]
    TicketUnknown,
    /// The certificate of this ticket was fetched already (row N33).
    #[error("the ticket was used at {}; have another one made with `verbund server add`", rfc3339(*at))]
    TicketUsed {
        /// When.
        at: SystemTime,
    },
    /// It was not used in time (row N33).
    #[error("the ticket ended at {}; have another one made with `verbund server add`", rfc3339(*at))]
    TicketExpired {
        /// When.
        at: SystemTime,
    },
    /// Somebody else came first with it, or it was copied (row N33).
    #[error(
        "the ticket was used with another key already; if that was not this server, somebody else has the ticket: revoke the server, and \
         have another one made with `verbund server add`"
    )]
    TicketOfAnotherKey,
    /// Someone took it back, or made another one for the same server.
    #[error("the ticket was withdrawn; have another one made with `verbund server add`")]
    TicketWithdrawn,
    /// The account does not exist.
    #[error("there is no such account; join again with a new ticket")]
    NoAccount,
    /// The account was given up, or taken away.
    #[error("the account of {member} no longer counts; join again with a new ticket")]
    AccountClosed {
        /// Whose.
        member: Fqdn,
    },
    /// Another account has this key.
    #[error("this key belongs to another account; make a key of its own for each server")]
    KeyInUse,
    /// The topology in force does not list the member (any more).
    #[error("the topology lists no server named {member}; add it and publish")]
    NotInTopology {
        /// Who asked.
        member: Fqdn,
    },
    /// Its certificates were revoked, so its account and certificate count for nothing.
    #[error("{member} was revoked; remove it and add it again if it may come back")]
    MemberRevoked {
        /// Who asked.
        member: Fqdn,
    },
    /// Names that the member's topology entry does not list (row N33).
    #[error("{member} may not have a certificate for {}; its topology entry lists {}", list(names), list(allowed))]
    NamesOutside {
        /// Who asked.
        member: Fqdn,
        /// The names that are not his.
        names: Vec<Fqdn>,
        /// What his entry lists.
        allowed: Vec<Fqdn>,
    },
    /// The certificate request is damaged, or its proof of possession fails.
    #[error("the certificate request is not usable: {detail}")]
    BadRequest {
        /// What is wrong.
        detail: String,
    },
    /// Its key is weak, or of a kind that is not issued for.
    #[error("no certificate is issued for this key: {detail}")]
    BadPublicKey {
        /// What is wrong.
        detail: String,
    },
    /// We did not issue this certificate.
    #[error("this certificate was not issued here")]
    ForeignCertificate,
    /// It is another member's.
    #[error("this certificate is not the account's")]
    NotYourCertificate,
    /// It was revoked before.
    #[error("this certificate was revoked already")]
    AlreadyRevoked,
    /// Too many in too short a time.
    #[error("too many requests; come back in {} s", wait.as_secs())]
    TooMany {
        /// When to come back.
        wait: Duration,
    },
    /// Not now, and it is our doing: no issuing CA, no store. The reason is for the log only.
    #[error("the authority cannot do this now; look at its log")]
    Unavailable {
        /// For the log.
        reason: String,
    },
}

fn rfc3339(moment: SystemTime) -> String {
    crate::admin::rfc3339(moment)
}

fn list(names: &[Fqdn]) -> String {
    match names {
        [] => "no name at all".into(),
        names => names.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", "),
    }
}
