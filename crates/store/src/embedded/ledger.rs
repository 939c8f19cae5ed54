//! The certificates that were issued, and those that were taken back, in SQLite.

use std::time::SystemTime;

use pki::{Fingerprint, Serial};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::worker::{Done, Fault};
use super::{Embedded, audit, hex, next_revision, rows, seconds, time};
use crate::{Asked, Error, Event, IssuanceLedger, Issued, Reason, Result, Revision, Revocation, Revoked, Role};

const COLUMNS: &str = "serial, role, subject, names, issuer, not_before, not_after, der, asked_by, request_sha256";
const REVOCATION: &str = "serial, issuer, reason, revoked_at, not_after";

/// Begins with what was revoked, which is little, and looks for what would speak against it.
const CUT_OFF: &str = "WITH taken(name, revision) AS (
         SELECT lower(json_extract(names, '$[0]')), max(certificate.revision)
         FROM revocation JOIN certificate USING(serial) WHERE role = ?1 GROUP BY 1)
     SELECT taken.name FROM taken WHERE taken.name IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM certificate_name AS named JOIN certificate AS other USING(serial)
         WHERE named.name = taken.name AND lower(json_extract(other.names, '$[0]')) = taken.name AND other.role = ?1
         AND (other.revision > taken.revision OR other.not_after >= ?2)
         AND other.serial NOT IN (SELECT serial FROM revocation))
     ORDER BY taken.name";

impl IssuanceLedger for Embedded {
    async fn record_issued(&self, issued: &Issued, now: SystemTime) -> Result<Revision> {
        let (not_before, not_after, at) = (seconds(issued.not_before)?, seconds(issued.not_after)?, seconds(now)?);
        let (issued, actor) = (issued.clone(), self.actor.clone());
        self.write(move |connection| {
            if exists(connection, &issued.serial)? {
                return Err(Error::SerialTaken(issued.serial.clone()).into());
            }
            let revision = next_revision(connection)?;
            insert(connection, &issued, not_before, not_after, revision)?;
            audit::write(connection, &actor, at, &issue_event(&issued, not_after))?;
            Ok(revision)
        })
        .await
    }

    async fn certificate(&self, serial: &Serial) -> Result<Option<Issued>> {
        let serial = serial.clone();
        self.read(move |connection| numbered(connection, &serial)).await
    }

    async fn certificates(&self, now: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (now, limit) = (seconds(now)?, rows(limit));
        self.read(move |connection| select(connection, "not_after >= ?1 ORDER BY not_after, serial LIMIT ?2", (now, limit))).await
    }

    async fn standing_of(&self, name: &str, now: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (name, now, limit) = (name.to_ascii_lowercase(), seconds(now)?, rows(limit));
        self.read(move |connection| {
            let which = "serial IN (SELECT serial FROM certificate_name WHERE name = ?1) AND not_after >= ?2
                         AND serial NOT IN (SELECT serial FROM revocation) ORDER BY not_after, serial LIMIT ?3";
            select(connection, which, (&name, now, limit))
        })
        .await
    }

    async fn issued_to(&self, server: &str, since: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (server, since, limit) = (server.to_ascii_lowercase(), seconds(since)?, rows(limit));
        self.read(move |connection| {
            let which = "serial IN (SELECT serial FROM certificate_name WHERE name = ?1) AND not_before >= ?2 AND role = ?3
                         AND lower(json_extract(names, '$[0]')) = ?1 ORDER BY not_before, revision LIMIT ?4";
            select(connection, which, (&server, since, Role::Server.as_str(), limit))
        })
        .await
    }

    async fn keys_taken_back(&self, after: Revision) -> Result<(Vec<Fingerprint>, Revision)> {
        self.read(move |connection| {
            let sql = "SELECT certificate.der, revocation.revision FROM revocation JOIN certificate USING(serial)
                       WHERE revocation.revision > ?1 ORDER BY revocation.revision";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((after.0,))?;
            let (mut keys, mut last) = (Vec::new(), after);
            while let Some(row) = rows.next()? {
                let der: Vec<u8> = row.get(0)?;
                let facts = pki::facts(&der.into()).ok_or_else(|| Fault::damaged("a certificate that cannot be read"))?;
                keys.push(facts.public_key_fingerprint());
                last = Revision(row.get(1)?);
            }
            Ok((keys, last))
        })
        .await
    }

