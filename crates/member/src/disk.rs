//! What a server believed, on its own disk: so that it starts without the authority (storage rule: each server serves from its
//! last verified copy).

use std::time::SystemTime;

use pki::{Anchors, RevocationList};
use store::{Embedded, Error, Held as _, HeldDocument, HeldKind};
use web::control::{Update, UserRecord};
use zeroize::Zeroizing;

use crate::{
    holdings::{Believed, Changed, Holdings, Refused},
    users::PARTS,
};

/// Why there are no holdings on disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskFault {
    /// The file cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// It is not all there.
    #[error("the {0} that this server believed is not in its state file; join again with a new join string")]
    Missing(HeldKind),
    /// It is not what was put there.
    #[error("what this server believed cannot be read again: {0}; put the state file back from a backup, or join again")]
    Refused(#[from] Refused),
    /// The directory of users is not what was put there.
    #[error("the users in the state file cannot be read ({0}); put it back from a backup, or join again")]
    Users(String),
}

/// Why what is in force is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The disk does not take it.
    #[error(transparent)]
    Store(#[from] Error),
    /// It cannot be written down.
    #[error("a record of a user cannot be written down: {0}; report this")]
    Record(#[from] serde_json::Error),
}

/// The key under which the revision of the directory is held; of directories from before they had parts, all users too.
const REVISION_KEY: &str = "";
const NO_RECORDS: &[u8] = b"[]";

type Documents = Vec<(HeldKind, HeldDocument)>;

/// Keeps what an update changed, all of it or nothing: what the server starts with the next time was in force at one moment.
pub(crate) async fn keep(store: &Embedded, holdings: &Holdings, update: &Update, changed: &Changed, domain: &str) -> Result<(), NotKept> {
    let mut documents = Documents::new();
    let mut only: &[HeldKind] = &[];
    match update {
        Update::Topology { .. } => documents.push(topology(holdings)),
        // Lists of a CA that the new bundle does not have go with it, and not a moment later.
        Update::Bundle { .. } | Update::RevocationLists { .. } => {
            documents.push(bundle(holdings));
            documents.extend(lists(holdings));
            only = &[HeldKind::RevocationList];
        }
        Update::Users { more: false, .. } if has_parts(store).await? => {
            documents.extend(users(holdings, changed.users.parts(), domain)?);
        }
        Update::Users { more: false, .. } => {
            documents.extend(users(holdings, 0..PARTS, domain)?);
            only = &[HeldKind::Directory];
        }
        Update::Users { .. } | Update::Renew | Update::Show | Update::Heartbeat | Update::Unknown => return Ok(()),
    }
    Ok(store.hold_together(documents, only).await?)
}

/// Keeps everything: a server that has just joined, or one whose disk did not take something before.
///
/// # Errors
/// The disk does not take it.
pub async fn keep_all(store: &Embedded, holdings: &Holdings, domain: &str) -> Result<(), NotKept> {
    let mut documents = vec![topology(holdings), bundle(holdings)];
    documents.extend(lists(holdings));
    documents.extend(users(holdings, 0..PARTS, domain)?);
    Ok(store.hold_together(documents, &[HeldKind::RevocationList, HeldKind::Directory]).await?)
}

fn document(
    kind: HeldKind,
    key: String,
    number: u64,
    content: impl Into<Zeroizing<Vec<u8>>>,
    held_at: SystemTime,
) -> (HeldKind, HeldDocument) {
    (kind, HeldDocument { key, number, content: content.into(), held_at })
}

fn topology(holdings: &Holdings) -> (HeldKind, HeldDocument) {
    let Believed { text, at } = holdings.topology_text();
    document(HeldKind::Topology, String::new(), holdings.topology().version(), text.clone().into_bytes(), *at)
}

fn bundle(holdings: &Holdings) -> (HeldKind, HeldDocument) {
    let Believed { text, at } = holdings.bundle_text();
    document(HeldKind::Bundle, String::new(), holdings.bundle().sequence, text.clone().into_bytes(), *at)
}

fn lists(holdings: &Holdings) -> impl Iterator<Item = (HeldKind, HeldDocument)> + '_ {
    let of = |list: &RevocationList| {
        document(HeldKind::RevocationList, list.issuer_key().to_string(), list.number(), list.as_der().to_vec(), list.this_update())
    };
    holdings.lists().iter().map(of)
}

/// These parts of the directory, and its revision.
fn users(holdings: &Holdings, parts: impl IntoIterator<Item = usize>, domain: &str) -> Result<Documents, NotKept> {
    let (users, now) = (holdings.users(), SystemTime::now());
    let mut documents = vec![document(HeldKind::Directory, REVISION_KEY.to_owned(), users.revision(), NO_RECORDS.to_vec(), now)];
    for part in parts {
        let json = Zeroizing::new(serde_json::to_vec(&users.records_of_part(part, domain))?);
        documents.push(document(HeldKind::Directory, format!("{part:02x}"), users.revision(), json, now));
    }
    Ok(documents)
}

/// Whether the directory on disk is in parts: one from before there were any is written anew as a whole.
async fn has_parts(store: &Embedded) -> Result<bool, Error> {
    Ok(store.held(HeldKind::Directory, REVISION_KEY).await?.is_some_and(|held| held.content.as_slice() == NO_RECORDS))
}

/// Reads back what was believed, from the roots that lie beside the state file.
///
/// # Errors
/// It is not there, not whole, or not what was put there.
pub async fn restore(store: &Embedded, roots: &Anchors) -> Result<Holdings, DiskFault> {
    let bundle = believed(store, HeldKind::Bundle).await?;
    let topology = believed(store, HeldKind::Topology).await?;
    let lists: Vec<Vec<u8>> = store.all_held(HeldKind::RevocationList).await?.iter().map(|list| list.content.to_vec()).collect();
    let mut holdings = Holdings::restore(roots, bundle, &lists, topology)?;
    restore_users(store, &mut holdings).await?;
    Ok(holdings)
}

async fn restore_users(store: &Embedded, holdings: &mut Holdings) -> Result<(), DiskFault> {
    let parts = store.all_held(HeldKind::Directory).await?;
    let Some(newest) = parts.iter().find(|part| part.key == REVISION_KEY) else { return Ok(()) };
    let mut put: Vec<UserRecord> = Vec::new();
    for part in &parts {
        let records: Vec<UserRecord> = serde_json::from_slice(&part.content).map_err(|error| DiskFault::Users(error.to_string()))?;
        put.extend(records);
    }
    let update = Update::Users { revision: newest.number, from_scratch: true, more: false, put, gone: Vec::new() };
    holdings.take(&update, newest.held_at)?;
    Ok(())
}

async fn believed(store: &Embedded, kind: HeldKind) -> Result<Believed, DiskFault> {
    let HeldDocument { content, held_at, .. } = &store.held(kind, "").await?.ok_or(DiskFault::Missing(kind))?;
    Ok(Believed { text: String::from_utf8_lossy(content).into_owned(), at: *held_at })
}
