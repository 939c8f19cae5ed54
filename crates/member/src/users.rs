//! The users of the organisation as this server knows them: every one's home, and the credentials of those who sign in
//! here.
//!
//! They are kept in parts, in memory and on disk: a change of one user costs a part of a directory, not all of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pki::{Fingerprint, Fqdn};
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

/// Into how many parts a directory is divided. On disk a part is a document with its number as the key, and one more says the
/// revision: never to be changed without reading the directories of before.
pub(crate) const PARTS: usize = 128;

/// The part in which a user is, by a digest of the name: the same on every start.
fn part_of(name: &UserName) -> usize {
    usize::from(Fingerprint::of(name.as_str().as_bytes()).as_bytes()[0]) % PARTS
}

/// Everybody, as of one revision. A copy costs a pointer a part.
#[derive(Clone, Debug)]
pub struct Users {
    revision: u64,
    parts: Vec<Arc<HashMap<UserName, Homed>>>,
}

impl Default for Users {
    fn default() -> Self {
        Self { revision: 0, parts: vec![Arc::default(); PARTS] }
    }
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

    /// The parts of the directory that it concerns.
    pub(crate) fn parts(&self) -> BTreeSet<usize> {
        self.put.iter().map(|(name, _)| name).chain(&self.gone).map(part_of).collect()
    }
}

/// Why a part of the directory was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UsersFault {
    /// A name or a pool that cannot be one.
    #[error("the directory names {0:?}, which cannot be a user or a pool; the authority may be of another version")]
    Name(String),
    /// Users of another domain than the one that this server signs users in for.
    #[error("the directory is of {told}, and this server joined for {own}, so no password would fit; join again with a new join string")]
    Domain {
        /// What the directory says.
        told: String,
        /// What this server believes.
        own: String,
    },
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
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &UserName) -> Option<&Homed> {
        self.parts.get(part_of(name))?.get(name)
    }

    /// Room for a change of this user; a part that somebody else looks at is copied before.
    fn part_mut(&mut self, name: &UserName) -> Option<&mut HashMap<UserName, Homed>> {
        self.parts.get_mut(part_of(name)).map(Arc::make_mut)
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
            self.iter().map(|(name, _)| name).filter(|name| !put.contains_key(*name)).cloned().collect()
        } else {
            gone.into_iter().filter(|name| self.get(name).is_some()).collect()
        };
        let change = UsersChange { gone, put: put.into_iter().filter(|(name, homed)| self.get(name) != Some(homed)).collect() };
        let made = change.put.iter().filter(|(name, _)| self.get(name).is_none()).count();
        if self.len() + made - change.gone.len() > USERS_MAX {
            return Err(UsersFault::TooMany);
        }
        for name in &change.gone {
            self.part_mut(name).map(|part| part.remove(name));
        }
        for (name, homed) in &change.put {
            self.part_mut(name).map(|part| part.insert(name.clone(), homed.clone()));
        }
        self.revision = revision;
        Ok(change)
    }

    /// One part as records, to be kept on disk.
    #[must_use]
    pub(crate) fn records_of_part(&self, part: usize, domain: &str) -> Vec<UserRecord> {
        let users = self.parts.get(part).into_iter().flat_map(|part| part.iter());
        let mut records: Vec<UserRecord> = users.map(|(name, homed)| record(name, homed, domain)).collect();
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
        let mut names: Vec<String> = users.iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
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
    fn a_change_of_one_user_copies_and_concerns_one_part() {
        let mut users = Users::default();
        let name = |n: usize| format!("user{n}");
        let all: Vec<UserRecord> = (0..4 * PARTS).flat_map(|n| records(&[(name(n).as_str(), "p1.contoso.example", "a")])).collect();
        users.take(1, true, &all, &[]).unwrap();
        let before = users.clone();
        let change = users.take(2, false, &records(&[("user7", "p2.contoso.example", "a")]), &["user7777".into()]).unwrap();
        let others = before.parts.iter().zip(&users.parts).filter(|(before, after)| !Arc::ptr_eq(before, after)).count();
        assert_eq!((others, change.parts().len(), users.len()), (1, 1, 4 * PARTS));
        assert!(users.take(3, true, &all, &[]).unwrap().parts().len() == 1, "also when all of it is told anew");
        let of_parts: usize = (0..PARTS).map(|part| users.records_of_part(part, "contoso.example").len()).sum();
        assert_eq!(of_parts, 4 * PARTS, "each is in one part");
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
