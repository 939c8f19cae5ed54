//! What a start makes, prints and leaves as it was.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::common::{
    phone::{CLEAR_SDP, Phone, SDP},
    verbund::{PATIENCE, Verbund, free_port, program},
};

#[test]
fn a_first_start_makes_an_organisation_whose_users_sign_in_write_and_call() {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    let (mut alice, mut bob) = (Phone::signed_in(&server, "alice"), Phone::signed_in(&server, "bob"));
    assert_eq!(alice.tls(), ("TLSv1_3".to_owned(), "X25519MLKEM768".to_owned()));

    let write = std::thread::spawn(move || (alice.write("sip:bob@verbund.test", "hello"), alice));
    let message = bob.next_request();
    assert_eq!((message.method(), message.body()), ("MESSAGE", &b"hello"[..]));
    bob.answer(&message, "200 OK", "", "");
    let (status, mut alice) = write.join().unwrap();
    assert_eq!(status, 200);

    alice.invite("sip:bob@verbund.test", SDP);
    let invite = bob.next_request();
    bob.answer(&invite, "200 OK", "Content-Type: application/sdp\r\n", SDP);
    let response = alice.final_response();
    assert_eq!(response.status().unwrap().code(), 200);
    let call = alice.establish(&response);
    assert_eq!(bob.next_request().method(), "ACK");
    let hang_up = std::thread::spawn(move || alice.hang_up(&call));
    let bye = bob.next_request();
    assert_eq!(bye.method(), "BYE");
    bob.answer(&bye, "200 OK", "", "");
    assert_eq!(hang_up.join().unwrap(), 200);
}

/// What an unencrypted offer of alice's to bob is answered with.
fn answer_to_clear_media(args: &[&str]) -> u16 {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), args);
    let (mut alice, mut bob) = (Phone::signed_in(&server, "alice"), Phone::signed_in(&server, "bob"));
    alice.invite("sip:bob@verbund.test", CLEAR_SDP);
    let answering = std::thread::spawn(move || {
        let Some(invite) = bob.next() else { return };
        bob.answer(&invite, "486 Busy Here", "", "");
        while bob.next().is_some() {}
    });
    let status = alice.final_response().status().unwrap().code();
    assert_eq!(server.stop().code(), Some(0));
    answering.join().unwrap();
    status
}

#[test]
fn media_must_be_encrypted_unless_the_first_start_said_otherwise() {
    assert_eq!(answer_to_clear_media(&[]), 488);
    assert_eq!(answer_to_clear_media(&["--media", "support"]), 486);
}

#[test]
fn the_ready_line_has_everything_a_script_needs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let args = ["--listen", &sip, "--https", &https, "--domain", "Contoso.Example", "--user", "carol", "--user", "Dave", "--user", "carol"];
    let server = Verbund::up_at(&data, &args);
    let keys: Vec<&str> = server.ready.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec!["domain", "server_name", "sip", "servers", "https", "ca", "data", "users"];
    expected.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!((server.said("domain"), server.said("server_name")), ("contoso.example", "sip.contoso.example"));
    assert_eq!((server.said("sip"), server.said("https")), (sip.as_str(), https.as_str()));
    assert_eq!((server.data(), server.said("ca")), (data.clone(), data.join("ca.pem").to_str().unwrap()));
    let users: Vec<_> = server.ready["users"].as_array().unwrap().iter().map(|user| user["aor"].as_str().unwrap()).collect();
    assert_eq!(users, ["sip:carol@contoso.example", "sip:dave@contoso.example"]);
    assert!(server.password("carol").len() >= 24);
    assert_ne!(server.password("carol"), server.password("dave"));
}

#[test]
fn a_second_start_finds_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = Verbund::up(&data, &[]);
    let (said, ca) = (first.ready.clone(), fs::read(first.said("ca")).unwrap());
    assert_eq!(first.stop().code(), Some(0));
    let second = Verbund::up_at(&data, &[]);
    assert_eq!(second.ready, said, "addresses, users and passwords");
    assert_eq!(fs::read(second.said("ca")).unwrap(), ca);
    Phone::signed_in(&second, "bob");
}

