//! What the server keeps in place of a password, and the directory it is looked up in.

use std::{collections::HashMap, fmt};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroize;

use crate::{
    UserName,
    digest::{Algorithm, Hash},
};

/// What this server knows of a password: its two digest hashes HA1 (RFC 7616 §3.4.2), never itself.
///
/// An HA1 is as good as the password for this realm, so it is treated as a secret: not printed, wiped
/// when dropped, compared in constant time.
#[derive(Clone)]
pub struct Credential {
    md5: [u8; 16],
    sha256: [u8; 32],
}

impl Credential {
    /// The hashes of `user:realm:password`.
    #[must_use]
    pub fn new(user: &UserName, realm: &str, password: &str) -> Self {
        let parts: [&[u8]; 3] = [user.as_str().as_bytes(), realm.as_bytes(), password.as_bytes()];
        let (mut credential, md5) = (Self { md5: [0; 16], sha256: [0; 32] }, Hash::of(Algorithm::Md5, &parts));
        credential.md5.copy_from_slice(md5.bytes());
        credential.sha256.copy_from_slice(Hash::of(Algorithm::Sha256, &parts).bytes());
        credential
    }

    /// From what [`md5`](Self::md5) and [`sha256`](Self::sha256) gave.
    #[must_use]
    pub fn from_bytes(md5: [u8; 16], sha256: [u8; 32]) -> Self {
        Self { md5, sha256 }
    }

    /// HA1 by MD5, for storing. As secret as the password.
    #[must_use]
    pub fn md5(&self) -> &[u8; 16] {
        &self.md5
    }

    /// HA1 by SHA-256, for storing. As secret as the password.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    pub(crate) fn ha1(&self, algorithm: Algorithm) -> &[u8] {
        match algorithm {
            Algorithm::Md5 => &self.md5,
            Algorithm::Sha256 => &self.sha256,
        }
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.md5.zeroize();
        self.sha256.zeroize();
    }
}

impl PartialEq for Credential {
    /// In constant time; both hashes are always looked at.
    fn eq(&self, other: &Self) -> bool {
        let md5 = verify_slices_are_equal(&self.md5, &other.md5).is_ok();
        let sha256 = verify_slices_are_equal(&self.sha256, &other.sha256).is_ok();
        md5 & sha256
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// The users and their credentials: this server's copy in memory.
#[derive(Debug)]
pub struct Directory {
    users: HashMap<UserName, Credential>,
    users_max: usize,
}

/// The directory holds as many users as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the directory is full: this server holds at most {users_max} users; remove one first")]
pub struct DirectoryFull {
    /// The limit.
    pub users_max: usize,
}

impl Directory {
    /// How many users a server holds unless told otherwise: one pool's share with room to grow.
    pub const USERS_MAX: usize = 500_000;

    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity_max(Self::USERS_MAX)
    }

    /// Nobody yet, and never more than `users_max`.
    #[must_use]
    pub fn with_capacity_max(users_max: usize) -> Self {
        Self { users: HashMap::new(), users_max }
    }

    /// Adds a user or replaces the credential; gives the old one back.
    ///
    /// # Errors
    /// The user would be one too many; nothing has changed.
    pub fn put(&mut self, user: UserName, credential: Credential) -> Result<Option<Credential>, DirectoryFull> {
        if self.users.len() >= self.users_max && !self.users.contains_key(&user) {
            return Err(DirectoryFull { users_max: self.users_max });
        }
        Ok(self.users.insert(user, credential))
    }

    /// Takes a user out; `false` when there was none of this name.
    pub fn remove(&mut self, user: &UserName) -> bool {
        self.users.remove(user).is_some()
    }

    /// Whether there is such a user. Not for answering strangers: see [`Challenger`](crate::Challenger).
    #[must_use]
    pub fn contains(&self, user: &UserName) -> bool {
        self.users.contains_key(user)
    }

    /// The credential of a user.
    #[must_use]
    pub fn credential(&self, user: &UserName) -> Option<&Credential> {
        self.users.get(user)
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &UserName> {
        self.users.keys()
    }

    /// How many users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn an_ha1_is_the_one_of_the_standard() {
        // The standard prints no HA1; these are md5sum's and sha256sum's words on the same text.
        let credential = Credential::new(&name("mufasa"), "testrealm@host.com", "Circle Of Life");
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(credential.md5()), "0e1fb08424a409737859c06e495ebf00");
        assert_eq!(hex(credential.sha256()), "66490663cbb52a109762f2cddc4396fdcaf760b4bfcf8e972135bf8bd401b91d");
        assert_eq!(credential, Credential::from_bytes(*credential.md5(), *credential.sha256()));
    }

    #[test]
    fn a_credential_is_never_printed() {
        let credential = Credential::new(&name("alice"), "verbund.test", "secret");
        assert_eq!(format!("{credential:?}"), "Credential(..)");
    }

    #[test]
    fn other_passwords_realms_and_users_make_other_credentials() {
        let base = Credential::new(&name("alice"), "verbund.test", "secret");
        assert_ne!(base, Credential::new(&name("alice"), "verbund.test", "Secret"));
        assert_ne!(base, Credential::new(&name("alice"), "other.test", "secret"));
        assert_ne!(base, Credential::new(&name("bob"), "verbund.test", "secret"));
        assert_ne!(base, Credential::from_bytes(*base.md5(), [0; 32]));
        assert_ne!(base, Credential::from_bytes([0; 16], *base.sha256()));
    }

    #[test]
    fn a_full_directory_takes_new_passwords_but_no_new_users() {
        let credential = || Credential::new(&name("alice"), "verbund.test", "secret");
        let mut directory = Directory::with_capacity_max(1);
        assert_eq!(directory.put(name("alice"), credential()), Ok(None));
        assert_eq!(directory.put(name("bob"), credential()), Err(DirectoryFull { users_max: 1 }));
        assert_eq!(directory.put(name("alice"), credential()), Ok(Some(credential())));
        assert!(directory.remove(&name("alice")));
        assert!(!directory.remove(&name("alice")));
        assert!(directory.is_empty());
    }
}
