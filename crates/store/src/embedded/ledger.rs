//! The certificates that were issued, in SQLite.

use std::time::SystemTime;

use pki::Serial;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::worker::Fault;
use super::{Embedded, next_revision, seconds, time};
use crate::{Error, IssuanceLedger, Issued, Result, Revision, Role};

const COLUMNS: &str = "serial, role, subject, names, issuer, not_before, not_after, der";

impl IssuanceLedger for Embedded {
    async fn record_issued(&self, issued: &Issued) -> Result<Revision> {
        let (not_before, not_after) = (seconds(issued.not_before)?, seconds(issued.not_after)?);
        let issued = issued.clone();
        self.write(move |connection| {
            if exists(connection, &issued.serial)? {
                return Err(Error::SerialTaken(issued.serial.clone()).into());
            }
            let revision = next_revision(connection)?;
            insert(connection, &issued, not_before, not_after, revision)?;
            Ok(revision)
        })
        .await
    }

    async fn certificate(&self, serial: &Serial) -> Result<Option<Issued>> {
        let serial = serial.clone();
        self.read(move |connection| Ok(select(connection, "serial = ?1", (serial.as_bytes(),))?.pop())).await
    }

    async fn certificates(&self, now: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (now, limit) = (seconds(now)?, rows(limit));
        self.read(move |connection| select(connection, "not_after >= ?1 ORDER BY not_after, serial LIMIT ?2", (now, limit))).await
    }

    async fn expiring(&self, now: SystemTime, before: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (now, before, limit) = (seconds(now)?, seconds(before)?, rows(limit));
        self.read(move |connection| {
            let which = "not_before <= ?1 AND not_after >= ?1 AND not_after < ?2 ORDER BY not_after, serial LIMIT ?3";
            select(connection, which, (now, before, limit))
        })
        .await
    }
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn exists(connection: &Connection, serial: &Serial) -> std::result::Result<bool, Fault> {
    let sql = "SELECT 1 FROM certificate WHERE serial = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((serial.as_bytes(),), |_| Ok(())).optional()?.is_some())
}

fn insert(connection: &Connection, issued: &Issued, not_before: i64, not_after: i64, revision: Revision) -> std::result::Result<(), Fault> {
    let names = serde_json::to_string(&issued.names).map_err(|error| Fault::damaged(error.to_string()))?;
    let sql = format!("INSERT INTO certificate({COLUMNS}, revision) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    connection.prepare_cached(&sql)?.execute((
        issued.serial.as_bytes(),
        issued.role.as_str(),
        &issued.subject,
        names,
        &issued.issuer,
        not_before,
        not_after,
        &issued.der,
        revision.0,
    ))?;
    Ok(())
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn select(connection: &Connection, which: &'static str, parameters: impl Params) -> std::result::Result<Vec<Issued>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM certificate WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(issued(row)?);
    }
    Ok(found)
}

fn issued(row: &Row<'_>) -> std::result::Result<Issued, Fault> {
    let role: String = row.get(1)?;
    let names: String = row.get(3)?;
    Ok(Issued {
        serial: Serial::from_be_bytes(&row.get::<_, Vec<u8>>(0)?),
        role: Role::ALL
            .into_iter()
            .find(|known| known.as_str() == role)
            .ok_or_else(|| Fault::damaged(format!("a certificate for {role:?}")))?,
        subject: row.get(2)?,
        names: serde_json::from_str(&names).map_err(|_| Fault::damaged("a certificate's list of names"))?,
        issuer: row.get(4)?,
        not_before: time(row.get(5)?)?,
        not_after: time(row.get(6)?)?,
        der: row.get(7)?,
    })
}
