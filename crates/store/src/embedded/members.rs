//! The members' board in SQLite.

use std::collections::BTreeMap;

use pki::Fqdn;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::worker::{Done, Fault};
use super::{Embedded, fqdn, seconds, time, within};
use crate::limits::{MEMBERS_MAX, REPORT_BYTES_MAX};
use crate::{Error, Members, Report, Result, Version};

const COLUMNS: &str = "server, topology, bundle, lists, software, listeners, seen_at";

impl Members for Embedded {
    async fn report(&self, report: &Report) -> Result<()> {
        let (lists, listeners) = (json(&report.lists), json(&report.listeners));
        within("a member's report", lists.len() + listeners.len() + report.software.len(), REPORT_BYTES_MAX)?;
        let (report, seen_at) = (report.clone(), seconds(report.seen_at)?);
        self.write(move |connection| {
            let Report { server, topology, bundle, software, .. } = &report;
            has_room(connection, server)?;
            let sql = format!("INSERT OR REPLACE INTO member({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
            let topology = topology.map(|version| version.0);
            connection.prepare_cached(&sql)?.execute((server.as_str(), topology, bundle, &lists, software, &listeners, seen_at))?;
            Ok(())
        })
        .await
    }

    async fn members(&self) -> Result<Vec<Report>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM member ORDER BY server"))?;
            let mut rows = statement.query([])?;
            let mut reports = Vec::new();
            while let Some(row) = rows.next()? {
                reports.push(report(row)?);
            }
            Ok(reports)
        })
        .await
    }

    async fn forget_member(&self, server: &Fqdn) -> Result<()> {
        let server = server.clone();
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM member WHERE server = ?1")?.execute((server.as_str(),))?;
            Ok(())
        })
        .await
    }
}

/// A map of texts; one that cannot be written as JSON does not exist.
fn json<V: serde::Serialize>(map: &BTreeMap<String, V>) -> String {
    serde_json::to_string(map).unwrap_or_default()
}

fn has_room(connection: &Connection, server: &Fqdn) -> Done<()> {
    let others = "SELECT count(*) FROM member WHERE server <> ?1";
    let others: usize = connection.prepare_cached(others)?.query_row((server.as_str(),), |row| row.get(0))?;
    if others < MEMBERS_MAX { Ok(()) } else { Err(Error::Full { what: "members on the board".to_owned(), max: MEMBERS_MAX }.into()) }
}

fn report(row: &Row<'_>) -> Done<Report> {
    Ok(Report {
        server: fqdn(&row.get::<_, String>(0)?)?,
        topology: row.get::<_, Option<u64>>(1)?.map(Version),
        bundle: row.get(2)?,
        lists: read(&row.get::<_, String>(3)?)?,
        software: row.get(4)?,
        listeners: read(&row.get::<_, String>(5)?)?,
        seen_at: time(row.get(6)?)?,
    })
}

fn read<T: DeserializeOwned>(text: &str) -> Done<T> {
    serde_json::from_str(text).map_err(|_| Fault::damaged("what a member reported"))
}