    async fn cut_off(&self, now: SystemTime) -> Result<Vec<String>> {
        let now = seconds(now)?;
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(CUT_OFF)?;
            let names = statement.query_map((Role::Server.as_str(), now), |row| row.get(0))?;
            Ok(names.collect::<std::result::Result<_, _>>()?)
        })
        .await
    }

    async fn holders(&self, role: Role, now: SystemTime) -> Result<Vec<String>> {
        let now = seconds(now)?;
        self.read(move |connection| {
            let sql = "SELECT DISTINCT lower(json_extract(names, '$[0]')) AS holder FROM certificate
                       WHERE role = ?1 AND not_after >= ?2 AND holder IS NOT NULL AND serial NOT IN (SELECT serial FROM revocation)
                       ORDER BY holder";
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map((role.as_str(), now), |row| row.get(0))?;
            Ok(names.collect::<std::result::Result<_, _>>()?)
        })
        .await
    }

    async fn standing_below(&self, issuer: &str, now: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (issuer, now, limit) = (issuer.to_owned(), seconds(now)?, rows(limit));
        self.read(move |connection| {
            let which = "issuer = ?1 AND not_after >= ?2 AND serial NOT IN (SELECT serial FROM revocation)
                         ORDER BY not_after, serial LIMIT ?3";
            select(connection, which, (&issuer, now, limit))
        })
        .await
    }

    async fn last_end_below(&self, issuer: &str) -> Result<Option<SystemTime>> {
        let issuer = issuer.to_owned();
        self.read(move |connection| {
            let sql = "SELECT max(not_after) FROM certificate WHERE issuer = ?1";
            let last: Option<i64> = connection.prepare_cached(sql)?.query_row((&issuer,), |row| row.get(0))?;
            last.map(time).transpose()
        })
        .await
    }

    async fn authorities(&self) -> Result<Vec<Issued>> {
        self.read(|connection| select(connection, "role IN ('root', 'issuing', 'users-ca') ORDER BY not_after, serial", [])).await
    }

    async fn expiring(&self, now: SystemTime, before: SystemTime, limit: usize) -> Result<Vec<Issued>> {
        let (now, before, limit) = (seconds(now)?, seconds(before)?, rows(limit));
        self.read(move |connection| {
            let which = "not_before <= ?1 AND not_after >= ?1 AND not_after < ?2 ORDER BY not_after, serial LIMIT ?3";
            select(connection, which, (now, before, limit))
        })
        .await
    }

    async fn revoke(&self, serial: &Serial, reason: Reason, now: SystemTime) -> Result<Revoked> {
        let (serial, at, actor) = (serial.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            if let Some(revision) = revoked_in(connection, &serial)? {
                return Ok(Revoked { revision, is_new: false });
            }
            let issued = numbered(connection, &serial)?.ok_or_else(|| Error::NoSuchCertificate(serial.clone()))?;
            let (serial, issuer, not_after) = (serial.clone(), issued.issuer.clone(), issued.not_after);
            let revocation = Revocation { serial, issuer, revoked_at: time(at)?, reason, not_after };
            let revision = enter(connection, &revocation)?;
            audit::write(connection, &actor, at, &revoke_event(&revocation, issued.names))?;
            Ok(Revoked { revision, is_new: true })
        })
        .await
    }

    async fn adopt_revocation(&self, revocation: &Revocation, now: SystemTime) -> Result<bool> {
        let (revocation, at, actor) = (revocation.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            if revoked_in(connection, &revocation.serial)?.is_some() {
                return Ok(false);
            }
            let issued = numbered(connection, &revocation.serial)?;
            enter(connection, &revocation)?;
            audit::write(connection, &actor, at, &revoke_event(&revocation, issued.map(|issued| issued.names).unwrap_or_default()))?;
            Ok(true)
        })
        .await
    }

    async fn revocation(&self, serial: &Serial) -> Result<Option<Revocation>> {
        let serial = serial.clone();
        self.read(move |connection| Ok(revocations(connection, "serial = ?1", (serial.as_bytes(),))?.pop())).await
    }

    async fn revoked(&self, issuer: Option<&str>, since: SystemTime) -> Result<Vec<Revocation>> {
        let (issuer, since) = (issuer.map(str::to_owned), seconds(since)?);
        self.read(move |connection| {
            let which = "not_after >= ?1 AND (?2 IS NULL OR issuer = ?2) ORDER BY revoked_at, serial";
            revocations(connection, which, (since, &issuer))
        })
        .await
    }
}

