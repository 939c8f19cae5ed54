//! What can go wrong with state that lasts, said so that the operator knows what to do.

use std::path::{Path, PathBuf};

use pki::Serial;
use registrar::Aor;
use rusqlite::ErrorCode;

use crate::{AccountId, Head, Version};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the data directory.
    #[error("another verbund serves this data directory ({}): stop it first, or choose another directory with --data", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A program that is not a verbund holds the file.
    #[error("another program (a backup, a database shell?) holds {}: let it finish and try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// There is no file.
    #[error("{} is missing: put it back from a backup, or begin anew with an empty directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another kind.
    #[error("{} is not a database: move it away, or put the right file back from a backup", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} is a database, but not one of verbund: choose another directory with --data", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later verbund.
    #[error("{} was written by a newer verbund (schema {found}; this one knows up to {known}): install that version again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The last schema that this program knows.
        known: i64,
    },
    /// The file was written by an earlier verbund, and is only to be looked at.
    #[error("{} was written by an older verbund (schema {found}; this one reads {known}): start verbund on it once, which brings it up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The schema that this program reads.
        known: i64,
    },
    /// The file's content contradicts itself.
    #[error("{} is damaged ({detail}): put it back from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No space left.
    #[error("cannot write {}: the disk is full; make room and try again, nothing was changed", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Not writable.
    #[error("cannot write {}: the file or its directory is read-only; nothing was changed", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// SQLite refused for a reason that has no name of its own here.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The store was closed, or its thread died.
    #[error(
        "the store is closed: the server is shutting down, or the store's thread failed; if it does not end by itself, look at the log and start it again"
    )]
    Closed,
    /// There is such a user already.
    #[error("there is a user {0} already")]
    UserExists(Aor),
    /// There is no such user.
    #[error("there is no user {0}")]
    NoSuchUser(Aor),
    /// A serial number was used twice.
    #[error("a certificate with serial number {0} was issued before")]
    SerialTaken(Serial),
    /// Someone else published first, or the version does not go up.
    #[error("topology version {offered} was not published: the current version is {}", current_version(found))]
    Conflict {
        /// The version that was to be published.
        offered: Version,
        /// The version in force.
        found: Option<Version>,
    },
    /// No certificate of this number was issued.
    #[error("the ledger has no certificate with serial number {0}: look for it with verbund cert list")]
    NoSuchCertificate(Serial),
    /// A document with a number that is not above that of the one held (row N29).
    #[error("{what} number {offered} was not taken: number {found} is held already, and a lower or equal one would undo it")]
    NotNewer {
        /// What it is.
        what: String,
        /// The number that was to be taken.
        offered: u64,
        /// The number held.
        found: u64,
    },
    /// A ticket that does not count, whatever the reason (row N33).
    #[error("join ticket {kid} {why}; open a new one with: verbund server add")]
    TicketSpent {
        /// Its public half.
        kid: String,
        /// Why it does not count.
        why: TicketEnd,
    },
    /// Two accounts with one key.
    #[error("account {0} has this key already")]
    KeyTaken(AccountId),
    /// There is no account of this number, or it was ended.
    #[error("there is no account {0}, or it was deactivated; join anew with a ticket")]
    NoSuchAccount(AccountId),
    /// As many as there may be.
    #[error("there are {max} {what} already, and no more are allowed: end one of them first")]
    Full {
        /// What is full.
        what: String,
        /// The limit.
        max: usize,
    },
    /// Something larger than may be kept.
    #[error("{what} has {bytes} bytes, and at most {max} are kept")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A signed head that does not fit the audit log.
    #[error("the audit log has no link {0}: it was signed for another log, or links were lost; run: verbund audit verify")]
    NotInChain(Head),
    /// A time before 1970 or too far away to be kept.
    #[error("a time outside the years that can be kept: check this machine's clock")]
    Time,
}

/// Why a ticket does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TicketEnd {
    /// A certificate was fetched with it.
    #[error("was used already")]
    Burnt,
    /// It was taken back.
    #[error("was taken back")]
    Void,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// There never was one, or it ended long ago.
    #[error("is not known")]
    Unknown,
}

fn current_version(found: &Option<Version>) -> String {
    found.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

impl Error {
    /// Gives what SQLite said about `path` the name it has here.
    pub(crate) fn sqlite(path: &Path, source: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, detail: source.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            // Rows that do not read back as what we wrote: someone else wrote them.
            None => Self::Damaged { path, detail: source.to_string() },
            Some(code) => {
                let extended = source.sqlite_error().map_or(0, |error| error.extended_code);
                let source =
                    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error { code, extended_code: extended }, Some(source.to_string()));
                Self::Sqlite { path, source }
            }
        }
    }
}
