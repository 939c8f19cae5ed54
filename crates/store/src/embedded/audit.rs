//! The audit log in SQLite. Links are written in the transaction of the change they tell of.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row};

use super::worker::{Done, Fault};
use super::{Embedded, rows, seconds, time, within};
use crate::limits::{DOCUMENT_BYTES_MAX, EVENT_BYTES_MAX};
use crate::{Actor, AuditLog, Chain, Checkpoint, Error, Event, Head, Link, Result, Verdict};

const COLUMNS: &str = "number, previous, hash, at, actor, event";

/// Adds a link for an event. To be called once per event, in the transaction that does what the event tells.
pub(super) fn write(connection: &Connection, actor: &Actor, at: i64, event: &Event) -> Done<Link> {
    let text = serde_json::to_string(event).map_err(|error| Fault::damaged(error.to_string()))?;
    within("an event of the audit log", text.len(), EVENT_BYTES_MAX)?;
    let link = Link::after(recorded(connection)?.as_ref(), time(at)?, actor.to_string(), text);
    let sql = format!("INSERT INTO audit({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    connection.prepare_cached(&sql)?.execute((link.number, link.previous, link.hash, at, &link.actor, &link.event))?;
    let sql = "INSERT INTO audit_head VALUES(1, ?1, ?2) ON CONFLICT DO UPDATE SET number = excluded.number, hash = excluded.hash";
    connection.prepare_cached(sql)?.execute((link.number, link.hash))?;
    Ok(link)
}

impl AuditLog for Embedded {
    async fn append(&self, event: &Event, now: SystemTime) -> Result<Link> {
        let (event, at, actor) = (event.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| write(connection, &actor, at, &event)).await
    }

    async fn links(&self, from: u64, limit: usize) -> Result<Vec<Link>> {
        let limit = rows(limit);
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE number >= ?1 ORDER BY number LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query((from, limit))?;
            let mut links = Vec::new();
            while let Some(row) = found.next()? {
                links.push(link(row)?);
            }
            Ok(links)
        })
        .await
    }

    async fn head(&self) -> Result<Option<Head>> {
        self.read(recorded).await
    }

    async fn verify(&self, noted: &[Head]) -> Result<Verdict> {
        let noted = noted.to_vec();
        self.read(move |connection| {
            // One snapshot: links that are written meanwhile are not seen halfway. A savepoint is one, inside a transaction and out.
            connection.execute_batch("SAVEPOINT reading")?;
            let verdict = verdict(connection, &noted);
            connection.execute_batch("RELEASE reading")?;
            verdict
        })
        .await
    }

    async fn checkpoint(&self, head: &Head, signed: &str, now: SystemTime) -> Result<()> {
        within("a signed head", signed.len(), DOCUMENT_BYTES_MAX)?;
        let (head, signed, at) = (*head, signed.to_owned(), seconds(now)?);
        self.write(move |connection| {
            let sql = "SELECT hash FROM audit WHERE number = ?1";
            let found = connection.prepare_cached(sql)?.query_row((head.number,), |row| row.get::<_, [u8; 32]>(0)).optional()?;
            if found != Some(head.hash) {
                return Err(Error::NotInChain(head).into());
            }
            let sql = "INSERT OR REPLACE INTO audit_checkpoint(number, hash, signed, at) VALUES(?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((head.number, head.hash, &signed, at))?;
            Ok(())
        })
        .await
    }

    async fn checkpoints(&self, limit: usize) -> Result<Vec<Checkpoint>> {
        let limit = rows(limit);
        self.read(move |connection| newest_checkpoints(connection, limit)).await
    }
}

/// What the store knows as the last link.
fn recorded(connection: &Connection) -> Done<Option<Head>> {
    let mut statement = connection.prepare_cached("SELECT number, hash FROM audit_head")?;
    let mut found = statement.query([])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(Head { number: row.get(0)?, hash: row.get(1)? }))
}

fn newest_checkpoints(connection: &Connection, limit: i64) -> Done<Vec<Checkpoint>> {
    let sql = "SELECT number, hash, signed, at FROM audit_checkpoint ORDER BY number DESC LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((limit,))?;
    let mut checkpoints = Vec::new();
    while let Some(row) = found.next()? {
        let head = Head { number: row.get(0)?, hash: row.get(1)? };
        checkpoints.push(Checkpoint { head, signed: row.get(2)?, at: time(row.get(3)?)? });
    }
    Ok(checkpoints)
}

fn signed_heads(connection: &Connection) -> Done<Vec<Head>> {
    let mut statement = connection.prepare_cached("SELECT number, hash FROM audit_checkpoint")?;
    let mut found = statement.query([])?;
    let mut heads = Vec::new();
    while let Some(row) = found.next()? {
        heads.push(Head { number: row.get(0)?, hash: row.get(1)? });
    }
    Ok(heads)
}

fn verdict(connection: &Connection, noted: &[Head]) -> Done<Verdict> {
    let mut chain = Chain::through([&signed_heads(connection)?, noted].concat());
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY number"))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if let Err(broken) = chain.take(&link(row)?) {
            return Ok(Verdict::Broken(broken));
        }
    }
    match chain.end(recorded(connection)?) {
        Ok(head) => Ok(Verdict::Intact { head, checkpoint: newest_checkpoints(connection, 1)?.pop() }),
        Err(broken) => Ok(Verdict::Broken(broken)),
    }
}

fn link(row: &Row<'_>) -> Done<Link> {
    Ok(Link {
        number: row.get(0)?,
        previous: row.get(1)?,
        hash: row.get(2)?,
        at: time(row.get(3)?)?,
        actor: row.get(4)?,
        event: row.get(5)?,
    })
}
