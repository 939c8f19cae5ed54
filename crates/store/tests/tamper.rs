//! Somebody changes the audit log in the file, with a database shell or byte by byte: it shows.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;
use store::{AuditLog, BreakKind, Embedded, Event, Head, Verdict};
use tempfile::TempDir;

const LINKS: u64 = 9;

/// A log of nine links, the sixth of them signed.
async fn log() -> (TempDir, PathBuf, Head) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    let store = Embedded::create(&path).unwrap();
    for n in 1..=LINKS {
        let now = UNIX_EPOCH + Duration::from_secs(n);
        let link = store.append(&Event::MemberJoined { server: format!("fe{n}.verbund.test") }, now).await.unwrap();
        if n == 6 {
            store.checkpoint(&link.head(), "jws", now).await.unwrap();
        }
    }
    let head = store.head().await.unwrap().unwrap();
    store.close().await;
    (directory, path, head)
}

async fn verdict(path: &Path, noted: &[Head]) -> Result<Verdict, store::Error> {
    let store = Embedded::open(path)?;
    let verdict = store.verify(noted).await;
    store.close().await;
    verdict
}

/// After this SQL the log breaks at this link.
async fn check(sql: &str, number: u64, kind: BreakKind) {
    let (_directory, path, _) = log().await;
    let shell = Connection::open(&path).unwrap();
    shell.execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut").unwrap();
    shell.execute_batch(sql).unwrap();
    shell.close().unwrap();
    match verdict(&path, &[]).await.unwrap() {
        Verdict::Broken(broken) => assert_eq!((broken.number, broken.kind), (number, kind), "{sql}"),
        Verdict::Intact { .. } => panic!("not noticed: {sql}"),
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let (_directory, path, head) = log().await;
    let Verdict::Intact { head: found, checkpoint } = verdict(&path, &[head]).await.unwrap() else { panic!("broken") };
    assert_eq!((found, checkpoint.unwrap().head.number), (Some(head), 6));
}

#[tokio::test]
async fn a_link_changed_in_any_column_is_found() {
    check("UPDATE audit SET event = replace(event, 'fe4', 'fe5') WHERE number = 4", 4, BreakKind::Altered).await;
    check("UPDATE audit SET actor = 'administrator uid 0' WHERE number = 9", 9, BreakKind::Altered).await;
    check("UPDATE audit SET at = at + 1 WHERE number = 1", 1, BreakKind::Altered).await;
    check("UPDATE audit SET hash = zeroblob(32) WHERE number = 2", 2, BreakKind::Altered).await;
    check("UPDATE audit SET previous = zeroblob(32) WHERE number = 3", 3, BreakKind::Altered).await;
    check("UPDATE audit SET number = 100 WHERE number = 5", 5, BreakKind::Missing).await;
}

#[tokio::test]
async fn links_taken_out_are_found() {
    check("DELETE FROM audit WHERE number = 1", 1, BreakKind::Missing).await;
    check("DELETE FROM audit WHERE number = 5", 5, BreakKind::Missing).await;
    check("DELETE FROM audit WHERE number > 6", 7, BreakKind::Truncated).await;
    check("DELETE FROM audit", 1, BreakKind::Truncated).await;
}

#[tokio::test]
async fn links_moved_up_over_a_gap_are_found() {
    check("DELETE FROM audit WHERE number = 5; UPDATE audit SET number = number - 1 WHERE number > 5", 5, BreakKind::Altered).await;
}

#[tokio::test]
async fn a_log_cut_off_with_the_record_of_its_end_is_found_by_what_was_signed() {
    let cut = |last: u32| {
        format!(
            "DELETE FROM audit WHERE number > {last};
             UPDATE audit_head SET number = {last}, hash = (SELECT hash FROM audit WHERE number = {last})"
        )
    };
    check(&cut(5), 6, BreakKind::Truncated).await;
    check("DELETE FROM audit; DELETE FROM audit_head", 1, BreakKind::Truncated).await;
}

/// Nothing in the file tells; a head that was noted elsewhere does.
#[tokio::test]
async fn a_log_cut_off_after_what_was_signed_is_found_by_a_head_noted_elsewhere() {
    let (_directory, path, head) = log().await;
    let shell = Connection::open(&path).unwrap();
    let cut = "DROP TRIGGER audit_is_not_cut; DELETE FROM audit WHERE number > 7;
               UPDATE audit_head SET number = 7, hash = (SELECT hash FROM audit WHERE number = 7)";
    shell.execute_batch(cut).unwrap();
    shell.close().unwrap();
    assert!(matches!(verdict(&path, &[]).await.unwrap(), Verdict::Intact { .. }));
    let Verdict::Broken(broken) = verdict(&path, &[head]).await.unwrap() else { panic!("not noticed") };
    assert_eq!((broken.number, broken.kind), (8, BreakKind::Truncated));
}

#[tokio::test]
async fn a_link_put_at_the_end_is_found() {
    let like_the_last = "INSERT INTO audit SELECT number + 1, hash, hash, at, actor, event FROM audit WHERE number = 9";
    check(like_the_last, 10, BreakKind::Altered).await;
}

#[tokio::test]
async fn a_signed_head_that_was_exchanged_is_found() {
    check("UPDATE audit_checkpoint SET hash = zeroblob(32)", 6, BreakKind::Replaced).await;
    check("UPDATE audit_checkpoint SET number = 12", 10, BreakKind::Truncated).await;
}

#[tokio::test]
async fn the_trigger_stops_an_honest_mistake_in_a_shell() {
    let (_directory, path, _) = log().await;
    let shell = Connection::open(&path).unwrap();
    for sql in ["DELETE FROM audit WHERE number = 2", "UPDATE audit SET at = 0"] {
        assert!(shell.execute_batch(sql).unwrap_err().to_string().contains("only added to"), "{sql}");
    }
}

/// Every octet of the file that says a server's name: the other name shows, as a broken link or as damage.
#[tokio::test]
async fn a_name_changed_in_the_bytes_of_the_file_is_found() {
    let (_directory, path, _) = log().await;
    let bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"fe4.")).collect();
    assert!(!places.is_empty());
    for at in places {
        let mut changed = bytes.clone();
        changed[at + 2] = b'5';
        fs::write(&path, changed).unwrap();
        match verdict(&path, &[]).await {
            Ok(Verdict::Broken(broken)) => assert_eq!((broken.number, broken.kind), (4, BreakKind::Altered)),
            Ok(Verdict::Intact { .. }) => panic!("byte {at}: not noticed"),
            Err(error) => assert!(matches!(error, store::Error::Damaged { .. }), "{error}"),
        }
    }
}
