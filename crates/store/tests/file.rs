//! The state file: whose it is, who may read it, and what is said of one that is not right.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use registrar::{Aor, Credential, UserName};
use rusqlite::Connection;
use store::{Directory, Embedded, Error, Lock};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    (directory, path)
}

fn alice() -> (Aor, Credential) {
    let name = UserName::parse("alice").unwrap();
    (Aor::new(name.clone(), "verbund.test"), Credential::new(&name, "verbund.test", "correct horse"))
}

/// A state file with alice in it, closed in order.
async fn made() -> (TempDir, PathBuf) {
    let (directory, path) = place();
    let store = Embedded::create(&path).unwrap();
    let (aor, credential) = alice();
    store.add_user(&aor, &credential, None, UNIX_EPOCH).await.unwrap();
    store.close().await;
    (directory, path)
}

/// The file is refused for the reason wanted and stays as it was.
#[track_caller]
fn refused(path: &Path, wanted: fn(&Error) -> bool) {
    let before = fs::read(path).ok();
    let error = Embedded::open(path).unwrap_err();
    assert!(wanted(&error), "{error:?}");
    assert!(fs::read(path).ok() == before, "the file was changed");
}

#[tokio::test]
async fn what_was_written_is_there_again() {
    let (_directory, path) = made().await;
    let store = Embedded::open(&path).unwrap();
    let (aor, credential) = alice();
    assert!(store.user(&aor).await.unwrap().unwrap().credential == credential);
}

#[tokio::test]
async fn all_files_are_the_owners_alone() {
    let (directory, path) = made().await;
    let store = Embedded::open(&path).unwrap();
    let (aor, credential) = alice();
    store.replace_credential(&aor, &credential, UNIX_EPOCH).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its log and the log's index");
}

#[tokio::test]
async fn a_file_open_to_others_is_narrowed() {
    let (_directory, path) = made().await;
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let _store = Embedded::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn two_servers_never_share_a_directory() {
    let (directory, path) = made().await;
    let first = Embedded::open(&path).unwrap();
    let error = Embedded::open(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another verbund serves this data directory"));
    first.close().await;
    let lock = Lock::acquire(directory.path()).unwrap();
    assert!(matches!(Embedded::open(&path), Err(Error::InUse { .. })));
    let _second = Embedded::open_locked(&path, lock).unwrap();
}

#[tokio::test]
async fn dropping_the_last_clone_lets_go_of_the_directory() {
    let (_directory, path) = made().await;
    drop(Embedded::open(&path).unwrap());
    let waited = (0..200).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        Embedded::open(&path).ok()
    });
    assert!(waited.is_some());
}

#[tokio::test]
async fn a_missing_file_is_not_made_anew() {
    let (_directory, path) = place();
    refused(&path, |error| matches!(error, Error::Missing { .. }));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_there_is_not_made_again() {
    let (_directory, path) = made().await;
    assert!(matches!(Embedded::create(&path), Err(Error::Io { .. })));
    assert!(Embedded::open(&path).is_ok());
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let (_directory, path) = made().await;
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
    refused(&path, |error| matches!(error, Error::Newer { found: 999, .. }));
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let (_directory, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs(title)").unwrap();
    refused(&path, |error| matches!(error, Error::Foreign { .. }));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let (_directory, path) = place();
    fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    refused(&path, |error| matches!(error, Error::NotADatabase { .. }));
}

#[tokio::test]
async fn an_empty_file_is_refused() {
    let (_directory, path) = place();
    fs::write(&path, "").unwrap();
    refused(&path, |error| matches!(error, Error::Damaged { .. }));
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (_directory, path) = made().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000..9000].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    refused(&path, |error| matches!(error, Error::Damaged { .. }));
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_directory, path) = made().await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&path, |error| matches!(error, Error::Damaged { .. }));
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let (directory, path) = made().await;
    let link = directory.path().join("link.sqlite");
    symlink(&path, &link).unwrap();
    refused(&link, |error| matches!(error, Error::NotADatabase { .. }));
}

#[tokio::test]
async fn a_user_whose_row_was_forged_is_damage_and_not_a_user() {
    let (_directory, path) = made().await;
    Connection::open(&path).unwrap().execute("UPDATE users SET name = 'a b@c'", []).unwrap();
    let store = Embedded::open(&path).unwrap();
    assert!(matches!(store.users().await, Err(Error::Damaged { .. })));
}

#[tokio::test]
async fn no_file_holds_a_password_nor_a_credential_that_is_gone() {
    let (directory, path) = made().await;
    let store = Embedded::open(&path).unwrap();
    let (aor, old) = alice();
    store.replace_credential(&aor, &Credential::new(&aor.user, "verbund.test", "second"), UNIX_EPOCH).await.unwrap();
    let bob = UserName::parse("bob").unwrap();
    let gone = Credential::new(&bob, "verbund.test", "gone");
    let bob = Aor::new(bob, "verbund.test");
    store.add_user(&bob, &gone, None, UNIX_EPOCH).await.unwrap();
    store.remove_user(&bob, UNIX_EPOCH).await.unwrap();
    store.close().await;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(b"correct horse") && !holds(old.md5()) && !holds(old.sha256()));
        assert!(!holds(gone.md5()) && !holds(gone.sha256()));
    }
}

#[tokio::test]
async fn a_user_prints_without_the_credential() {
    let (_directory, path) = made().await;
    let store = Embedded::open(&path).unwrap();
    let printed = format!("{:?}", store.users().await.unwrap());
    let (_, credential) = alice();
    let hex: String = credential.md5().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(printed.contains("alice") && !printed.contains(&hex) && !printed.contains(&format!("{:?}", credential.md5())));
}
