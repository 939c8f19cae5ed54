//! State that lasts: users, certificates that were issued, the published topology.
//!
//! What users and certificates mean is left to `registrar` and `pki`, and where they are needed at run time (the
//! bindings, the decisions) nothing here is asked. One trait per class of state; [`Embedded`] implements them all on one
//! SQLite file. Start reading at [`Directory`], then [`Embedded`].

mod embedded;
mod error;
mod records;

use std::future::Future;
use std::time::SystemTime;

pub use embedded::{Embedded, Lock};
pub use error::Error;
pub use records::{Issued, Published, Revision, Role, User, Version};

use pki::Serial;
use registrar::{Aor, Credential};

/// What a question to the store gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Who may sign in, and the credential that proves it.
///
/// An answer of `Ok` to a change means that the change survives `kill -9` and loss of power. A caller that drops the
/// future after the first poll has *not* taken the change back.
pub trait Directory: Send + Sync {
    /// All users, by domain and name.
    fn users(&self) -> impl Future<Output = Result<Vec<User>>> + Send;

    /// One user, `None` when there is none of that address.
    fn user(&self, aor: &Aor) -> impl Future<Output = Result<Option<User>>> + Send;

    /// Makes a user; [`Error::UserExists`] when there is one already, which then stays as it was.
    fn add_user(&self, aor: &Aor, credential: &Credential, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// Replaces a user's credential; [`Error::NoSuchUser`] when there is none.
    fn replace_credential(&self, aor: &Aor, credential: &Credential) -> impl Future<Output = Result<Revision>> + Send;

    /// Takes a user out; [`Error::NoSuchUser`] when there is none.
    fn remove_user(&self, aor: &Aor) -> impl Future<Output = Result<Revision>> + Send;
}

/// Every certificate that the enterprise CA ever issued: written before the certificate is used, never changed.
pub trait IssuanceLedger: Send + Sync {
    /// Enters a certificate; [`Error::SerialTaken`] when its serial number was used before (RFC 5280 §4.1.2.2).
    fn record_issued(&self, issued: &Issued) -> impl Future<Output = Result<Revision>> + Send;

    /// The certificate with this serial number.
    fn certificate(&self, serial: &Serial) -> impl Future<Output = Result<Option<Issued>>> + Send;

    /// The certificates that are valid at `now` or will be, by end of validity; at most `limit`.
    fn certificates(&self, now: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;

    /// The certificates valid at `now` that end before `before`, the most urgent first; at most `limit`.
    fn expiring(&self, now: SystemTime, before: SystemTime, limit: usize) -> impl Future<Output = Result<Vec<Issued>>> + Send;
}

/// The topology as it was published, version by version. The document is not looked into.
pub trait TopologyStore: Send + Sync {
    /// Publishes `document` as `version` when `expect` is the current version (`None`: there is none yet);
    /// [`Error::Conflict`] otherwise, and when `version` is not above the current one (row N29: never backwards).
    fn publish(
        &self,
        document: &str,
        version: Version,
        expect: Option<Version>,
        now: SystemTime,
    ) -> impl Future<Output = Result<Revision>> + Send;

    /// The topology in force.
    fn current(&self) -> impl Future<Output = Result<Option<Published>>> + Send;
}
