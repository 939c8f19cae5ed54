//! The certificates that were issued, and those that were taken back.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use pki::{CertificateDer, Fingerprint, Serial};

use crate::{Result, Revision};

/// What a certificate was issued for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// The enterprise root.
    Root,
    /// The CA under the root that issues to servers.
    Issuing,
    /// The CA under the root that issues to users.
    UsersCa,
    /// A root or CA certified by another generation, for a rollover.
    Cross,
    /// A server of the topology.
    Server,
    /// A user.
    User,
    /// The signer of topologies and bundles.
    Documents,
    /// The signer of OCSP answers.
    Ocsp,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 8] =
        [Self::Root, Self::Issuing, Self::UsersCa, Self::Cross, Self::Server, Self::User, Self::Documents, Self::Ocsp];

    /// The word kept in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
            Self::UsersCa => "users-ca",
            Self::Cross => "cross",
            Self::Server => "server",
            Self::User => "user",
            Self::Documents => "documents",
            Self::Ocsp => "ocsp",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By whose request a certificate was issued.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// The ticket or account, such as `ticket Zm9v` or `account 7`; `None` where the CA acted by itself.
    pub by: Option<String>,
    /// SHA-256 of the signing request in DER; `None` where there was none.
    pub request_sha256: Option<[u8; 32]>,
}

/// A certificate that the enterprise CA issued. Times are kept in whole seconds, as certificates do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// Its serial number.
    pub serial: Serial,
    /// What for.
    pub role: Role,
    /// The subject, as text.
    pub subject: String,
    /// The subject alternative names, as text.
    pub names: Vec<String>,
    /// The issuer, as text.
    pub issuer: String,
    /// The first second of validity.
    pub not_before: SystemTime,
    /// The last second of validity.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: Vec<u8>,
    /// Who asked for it.
    pub asked: Asked,
}

impl Issued {
    /// What the ledger says of the certificate `der`; `None` when it is none.
    pub fn read(role: Role, der: &CertificateDer<'_>) -> Option<Self> {
        let facts = pki::facts(der)?;
        Some(Self {
            serial: facts.serial,
            role,
            subject: facts.subject,
            names: facts.names,
            issuer: facts.issuer,
            not_before: facts.not_before,
            not_after: facts.not_after,
            der: der.to_vec(),
            asked: Asked::default(),
        })
    }

    /// The same, issued because of a request.
    #[must_use]
    pub fn asked(self, by: impl Into<String>, request_sha256: Option<[u8; 32]>) -> Self {
        Self { asked: Asked { by: Some(by.into()), request_sha256 }, ..self }
    }
}

/// Why a certificate was taken back (RFC 5280 §5.3.1). Hold and its removal are left out: what is revoked stays so.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Not said.
    Unspecified,
    /// Someone else may have the key.
    KeyCompromise,
    /// Someone else may have the CA's key.
    CaCompromise,
    /// The holder has another name or task.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is not needed any more: a server taken out of service.
    CessationOfOperation,
    /// The holder may not have it any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The number in a revocation list (RFC 5280 §5.3.1 CRLReason).
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason of this number; `None` for those that we do not give.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The word for people and for the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One certificate that was taken back: an entry of a revocation list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    /// Its serial number.
    pub serial: Serial,
    /// Its issuer, as text.
    pub issuer: String,
    /// When it was revoked.
    pub revoked_at: SystemTime,
    /// Why.
    pub reason: Reason,
    /// The last second of its validity: once that is over it may leave the list (RFC 5280 §5).
    pub not_after: SystemTime,
}

/// What asking for a revocation came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// The change that took it back: this one, or an earlier one.
    pub revision: Revision,
    /// Whether it counted until now.
    pub is_new: bool,
}

/// Every certificate that the enterprise CA ever issued: written before the certificate is used, never changed; and
/// which of them were taken back, which stays so.
pub trait IssuanceLedger: Send + Sync {
    /// Enters a certificate; [`Error::SerialTaken`](crate::Error::SerialTaken) when its serial number was used before
    /// (RFC 5280 §4.1.2.2).
    fn record_issued(&self, issued: &Issued, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// The certificate with this serial number.
    fn certificate(&self, serial: &Serial) -> impl Future<Output = Result<Option<Issued>>> + Send;

    /// The certificates that are valid at `now` or will be, by end of validity; at most `limit`.
    fn certificates(&self, now: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// The certificates that bear this subject alternative name (a DNS name or a URI, compared without regard to case),
    /// are valid at `now` or will be, and were not revoked; by end of validity, at most `limit`.
    fn standing_of(&self, name: &str, now: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// The certificates of this server (its name comes first in them) whose validity begins at `since` or later, revoked or not,
    /// the oldest first; at most `limit`.
    fn issued_to(&self, server: &str, since: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// The keys (SHA-256 of the SubjectPublicKeyInfo) of all certificates that were taken back after this revision, for whatever
    /// reason; and the revision of the last of them.
    fn keys_taken_back(&self, after: Revision) -> impl Future<Output = Result<(Vec<Fingerprint>, Revision)>> + Send;

    /// The certificates of this issuer (as text) that are valid at `now` or will be, and were not revoked; by end of validity,
    /// at most `limit`.
    fn standing_below(&self, issuer: &str, now: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// When the last certificate of this issuer ends, revoked or not: until then its revocation list is wanted.
    fn last_end_below(&self, issuer: &str) -> impl Future<Output = Result<Option<SystemTime>>> + Send;

    /// Every root and issuing CA that there ever was, so that none gets the name of another.
    fn authorities(&self) -> impl Future<Output = Result<Vec<Issued>>> + Send;
    /// The servers that were cut off, by name: what was issued to them last was taken back, and so was all else of theirs that
    /// has not ended at `now`. A certificate is that of the server whose name comes first in it.
    fn cut_off(&self, now: SystemTime) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Those who hold a certificate for this that is valid at `now` or will be and was not revoked: the names that come first in
    /// them, in lower case.
    fn holders(&self, role: Role, now: SystemTime) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// The certificates valid at `now` that end before `before`, the most urgent first; at most `limit`.
    fn expiring(&self, now: SystemTime, before: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// Takes a certificate back, for good; once more changes nothing, neither moment nor reason.
    /// [`Error::NoSuchCertificate`](crate::Error::NoSuchCertificate) when the ledger has none of this number.
    fn revoke(&self, serial: &Serial, reason: Reason, now: SystemTime) -> impl Future<Output = Result<Revoked>> + Send;

    /// Enters a revocation of which a signed list is the proof: for a ledger that was put back from a backup, and may have
    /// forgotten the certificate too. What is revoked already stays as it is; says whether it was news.
    fn adopt_revocation(&self, revocation: &Revocation, now: SystemTime) -> impl Future<Output = Result<bool>> + Send;

    /// Whether and why this certificate was taken back.
    fn revocation(&self, serial: &Serial) -> impl Future<Output = Result<Option<Revocation>>> + Send;

    /// The certificates that were taken back and not yet over at `since`, of one issuer (as text) or of all; by moment.
    fn revoked(&self, issuer: Option<&str>, since: SystemTime) -> impl Future<Output = Result<Vec<Revocation>>> + Send;
}
