//! The tables, and how a file of an earlier version becomes one of this version.
//!
//! `PRAGMA user_version` counts the steps that a file has seen. A step that was released is never changed.

use std::path::Path;

use rusqlite::Connection;

use crate::{Error, Result};

/// Tells our files from those of other programs ("vrbd").
const APPLICATION_ID: i32 = 0x7672_6264;

const STEPS: &[&str] = &[
    // 1: users, certificates, the topology.
    "CREATE TABLE head(
         id INTEGER PRIMARY KEY CHECK(id = 1),
         revision INTEGER NOT NULL
     ) STRICT;
     INSERT INTO head VALUES(1, 0);
     CREATE TABLE users(
         domain TEXT NOT NULL,
         name TEXT NOT NULL,
         ha1_md5 BLOB NOT NULL CHECK(length(ha1_md5) = 16),
         ha1_sha256 BLOB NOT NULL CHECK(length(ha1_sha256) = 32),
         created INTEGER NOT NULL,
         revision INTEGER NOT NULL,
         PRIMARY KEY(domain, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE certificate(
         serial BLOB PRIMARY KEY CHECK(length(serial) BETWEEN 1 AND 20),
         role TEXT NOT NULL,
         subject TEXT NOT NULL,
         names TEXT NOT NULL,
         issuer TEXT NOT NULL,
         not_before INTEGER NOT NULL,
         not_after INTEGER NOT NULL,
         der BLOB NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX certificate_not_after ON certificate(not_after);
     CREATE TABLE topology(
         version INTEGER PRIMARY KEY,
         document TEXT NOT NULL,
         published_at INTEGER NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;",
];

/// Brings the file up to date; refuses one that is not ours, later than we know, or damaged, without a change to it.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<()> {
    let sqlite = |error: rusqlite::Error| Error::sqlite(path, &error);
    let found = version(connection, path)?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    check(connection, path)?;
    for (step, sql) in (1..).zip(STEPS).skip(found as usize) {
        let pragmas = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {step};");
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} {pragmas} COMMIT")).map_err(sqlite)?;
    }
    Ok(())
}

/// How many steps the file has seen: 0 for one that was made just now.
fn version(connection: &Connection, path: &Path) -> Result<i64> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| Error::sqlite(path, &error));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (id, 1.., 1..) if id == i64::from(APPLICATION_ID) => Ok(version),
        _ => Err(Error::Foreign { path: path.to_owned() }),
    }
}

/// Reads through all pages, so that damage is met at the start and not in the middle of the night.
fn check(connection: &Connection, path: &Path) -> Result<()> {
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(detail) => Err(Error::Damaged { path: path.to_owned(), detail }),
        Err(error) => Err(Error::sqlite(path, &error)),
    }
}
