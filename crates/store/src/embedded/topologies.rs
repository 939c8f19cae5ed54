//! The published topologies in SQLite.

use std::time::SystemTime;

use rusqlite::{Connection, Params, Row};

use super::worker::Done;
use super::{Embedded, audit, next_revision, rows, seconds, sha256, time, within};
use crate::limits::{DOCUMENT_BYTES_MAX, TOPOLOGIES_KEPT_MAX};
use crate::{Error, Event, Published, Result, Revision, TopologyStore, Version};

const COLUMNS: &str = "version, document, signed, published_at";

impl TopologyStore for Embedded {
    async fn publish(
        &self,
        document: &str,
        signed: Option<&str>,
        version: Version,
        expect: Option<Version>,
        now: SystemTime,
    ) -> Result<Revision> {
        within("a topology", document.len().max(signed.map_or(0, str::len)), DOCUMENT_BYTES_MAX)?;
        let (document, signed, published_at) = (document.to_owned(), signed.map(str::to_owned), seconds(now)?);
        let actor = self.actor.clone();
        self.write(move |connection| {
            let found = latest(connection)?.map(|published| published.version);
            if found != expect || found.is_some_and(|found| version <= found) {
                return Err(Error::Conflict { offered: version, found }.into());
            }
            let revision = next_revision(connection)?;
            let sql = format!("INSERT INTO topology({COLUMNS}, revision) VALUES(?1, ?2, ?3, ?4, ?5)");
            connection.prepare_cached(&sql)?.execute((version.0, &document, &signed, published_at, revision.0))?;
            forget_old(connection)?;
            let event = Event::TopologyPublished { version: version.0, sha256: sha256(document.as_bytes()) };
            audit::write(connection, &actor, published_at, &event)?;
            Ok(revision)
        })
        .await
    }

    async fn sign_again(&self, signed: &str, version: Version, now: SystemTime) -> Result<Revision> {
        within("a signed topology", signed.len(), DOCUMENT_BYTES_MAX)?;
        let (signed, at, actor) = (signed.to_owned(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let found = latest(connection)?.map(|published| published.version);
            if found != Some(version) {
                return Err(Error::Conflict { offered: version, found }.into());
            }
            let revision = next_revision(connection)?;
            let sql = "UPDATE topology SET signed = ?2, revision = ?3 WHERE version = ?1";
            connection.prepare_cached(sql)?.execute((version.0, &signed, revision.0))?;
            audit::write(connection, &actor, at, &Event::TopologySigned { version: version.0 })?;
            Ok(revision)
        })
        .await
    }

    async fn current(&self) -> Result<Option<Published>> {
        self.read(latest).await
    }

    async fn at(&self, version: Version) -> Result<Option<Published>> {
        self.read(move |connection| Ok(select(connection, "WHERE version = ?1", (version.0,))?.pop())).await
    }

    async fn history(&self, limit: usize) -> Result<Vec<Published>> {
        let limit = rows(limit);
        self.read(move |connection| select(connection, "ORDER BY version DESC LIMIT ?1", (limit,))).await
    }
}

/// Each move of a server is a version, so there is an end to those that are kept.
fn forget_old(connection: &Connection) -> Done<()> {
    let sql = "DELETE FROM topology WHERE version <= (SELECT version FROM topology ORDER BY version DESC LIMIT 1 OFFSET ?1)";
    connection.prepare_cached(sql)?.execute((rows(TOPOLOGIES_KEPT_MAX),))?;
    Ok(())
}

fn latest(connection: &Connection) -> Done<Option<Published>> {
    Ok(select(connection, "ORDER BY version DESC LIMIT 1", [])?.pop())
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn select(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<Published>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM topology {which}"))?;
    let mut found = statement.query(parameters)?;
    let mut topologies = Vec::new();
    while let Some(row) = found.next()? {
        topologies.push(published(row)?);
    }
    Ok(topologies)
}

fn published(row: &Row<'_>) -> Done<Published> {
    Ok(Published { version: Version(row.get(0)?), document: row.get(1)?, signed: row.get(2)?, published_at: time(row.get(3)?)? })
}
