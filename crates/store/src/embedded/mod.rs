//! The store inside the process: one SQLite file, one thread that writes, a few that read.
//!
//! What the tables mean is left to the chapters `directory`, `ledger` and `topologies`. No SQLite call ever runs on a
//! thread of the asynchronous runtime: synchronous calls there starve its timers.

mod directory;
mod file;
mod ledger;
mod schema;
mod topologies;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension};

pub use file::Lock;
use worker::{Fault, Worker};

use crate::{Error, Result, Revision};

/// How many threads read.
const READERS: usize = 2;

/// The embedded store. Cheap to clone: the clones share one file and its threads.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    writer: Worker,
    /// Empty for a store in memory, which only the writer's connection can see.
    readers: Vec<Worker>,
    next_reader: AtomicUsize,
}

impl Embedded {
    /// Makes a new state file (mode 0600) and takes its directory for this process. [`Error::Io`] when there is a file
    /// of that name. Blocks: not for a runtime's worker thread, and so is [`open`](Self::open).
    pub fn create(path: &Path) -> Result<Self> {
        let lock = Lock::acquire(file::directory_of(path))?;
        let path = file::create(path)?;
        Self::start(path, lock)
    }

    /// Opens the state file of an organisation that exists; one that is missing, empty, damaged, foreign or of a later
    /// version is an error and stays as it is. [`Error::InUse`] while another process has the directory.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = Lock::acquire(file::directory_of(path))?;
        Self::open_locked(path, lock)
    }

    /// [`open`](Self::open) for a caller who has the directory locked already.
    pub fn open_locked(path: &Path, lock: Lock) -> Result<Self> {
        let path = file::existing(path)?;
        Self::start(path, lock)
    }

    /// A store that lasts as long as this value, for tests and rehearsals.
    pub fn in_memory() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| Error::sqlite(&path, &error))?;
        schema::migrate(&connection, &path)?;
        let writer = Worker::writer(connection, path.clone(), None)?;
        Ok(Self::of(path, writer, Vec::new()))
    }

    fn start(path: PathBuf, lock: Lock) -> Result<Self> {
        let lock = Arc::new(lock);
        let connection = file::connect(&path)?;
        schema::migrate(&connection, &path)?;
        file::log_ahead(&connection, &path)?;
        let writer = Worker::writer(connection, path.clone(), Some(lock.clone()))?;
        let reader = |_| Worker::reader(file::connect_to_read(&path)?, path.clone(), Some(lock.clone()));
        let readers = (0..READERS).map(reader).collect::<Result<_>>()?;
        Ok(Self::of(path, writer, readers))
    }

    fn of(path: PathBuf, writer: Worker, readers: Vec<Worker>) -> Self {
        Self(Arc::new(Shared { path, writer, readers, next_reader: AtomicUsize::new(0) }))
    }

    /// The state file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Finishes what was asked before, folds the log into the file and lets go of the directory. What is asked later
    /// gets [`Error::Closed`]. Dropping the last clone does the same without waiting.
    pub async fn close(&self) {
        for reader in &self.0.readers {
            reader.close().await;
        }
        // The writer comes last: the last connection to close folds the log in.
        self.0.writer.close().await;
    }

    async fn write<T: Send + 'static>(&self, work: impl FnMut(&Connection) -> std::result::Result<T, Fault> + Send + 'static) -> Result<T> {
        self.0.writer.ask(work).await
    }

    async fn read<T: Send + 'static>(&self, work: impl FnMut(&Connection) -> std::result::Result<T, Fault> + Send + 'static) -> Result<T> {
        let turn = self.0.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = match self.0.readers.len() {
            0 => &self.0.writer,
            readers => &self.0.readers[turn % readers],
        };
        reader.ask(work).await
    }
}

/// The number of the change that the running transaction makes.
fn next_revision(connection: &Connection) -> std::result::Result<Revision, Fault> {
    let sql = "UPDATE head SET revision = revision + 1 WHERE id = 1 RETURNING revision";
    let revision = connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0)).optional()?;
    revision.map(Revision).ok_or_else(|| Fault::damaged("the table head is empty"))
}

/// Whole seconds since 1970.
fn seconds(time: SystemTime) -> Result<i64> {
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| Error::Time)?;
    i64::try_from(since.as_secs()).map_err(|_| Error::Time)
}

fn time(seconds: i64) -> std::result::Result<SystemTime, Fault> {
    let since = u64::try_from(seconds).ok().map(Duration::from_secs);
    since.and_then(|since| UNIX_EPOCH.checked_add(since)).ok_or_else(|| Fault::damaged("a time before 1970"))
}
