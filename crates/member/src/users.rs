//! The users of the organisation as this server knows them: every one's home, and the credentials of those who sign in
//! here.

use std::collections::HashMap;

use pki::Fqdn;
use registrar::{Credential, UserName};
use web::control::{CredentialRecord, UserRecord};
use zeroize::Zeroizing;

/// The most users of an organisation.
pub const USERS_MAX: usize = 1_000_000;

/// One user.
#[derive(Clone, Debug)]
pub struct Homed {
    /// The home pool.
    pub pool: Fqdn,
    /// For servers of the home pool and directors: what a sign-in is checked with.
    pub credential: Option<Credential>,
}

impl PartialEq for Homed {
    fn eq(&self, other: &Self) -> bool {
        let digests = |homed: &Self| homed.credential.as_ref().map(|credential| (*credential.md5(), *credential.sha256()));
        self.pool == other.pool && digests(self) == digests(other)
    }
}

impl Eq for Homed {}

/// Everybody, as of one revision.
#[derive(Clone, Debug, Default)]
pub struct Users {
    revision: u64,
    users: HashMap<UserName, Homed>,
}

/// What a new revision changes.
#[derive(Clone, Debug, Default)]
pub struct UsersChange {
    /// Made, moved, or with another password.
    pub put: Vec<(UserName, Homed)>,
    /// Taken out.
    pub gone: Vec<UserName>,
}

impl UsersChange {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.gone.is_empty()
    }
}

/// Why a part of the directory was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UsersFault {
    /// A name or a pool that cannot be one.
    #[error("the directory names {0:?}, which cannot be a user or a pool; the authority may be of another version")]
    Name(String),
    /// More than a server holds.
    #[error("the directory has more than {USERS_MAX} users; move some to another organisation")]
    TooMany,
}

impl Users {
    /// Which change of the directory is the last one known here; 0 for none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Everybody.
    pub fn iter(&self) -> impl Iterator<Item = (&UserName, &Homed)> {
        self.users.iter()
    }

    /// Takes in a part of the directory: all of it or nothing. What is known already changes nothing, so that a server
    /// that is told everything anew cuts nobody.
    ///
    /// # Errors
    /// A record that cannot be read, or too many.
    pub fn take(&mut self, revision: u64, from_scratch: bool, put: &[UserRecord], gone: &[String]) -> Result<UsersChange, UsersFault> {
        let put = put.iter().map(read).collect::<Result<HashMap<_, _>, _>>()?;
        let gone = gone.iter().map(|name| user(name)).collect::<Result<Vec<_>, _>>()?;
        let gone = if from_scratch {
            self.users.keys().filter(|name| !put.contains_key(*name)).cloned().collect()
        } else {
            gone.into_iter().filter(|name| self.users.contains_key(name)).collect()
        };
        let change = UsersChange { gone, put: put.into_iter().filter(|(name, homed)| self.users.get(name) != Some(homed)).collect() };
        let made = change.put.iter().filter(|(name, _)| !self.users.contains_key(name)).count();
        if self.users.len() + made - change.gone.len() > USERS_MAX {
            return Err(UsersFault::TooMany);
        }
        for name in &change.gone {
            self.users.remove(name);
        }
        self.users.extend(change.put.iter().cloned());
        self.revision = revision;
        Ok(change)
    }

    /// Everybody as records, to be kept on disk.
    #[must_use]
    pub fn records(&self, domain: &str) -> Vec<UserRecord> {
        let mut records: Vec<UserRecord> = self.users.iter().map(|(name, homed)| record(name, homed, domain)).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }
}

/// A user as it travels.
#[must_use]
pub fn record(name: &UserName, homed: &Homed, domain: &str) -> UserRecord {
    let credential = homed
        .credential
        .as_ref()
        .map(|credential| CredentialRecord { md5: Zeroizing::new(*credential.md5()), sha256: Zeroizing::new(*credential.sha256()) });
    UserRecord { name: name.to_string(), domain: domain.to_owned(), pool: homed.pool.to_string(), credential }
}

fn read(record: &UserRecord) -> Result<(UserName, Homed), UsersFault> {
    let pool = Fqdn::parse(&record.pool).map_err(|_| UsersFault::Name(record.pool.clone()))?;
    let credential = record.credential.as_ref().map(|digests| Credential::from_bytes(*digests.md5, *digests.sha256));
    Ok((user(&record.name)?, Homed { pool, credential }))
}

fn user(name: &str) -> Result<UserName, UsersFault> {
    UserName::parse(name).map_err(|_| UsersFault::Name(name.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn homed(pool: &str, password: &str) -> Homed {
        let name = UserName::parse("x").unwrap();
        Homed { pool: pool.parse().unwrap(), credential: Some(Credential::new(&name, "contoso.example", password)) }
    }

    fn records(users: &[(&str, &str, &str)]) -> Vec<UserRecord> {
        let one = |(name, pool, password): &(&str, &str, &str)| {
            record(&UserName::parse(name).unwrap(), &homed(pool, password), "contoso.example")
        };
        users.iter().map(one).collect()
    }

    fn names(users: &Users) -> Vec<String> {
        users.records("contoso.example").into_iter().map(|record| record.name).collect()
    }

    #[test]
    fn who_is_known_already_is_no_change() {
        let mut users = Users::default();
        let all = records(&[("anna", "p1.contoso.example", "a"), ("bert", "p2.contoso.example", "b")]);
        assert_eq!(users.take(1, true, &all, &[]).unwrap().put.len(), 2);
        assert!(users.take(2, true, &all, &[]).unwrap().is_empty());
        let moved = records(&[("anna", "p2.contoso.example", "a"), ("bert", "p2.contoso.example", "b")]);
        assert_eq!(users.take(3, true, &moved, &[]).unwrap().put.len(), 1);
        assert_eq!(users.revision(), 3);
    }

    #[test]
    fn who_is_not_in_a_whole_directory_is_gone() {
        let mut users = Users::default();
        users.take(1, true, &records(&[("anna", "p1.contoso.example", "a"), ("bert", "p1.contoso.example", "b")]), &[]).unwrap();
        let change = users.take(2, true, &records(&[("anna", "p1.contoso.example", "a")]), &[]).unwrap();
        assert_eq!(change.gone, [UserName::parse("bert").unwrap()]);
        assert_eq!(names(&users), ["anna"]);
    }

    #[test]
    fn a_part_touches_only_whom_it_names() {
        let mut users = Users::default();
        users.take(1, true, &records(&[("anna", "p1.contoso.example", "a"), ("bert", "p1.contoso.example", "b")]), &[]).unwrap();
        let change = users.take(2, false, &records(&[("carla", "p1.contoso.example", "c")]), &["anna".into(), "nobody".into()]).unwrap();
        assert_eq!((change.put.len(), change.gone.len()), (1, 1));
        assert_eq!(names(&users), ["bert", "carla"]);
    }

    #[test]
    fn a_part_that_cannot_be_read_changes_nothing() {
        let mut users = Users::default();
        users.take(1, true, &records(&[("anna", "p1.contoso.example", "a")]), &[]).unwrap();
        let mut bad = records(&[("bert", "p1.contoso.example", "b"), ("carla", "p1.contoso.example", "c")]);
        bad[1].pool = "p1".into();
        assert!(users.take(2, true, &bad, &[]).is_err());
        assert_eq!((names(&users), users.revision()), (vec!["anna".to_owned()], 1));
    }
}
