//! Who may sign in, and where they are at home.

use std::future::Future;
use std::time::SystemTime;

use pki::Fqdn;
use registrar::{Aor, Credential};

use crate::{Result, Revision};

/// A user and what proves a sign-in.
#[derive(Clone, Debug)]
pub struct User {
    /// Who.
    pub aor: Aor,
    /// What a digest is checked with; no password.
    pub credential: Credential,
    /// The pool whose front ends serve the user; `None` for users from before there were pools: the first pool's.
    pub pool: Option<Fqdn>,
    /// When the user was made.
    pub created: SystemTime,
    /// The last change.
    pub revision: Revision,
}

/// Who may sign in, and the credential that proves it.
///
/// Each change is an event of the [audit log](crate::AuditLog), written in the same transaction.
pub trait Directory: Send + Sync {
    /// All users, by domain and name.
    fn users(&self) -> impl Future<Output = Result<Vec<User>>> + Send;

    /// One user, `None` when there is none of that address.
    fn user(&self, aor: &Aor) -> impl Future<Output = Result<Option<User>>> + Send;

    /// Makes a user; [`Error::UserExists`](crate::Error::UserExists) when there is one already, which then stays as it was.
    fn add_user(
        &self,
        aor: &Aor,
        credential: &Credential,
        pool: Option<&Fqdn>,
        now: SystemTime,
    ) -> impl Future<Output = Result<Revision>> + Send;

    /// Replaces a user's credential; [`Error::NoSuchUser`](crate::Error::NoSuchUser) when there is none.
    fn replace_credential(&self, aor: &Aor, credential: &Credential, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// Gives a user another home; [`Error::NoSuchUser`](crate::Error::NoSuchUser) when there is none.
    fn move_user(&self, aor: &Aor, pool: Option<&Fqdn>, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// Takes a user out; [`Error::NoSuchUser`](crate::Error::NoSuchUser) when there is none.
    fn remove_user(&self, aor: &Aor, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;
}
