//! A second look at the state file, beside the server or without one; and a copy of it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use registrar::{Aor, Credential, UserName};
use rusqlite::Connection;
use store::{AuditLog, Directory, Embedded, Error, Event, Verdict};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    (directory, path)
}

async fn append(store: &Embedded, server: &str) {
    store.append(&Event::MemberJoined { server: server.to_owned() }, UNIX_EPOCH).await.unwrap();
}

async fn length(store: &Embedded) -> usize {
    store.links(1, 100).await.unwrap().len()
}

#[tokio::test]
async fn a_reader_sees_what_a_running_server_wrote_and_keeps_it_from_nothing() {
    let (_directory, path) = place();
    let server = Embedded::create(&path).unwrap();
    append(&server, "one").await;
    let reader = Embedded::open_to_read(&path).unwrap();
    assert_eq!(length(&reader).await, 1);
    append(&server, "two").await;
    assert_eq!(length(&reader).await, 2);
    server.close().await;
    assert_eq!(length(&reader).await, 2);
    let server = Embedded::open(&path).unwrap();
    append(&server, "three").await;
    assert!(matches!(reader.verify(&[]).await.unwrap(), Verdict::Intact { head: Some(head), .. } if head.number == 3));
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (_directory, path) = place();
    let server = Embedded::create(&path).unwrap();
    append(&server, "one").await;
    server.close().await;
    let before = fs::read(&path).unwrap();
    let reader = Embedded::open_to_read(&path).unwrap();
    let refused = reader.append(&Event::MemberJoined { server: "two".to_owned() }, UNIX_EPOCH).await;
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    assert_eq!(length(&reader).await, 1);
    reader.close().await;
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn what_a_killed_server_left_in_its_log_is_read_too() {
    let (directory, path) = place();
    let server = Embedded::create(&path).unwrap();
    append(&server, "one").await;
    // The files as a kill would leave them.
    let killed = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
    }
    let reader = Embedded::open_to_read(&killed.path().join("state.sqlite")).unwrap();
    assert_eq!(length(&reader).await, 1);
}

fn refused(path: &Path, wanted: fn(&Error) -> bool) {
    let before = fs::read(path).ok();
    let error = Embedded::open_to_read(path).unwrap_err();
    assert!(wanted(&error), "{error:?}");
    assert!(fs::read(path).ok() == before, "the file was changed");
}

#[tokio::test]
async fn what_is_no_state_file_of_today_is_not_read() {
    let (_directory, path) = place();
    refused(&path, |error| matches!(error, Error::Missing { .. }));
    Embedded::create(&path).unwrap().close().await;
    let set = |version: u32| Connection::open(&path).unwrap().execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
    set(999);
    refused(&path, |error| matches!(error, Error::Newer { found: 999, .. }));
    set(1);
    refused(&path, |error| matches!(error, Error::Older { found: 1, .. }));
    fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    refused(&path, |error| matches!(error, Error::NotADatabase { .. }));
}

#[tokio::test]
async fn a_copy_has_all_of_one_moment_and_is_its_owners_alone() {
    let (directory, path) = place();
    let server = Embedded::create(&path).unwrap();
    let (name, copy) = (UserName::parse("alice").unwrap(), directory.path().join("copy.sqlite"));
    let aor = Aor::new(name.clone(), "verbund.test");
    server.add_user(&aor, &Credential::new(&name, "verbund.test", "p"), None, UNIX_EPOCH).await.unwrap();
    Embedded::open_to_read(&path).unwrap().copy_to(&copy).await.unwrap();
    append(&server, "later").await;
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(server.copy_to(&copy).await, Err(Error::Io { .. })), "a file that is there stays");
    server.close().await;
    let copied = Embedded::open(&copy).unwrap();
    assert!(copied.user(&aor).await.unwrap().is_some());
    assert!(matches!(copied.verify(&[]).await.unwrap(), Verdict::Intact { head: Some(head), .. } if head.number == 1));
    append(&copied, "the copy goes on by itself").await;
}

#[tokio::test]
async fn a_copy_of_a_damaged_file_is_refused() {
    let (directory, path) = place();
    let server = Embedded::create(&path).unwrap();
    for n in 0..200 {
        append(&server, &format!("fe{n}.verbund.test")).await;
    }
    server.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 8192;
    bytes[end..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let copied = Embedded::open_to_read(&path).unwrap().copy_to(&directory.path().join("copy.sqlite")).await;
    assert!(matches!(copied, Err(Error::Damaged { .. })), "{copied:?}");
}