#[test]
fn a_later_start_adds_the_users_who_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let alice = {
        let first = Verbund::up(&data, &["--user", "alice"]);
        let alice = first.password("alice");
        assert_eq!(first.stop().code(), Some(0));
        alice
    };
    let second = Verbund::up(&data, &["--user", "alice", "--user", "carol"]);
    assert_eq!(second.password("alice"), alice);
    Phone::signed_in(&second, "carol");
    assert!(!second.ready.to_string().contains("bob"), "the default users are for the first start");
}

#[test]
fn a_password_that_is_known_to_nobody_is_null() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_eq!(Verbund::up(&data, &[]).stop().code(), Some(0));
    fs::remove_dir_all(data.join("accounts/alice")).unwrap();
    let second = Verbund::up(&data, &[]);
    let users = second.ready["users"].as_array().unwrap();
    assert!(users[0]["password"].is_null() && users[1]["password"].is_string(), "{users:?}");
}

#[test]
fn an_empty_directory_is_as_good_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    // What a first start leaves that was killed before it was done.
    fs::create_dir(data.join(".making")).unwrap();
    fs::write(data.join(".making/state.sqlite"), "half").unwrap();
    let server = Verbund::up(&data, &[]);
    Phone::signed_in(&server, "alice");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!data.join(".making").exists());
}

#[test]
fn a_first_start_that_was_killed_at_its_end_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = Verbund::up(&data, &[]);
    let said = first.ready.clone();
    assert_eq!(first.stop().code(), Some(0));
    // Killed after some of the moves.
    fs::create_dir(data.join(".made")).unwrap();
    for name in ["organisation.toml", "state.sqlite", "server"] {
        fs::rename(data.join(name), data.join(".made").join(name)).unwrap();
    }
    let second = Verbund::up_at(&data, &[]);
    assert_eq!(second.ready, said);
    assert!(!data.join(".made").exists());
}

#[test]
fn a_first_start_may_be_killed_at_any_moment() {
    for millis in (0..48).step_by(4) {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut command = program();
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--https", "127.0.0.1:0", "--data"]).arg(&data);
        let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Verbund::up(&data, &[]);
        Phone::signed_in(&server, "alice");
    }
}

/// Starts with `text` in the file that shows the topology (or without that file); gives the version in force, its words, and what
/// was put aside.
fn start_with_copy(data: &Path, text: Option<&str>) -> (u64, String, Option<String>) {
    let (copy, aside) = (data.join("topology.toml"), data.join("topology.edited.toml"));
    match text {
        Some(text) => fs::write(&copy, text).unwrap(),
        None => fs::remove_file(&copy).unwrap(),
    }
    let _ = fs::remove_file(&aside);
    let server = Verbund::up(data, &[]);
    let shown = server.json(&["topology", "show"]);
    let document = shown["document"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(&copy).unwrap(), document, "the file shows what is in force");
    assert_eq!(server.stop().code(), Some(0));
    (shown["version"].as_u64().unwrap(), document, fs::read_to_string(&aside).ok())
}

#[test]
fn the_file_shows_the_topology_in_force_and_puts_none_into_force() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Verbund::up(&data, &[]);
    let first = fs::read_to_string(data.join("topology.toml")).unwrap();
    server.json(&["server", "add", "fe2.verbund.test"]);
    assert_eq!(server.stop().code(), Some(0));
    // As after a crash between publishing and writing the file, or with a file out of a backup.
    let (version, document, aside) = start_with_copy(&data, Some(&first));
    assert!(version > 1 && document.contains("fe2.verbund.test") && aside.is_none(), "{version} {document} {aside:?}");
    let (_, document, aside) = start_with_copy(&data, None);
    assert!(document.contains("fe2.verbund.test") && aside.is_none());
    // Whoever edits it is told by finding the edit aside; that none of it is in force is the point.
    let edited = document.replace("media = \"require\"", "media = \"support\"").replace("version = ", "version = 10");
    for edit in [edited.as_str(), "no TOML at all ["] {
        let (_, document, aside) = start_with_copy(&data, Some(edit));
        assert!(!document.contains("media = \"support\""));
        assert_eq!(aside.as_deref(), Some(edit));
    }
}

