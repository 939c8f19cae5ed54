//! The documents that a member holds, in SQLite.

use rusqlite::{Connection, OptionalExtension, Params, Row};
use zeroize::Zeroizing;

use super::worker::Done;
use super::{Embedded, seconds, time, within};
use crate::limits::{DOCUMENT_BYTES_MAX, HELD_KEY_BYTES_MAX, HELD_PER_KIND_MAX, LIST_BYTES_MAX};
use crate::{Error, Held, HeldDocument, HeldKind, Result};

const COLUMNS: &str = "key, number, content, held_at";

/// How large a document of this kind may be.
fn bytes_max(kind: HeldKind) -> usize {
    match kind {
        HeldKind::Topology | HeldKind::Bundle => DOCUMENT_BYTES_MAX,
        HeldKind::RevocationList | HeldKind::Directory => LIST_BYTES_MAX,
    }
}

impl Held for Embedded {
    async fn hold_together(&self, documents: Vec<(HeldKind, HeldDocument)>, only: &[HeldKind]) -> Result<()> {
        for (kind, document) in &documents {
            within("the key of a held document", document.key.len(), HELD_KEY_BYTES_MAX)?;
            within("a held document", document.content.len(), bytes_max(*kind))?;
            seconds(document.held_at)?;
        }
        let only = only.to_vec();
        self.write(move |connection| {
            only.iter().try_for_each(|kind| let_others_go(connection, *kind, &documents))?;
            documents.iter().try_for_each(|(kind, document)| put(connection, *kind, document))
        })
        .await
    }

    async fn held(&self, kind: HeldKind, key: &str) -> Result<Option<HeldDocument>> {
        let key = key.to_owned();
        self.read(move |connection| Ok(select(connection, "kind = ?1 AND key = ?2", (kind.as_str(), &key))?.pop())).await
    }

    async fn all_held(&self, kind: HeldKind) -> Result<Vec<HeldDocument>> {
        self.read(move |connection| select(connection, "kind = ?1 ORDER BY key", (kind.as_str(),))).await
    }
}

fn put(connection: &Connection, kind: HeldKind, HeldDocument { key, number, content, held_at }: &HeldDocument) -> Done<()> {
    may_take(connection, kind, key, *number)?;
    let sql = format!("INSERT OR REPLACE INTO held(kind, {COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5)");
    connection.prepare_cached(&sql)?.execute((kind.as_str(), key, number, content.as_slice(), seconds(*held_at)?))?;
    Ok(())
}

/// Of this kind, what is not among these.
fn let_others_go(connection: &Connection, kind: HeldKind, documents: &[(HeldKind, HeldDocument)]) -> Done<()> {
    let mut keys = connection.prepare_cached("SELECT key FROM held WHERE kind = ?1")?;
    let keys = keys.query_map((kind.as_str(),), |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for key in keys.iter().filter(|key| !documents.iter().any(|(of, document)| *of == kind && document.key == **key)) {
        connection.prepare_cached("DELETE FROM held WHERE kind = ?1 AND key = ?2")?.execute((kind.as_str(), key))?;
    }
    Ok(())
}

/// Never backwards (row N29), never without end.
fn may_take(connection: &Connection, kind: HeldKind, key: &str, number: u64) -> Done<()> {
    let sql = "SELECT number FROM held WHERE kind = ?1 AND key = ?2";
    let found = connection.prepare_cached(sql)?.query_row((kind.as_str(), key), |row| row.get::<_, u64>(0)).optional()?;
    if let Some(found) = found {
        let older = Error::NotNewer { what: kind.to_string(), offered: number, found };
        return if kind.goes_forward() && number < found { Err(older.into()) } else { Ok(()) };
    }
    let sql = "SELECT count(*) FROM held WHERE kind = ?1";
    let count: usize = connection.prepare_cached(sql)?.query_row((kind.as_str(),), |row| row.get(0))?;
    let full = Error::Full { what: format!("held documents of the kind {kind}"), max: HELD_PER_KIND_MAX };
    if count < HELD_PER_KIND_MAX { Ok(()) } else { Err(full.into()) }
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn select(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<HeldDocument>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM held WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(document(row)?);
    }
    Ok(documents)
}

fn document(row: &Row<'_>) -> Done<HeldDocument> {
    let content = Zeroizing::new(row.get(2)?);
    Ok(HeldDocument { key: row.get(0)?, number: row.get(1)?, content, held_at: time(row.get(3)?)? })
}
