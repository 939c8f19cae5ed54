//! The trust bundle and the revocation lists in SQLite.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::worker::Done;
use super::{Embedded, audit, next_revision, seconds, sha256, time, within};
use crate::limits::{DOCUMENT_BYTES_MAX, LIST_BYTES_MAX};
use crate::{Bundle, Bundles, Error, Event, Result, Revision, RevocationList, RevocationListStore};

impl Bundles for Embedded {
    async fn publish_bundle(&self, signed: &str, sequence: u64, now: SystemTime) -> Result<Revision> {
        within("a trust bundle", signed.len(), DOCUMENT_BYTES_MAX)?;
        let (signed, at, actor) = (signed.to_owned(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let found = bundle(connection)?.map(|bundle| bundle.sequence);
            newer("trust bundle", sequence, found)?;
            let revision = next_revision(connection)?;
            let sql = "INSERT OR REPLACE INTO bundle(id, sequence, signed, published_at, revision) VALUES(1, ?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((sequence, &signed, at, revision.0))?;
            let event = Event::BundlePublished { sequence, sha256: sha256(signed.as_bytes()) };
            audit::write(connection, &actor, at, &event)?;
            Ok(revision)
        })
        .await
    }

    async fn bundle(&self) -> Result<Option<Bundle>> {
        self.read(bundle).await
    }
}

fn bundle(connection: &Connection) -> Done<Option<Bundle>> {
    let mut statement = connection.prepare_cached("SELECT sequence, signed, published_at FROM bundle")?;
    let mut found = statement.query([])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(Bundle { sequence: row.get(0)?, signed: row.get(1)?, published_at: time(row.get(2)?)? }))
}

/// Row N29: what is published goes forward only.
fn newer(what: &str, offered: u64, found: Option<u64>) -> Result<()> {
    match found {
        Some(found) if offered <= found => Err(Error::NotNewer { what: what.to_owned(), offered, found }),
        Some(_) | None => Ok(()),
    }
}

const COLUMNS: &str = "issuer, number, der, this_update, next_update";

impl RevocationListStore for Embedded {
    async fn publish_list(&self, list: &RevocationList, now: SystemTime) -> Result<Revision> {
        within("a revocation list", list.der.len(), LIST_BYTES_MAX)?;
        let (this_update, next_update) = (seconds(list.this_update)?, seconds(list.next_update)?);
        let (list, at, actor) = (list.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let RevocationList { issuer, number, der, .. } = &list;
            newer("revocation list", *number, number_of(connection, issuer)?)?;
            let revision = next_revision(connection)?;
            let sql = format!("INSERT OR REPLACE INTO revocation_list({COLUMNS}, revision) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
            connection.prepare_cached(&sql)?.execute((issuer, number, der, this_update, next_update, revision.0))?;
            let event = Event::RevocationListPublished { issuer: issuer.clone(), number: *number, sha256: sha256(der) };
            audit::write(connection, &actor, at, &event)?;
            Ok(revision)
        })
        .await
    }

    async fn list(&self, issuer: &str) -> Result<Option<RevocationList>> {
        let issuer = issuer.to_owned();
        self.read(move |connection| Ok(select(connection, "WHERE issuer = ?1", (&issuer,))?.pop())).await
    }

    async fn lists(&self) -> Result<Vec<RevocationList>> {
        self.read(|connection| select(connection, "ORDER BY issuer", [])).await
    }
}

fn number_of(connection: &Connection, issuer: &str) -> Done<Option<u64>> {
    let sql = "SELECT number FROM revocation_list WHERE issuer = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((issuer,), |row| row.get(0)).optional()?)
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn select(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<RevocationList>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM revocation_list {which}"))?;
    let mut found = statement.query(parameters)?;
    let mut lists = Vec::new();
    while let Some(row) = found.next()? {
        lists.push(list(row)?);
    }
    Ok(lists)
}

fn list(row: &Row<'_>) -> Done<RevocationList> {
    Ok(RevocationList {
        issuer: row.get(0)?,
        number: row.get(1)?,
        der: row.get(2)?,
        this_update: time(row.get(3)?)?,
        next_update: time(row.get(4)?)?,
    })
}
