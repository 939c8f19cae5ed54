//! `kill -9` in the middle of writing: what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use registrar::{Aor, Credential, UserName};
use store::{Directory, Embedded};

const PLACE: &str = "VERBUND_TEST_KILL";

fn aor(n: u32) -> Aor {
    Aor::new(UserName::parse(&format!("user{n}")).unwrap(), "verbund.test")
}

fn credential(n: u32) -> Credential {
    Credential::new(&aor(n).user, "verbund.test", &n.to_string())
}

/// The child: writes users, eight at a time, and says each name once it is acknowledged, until it is killed.
async fn write_until_killed(path: &Path) {
    let store = Embedded::open(path).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|lane| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in (lane..1_000_000).step_by(8) {
                    store.add_user(&aor(n), &credential(n), None, UNIX_EPOCH).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {n}").unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Not a test of its own: the process that the test below starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    if let Some(path) = std::env::var_os(PLACE) {
        write_until_killed(&PathBuf::from(path)).await;
    }
}

/// Starts the child, lets it acknowledge some users, kills it, and gives back what it acknowledged.
fn acknowledged_before_the_kill(path: &Path, enough: usize) -> Vec<u32> {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).env(PLACE, path).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let number = |line: String| line.split_once("acknowledged ").and_then(|(_, n)| n.parse().ok());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter_map(number);
    let mut numbers: Vec<u32> = lines.by_ref().take(enough).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.extend(lines);
    numbers
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    for enough in [1, 60, 211] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.sqlite");
        Embedded::create(&path).unwrap().close().await;
        let acknowledged = acknowledged_before_the_kill(&path, enough);
        assert!(acknowledged.len() >= enough, "the child died early");
        let store = Embedded::open(&path).unwrap();
        for n in acknowledged {
            let user = store.user(&aor(n)).await.unwrap();
            assert!(user.is_some_and(|user| user.credential == credential(n)), "user{n} was acknowledged and is lost");
        }
        let users = store.users().await.unwrap();
        let last = users.iter().map(|user| user.revision.0).max();
        assert_eq!(last, Some(users.len() as u64), "each change has its revision, without a gap");
    }
}
