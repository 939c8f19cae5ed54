//! `kill -9` in the middle of writing: what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use pki::Fqdn;
use registrar::{Aor, Credential, UserName};
use store::{AuditLog, Directory, Embedded, Enrolments, Error, Event, Ticket, TicketEnd, TicketKey, Verdict};

const PLACE: &str = "VERBUND_TEST_KILL";
const BURNING: &str = "VERBUND_TEST_KILL_BURNING";

fn aor(n: u32) -> Aor {
    Aor::new(UserName::parse(&format!("user{n}")).unwrap(), "verbund.test")
}

fn credential(n: u32) -> Credential {
    Credential::new(&aor(n).user, "verbund.test", &n.to_string())
}

/// A ticket that both processes know, each for a server of its own.
fn ticket(n: u32) -> Ticket {
    Ticket {
        kid: format!("ticket{n}"),
        key: TicketKey::from_bytes([7; 32]),
        server: Fqdn::parse(&format!("fe{n}.verbund.test")).unwrap(),
        expires: UNIX_EPOCH + Duration::from_secs(100),
    }
}

fn acknowledge(n: u32) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "acknowledged {n}").unwrap();
    out.flush().unwrap();
}

/// The child: works on eight things at a time, and says each number once it is acknowledged, until it is killed.
async fn work_until_killed<F: Future<Output = ()> + Send + 'static>(path: &Path, work: fn(Embedded, u32) -> F) {
    let store = Embedded::open(path).unwrap();
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let store = store.clone();
        lanes.spawn(async move {
            for n in (lane..1_000_000).step_by(8) {
                work(store.clone(), n).await;
                acknowledge(n);
            }
        });
    }
    lanes.join_all().await;
}

async fn add_user(store: Embedded, n: u32) {
    store.add_user(&aor(n), &credential(n), None, UNIX_EPOCH).await.unwrap();
}

async fn burn_ticket(store: Embedded, n: u32) {
    store.open_enrolment(&ticket(n), UNIX_EPOCH).await.unwrap();
    store.burn(&ticket(n).kid, UNIX_EPOCH).await.unwrap();
}

/// Not a test of its own: the process that the tests below start and kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    if let Some(path) = std::env::var_os(PLACE) {
        work_until_killed(&PathBuf::from(path), add_user).await;
    }
    if let Some(path) = std::env::var_os(BURNING) {
        work_until_killed(&PathBuf::from(path), burn_ticket).await;
    }
}

/// Starts the child, lets it acknowledge some of its work, kills it, and gives back what it acknowledged.
fn acknowledged_before_the_kill(place: &str, path: &Path, enough: usize) -> Vec<u32> {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).env(place, path).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let number = |line: String| line.split_once("acknowledged ").and_then(|(_, n)| n.parse().ok());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter_map(number);
    let mut numbers: Vec<u32> = lines.by_ref().take(enough).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.extend(lines);
    assert!(numbers.len() >= enough, "the child died early");
    numbers
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    for enough in [1, 60, 211] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.sqlite");
        Embedded::create(&path).unwrap().close().await;
        let acknowledged = acknowledged_before_the_kill(PLACE, &path, enough);
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

/// How many events of this name the log has; the log must be whole.
async fn events(store: &Embedded, name: &str) -> Vec<String> {
    assert!(matches!(store.verify(&[]).await.unwrap(), Verdict::Intact { .. }), "the chain is broken");
    let links = store.links(1, usize::MAX).await.unwrap();
    let kept = links.into_iter().filter(|link| link.event.starts_with(&format!("{{\"event\":\"{name}\"")));
    kept.map(|link| link.event).collect()
}

#[tokio::test]
async fn n33_a_ticket_that_was_burnt_stays_burnt_through_a_kill_and_the_log_tells_of_it_once() {
    for enough in [1, 60, 211] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.sqlite");
        Embedded::create(&path).unwrap().close().await;
        let acknowledged = acknowledged_before_the_kill(BURNING, &path, enough);
        let store = Embedded::open(&path).unwrap();
        for n in &acknowledged {
            let again = store.burn(&ticket(*n).kid, UNIX_EPOCH).await;
            assert!(matches!(again, Err(Error::TicketSpent { why: TicketEnd::Burnt, .. })), "ticket{n} burns twice: {again:?}");
        }
        let told = events(&store, "enrolment-burnt").await;
        let mut burnt = 0;
        for n in 0..acknowledged.iter().max().unwrap() + 9 {
            let is_burnt = store.enrolment(&ticket(n).kid).await.unwrap().is_some_and(|ticket| ticket.burnt_at.is_some());
            let event = Event::EnrolmentBurnt { ticket: ticket(n).kid, server: ticket(n).server.to_string() };
            let event = serde_json::to_string(&event).unwrap();
            assert_eq!(told.iter().filter(|one| **one == event).count(), usize::from(is_burnt), "ticket{n}");
            burnt += usize::from(is_burnt);
        }
        assert_eq!(told.len(), burnt);
    }
}

#[tokio::test]
async fn the_audit_log_is_whole_after_a_kill_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.sqlite");
    Embedded::create(&path).unwrap().close().await;
    let mut seen = 0;
    for round in 0..3_u32 {
        let path = path.clone();
        // Each round starts where no user is yet.
        let store = Embedded::open(&path).unwrap();
        for user in store.users().await.unwrap() {
            store.remove_user(&user.aor, UNIX_EPOCH).await.unwrap();
        }
        store.close().await;
        let acknowledged = acknowledged_before_the_kill(PLACE, &path, 40);
        let store = Embedded::open(&path).unwrap();
        let told = events(&store, "user-added").await.len();
        let users = store.users().await.unwrap().len();
        assert!(users >= acknowledged.len());
        assert_eq!(told - seen, users, "round {round}: as many users as events");
        seen = told;
        store.close().await;
    }
}
