//! `verbund audit`: beside a running server, after it, and on a file that somebody changed.

use std::{path::Path, process::Output};

use rusqlite::Connection;
use serde_json::Value;

use crate::common::verbund::{Verbund, complaint, ends, program};

fn server() -> (tempfile::TempDir, Verbund) {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    (dir, server)
}

fn audit(data: &Path, args: &[&str]) -> Output {
    ends(program().arg("audit").args(args).arg("--data").arg(data))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|link| link["event"]["event"].as_str().unwrap()).collect()
}

#[test]
fn the_log_of_a_running_server_is_whole_and_tells_what_was_done() {
    let (_dir, server) = server();
    server.json(&["user", "add", "carol"]);
    server.command(&["user", "remove", "carol"]);
    let verdict = server.json(&["audit", "verify"]);
    assert_eq!(verdict["intact"], true);
    let events = server.json(&["audit", "list", "--limit", "1000"]);
    assert_eq!(verdict["links"], events.as_array().unwrap().len());
    let names = names(&events);
    for wanted in ["issued", "topology-published", "user-added"] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    assert_eq!(names[names.len() - 2..], ["user-added", "user-removed"]);
    let last = server.json(&["audit", "list", "--limit", "1"]);
    assert_eq!(last[0]["event"]["aor"], "sip:carol@verbund.test");
    assert_eq!(verdict["head"].as_str().unwrap(), format!("{}:{}", last[0]["number"], last[0]["hash"].as_str().unwrap()));
    assert_eq!(server.json(&["audit", "list", "--from", "1", "--limit", "2"]).as_array().unwrap().len(), 2);
    let text = server.command(&["audit", "list"]);
    assert!(text.contains("user-removed") && text.contains("aor=sip:carol@verbund.test"), "{text}");
    assert!(server.command(&["audit", "verify"]).contains("The audit log is whole:"));
}

#[test]
fn no_secret_is_in_the_log() {
    let (_dir, server) = server();
    let password = server.json(&["user", "password", "alice"])["password"].as_str().unwrap().to_owned();
    let log = server.json(&["audit", "list", "--limit", "1000"]).to_string();
    assert!(log.contains("credential-replaced") && !log.contains(&password));
}

#[test]
fn a_log_cut_after_it_was_noted_is_found_on_a_stopped_server() {
    let (_dir, server) = server();
    let data = server.data();
    server.json(&["user", "add", "mallory"]);
    let noted = server.json(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    server.stop();
    assert_eq!(json(&audit(&data, &["verify", "--json", "--expect", &noted]))["intact"], true);
    let shell = Connection::open(data.join("state.sqlite")).unwrap();
    let cut = "DROP TRIGGER audit_is_not_cut; DELETE FROM audit WHERE number = (SELECT max(number) FROM audit);
               UPDATE audit_head SET number = number - 1, hash = (SELECT hash FROM audit ORDER BY number DESC LIMIT 1)";
    shell.execute_batch(cut).unwrap();
    shell.close().unwrap();
    assert_eq!(json(&audit(&data, &["verify", "--json"]))["intact"], true, "nothing in the file tells");
    let found = audit(&data, &["verify", "--json", "--expect", &noted]);
    let said = json(&found);
    assert_eq!((found.status.code(), &said["intact"]), (Some(1), &Value::Bool(false)));
    assert_eq!(said["link"].to_string(), noted.split_once(':').unwrap().0);
}

#[test]
fn an_event_that_was_changed_is_named_with_its_number_and_what_to_do() {
    let (_dir, server) = server();
    let data = server.data();
    server.stop();
    let shell = Connection::open(data.join("state.sqlite")).unwrap();
    shell.execute_batch("DROP TRIGGER audit_is_not_changed; UPDATE audit SET event = replace(event, 'alice', 'mallory')").unwrap();
    let number: u64 = shell.query_row("SELECT min(number) FROM audit WHERE event LIKE '%mallory%'", [], |row| row.get(0)).unwrap();
    shell.close().unwrap();
    let found = audit(&data, &["verify", "--json"]);
    let said = json(&found);
    assert_eq!((found.status.code(), &said["link"]), (Some(1), &Value::from(number)));
    assert!(said["cure"].as_str().unwrap().contains("evidence"), "{said}");
    let text = String::from_utf8(audit(&data, &["verify"]).stdout).unwrap();
    assert!(text.contains(&format!("link {number} was altered")) && text.contains("compare with a backup"), "{text}");
}

#[test]
fn what_cannot_be_read_is_told_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| complaint(&audit(dir.path(), args));
    let (code, text) = said(&["verify"]);
    assert_eq!((code, text.contains("is missing: put it back from a backup")), (1, true), "{text}");
    std::fs::write(dir.path().join("state.sqlite"), "dear diary, ".repeat(1000)).unwrap();
    assert!(said(&["list"]).1.contains("is not a database"));
    let wrong = audit(dir.path(), &["verify", "--expect", "twelve"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("NUMBER:HASH"), "{wrong:?}");
}