#[test]
fn another_address_leads_to_other_account_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_eq!(Verbund::up(&data, &[]).stop().code(), Some(0));
    let second = Verbund::up(&data, &[]);
    let account = fs::read_to_string(data.join("accounts/alice/baresip/accounts")).unwrap();
    assert!(account.contains(&format!("outbound=\"sip:{};transport=tls\"", second.said("sip"))), "{account}");
    let rc = fs::read_to_string(data.join("accounts/alice/linphonerc")).unwrap();
    let port = second.said("sip").rsplit_once(':').unwrap().1;
    assert!(rc.contains(&format!("reg_proxy=<sip:sip.verbund.test:{port};transport=tls>")), "{rc}");
    assert!(rc.contains(&format!("root_ca={}", second.said("ca"))), "{rc}");
}

fn files(dir: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), all);
        } else if entry.file_type().unwrap().is_file() {
            all.push(entry.path());
        }
    }
}

#[test]
fn secrets_are_the_owners_alone_and_passwords_are_in_the_account_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Verbund::up(&data, &[]);
    Phone::signed_in(&server, "alice");
    let carol = server.json(&["user", "add", "carol"]);
    let changed = server.json(&["user", "password", "bob"]);
    let mut passwords = vec![server.password("alice"), server.password("bob")];
    passwords.extend([&carol, &changed].map(|said| said["password"].as_str().unwrap().to_owned()));
    let log = server.log();
    assert_eq!(server.stop().code(), Some(0));

    let mut all = Vec::new();
    files(&data, &mut all);
    let public = ["ca.pem", "ca/root.pem", "ca/issuing.pem", "ca/users.pem", "ca/documents.pem", "server/chain.pem", "audit-head.jws"]
        .map(|name| data.join(name));
    for path in &all {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if public.contains(path) { 0o644 } else { 0o600 }, "{}", path.display());
        if path.starts_with(data.join("accounts")) {
            continue;
        }
        let content = fs::read(path).unwrap();
        for password in &passwords {
            let found = content.windows(password.len()).any(|window| window == password.as_bytes());
            assert!(!found, "a password is in {}", path.display());
        }
    }
    assert!(all.len() > 12, "{all:?}");
    for password in &passwords {
        assert!(!log.contains(password.as_str()), "a password is in the log");
    }
}

#[test]
fn people_get_a_page_that_says_how_to_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut command = program();
    command.args(["up", "--listen", &sip, "--https", &https, "--data"]).arg(&data);
    let page = dir.path().join("page");
    let mut child = command.stdout(fs::File::create(&page).unwrap()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while !fs::read_to_string(&page).unwrap().contains("Ctrl-C ends it in order.") && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    crate::common::verbund::signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0), "Ctrl-C is an end in order");
    let page = fs::read_to_string(&page).unwrap();
    let account = fs::read_to_string(data.join("accounts/alice/baresip/accounts")).unwrap();
    let password = account.split("auth_pass=").nth(1).unwrap().split(';').next().unwrap();
    let folder = data.join("accounts/alice/baresip");
    for what in
        [sip.as_str(), https.as_str(), "sip.verbund.test", password, folder.to_str().unwrap(), data.join("ca.pem").to_str().unwrap()]
    {
        assert!(page.contains(what), "{what} is not in {page}");
    }
    let root = CertificateDer::from_pem_file(data.join("ca.pem")).unwrap();
    assert!(page.contains(&pki::facts(&root).unwrap().fingerprint.to_string()), "what a phone's owner compares");
    assert!(!page.contains('\x1b'), "no colour outside a terminal");
}
