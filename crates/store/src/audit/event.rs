//! The events of the audit log. No variant has a place for a secret.

use serde::{Deserialize, Serialize};

/// Something that was done. As JSON: `{"event":"revoked","serial":"0a",…}`. Texts and numbers only, so that a later program
/// reads what this one wrote.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A certificate was issued.
    Issued {
        /// Its serial number in hexadecimal.
        serial: String,
        /// What for.
        role: String,
        /// The subject.
        subject: String,
        /// The subject alternative names.
        names: Vec<String>,
        /// The issuer.
        issuer: String,
        /// The last second of validity, in seconds since 1970.
        not_after: u64,
        /// The ticket or account that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        asked_by: Option<String>,
        /// SHA-256 of the signing request in hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_sha256: Option<String>,
    },
    /// A certificate was taken back.
    Revoked {
        /// Its serial number in hexadecimal.
        serial: String,
        /// Its subject alternative names.
        names: Vec<String>,
        /// Its issuer.
        issuer: String,
        /// Why.
        reason: String,
    },
    /// A ticket was opened.
    EnrolmentOpened {
        /// Its public half.
        ticket: String,
        /// For which server.
        server: String,
        /// Until when, in seconds since 1970.
        expires: u64,
    },
    /// A ticket was burnt: the certificate was fetched.
    EnrolmentBurnt {
        /// Its public half.
        ticket: String,
        /// For which server.
        server: String,
    },
    /// The open tickets of a server were made void.
    EnrolmentsVoided {
        /// Which server.
        server: String,
        /// How many.
        count: u64,
    },
    /// An ACME account was opened.
    AccountOpened {
        /// Its number.
        account: u64,
        /// The thumbprint of its key.
        thumbprint: String,
        /// For which server.
        server: String,
        /// With which ticket.
        ticket: String,
    },
    /// An ACME account has another key.
    AccountKeyReplaced {
        /// Its number.
        account: u64,
        /// The thumbprint of its new key.
        thumbprint: String,
    },
    /// ACME accounts of a server were ended.
    AccountsDeactivated {
        /// Which server.
        server: String,
        /// How many.
        count: u64,
    },
    /// A topology was published.
    TopologyPublished {
        /// Its version.
        version: u64,
        /// SHA-256 of the document in hexadecimal.
        sha256: String,
    },
    /// The topology in force was signed again.
    TopologySigned {
        /// Its version.
        version: u64,
    },
    /// A trust bundle was published.
    BundlePublished {
        /// Its sequence number.
        sequence: u64,
        /// SHA-256 of the signed bundle in hexadecimal.
        sha256: String,
    },
    /// A revocation list was published.
    RevocationListPublished {
        /// SHA-256 of the issuing certificate in hexadecimal.
        issuer: String,
        /// Its number.
        number: u64,
        /// SHA-256 of the list in hexadecimal.
        sha256: String,
    },
    /// A user was added.
    UserAdded {
        /// Who.
        aor: String,
        /// At home where.
        #[serde(skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
    },
    /// A user has another home.
    UserMoved {
        /// Who.
        aor: String,
        /// At home where.
        #[serde(skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
    },
    /// A user has another password.
    CredentialReplaced {
        /// Who.
        aor: String,
    },
    /// A user was removed.
    UserRemoved {
        /// Who.
        aor: String,
    },
    /// A server joined: it fetched its first certificate.
    MemberJoined {
        /// Which.
        server: String,
    },
    /// A server left, or was put out.
    MemberRemoved {
        /// Which.
        server: String,
    },
    /// A replacement of the CA began, came a step further, was given up or ended.
    CaReplacement {
        /// What is replaced: the root with all below it, or the issuing CAs.
        what: String,
        /// SHA-256 of what goes, in hexadecimal.
        old: String,
        /// SHA-256 of what comes, in hexadecimal.
        new: String,
        /// How far it has come.
        phase: String,
        /// Members that were not waited for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_behind: Vec<String>,
    },
    /// This state came out of a backup.
    Restored {
        /// When the backup was made, in seconds since 1970.
        made_at: u64,
    },
    /// A backup was written.
    BackedUp {
        /// SHA-256 of the file in hexadecimal.
        sha256: String,
    },
    /// What members held was taken up after a restore; from here on this authority signs for others again.
    CaughtUp {
        /// Who showed what they hold.
        shown: Vec<String>,
        /// Who did not, and has to join anew.
        missing: Vec<String>,
    },
    /// Anything else that an administrator did.
    AdminAction {
        /// What, in a word.
        action: String,
        /// The particulars; never a secret.
        detail: String,
    },
}
