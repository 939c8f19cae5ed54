//! The state file and its directory: who may have them, and whether they are what they should be.
//!
//! Making the data directory, and its mode 0700, is left to the caller.

use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{Error, Result};

/// How long we wait for a program that is not a verbund and holds the file (a backup).
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Nobody but the owner reads credentials, hashed or not.
const MODE: u32 = 0o600;

/// A data directory taken for this process: two servers on one state would undo each other's decisions. The kernel
/// gives the directory back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
}

impl Lock {
    /// Takes the directory; [`Error::InUse`] when another process (or another `Lock` of this one) has it.
    pub fn acquire(directory: &Path) -> Result<Self> {
        let file = File::open(directory).map_err(|source| io_error(directory, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _directory: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { directory: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io_error(directory, source)),
        }
    }
}

/// The directory that holds `path`.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { path },
        ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path },
        _ => Error::Io { path, source },
    }
}

/// Makes an empty file that only the owner may read, and sees to it that its name outlives a crash.
pub(super) fn create(path: &Path) -> Result<PathBuf> {
    let path = real(path)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path);
    made.map_err(|source| io_error(&path, source))?;
    let directory = directory_of(&path);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|source| io_error(directory, source))?;
    Ok(path)
}

/// The state file that must be there. Too wide a mode is narrowed.
pub(super) fn existing(path: &Path) -> Result<PathBuf> {
    let (path, facts) = found(path)?;
    if facts.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "state file was open to others; its mode is 0600 now");
        fs::set_permissions(&path, Permissions::from_mode(MODE)).map_err(|source| io_error(&path, source))?;
    }
    Ok(path)
}

/// The state file that must be there, left as it is.
pub(super) fn to_read(path: &Path) -> Result<PathBuf> {
    found(path).map(|(path, _)| path)
}

/// A regular file with something in it.
fn found(path: &Path) -> Result<(PathBuf, Metadata)> {
    let path = real(path)?;
    let facts = match fs::symlink_metadata(&path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::Missing { path }),
        Err(source) => return Err(io_error(&path, source)),
    };
    if !facts.is_file() {
        return Err(Error::NotADatabase { path });
    }
    if facts.len() == 0 {
        return Err(Error::Damaged { path, detail: "it is empty".to_owned() });
    }
    Ok((path, facts))
}

/// The path with its directory's links resolved; the last step must not be a link.
fn real(path: &Path) -> Result<PathBuf> {
    let directory = directory_of(path);
    let name = path.file_name().ok_or_else(|| Error::NotADatabase { path: path.to_owned() })?;
    let directory = fs::canonicalize(directory).map_err(|source| io_error(directory, source))?;
    Ok(directory.join(name))
}

/// The connection that writes: each commit is on the disk before it is answered.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up(&connection).map_err(|error| Error::sqlite(path, &error))?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| Error::sqlite(path, &error))?;
    connection.busy_timeout(BUSY_WAIT_MAX).map_err(|error| Error::sqlite(path, &error))?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // The first question tells a database from a file of another kind, before anything is written to it.
    connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // What was removed is overwritten: an old credential does not linger in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Turns on the write-ahead log, so that readers and the writer do not wait for each other. This changes the file, so
/// it comes after the question whether the file is ours.
pub(super) fn log_ahead(connection: &Connection, path: &Path) -> Result<()> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) if mode == "wal" => Ok(()),
        Ok(_) => Err(Error::ReadOnly { path: path.to_owned() }),
        Err(error) => Err(Error::sqlite(path, &error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn setting(connection: &Connection, name: &str) -> String {
        let sql = format!("PRAGMA {name}");
        connection.query_row(&sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).map(|value| format!("{value:?}")).unwrap()
    }

    /// A killed process does not show what a loss of power would; these settings do (SQLite: `synchronous` 2 is FULL).
    #[test]
    fn the_writer_waits_for_the_disk_and_wipes_what_it_removes() {
        let directory = tempfile::tempdir().unwrap();
        let path = create(&directory.path().join("state.sqlite")).unwrap();
        let connection = connect(&path).unwrap();
        log_ahead(&connection, &path).unwrap();
        for (name, wanted) in [
            ("journal_mode", "Text(\"wal\")"),
            ("synchronous", "Integer(2)"),
            ("secure_delete", "Integer(1)"),
            ("trusted_schema", "Integer(0)"),
            ("cell_size_check", "Integer(1)"),
        ] {
            assert_eq!(setting(&connection, name), wanted, "{name}");
        }
    }

    #[test]
    fn a_reader_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = create(&directory.path().join("state.sqlite")).unwrap();
        connect(&path).unwrap().execute_batch("CREATE TABLE t(n)").unwrap();
        let refused = connect_to_read(&path).unwrap().execute_batch("INSERT INTO t VALUES(1)").unwrap_err();
        assert!(matches!(Error::sqlite(&path, &refused), Error::ReadOnly { .. }));
    }
}
