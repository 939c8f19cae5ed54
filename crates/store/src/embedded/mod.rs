//! The store inside the process: one SQLite file, one thread that writes, a few that read.
//!
//! What the tables mean is left to the chapters, one a trait. No SQLite call ever runs on a thread of the asynchronous
//! runtime: synchronous calls there starve its timers.

mod audit;
mod directory;
mod documents;
mod enrolments;
mod file;
mod held;
mod ledger;
mod members;
mod replacements;
mod schema;
mod topologies;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use pki::Fqdn;
use rusqlite::{Connection, OptionalExtension};

pub use file::Lock;
use worker::{Done, Fault, Worker};

use crate::{Actor, Error, Result, Revision};

/// How many threads read.
const READERS: usize = 2;

/// The embedded store. Cheap to clone: the clones share one file and its threads.
#[derive(Clone, Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// Who the audit log says asked for what is done with this clone.
    actor: Actor,
}

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

    /// Opens a state file to look at it, while a server has it or while none does: what is asked here changes nothing, and
    /// what would is [`Error::ReadOnly`]. The directory is not taken. One of another schema is an error: a server brings
    /// its file up to date when it starts.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        let path = file::to_read(path)?;
        let connection = file::connect_to_read(&path)?;
        schema::is_current(&connection, &path)?;
        let writer = Worker::writer(connection, path.clone(), None)?;
        let reader = Worker::reader(file::connect_to_read(&path)?, path.clone(), None)?;
        Ok(Self::of(path, writer, vec![reader]))
    }

    /// Writes a copy of the whole state as it is at one moment, whoever writes meanwhile, into a new file (mode 0600).
    /// The copy is checked page by page.
    pub async fn copy_to(&self, path: &Path) -> Result<()> {
        let path = file::create(path)?;
        let copy = path.to_str().ok_or_else(|| Error::NotADatabase { path: path.clone() })?.to_owned();
        self.read(move |connection| Ok(connection.execute("VACUUM INTO ?1", (&copy,)).map(drop)?)).await?;
        schema::check(&file::connect_to_read(&path)?, &path)
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
        let shared = Arc::new(Shared { path, writer, readers, next_reader: AtomicUsize::new(0) });
        Self { shared, actor: Actor::Server }
    }

    /// The same store for changes that somebody asked for; the audit log names them.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { shared: self.shared.clone(), actor }
    }

    /// The state file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Finishes what was asked before, folds the log into the file and lets go of the directory. What is asked later
    /// gets [`Error::Closed`]. Dropping the last clone does the same without waiting.
    pub async fn close(&self) {
        for reader in &self.shared.readers {
            reader.close().await;
        }
        // The writer comes last: the last connection to close folds the log in.
        self.shared.writer.close().await;
    }

    async fn write<T: Send + 'static>(&self, work: impl FnMut(&Connection) -> Done<T> + Send + 'static) -> Result<T> {
        self.shared.writer.ask(work).await
    }

    async fn read<T: Send + 'static>(&self, work: impl FnMut(&Connection) -> Done<T> + Send + 'static) -> Result<T> {
        let turn = self.shared.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = match self.shared.readers.len() {
            0 => &self.shared.writer,
            readers => &self.shared.readers[turn % readers],
        };
        reader.ask(work).await
    }
}

/// The number of the change that the running transaction makes.
fn next_revision(connection: &Connection) -> Done<Revision> {
    let sql = "UPDATE head SET revision = revision + 1 WHERE id = 1 RETURNING revision";
    let revision = connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0)).optional()?;
    revision.map(Revision).ok_or_else(|| Fault::damaged("the table head is empty"))
}

/// Whole seconds since 1970.
fn seconds(time: SystemTime) -> Result<i64> {
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| Error::Time)?;
    i64::try_from(since.as_secs()).map_err(|_| Error::Time)
}

fn time(seconds: i64) -> Done<SystemTime> {
    let since = u64::try_from(seconds).ok().map(Duration::from_secs);
    since.and_then(|since| UNIX_EPOCH.checked_add(since)).ok_or_else(|| Fault::damaged("a time before 1970"))
}

/// A number of rows as SQLite takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn fqdn(text: &str) -> Done<Fqdn> {
    Fqdn::parse(text).map_err(|_| Fault::damaged(format!("{text:?} as the name of a host")))
}

/// Refuses what is larger than may be kept.
fn within(what: &'static str, bytes: usize, max: usize) -> Result<()> {
    if bytes <= max { Ok(()) } else { Err(Error::TooLarge { what, bytes, max }) }
}

/// SHA-256 in hexadecimal, as events have it.
fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