fn issue_event(issued: &Issued, not_after: i64) -> Event {
    Event::Issued {
        serial: issued.serial.to_string(),
        role: issued.role.to_string(),
        subject: issued.subject.clone(),
        names: issued.names.clone(),
        issuer: issued.issuer.clone(),
        not_after: not_after.unsigned_abs(),
        asked_by: issued.asked.by.clone(),
        request_sha256: issued.asked.request_sha256.map(|digest| hex(&digest)),
    }
}

fn revoke_event(revocation: &Revocation, names: Vec<String>) -> Event {
    let (serial, reason) = (revocation.serial.to_string(), revocation.reason.to_string());
    Event::Revoked { serial, names, issuer: revocation.issuer.clone(), reason }
}

fn enter(connection: &Connection, revocation: &Revocation) -> Done<Revision> {
    let Revocation { serial, issuer, reason, revoked_at, not_after } = revocation;
    let revision = next_revision(connection)?;
    let sql = format!("INSERT INTO revocation({REVOCATION}, revision) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    let row = (serial.as_bytes(), issuer, reason.code(), seconds(*revoked_at)?, seconds(*not_after)?, revision.0);
    connection.prepare_cached(&sql)?.execute(row)?;
    Ok(revision)
}

fn exists(connection: &Connection, serial: &Serial) -> Done<bool> {
    let sql = "SELECT 1 FROM certificate WHERE serial = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((serial.as_bytes(),), |_| Ok(())).optional()?.is_some())
}

fn revoked_in(connection: &Connection, serial: &Serial) -> Done<Option<Revision>> {
    let sql = "SELECT revision FROM revocation WHERE serial = ?1";
    Ok(connection.prepare_cached(sql)?.query_row((serial.as_bytes(),), |row| row.get(0)).optional()?.map(Revision))
}

fn numbered(connection: &Connection, serial: &Serial) -> Done<Option<Issued>> {
    Ok(select(connection, "serial = ?1", (serial.as_bytes(),))?.pop())
}

fn insert(connection: &Connection, issued: &Issued, not_before: i64, not_after: i64, revision: Revision) -> Done<()> {
    let names = serde_json::to_string(&issued.names).map_err(|error| Fault::damaged(error.to_string()))?;
    let sql = format!("INSERT INTO certificate({COLUMNS}, revision) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    connection.prepare_cached(&sql)?.execute((
        issued.serial.as_bytes(),
        issued.role.as_str(),
        &issued.subject,
        names,
        &issued.issuer,
        not_before,
        not_after,
        &issued.der,
        &issued.asked.by,
        issued.asked.request_sha256,
        revision.0,
    ))?;
    let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO certificate_name(name, serial) VALUES(?1, ?2)")?;
    for name in &issued.names {
        statement.execute((name.to_ascii_lowercase(), issued.serial.as_bytes()))?;
    }
    Ok(())
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn select(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<Issued>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM certificate WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(issued(row)?);
    }
    Ok(found)
}

fn issued(row: &Row<'_>) -> Done<Issued> {
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
        asked: Asked { by: row.get(8)?, request_sha256: row.get(9)? },
    })
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn revocations(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<Revocation>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {REVOCATION} FROM revocation WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(revocation(row)?);
    }
    Ok(found)
}

fn revocation(row: &Row<'_>) -> Done<Revocation> {
    let code: u8 = row.get(2)?;
    Ok(Revocation {
        serial: Serial::from_be_bytes(&row.get::<_, Vec<u8>>(0)?),
        issuer: row.get(1)?,
        reason: Reason::of_code(code).ok_or_else(|| Fault::damaged(format!("a revocation for reason {code}")))?,
        revoked_at: time(row.get(3)?)?,
        not_after: time(row.get(4)?)?,
    })
}
