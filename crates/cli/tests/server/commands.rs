//! The commands that speak to a running server, and what they say.

use std::{io::Write as _, process::Stdio};

use crate::common::{
    phone::Phone,
    verbund::{Verbund, complaint, ends, program},
};

fn server() -> (tempfile::TempDir, Verbund) {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    (dir, server)
}

#[test]
fn a_user_who_is_added_signs_in_with_the_password_shown() {
    let (_dir, server) = server();
    let said = server.json(&["user", "add", "Carol"]);
    assert_eq!(said["aor"], "sip:carol@verbund.test");
    let mut carol = Phone::connect(&server, "carol", said["password"].as_str().unwrap());
    assert_eq!(carol.register(600), 200);
    let users = server.json(&["user", "list"]);
    let users: Vec<&str> = users.as_array().unwrap().iter().map(|user| user["aor"].as_str().unwrap()).collect();
    assert_eq!(users, ["sip:alice@verbund.test", "sip:bob@verbund.test", "sip:carol@verbund.test"]);
    assert_eq!(server.command(&["user", "list"]), users.join("\n") + "\n");
    assert!(server.data().join("accounts/carol/linphonerc").exists());
}

#[test]
fn a_user_is_not_added_twice() {
    let (_dir, server) = server();
    let (code, said) = complaint(&server.try_command(&["user", "add", "alice"]));
    assert_eq!(code, 1);
    assert!(said.contains("there is a user sip:alice@verbund.test already") && said.contains("verbund user password alice"), "{said}");
    Phone::signed_in(&server, "alice");
}

#[test]
fn a_removed_user_is_signed_out_at_once_and_cannot_come_back() {
    let (_dir, server) = server();
    let password = server.password("bob");
    let mut bob = Phone::signed_in(&server, "bob");
    server.command(&["user", "remove", "bob"]);
    while bob.next().is_some() {}
    assert_ne!(Phone::connect(&server, "bob", &password).register(600), 200);
    assert!(!server.data().join("accounts/bob").exists());
    let (code, said) = complaint(&server.try_command(&["user", "remove", "bob"]));
    assert_eq!(code, 1);
    assert!(said.contains("there is no user sip:bob@verbund.test"), "{said}");
}

