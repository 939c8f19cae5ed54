//! The private keys of the CAs: encrypted in their files without anybody asking for it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use pki::{Key, Passphrase};

use crate::common::verbund::{Verbund, complaint, ends, free_port, program, refused};

const KEYS: [&str; 4] = ["root", "issuing", "users", "documents"];
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// An organisation that was made and stopped.
fn organisation() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert!(Verbund::up(&data, &[]).stop().success());
    (dir, data)
}

fn key(data: &Path, name: &str) -> PathBuf {
    data.join(format!("ca/{name}.key"))
}

fn texts(data: &Path) -> Vec<String> {
    KEYS.iter().map(|name| fs::read_to_string(key(data, name)).unwrap()).collect()
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn made(data: &Path) -> String {
    fs::read_to_string(data.join("ca-passphrase")).unwrap()
}

fn open(data: &Path, name: &str) -> Key {
    Key::from_pem_with(&fs::read_to_string(key(data, name)).unwrap(), || Passphrase::new(made(data).into())).unwrap()
}

fn with(passphrase: &Path) -> Command {
    let mut program = program();
    program.env("VERBUND_CA_PASSPHRASE_FILE", passphrase);
    program
}

fn up_with(passphrase: &Path, data: &Path) -> Verbund {
    let [sip, https] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    Verbund::up_by(with(passphrase), data, &["--listen", &sip, "--https", &https])
}

#[test]
fn the_keys_of_the_cas_lie_encrypted_and_a_copy_of_their_folder_opens_nothing() {
    let (_dir, data) = organisation();
    assert!(texts(&data).iter().all(|text| text.starts_with(ENCRYPTED)));
    let inside: Vec<_> = fs::read_dir(data.join("ca")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!inside.iter().any(|name| name.to_string_lossy().contains("passphrase")), "{inside:?}");
    assert_eq!(fs::metadata(data.join("ca-passphrase")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Passphrase::new(made(&data).into()).unwrap().is_random());
    // Nobody is locked into verbund.
    let reads = openssl_with(Command::new("openssl").args(["pkey", "-noout", "-in"]).arg(key(&data, "root")), &data.join("ca-passphrase"));
    assert!(reads.is_none_or(|reads| reads));
    let before = texts(&data);
    assert!(Verbund::up(&data, &[]).stop().success());
    assert_eq!(texts(&data), before, "a later start rewrites nothing");
}

/// Whether `openssl` does it with this passphrase; `None` where there is no such program.
fn openssl_with(command: &mut Command, passphrase: &Path) -> Option<bool> {
    let output = command.arg("-passin").arg(format!("file:{}", passphrase.display())).output().ok()?;
    Some(output.status.success())
}

#[test]
fn keys_that_lie_open_are_encrypted_by_the_next_start() {
    let (_dir, data) = organisation();
    let keys = KEYS.map(|name| open(&data, name));
    for (name, opened) in KEYS.iter().zip(&keys) {
        secret(&key(&data, name), opened.to_pem().unwrap().expose());
    }
    fs::remove_file(data.join("ca-passphrase")).unwrap();
    let server = Verbund::up(&data, &[]);
    assert!(server.log().contains("lie encrypted now"));
    assert!(server.stop().success());
    assert!(texts(&data).iter().all(|text| text.starts_with(ENCRYPTED)));
    for (name, before) in KEYS.iter().zip(&keys) {
        assert_eq!(open(&data, name).public(), before.public(), "{name} is the same key");
    }
    // So are those of a CA that is to take over.
    fs::create_dir(data.join("ca/spare")).unwrap();
    secret(&key(&data, "spare/root"), keys[0].to_pem().unwrap().expose());
    assert!(Verbund::up(&data, &[]).stop().success());
    assert_eq!(open(&data, "spare/root").public(), keys[0].public());
    assert!(!data.join("ca/ca-passphrase").exists());
    // An interruption leaves some of each: the next start goes on with the passphrase that is there.
    let passphrase = made(&data);
    secret(&key(&data, "users"), keys[2].to_pem().unwrap().expose());
    assert!(Verbund::up(&data, &[]).stop().success());
    assert_eq!((open(&data, "users").public(), made(&data)), (keys[2].public(), passphrase));
}

#[test]
fn without_its_passphrase_nothing_starts_and_nothing_is_changed() {
    let (dir, data) = organisation();
    let (before, right) = (texts(&data), made(&data));
    let wrong = dir.path().join("wrong");
    secret(&wrong, "correct horse battery staple\n");
    // Whoever configures one means it: the other is not tried.
    let mut command = with(&wrong);
    command.args(["up", "--json", "--listen"]).arg(format!("127.0.0.1:{}", free_port())).arg("--data").arg(&data);
    let (_, said) = complaint(&ends(&mut command));
    assert!(said.contains("does not open it") && said.contains("verbund ca passphrase") && !said.contains("horse"), "{said}");
    secret(&data.join("ca-passphrase"), &"0".repeat(64));
    let said = refused(&data, &[]);
    assert!(said.contains("ca-passphrase does not open it"), "{said}");
    fs::remove_file(data.join("ca-passphrase")).unwrap();
    let said = refused(&data, &[]);
    assert!(said.contains("put ") && said.contains("ca-passphrase back"), "{said}");
    assert!(!data.join("ca-passphrase").exists(), "no other is made");
    // Nor does a key that lies open have a new one made, which would hide that the right one is lost.
    let plain = Key::from_pem_with(&before[2], || Passphrase::new(right.clone().into())).unwrap();
    secret(&key(&data, "users"), plain.to_pem().unwrap().expose());
    assert!(refused(&data, &[]).contains("ca-passphrase back") && !data.join("ca-passphrase").exists());
    secret(&key(&data, "users"), &before[2]);
    assert_eq!(texts(&data), before);
    secret(&data.join("ca-passphrase"), &right);
    fs::set_permissions(data.join("ca-passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&data, &[]).contains("chmod 600"));
    secret(&data.join("ca-passphrase"), &right);
    assert!(Verbund::up(&data, &[]).stop().success());
}

#[test]
fn the_passphrase_can_be_kept_elsewhere() {
    let (dir, data) = organisation();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    secret(&old, &made(&data));
    secret(&new, "correct horse battery staple\n");
    let keys = KEYS.map(|name| open(&data, name));
    let first = fs::read_to_string(key(&data, "issuing")).unwrap();
    let change = |mut program: Command, to: &Path| {
        ends(program.args(["ca", "passphrase", "--new-passphrase-file"]).arg(to).arg("--data").arg(&data))
    };
    let server = Verbund::up(&data, &[]);
    assert!(complaint(&change(program(), &new)).1.contains("stop it first"));
    assert!(server.stop().success());
    let output = change(program(), &new);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("LoadCredentialEncrypted") && !said.contains("horse"), "{output:?}");
    assert!(!data.join("ca-passphrase").exists(), "what opens nothing any more is gone");
    assert!(refused(&data, &[]).contains("VERBUND_CA_PASSPHRASE_FILE"));
    let server = up_with(&new, &data);
    let who = server.json(&["audit", "list"]).to_string();
    assert!(who.contains(r#""action":"ca-passphrase""#) && who.contains("administrator "), "{who}");
    assert!(server.stop().success());
    // Interrupted, one key is left under the old one: doing it again finishes it.
    secret(&key(&data, "issuing"), &first);
    assert!(complaint(&change(with(&new), &dir.path().join("nothing"))).1.contains("nothing"));
    assert!(change(with(&old), &new).status.success());
    assert!(up_with(&new, &data).stop().success());
    for (name, before) in KEYS.iter().zip(&keys) {
        let text = fs::read_to_string(key(&data, name)).unwrap();
        let opened = Key::from_pem_with(&text, || Passphrase::new("correct horse battery staple".to_owned().into())).unwrap();
        assert_eq!(opened.public(), before.public(), "{name}");
    }
    secret(&old, "short\n");
    assert!(complaint(&change(with(&new), &old)).1.contains("at least 12 characters"));
}

#[test]
fn a_service_manager_hands_the_passphrase_over() {
    let (dir, data) = organisation();
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let handed = credentials.join("verbund-ca-passphrase");
    fs::rename(data.join("ca-passphrase"), &handed).unwrap();
    let up = || {
        let mut program = program();
        program.env("CREDENTIALS_DIRECTORY", &credentials);
        program
    };
    let [sip, https] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let addresses = ["--listen", &sip, "--https", &https];
    // As an access list makes it look; then open to everybody.
    fs::set_permissions(&handed, fs::Permissions::from_mode(0o440)).unwrap();
    assert!(Verbund::up_by(up(), &data, &addresses).stop().success());
    fs::set_permissions(&handed, fs::Permissions::from_mode(0o444)).unwrap();
    let (_, said) = complaint(&ends(up().args(["up", "--json", "--data"]).arg(&data).args(addresses)));
    assert!(said.contains("LoadCredential"), "{said}");
}
