//! A data directory as it was at one moment, whoever writes to it meanwhile.
//!
//! The state file is copied by the database itself, in one transaction. The other files are read before and after that: if
//! they are the same both times, all of it belongs together. Each of them is replaced as a whole, and seldom.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use store::{AuditLog as _, Embedded, TopologyStore as _};
use web::admin::rfc3339;
use zeroize::Zeroizing;

use super::{
    archive::{Hash, hash_of},
    contents::{About, Contents, DEPTH_MAX, Entry, FILE_BYTES_MAX, FOLDERS, alone, is_ours},
};
use crate::{
    files,
    organisation::{Layout, Manifest},
    up,
};

/// How often it is tried to find the files at rest.
const TRIES: usize = 10;
/// Where the state file is copied to, in the data directory: nobody else may look there.
const COPY: &str = ".backup";

/// What goes into a backup.
pub(super) struct Snapshot {
    pub(super) contents: Contents,
    /// In the order of the list; the state file is the last, and lies where this says.
    pub(super) files: Vec<Zeroizing<Vec<u8>>>,
    pub(super) state: Copy,
}

/// A copy of the state file, gone when this is dropped.
pub(super) struct Copy {
    folder: PathBuf,
    _lock: store::Lock,
}

impl Copy {
    /// A place for a copy. What an interrupted backup left there goes.
    fn place(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join(COPY);
        files::make_dir(&folder)?;
        let lock = store::Lock::acquire(&folder).with_context(|| "another backup is being made: let it finish, and try again")?;
        let place = Self { folder, _lock: lock };
        place.sweep()?;
        Ok(place)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(Layout::STATE)
    }

    fn sweep(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.sweep();
        let _ = fs::remove_dir(&self.folder);
    }
}

type Files = Vec<(String, Zeroizing<Vec<u8>>)>;

/// Takes everything at one moment.
///
/// # Errors
/// Something is unreadable, or never at rest.
pub(super) fn take(layout: &Layout, now: SystemTime) -> anyhow::Result<Snapshot> {
    let state = Copy::place(layout.data())?;
    let mut before = read(layout)?;
    for _ in 0..TRIES {
        state.sweep()?;
        let (topology, audit) = copy_state(layout, &state.path())?;
        let after = read(layout)?;
        if before == after {
            let manifest = Manifest::parse(&files::read(&layout.file(Layout::MANIFEST))?)?;
            let about = About {
                made_at: rfc3339(now),
                made_at_seconds: now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
                domain: manifest.domain.to_string(),
                server_name: manifest.server_name.to_string(),
                topology,
                audit,
            };
            return complete(about, after, state);
        }
        before = after;
    }
    bail!("the files in {} change all the time, so no moment of rest was found: try again", layout.data().display())
}

fn complete(about: About, files: Files, state: Copy) -> anyhow::Result<Snapshot> {
    let mut entries = Vec::new();
    for (name, content) in &files {
        entries.push(Entry { name: name.clone(), bytes: content.len() as u64, sha256: Hash::of(content) });
    }
    let (bytes, sha256) = hash_of(&state.path())?;
    entries.push(Entry { name: Layout::STATE.to_owned(), bytes, sha256 });
    let contents = Contents::new(about, entries);
    // What could not be restored is not written either.
    let contents = Contents::parse(&serde_json::to_vec(&contents)?)?;
    Ok(Snapshot { contents, files: files.into_iter().map(|(_, content)| content).collect(), state })
}

/// Every file but the state file, by name.
fn read(layout: &Layout) -> anyhow::Result<Files> {
    let mut names: Vec<String> = alone().filter(|name| layout.file(name).exists()).map(str::to_owned).collect();
    for folder in FOLDERS {
        find(layout, folder, DEPTH_MAX - 1, &mut names)?;
    }
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = layout.file(&name);
        let cannot = || format!("cannot read {}", path.display());
        anyhow::ensure!(fs::metadata(&path).with_context(cannot)?.len() <= FILE_BYTES_MAX, "{} is too large", path.display());
        files.push((name, Zeroizing::new(fs::read(&path).with_context(cannot)?)));
    }
    Ok(files)
}

/// The names of all files below a folder, so many folders deep.
fn find(layout: &Layout, folder: &str, depth: usize, names: &mut Vec<String>) -> anyhow::Result<()> {
    let path = layout.file(folder);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 1 {
            find(layout, &name, depth - 1, names)?;
        }
        // Half written ones are nobody's.
        if kind.is_file() && !name.ends_with(".new") && is_ours(&name) {
            names.push(name);
        }
    }
    Ok(())
}

/// Copies the state file; gives the version of the topology in it and the end of its audit log.
fn copy_state(layout: &Layout, to: &Path) -> anyhow::Result<(u64, Option<String>)> {
    up::block_on(async {
        let store = Embedded::open_to_read(&layout.file(Layout::STATE))?;
        let copied = store.copy_to(to).await;
        store.close().await;
        copied?;
        let copy = Embedded::open_to_read(to)?;
        let told = async { Ok((copy.current().await?, copy.head().await?)) };
        let told: store::Result<_> = told.await;
        copy.close().await;
        let (topology, head) = told?;
        Ok((topology.map_or(0, |published| published.version.0), head.map(|head| head.to_string())))
    })
}