/// The command may be interrupted at any moment: what it began is done wholly or not at all.
#[test]
fn a_removal_whose_asker_is_gone_is_carried_through() {
    let (_dir, server) = server();
    for (wait_ms, user) in [(0, "carol"), (1, "dave"), (2, "erin"), (3, "frank"), (0, "grace"), (2, "heidi")] {
        let password = server.json(&["user", "add", user])["password"].as_str().unwrap().to_owned();
        let mut socket = std::os::unix::net::UnixStream::connect(server.data().join("admin.sock")).unwrap();
        write!(socket, "DELETE /v1/users/{user} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        drop(socket);
        std::thread::sleep(std::time::Duration::from_millis(300));
        let is_listed = server.command(&["user", "list"]).contains(&format!("sip:{user}@"));
        let signs_in = Phone::connect(&server, user, &password).register(600) == 200;
        assert_eq!(is_listed, signs_in, "{user}: the store and the core say different things");
    }
}

#[test]
fn a_new_password_counts_at_once_and_the_old_one_no_more() {
    let (_dir, server) = server();
    let old = server.password("alice");
    let mut alice = Phone::signed_in(&server, "alice");
    let new = server.json(&["user", "password", "alice"])["password"].as_str().unwrap().to_owned();
    while alice.next().is_some() {}
    assert_ne!(Phone::connect(&server, "alice", &old).register(600), 200);
    assert_eq!(Phone::connect(&server, "alice", &new).register(600), 200);
    // The account files follow.
    let account = std::fs::read_to_string(server.data().join("accounts/alice/baresip/accounts")).unwrap();
    assert!(account.contains(&new) && !account.contains(&old));
    let (code, said) = complaint(&server.try_command(&["user", "password", "nobody"]));
    assert_eq!((code, said.contains("there is no user sip:nobody@verbund.test")), (1, true), "{said}");
}

fn typed(server: &Verbund, args: &[&str], input: &str) -> std::process::Output {
    let mut command = program();
    command.args(args).arg("--data").arg(server.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_password_may_be_brought_along_and_is_not_repeated() {
    let (_dir, server) = server();
    let output = typed(&server, &["user", "add", "carol", "--password-stdin"], "correct-horse-battery\n");
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("correct-horse"));
    assert_eq!(Phone::connect(&server, "carol", "correct-horse-battery").register(600), 200);
    for weak in ["short", "with a space in it", "semi;colon;semicolon"] {
        let (code, said) = complaint(&typed(&server, &["user", "add", "dave", "--password-stdin"], weak));
        assert_eq!(code, 1, "{said}");
        assert!(!said.contains(weak), "{said}");
    }
}

#[test]
fn status_says_who_is_signed_in_from_where_and_how_it_is_protected() {
    let (_dir, server) = server();
    let empty = server.command(&["status"]);
    assert!(empty.contains("No phone can be reached.") && empty.contains("sip.verbund.test"), "{empty}");
    let _alice = Phone::signed_in(&server, "alice");
    let status = server.json(&["status"]);
    let registration = &status["registrations"][0];
    assert_eq!((&registration["aor"], &registration["user_agent"]), (&"sip:alice@verbund.test".into(), &"test phone".into()));
    let connection = &status["connections"][0];
    assert_eq!((&connection["tls_version"], &connection["key_exchange"]), (&"TLS 1.3".into(), &"X25519MLKEM768".into()));
    assert_eq!(connection["suite"], "TLS13_AES_256_GCM_SHA384");
    assert_eq!(connection["remote"], registration["remote"]);
    assert_eq!(connection["users"][0], "sip:alice@verbund.test");
    let days: Vec<i64> = status["certificates"].as_array().unwrap().iter().map(|one| one["days_left"].as_i64().unwrap()).collect();
    assert!(days[0] > 7_000 && days[1] > 1_000 && days[2] > 1_000 && (6..=7).contains(&days[3]), "{days:?}");
    let text = server.command(&["status"]);
    for what in ["sip:alice@verbund.test", "test phone", "TLS 1.3", "X25519MLKEM768"] {
        assert!(text.contains(what), "{what} is not in {text}");
    }
}

#[test]
fn certificates_and_decisions_can_be_asked_for() {
    let (_dir, server) = server();
    let shown = server.json(&["cert", "show"]);
    let names: Vec<&str> = shown.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["root", "issuing", "issuing for users", "sip.verbund.test"]);
    assert_eq!(shown[3]["names"], serde_json::json!(["sip.verbund.test", "verbund.test", "sip:verbund.test"]));
    assert!(server.command(&["cert", "show"]).contains("days left"));
    let _alice = Phone::signed_in(&server, "alice");
    let decisions = server.json(&["decisions"]);
    assert_eq!((&decisions[0]["verdict"], &decisions[0]["evidence"]["name_asked_for"]), (&"accepted".into(), &"sip.verbund.test".into()));
    assert!(server.command(&["decisions"]).contains("accepted"));
}

#[test]
fn a_server_of_another_name_is_not_what_the_phone_wanted() {
    let (_dir, server) = server();
    assert!(Phone::try_connect(&server, "alice", "x", "sip.other.test").is_err());
    assert!(Phone::try_connect(&server, "alice", "x", "verbund.test").is_ok());
}

#[test]
fn without_a_server_commands_say_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["status"][..], &["user", "list"], &["user", "add", "x"], &["cert", "show"], &["decisions"]] {
        let (code, said) = complaint(&ends(program().args(args).arg("--data").arg(dir.path())));
        assert_eq!(code, 1);
        assert!(said.contains("no server runs on") && said.contains("verbund up --data"), "{said}");
    }
}

#[test]
fn only_the_owner_is_heard_on_the_admin_socket() {
    use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};
    let (dir, server) = server();
    if std::fs::metadata("/proc/self").map(|facts| std::os::unix::fs::MetadataExt::uid(&facts)).unwrap_or(1) != 0 {
        let _ = std::io::stdout().write_all(b"skipped: only root can become somebody else\n");
        return;
    }
    // Even where the directories and the socket are opened by mistake.
    for path in [dir.path(), &server.data(), &server.data().join("admin.sock")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let program_copy = dir.path().join("verbund");
    std::fs::copy(env!("CARGO_BIN_EXE_verbund"), &program_copy).unwrap();
    let mut command = std::process::Command::new(&program_copy);
    let output = ends(command.args(["user", "list", "--data"]).arg(server.data()).uid(65_534).gid(65_534));
    let (code, said) = complaint(&output);
    assert_eq!(code, 1);
    assert!(said.contains("permission denied") && output.stdout.is_empty(), "{said}");
}

#[test]
fn completions_and_version_are_there() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ends(program().args(["completions", shell]));
        assert!(output.status.success() && output.stdout.len() > 1_000);
    }
    let output = ends(program().arg("--version"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("verbund {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_cannot_be_understood_is_exit_code_2() {
    for args in [
        &["up", "--domain", "short"][..],
        &["up", "--domain", "*.example.test"],
        &["up", "--listen", "5061"],
        &["up", "--user", "a b"],
        &["up", "--media", "clear"],
        &["user", "add", "a;b"],
        &["user", "password", "bob", "--pool", "sip.verbund.test"],
        &["user", "move", "bob"],
        &["frobnicate"],
    ] {
        let output = ends(program().args(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}
