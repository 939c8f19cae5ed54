//! Users and credentials in SQLite.

use std::time::SystemTime;

use pki::Fqdn;
use registrar::{Aor, Credential, UserName};
use rusqlite::{Connection, OptionalExtension, Row};

use super::worker::{Done, Fault};
use super::{Embedded, audit, fqdn, next_revision, seconds, time};
use crate::{Directory, Error, Event, Result, Revision, User};

const COLUMNS: &str = "domain, name, ha1_md5, ha1_sha256, created, revision, pool";

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

    async fn add_user(&self, aor: &Aor, credential: &Credential, pool: Option<&Fqdn>, now: SystemTime) -> Result<Revision> {
        let (aor, credential, created) = (aor.clone(), credential.clone(), seconds(now)?);
        let (pool, actor) = (pool.map(Fqdn::to_string), self.actor.clone());
        self.write(move |connection| {
            if exists(connection, &aor)? {
                return Err(Error::UserExists(aor.clone()).into());
            }
            let revision = next_revision(connection)?;
            let sql = format!("INSERT INTO users({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
            let (md5, sha256, home) = (credential.md5(), credential.sha256(), pool.as_deref().unwrap_or_default());
            let row = (&*aor.domain, aor.user.as_str(), md5, sha256, created, revision.0, home);
            connection.prepare_cached(&sql)?.execute(row)?;
            audit::write(connection, &actor, created, &Event::UserAdded { aor: aor.to_string(), pool: pool.clone() })?;
            Ok(revision)
        })
        .await
    }

    async fn replace_credential(&self, aor: &Aor, credential: &Credential, now: SystemTime) -> Result<Revision> {
        let (aor, credential, at, actor) = (aor.clone(), credential.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            let sql = "UPDATE users SET ha1_md5 = ?3, ha1_sha256 = ?4, revision = ?5 WHERE domain = ?1 AND name = ?2";
            let (md5, sha256) = (credential.md5(), credential.sha256());
            one(connection.prepare_cached(sql)?.execute((&*aor.domain, aor.user.as_str(), md5, sha256, revision.0))?, &aor)?;
            audit::write(connection, &actor, at, &Event::CredentialReplaced { aor: aor.to_string() })?;
            Ok(revision)
        })
        .await
    }

    async fn move_user(&self, aor: &Aor, pool: Option<&Fqdn>, now: SystemTime) -> Result<Revision> {
        let (aor, pool, at, actor) = (aor.clone(), pool.map(Fqdn::to_string), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            let sql = "UPDATE users SET pool = ?3, revision = ?4 WHERE domain = ?1 AND name = ?2";
            let home = pool.as_deref().unwrap_or_default();
            one(connection.prepare_cached(sql)?.execute((&*aor.domain, aor.user.as_str(), home, revision.0))?, &aor)?;
            audit::write(connection, &actor, at, &Event::UserMoved { aor: aor.to_string(), pool: pool.clone() })?;
            Ok(revision)
        })
        .await
    }

    async fn remove_user(&self, aor: &Aor, now: SystemTime) -> Result<Revision> {
        let (aor, at, actor) = (aor.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            let sql = "DELETE FROM users WHERE domain = ?1 AND name = ?2";
            one(connection.prepare_cached(sql)?.execute((&*aor.domain, aor.user.as_str()))?, &aor)?;
            audit::write(connection, &actor, at, &Event::UserRemoved { aor: aor.to_string() })?;
            Ok(revision)
        })
        .await
    }
}

/// The error takes the transaction back, and the revision with it: numbers have no gaps.
fn one(changed: usize, aor: &Aor) -> Done<()> {
    if changed == 1 { Ok(()) } else { Err(Error::NoSuchUser(aor.clone()).into()) }
}

fn exists(connection: &Connection, aor: &Aor) -> Done<bool> {
    let sql = "SELECT 1 FROM users WHERE domain = ?1 AND name = ?2";
    let found = connection.prepare_cached(sql)?.query_row((&*aor.domain, aor.user.as_str()), |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn user(row: &Row<'_>) -> Done<User> {
    let domain: String = row.get(0)?;
    let name: String = row.get(1)?;
    let user = UserName::parse(&name).map_err(|_| Fault::damaged("a user's name cannot be one"))?;
    Ok(User {
        aor: Aor::new(user, &domain),
        credential: Credential::from_bytes(row.get(2)?, row.get(3)?),
        created: time(row.get(4)?)?,
        revision: Revision(row.get(5)?),
        pool: Some(row.get::<_, String>(6)?).filter(|pool| !pool.is_empty()).map(|pool| fqdn(&pool)).transpose()?,
    })
}
