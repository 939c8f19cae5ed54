//! Users and credentials in SQLite.

use std::time::SystemTime;

use registrar::{Aor, Credential, UserName};
use rusqlite::{Connection, OptionalExtension, Row};

use super::worker::Fault;
use super::{Embedded, next_revision, seconds, time};
use crate::{Directory, Error, Result, Revision, User};

const COLUMNS: &str = "domain, name, ha1_md5, ha1_sha256, created, revision";

impl Directory for Embedded {
    async fn users(&self) -> Result<Vec<User>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM users ORDER BY domain, name"))?;
            let mut rows = statement.query([])?;
            let mut users = Vec::new();
            while let Some(row) = rows.next()? {
                users.push(user(row)?);
            }
            Ok(users)
        })
        .await
    }

    async fn user(&self, aor: &Aor) -> Result<Option<User>> {
        let aor = aor.clone();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM users WHERE domain = ?1 AND name = ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((&*aor.domain, aor.user.as_str()))?;
            rows.next()?.map(user).transpose()
        })
        .await
    }

    async fn add_user(&self, aor: &Aor, credential: &Credential, now: SystemTime) -> Result<Revision> {
        let (aor, credential, created) = (aor.clone(), credential.clone(), seconds(now)?);
        self.write(move |connection| {
            if exists(connection, &aor)? {
                return Err(Error::UserExists(aor.clone()).into());
            }
            let revision = next_revision(connection)?;
            let sql = format!("INSERT INTO users({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
            let (md5, sha256) = (credential.md5(), credential.sha256());
            connection.prepare_cached(&sql)?.execute((&*aor.domain, aor.user.as_str(), md5, sha256, created, revision.0))?;
            Ok(revision)
        })
        .await
    }

    async fn replace_credential(&self, aor: &Aor, credential: &Credential) -> Result<Revision> {
        let (aor, credential) = (aor.clone(), credential.clone());
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            let sql = "UPDATE users SET ha1_md5 = ?3, ha1_sha256 = ?4, revision = ?5 WHERE domain = ?1 AND name = ?2";
            let (md5, sha256) = (credential.md5(), credential.sha256());
            let changed = connection.prepare_cached(sql)?.execute((&*aor.domain, aor.user.as_str(), md5, sha256, revision.0))?;
            one(changed, revision, &aor)
        })
        .await
    }

    async fn remove_user(&self, aor: &Aor) -> Result<Revision> {
        let aor = aor.clone();
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            let sql = "DELETE FROM users WHERE domain = ?1 AND name = ?2";
            let changed = connection.prepare_cached(sql)?.execute((&*aor.domain, aor.user.as_str()))?;
            one(changed, revision, &aor)
        })
        .await
    }
}

/// The error takes the transaction back, and the revision with it: numbers have no gaps.
fn one(changed: usize, revision: Revision, aor: &Aor) -> std::result::Result<Revision, Fault> {
    if changed == 1 { Ok(revision) } else { Err(Error::NoSuchUser(aor.clone()).into()) }
}

fn exists(connection: &Connection, aor: &Aor) -> std::result::Result<bool, Fault> {
    let sql = "SELECT 1 FROM users WHERE domain = ?1 AND name = ?2";
    let found = connection.prepare_cached(sql)?.query_row((&*aor.domain, aor.user.as_str()), |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn user(row: &Row<'_>) -> std::result::Result<User, Fault> {
    let domain: String = row.get(0)?;
    let name: String = row.get(1)?;
    let user = UserName::parse(&name).map_err(|_| Fault::damaged("a user's name cannot be one"))?;
    Ok(User {
        aor: Aor::new(user, &domain),
        credential: Credential::from_bytes(row.get(2)?, row.get(3)?),
        created: time(row.get(4)?)?,
        revision: Revision(row.get(5)?),
    })
}
