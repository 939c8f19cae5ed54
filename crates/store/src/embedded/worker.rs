//! A thread that owns one database connection and does what it is sent.
//!
//! The writer does what is waiting as one group: one transaction, one `fsync`, then all answers. So an answer means
//! "on the disk", and a hundred callers cost little more than one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::file::Lock;
use crate::{Error, Result};

/// How many requests wait for a thread before callers have to.
const REQUESTS_MAX: usize = 256;
/// How many writes share a transaction.
const GROUP_MAX: usize = 128;

/// Why a piece of work failed, before the file's name is added.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// The rows are there, but are not what we wrote.
    Damaged(String),
    Ours(Error),
}

/// What a piece of work gives.
pub(super) type Done<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(super) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged(detail.into())
    }

    fn of(self, path: &Path) -> Error {
        match self {
            Self::Sqlite(source) => Error::sqlite(path, &source),
            Self::Damaged(detail) => Error::Damaged { path: path.to_owned(), detail },
            Self::Ours(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// The sending side of the thread. The thread ends when this is dropped or closed.
#[derive(Debug)]
pub(super) struct Worker {
    path: PathBuf,
    requests: mpsc::Sender<Request>,
}

enum Request {
    Work(Box<dyn Work>),
    /// Answered when the connection is closed.
    Close(oneshot::Sender<()>),
}

/// A piece of work; it may be run again after a rollback.
trait Work: Send {
    /// Whether what it wrote is to stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller; `lost` says that the transaction around it failed.
    fn answer(self: Box<Self>, lost: Option<Error>);
}

struct Task<T, F> {
    work: F,
    path: PathBuf,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Done<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = (self.work)(connection).map_err(|fault| fault.of(&self.path));
        let good = outcome.is_ok();
        self.outcome = Some(outcome);
        good
    }

    fn answer(self: Box<Self>, lost: Option<Error>) {
        let answer = match (self.outcome, lost) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(lost)) => Err(lost),
            (Some(done), None) => done,
            (None, None) => Err(Error::Closed),
        };
        // A caller who went away does not want to know.
        let _ = self.reply.send(answer);
    }
}

impl Worker {
    /// A thread that reads: each request is answered by itself.
    pub(super) fn reader(connection: Connection, path: PathBuf, lock: Option<Arc<Lock>>) -> Result<Self> {
        Self::start("store-read", connection, path, lock, |connection, _, group| {
            for mut work in group {
                work.run(connection);
                work.answer(None);
            }
        })
    }

    /// The thread that writes: what waits is committed together.
    pub(super) fn writer(connection: Connection, path: PathBuf, lock: Option<Arc<Lock>>) -> Result<Self> {
        Self::start("store-write", connection, path, lock, commit_group)
    }

    fn start(
        name: &str,
        connection: Connection,
        path: PathBuf,
        lock: Option<Arc<Lock>>,
        act: fn(&Connection, &Path, Vec<Box<dyn Work>>),
    ) -> Result<Self> {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let file = path.clone();
        let thread = move || {
            let closing = serve(&connection, &file, inbox, act);
            close(connection, &file);
            drop(lock);
            for done in closing {
                // Who waited for the end may have gone away.
                let _ = done.send(());
            }
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(thread);
        spawned.map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self { path, requests })
    }

    /// Has the thread do `work`, and waits for its answer without blocking.
    pub(super) async fn ask<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Done<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task { work, path: self.path.clone(), outcome: None, reply };
        self.requests.send(Request::Work(Box::new(task))).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Ends the thread after what it was sent before.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// Runs until the senders are gone or one says close; gives back who waits for the end.
fn serve(
    connection: &Connection,
    path: &Path,
    mut inbox: mpsc::Receiver<Request>,
    act: fn(&Connection, &Path, Vec<Box<dyn Work>>),
) -> Vec<oneshot::Sender<()>> {
    let mut closing = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Work(work) => group.push(work),
                Request::Close(done) => {
                    inbox.close();
                    closing.push(done);
                }
            }
            next = if group.len() < GROUP_MAX { inbox.try_recv().ok() } else { None };
        }
        act(connection, path, group);
    }
    closing
}

