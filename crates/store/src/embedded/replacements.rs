//! The replacement of the CA in SQLite.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension};

use super::worker::Done;
use super::{Embedded, audit, next_revision, seconds, time, within};
use crate::limits::{BRIDGES_MAX, DOCUMENT_BYTES_MAX, REPLACEMENT_BYTES_MAX};
use crate::{Bundle, Event, Replacements, Result, Revision};

impl Replacements for Embedded {
    async fn keep_replacement(&self, record: Option<&str>, event: &Event, now: SystemTime) -> Result<Revision> {
        within("the record of a CA's replacement", record.map_or(0, str::len), REPLACEMENT_BYTES_MAX)?;
        let (record, event, at, actor) = (record.map(str::to_owned), event.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let revision = next_revision(connection)?;
            match &record {
                Some(record) => {
                    let sql = "INSERT OR REPLACE INTO replacement(id, record, kept_at, revision) VALUES(1, ?1, ?2, ?3)";
                    connection.prepare_cached(sql)?.execute((record, at, revision.0))?;
                }
                None => drop(connection.prepare_cached("DELETE FROM replacement")?.execute([])?),
            }
            audit::write(connection, &actor, at, &event)?;
            Ok(revision)
        })
        .await
    }

    async fn replacement(&self) -> Result<Option<String>> {
        self.read(|connection| {
            Ok(connection.prepare_cached("SELECT record FROM replacement")?.query_row([], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn keep_bridge(&self, bridge: &Bundle) -> Result<()> {
        within("a trust bundle", bridge.signed.len(), DOCUMENT_BYTES_MAX)?;
        let (bridge, at) = (bridge.clone(), seconds(bridge.published_at)?);
        self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO bridge(sequence, signed, published_at) VALUES(?1, ?2, ?3)";
            connection.prepare_cached(sql)?.execute((bridge.sequence, &bridge.signed, at))?;
            let surplus = "DELETE FROM bridge WHERE sequence NOT IN (SELECT sequence FROM bridge ORDER BY sequence DESC LIMIT ?1)";
            connection.prepare_cached(surplus)?.execute((super::rows(BRIDGES_MAX),))?;
            Ok(())
        })
        .await
    }

    async fn bridge_after(&self, sequence: u64) -> Result<Option<Bundle>> {
        self.read(move |connection| first_after(connection, sequence)).await
    }
}

fn first_after(connection: &Connection, sequence: u64) -> Done<Option<Bundle>> {
    // A stranger may say any number; beyond what SQLite counts to, there is nothing.
    let Ok(sequence) = i64::try_from(sequence) else { return Ok(None) };
    let sql = "SELECT sequence, signed, published_at FROM bridge WHERE sequence > ?1 ORDER BY sequence LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((sequence,))?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(Bundle { sequence: row.get(0)?, signed: row.get(1)?, published_at: time(row.get(2)?)? }))
}
