//! What a server believed, on its own disk: so that it starts without the authority (storage rule: each server serves from its
//! last verified copy).

use std::time::SystemTime;

use pki::{Anchors, Fingerprint, RevocationList};
use store::{Embedded, Error, Held as _, HeldDocument, HeldKind};
use web::control::{Update, UserRecord};

use crate::holdings::{Believed, Holdings, Refused};

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

/// Keeps what an update changed.
pub(crate) async fn keep(store: &Embedded, holdings: &Holdings, update: &Update, domain: &str) -> Result<(), Error> {
    match update {
        Update::Topology { .. } => keep_topology(store, holdings).await,
        Update::Bundle { .. } => keep_bundle(store, holdings).await,
        Update::RevocationLists { .. } => keep_lists(store, holdings).await,
        Update::Users { more: false, .. } => keep_users(store, holdings, domain).await,
        Update::Users { .. } | Update::Renew | Update::Show | Update::Heartbeat | Update::Unknown => Ok(()),
    }
}

/// Keeps everything: a server that has just joined.
///
/// # Errors
/// The disk does not take it.
pub async fn keep_all(store: &Embedded, holdings: &Holdings, domain: &str) -> Result<(), Error> {
    keep_bundle(store, holdings).await?;
    keep_lists(store, holdings).await?;
    keep_topology(store, holdings).await?;
    keep_users(store, holdings, domain).await
}

async fn keep_topology(store: &Embedded, holdings: &Holdings) -> Result<(), Error> {
    let Believed { text, at } = holdings.topology_text();
    store.hold(HeldKind::Topology, "", holdings.topology().version(), text.as_bytes(), *at).await
}

async fn keep_bundle(store: &Embedded, holdings: &Holdings) -> Result<(), Error> {
    let Believed { text, at } = holdings.bundle_text();
    store.hold(HeldKind::Bundle, "", holdings.bundle().sequence, text.as_bytes(), *at).await
}

async fn keep_lists(store: &Embedded, holdings: &Holdings) -> Result<(), Error> {
    let key = |list: &RevocationList| list.issuer_key().to_string();
    for old in store.all_held(HeldKind::RevocationList).await? {
        if !holdings.lists().iter().any(|list| key(list) == old.key) {
            store.let_go(HeldKind::RevocationList, &old.key).await?;
        }
    }
    for list in holdings.lists().iter() {
        store.hold(HeldKind::RevocationList, &key(list), list.number(), list.as_der(), list.this_update()).await?;
    }
    Ok(())
}

async fn keep_users(store: &Embedded, holdings: &Holdings, domain: &str) -> Result<(), Error> {
    let records = holdings.users().records(domain);
    let json = zeroize::Zeroizing::new(serde_json::to_vec(&records).unwrap_or_default());
    // A revision may go back when the authority was restored; who is there counts, not how they are counted.
    store.let_go(HeldKind::Directory, "").await?;
    store.hold(HeldKind::Directory, "", holdings.users().revision(), &json, SystemTime::now()).await
}

/// Which root the holdings begin from.
pub enum Trust<'a> {
    /// Those of an earlier start, which lie beside the state file.
    Roots(&'a Anchors),
    /// The one that a join string names.
    Pinned(Fingerprint),
}

/// Reads back what was believed.
///
/// # Errors
/// It is not there, not whole, or not what was put there.
pub async fn restore(store: &Embedded, trust: Trust<'_>) -> Result<Holdings, DiskFault> {
    let bundle = document(store, HeldKind::Bundle).await?;
    let topology = document(store, HeldKind::Topology).await?;
    let lists: Vec<Vec<u8>> = store.all_held(HeldKind::RevocationList).await?.iter().map(|list| list.content.to_vec()).collect();
    let mut holdings = match trust {
        Trust::Roots(roots) => Holdings::restore(roots, bundle, &lists, topology)?,
        Trust::Pinned(root) => Holdings::begin(root, bundle, &lists, topology)?,
    };
    if let Some(directory) = store.held(HeldKind::Directory, "").await? {
        let records: Vec<UserRecord> = serde_json::from_slice(&directory.content).map_err(|error| DiskFault::Users(error.to_string()))?;
        let update = Update::Users { revision: directory.number, from_scratch: true, more: false, put: records, gone: Vec::new() };
        holdings.take(&update, directory.held_at)?;
    }
    Ok(holdings)
}

async fn document(store: &Embedded, kind: HeldKind) -> Result<Believed, DiskFault> {
    let HeldDocument { content, held_at, .. } = &store.held(kind, "").await?.ok_or(DiskFault::Missing(kind))?;
    Ok(Believed { text: String::from_utf8_lossy(content).into_owned(), at: *held_at })
}