fn close(connection: Connection, path: &Path) {
    if let Err((_, error)) = connection.close() {
        tracing::warn!(path = %path.display(), %error, "state file not closed in order");
    }
}

/// One transaction for all; when that fails, one for each, so that nobody suffers from a neighbour and each learns
/// their own reason.
fn commit_group(connection: &Connection, path: &Path, mut group: Vec<Box<dyn Work>>) {
    match transaction(connection, &mut group) {
        Ok(()) => group.into_iter().for_each(|work| work.answer(None)),
        Err(_) if group.len() > 1 => group.into_iter().for_each(|work| commit_group(connection, path, vec![work])),
        Err(error) => group.into_iter().for_each(|work| work.answer(Some(Error::sqlite(path, &error)))),
    }
}

fn transaction(connection: &Connection, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
    let done = run_all(connection, group);
    // SQLite ends a transaction by itself on some errors (a full disk), but not on all.
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

fn run_all(connection: &Connection, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for work in group {
        connection.execute_batch("SAVEPOINT work")?;
        if !work.run(connection) {
            connection.execute_batch("ROLLBACK TO work")?;
        }
        connection.execute_batch("RELEASE work")?;
    }
    connection.execute_batch("COMMIT")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table() -> Worker {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(n INTEGER PRIMARY KEY, body BLOB)").unwrap();
        Worker::writer(connection, PathBuf::from("state.sqlite"), None).unwrap()
    }

    async fn count(worker: &Worker) -> i64 {
        worker.ask(|connection| Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)).await.unwrap()
    }

    fn insert(n: i64, bytes: usize) -> impl FnMut(&Connection) -> Done<()> {
        move |connection| Ok(connection.execute("INSERT INTO t VALUES(?1, zeroblob(?2))", (n, bytes)).map(drop)?)
    }

    #[tokio::test]
    async fn a_write_that_fails_takes_only_itself_back() {
        let worker = table();
        let half = |connection: &Connection| -> Done<()> {
            connection.execute("INSERT INTO t VALUES(1, NULL)", [])?;
            Err(Fault::damaged("on purpose"))
        };
        let (good, bad, other) = tokio::join!(worker.ask(insert(7, 0)), worker.ask(half), worker.ask(insert(8, 0)));
        assert!(good.is_ok() && other.is_ok() && matches!(bad, Err(Error::Damaged { .. })));
        assert_eq!(count(&worker).await, 2);
    }

    #[tokio::test]
    async fn a_full_disk_is_called_by_its_name_and_harms_no_neighbour() {
        let worker = table();
        let limit = |connection: &Connection| Ok(connection.query_row("PRAGMA max_page_count = 8", [], |_| Ok(()))?);
        worker.ask(limit).await.unwrap();
        let (small, huge, other) = tokio::join!(worker.ask(insert(1, 10)), worker.ask(insert(2, 1 << 20)), worker.ask(insert(3, 10)));
        assert!(matches!(huge, Err(Error::DiskFull { .. })), "{huge:?}");
        assert!(small.is_ok() && other.is_ok());
        assert_eq!(count(&worker).await, 2);
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_written_is_called_by_its_name() {
        let worker = table();
        worker.ask(|connection| Ok(connection.execute_batch("PRAGMA query_only = ON")?)).await.unwrap();
        let refused = worker.ask(insert(1, 1)).await;
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn what_was_asked_before_the_close_is_done_and_what_comes_later_is_told() {
        let worker = Arc::new(table());
        let asked: Vec<_> = (0..100)
            .map(|n| {
                let worker = worker.clone();
                tokio::spawn(async move { worker.ask(insert(n, 1)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        worker.close().await;
        for task in asked {
            assert!(matches!(task.await.unwrap(), Ok(()) | Err(Error::Closed)));
        }
        assert!(matches!(worker.ask(insert(200, 1)).await, Err(Error::Closed)));
    }
}
