//! The published topologies in SQLite.

use std::time::SystemTime;

use rusqlite::Connection;

use super::worker::Fault;
use super::{Embedded, next_revision, seconds, time};
use crate::{Error, Published, Result, Revision, TopologyStore, Version};

impl TopologyStore for Embedded {
    async fn publish(&self, document: &str, version: Version, expect: Option<Version>, now: SystemTime) -> Result<Revision> {
        let (document, published_at) = (document.to_owned(), seconds(now)?);
        self.write(move |connection| {
            let found = latest(connection)?.map(|published| published.version);
            if found != expect || found.is_some_and(|found| version <= found) {
                return Err(Error::Conflict { offered: version, found }.into());
            }
            let revision = next_revision(connection)?;
            let sql = "INSERT INTO topology(version, document, published_at, revision) VALUES(?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((version.0, &document, published_at, revision.0))?;
            Ok(revision)
        })
        .await
    }

    async fn current(&self) -> Result<Option<Published>> {
        self.read(latest).await
    }
}

fn latest(connection: &Connection) -> std::result::Result<Option<Published>, Fault> {
    let sql = "SELECT version, document, published_at FROM topology ORDER BY version DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Published { version: Version(row.get(0)?), document: row.get(1)?, published_at: time(row.get(2)?)? }))
}
