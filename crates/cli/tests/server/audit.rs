//! `verbund audit`: beside a running server, after it, and on a file that somebody changed.

use std::{fs, path::Path, process::Output};

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
    assert!(verdict["links"].as_u64().unwrap() <= events.as_array().unwrap().len() as u64);
    let mut names = names(&events);
    for wanted in ["issued", "topology-published", "user-added"] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    // The server does things of its own meanwhile.
    names.retain(|name| name.starts_with("user-"));
    assert_eq!(names[names.len() - 2..], ["user-added", "user-removed"]);
    assert!(events.as_array().unwrap().iter().any(|link| link["event"]["aor"] == "sip:carol@verbund.test"));
    let last = server.json(&["audit", "list", "--from", &verdict["links"].to_string(), "--limit", "1"]);
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

const CUT: &str = "DROP TRIGGER audit_is_not_cut; DELETE FROM audit WHERE number = (SELECT max(number) FROM audit);
    UPDATE audit_head SET number = number - 1, hash = (SELECT hash FROM audit ORDER BY number DESC LIMIT 1)";

fn shell(data: &Path, sql: &str) {
    let shell = Connection::open(data.join("state.sqlite")).unwrap();
    shell.execute_batch(sql).unwrap();
    shell.close().unwrap();
}

#[test]
fn a_log_cut_at_its_end_is_found_by_what_was_signed() {
    let (_dir, server) = server();
    let data = server.data();
    server.json(&["user", "add", "mallory"]);
    let noted = server.json(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    server.stop();
    let whole = json(&audit(&data, &["verify", "--json", "--expect", &noted]));
    assert_eq!((&whole["intact"], &whole["checkpoint"]["head"]), (&Value::Bool(true), &whole["head"]), "the end is signed at the end");
    shell(&data, CUT);
    let found = audit(&data, &["verify", "--json"]);
    let said = json(&found);
    assert_eq!((found.status.code(), &said["link"]), (Some(1), &whole["links"]), "{said}");
    // Whoever cuts the signed ends off too finds one beside the state file.
    shell(&data, "DELETE FROM audit_checkpoint");
    assert_eq!(json(&audit(&data, &["verify", "--json"]))["link"], whole["links"]);
    fs::remove_file(data.join("audit-head.jws")).unwrap();
    let said = json(&audit(&data, &["verify", "--json"]));
    assert_eq!((&said["intact"], &said["checkpoint"]), (&Value::Bool(true), &Value::Null), "nothing in the directory tells");
    // What was noted elsewhere does.
    let said = json(&audit(&data, &["verify", "--json", "--expect", whole["head"].as_str().unwrap()]));
    assert_eq!((&said["intact"], &said["link"]), (&Value::Bool(false), &whole["links"]));
}

#[test]
fn a_signed_end_that_nobody_signed_is_found() {
    let (_dir, server) = server();
    let data = server.data();
    server.stop();
    let end = json(&audit(&data, &["verify", "--json"]))["links"].clone();
    // Of another organisation, which is of the same name.
    let other = tempfile::tempdir().unwrap();
    assert!(Verbund::up(&other.path().join("data"), &[]).stop().success());
    let foreign = fs::read_to_string(other.path().join("data/audit-head.jws")).unwrap();
    let genuine = fs::read_to_string(data.join("audit-head.jws")).unwrap();
    for forged in [foreign.as_str(), "a.b.c", &genuine[..genuine.len() - 8]] {
        shell(&data, &format!("UPDATE audit_checkpoint SET signed = '{forged}'"));
        let found = audit(&data, &["verify", "--json"]);
        let said = json(&found);
        assert_eq!((found.status.code(), &said["link"]), (Some(1), &end), "{said}");
        assert!(said["reason"].as_str().unwrap().contains("not the authority's"), "{said}");
    }
    // A signature of ours, for another end.
    shell(&data, &format!("UPDATE audit_checkpoint SET signed = '{genuine}'"));
    assert_eq!(json(&audit(&data, &["verify", "--json"]))["intact"], true);
    shell(&data, "DELETE FROM audit_checkpoint WHERE number < (SELECT max(number) FROM audit_checkpoint)");
    shell(&data, "UPDATE audit_checkpoint SET number = 1, hash = (SELECT hash FROM audit WHERE number = 1)");
    assert_eq!(json(&audit(&data, &["verify", "--json"]))["link"], 1);
}

/// Not "somebody at the socket": which account, and where it differs, the one that person came with.
#[test]
fn the_log_names_the_person() {
    use std::os::unix::fs::MetadataExt as _;
    let (_dir, server) = server();
    server.json(&["user", "add", "carol"]);
    server.json(&["server", "add", "fe2.verbund.test"]);
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let events = server.json(&["audit", "list", "--limit", "1000"]);
    for name in ["user-added", "enrolment-opened"] {
        let event = events.as_array().unwrap().iter().rfind(|link| link["event"]["event"] == name).unwrap();
        let actor = event["actor"].as_str().unwrap();
        assert!(actor.starts_with("administrator ") && actor.contains(&format!("uid {uid}")), "{name}: {actor}");
    }
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
