//! Users' certificates: issued for a phone's own key, believed instead of a password, and taken back (row N28).

use std::{fs, path::PathBuf};

use pki::{Key, certificate_request_pem};
use tempfile::TempDir;

use crate::common::{
    phone::Phone,
    verbund::{Verbund, complaint},
};

fn server() -> (TempDir, Verbund) {
    let dir = tempfile::tempdir().unwrap();
    let server = Verbund::up(&dir.path().join("data"), &[]);
    (dir, server)
}

/// A phone's own key, and the file with its request, which asks to be somebody else.
fn request(dir: &TempDir) -> (String, PathBuf) {
    let key = Key::generate().unwrap();
    let path = dir.path().join("phone.csr");
    fs::write(&path, certificate_request_pem(&key, &["sip.verbund.test".parse().unwrap()]).unwrap()).unwrap();
    (key.to_pem().unwrap().expose().to_owned(), path)
}

/// The chain that is issued to a user, and its key.
fn signed(server: &Verbund, dir: &TempDir, user: &str) -> (String, String) {
    let (key, request) = request(dir);
    let signed = server.json(&["user", "sign", user, request.to_str().unwrap()]);
    (signed["chain"].as_str().unwrap().to_owned(), key)
}

#[test]
fn n28_a_phone_signs_in_with_a_certificate_until_that_is_revoked_and_then_with_no_password_either() {
    let (dir, server) = server();
    let (chain, key) = signed(&server, &dir, "bob");
    let right = server.password("bob");
    let mut alice = Phone::signed_in(&server, "alice");
    // A wrong password: it is not asked for.
    let mut bob = Phone::with_certificate(&server, "bob", "wrong", &chain, &key).unwrap();
    assert_eq!(bob.register(600), 200);

    let ledger = server.json(&["cert", "list"]);
    let entry = ledger.as_array().unwrap().iter().find(|one| one["name"] == "user").cloned().unwrap();
    assert_eq!(entry["names"], serde_json::json!(["sip:bob@verbund.test"]), "the name is the user's, whatever was asked for");

    let revoked = server.json(&["cert", "revoke", "bob"]);
    assert_eq!(revoked["revoked"], serde_json::json!([entry["serial"]]), "{revoked}");
    while bob.next().is_some() {}
    assert_eq!(alice.register(600), 200, "nobody else is cut");
    let again = Phone::with_certificate(&server, "bob", &right, &chain, &key);
    assert!(again.is_err() || again.is_ok_and(Phone::hears_nothing), "a bad certificate never falls back to a password");
    assert_eq!(Phone::connect(&server, "bob", &right).register(600), 200, "without one the password counts as before");
    let events = server.json(&["audit", "list", "--limit", "1000"]);
    let has =
        |event: &str| events.as_array().unwrap().iter().any(|one| one["event"]["event"] == event && one.to_string().contains("sip:bob@"));
    assert!(has("issued") && has("revoked"), "{events}");
}

#[test]
fn n28_a_user_who_is_made_again_is_not_taken_for_the_one_before() {
    let (dir, server) = server();
    let (chain, key) = signed(&server, &dir, "bob");
    server.json(&["user", "remove", "bob"]);
    let made = server.json(&["user", "add", "bob"]);
    let before = Phone::with_certificate(&server, "bob", made["password"].as_str().unwrap(), &chain, &key);
    assert!(before.is_err() || before.is_ok_and(Phone::hears_nothing));
    let (chain, key) = signed(&server, &dir, "bob");
    assert_eq!(Phone::with_certificate(&server, "bob", "wrong", &chain, &key).unwrap().register(600), 200);
}

#[test]
fn a_certificate_is_for_users_that_there_are_and_for_requests_that_are_some() {
    let (dir, server) = server();
    let (_, request) = request(&dir);
    let (code, said) = complaint(&server.try_command(&["user", "sign", "nobody", request.to_str().unwrap()]));
    assert_eq!(code, 1);
    assert!(said.contains("nobody") && said.contains("verbund user list"), "{said}");
    for (name, content) in [("empty", String::new()), ("prose", "no request".into()), ("long", "x".repeat(1 << 20))] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        assert_eq!(complaint(&server.try_command(&["user", "sign", "bob", path.to_str().unwrap()])).0, 1, "{name}");
    }
    assert!(server.json(&["cert", "list"]).as_array().unwrap().iter().all(|one| one["name"] != "user"), "nothing was issued");
}
