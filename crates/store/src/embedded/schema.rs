//! The tables, and how a file of an earlier version becomes one of this version.
//!
//! `PRAGMA user_version` counts the steps that a file has seen. A step that was released is never changed.

use std::cmp::Ordering;
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
    // 2: homes of users, tickets and accounts, revocation, what is published and held, the audit log.
    "ALTER TABLE users ADD COLUMN pool TEXT NOT NULL DEFAULT '';
     ALTER TABLE topology ADD COLUMN signed TEXT;
     ALTER TABLE certificate ADD COLUMN asked_by TEXT;
     ALTER TABLE certificate ADD COLUMN request_sha256 BLOB CHECK(length(request_sha256) = 32);
     CREATE TABLE certificate_name(
         name TEXT NOT NULL,
         serial BLOB NOT NULL,
         PRIMARY KEY(name, serial)
     ) STRICT, WITHOUT ROWID;
     INSERT OR IGNORE INTO certificate_name SELECT lower(listed.value), serial FROM certificate, json_each(names) AS listed;
     CREATE TABLE revocation(
         serial BLOB PRIMARY KEY CHECK(length(serial) BETWEEN 1 AND 20),
         issuer TEXT NOT NULL,
         reason INTEGER NOT NULL,
         revoked_at INTEGER NOT NULL,
         not_after INTEGER NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE enrolment(
         kid TEXT PRIMARY KEY,
         key BLOB CHECK(length(key) = 32),
         server TEXT NOT NULL,
         opened_at INTEGER NOT NULL,
         expires INTEGER NOT NULL,
         burnt_at INTEGER,
         voided_at INTEGER
     ) STRICT;
     CREATE INDEX enrolment_server ON enrolment(server);
     CREATE TABLE account(
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         jwk TEXT NOT NULL,
         thumbprint TEXT NOT NULL UNIQUE,
         server TEXT NOT NULL,
         kid TEXT NOT NULL,
         status TEXT NOT NULL CHECK(status IN ('valid', 'deactivated')),
         created INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX account_server ON account(server);
     CREATE TABLE revocation_list(
         issuer TEXT PRIMARY KEY CHECK(length(issuer) = 64),
         number INTEGER NOT NULL,
         der BLOB NOT NULL,
         this_update INTEGER NOT NULL,
         next_update INTEGER NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE bundle(
         id INTEGER PRIMARY KEY CHECK(id = 1),
         sequence INTEGER NOT NULL,
         signed TEXT NOT NULL,
         published_at INTEGER NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE member(
         server TEXT PRIMARY KEY,
         topology INTEGER,
         bundle INTEGER,
         lists TEXT NOT NULL,
         software TEXT NOT NULL,
         listeners TEXT NOT NULL,
         seen_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE held(
         kind TEXT NOT NULL,
         key TEXT NOT NULL,
         number INTEGER NOT NULL,
         content BLOB NOT NULL,
         held_at INTEGER NOT NULL,
         PRIMARY KEY(kind, key)
     ) STRICT;
     CREATE TABLE audit(
         number INTEGER PRIMARY KEY CHECK(number > 0),
         previous BLOB NOT NULL CHECK(length(previous) = 32),
         hash BLOB NOT NULL CHECK(length(hash) = 32),
         at INTEGER NOT NULL,
         actor TEXT NOT NULL,
         event TEXT NOT NULL
     ) STRICT;
     CREATE TABLE audit_head(
         id INTEGER PRIMARY KEY CHECK(id = 1),
         number INTEGER NOT NULL,
         hash BLOB NOT NULL CHECK(length(hash) = 32)
     ) STRICT;
     CREATE TABLE audit_checkpoint(
         number INTEGER PRIMARY KEY CHECK(number > 0),
         hash BLOB NOT NULL CHECK(length(hash) = 32),
         signed TEXT NOT NULL,
         at INTEGER NOT NULL
     ) STRICT;
     CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
     CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;",
    // 3: the replacement of the CA.
    "CREATE TABLE replacement(
         id INTEGER PRIMARY KEY CHECK(id = 1),
         record TEXT NOT NULL,
         kept_at INTEGER NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE bridge(
         sequence INTEGER PRIMARY KEY,
         signed TEXT NOT NULL,
         published_at INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX certificate_issuer ON certificate(issuer, not_after);",
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

/// Refuses a file that is not of the schema that this program reads, without a change to it.
pub(super) fn is_current(connection: &Connection, path: &Path) -> Result<()> {
    let (found, known) = (version(connection, path)?, STEPS.len() as i64);
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::Newer { path: path.to_owned(), found, known }),
        Ordering::Less => Err(Error::Older { path: path.to_owned(), found, known }),
    }
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
pub(super) fn check(connection: &Connection, path: &Path) -> Result<()> {
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(detail) => Err(Error::Damaged { path: path.to_owned(), detail }),
        Err(error) => Err(Error::sqlite(path, &error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_first_schema_is_brought_up_to_date_with_all_it_holds() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")).unwrap();
        connection
            .execute_batch(
                "INSERT INTO users VALUES('verbund.test', 'alice', zeroblob(16), zeroblob(32), 5, 1);
                 INSERT INTO topology VALUES(1, 'one', 5, 2);
                 INSERT INTO certificate VALUES(x'01', 'server', 'CN=a', '[\"SIP.verbund.test\",\"sip:verbund.test\"]', 'CN=b', 1, 2, x'30', 3);",
            )
            .unwrap();
        migrate(&connection, Path::new(":memory:")).unwrap();
        let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
        assert_eq!(text("SELECT pool FROM users WHERE name = 'alice'").as_deref(), Some(""));
        assert_eq!(text("SELECT signed FROM topology"), None);
        assert_eq!(text("SELECT asked_by FROM certificate"), None);
        assert_eq!(text("SELECT group_concat(name, ' ') FROM certificate_name").as_deref(), Some("sip.verbund.test sip:verbund.test"));
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, STEPS.len() as i64);
        migrate(&connection, Path::new(":memory:")).unwrap();
    }

    #[test]
    fn the_audit_log_is_neither_changed_nor_cut_by_us() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, Path::new(":memory:")).unwrap();
        connection.execute_batch("INSERT INTO audit VALUES(1, zeroblob(32), zeroblob(32), 5, 'server', '{}')").unwrap();
        for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
            assert!(connection.execute_batch(sql).unwrap_err().to_string().contains("only added to"), "{sql}");
        }
    }
}
