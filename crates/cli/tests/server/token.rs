//! An organisation whose CA's keys were born in a token (SoftHSM 2) and never come out of it.
//!
//! Skipped, with a line that says so, where SoftHSM is not installed.
#![allow(clippy::print_stderr)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::common::{
    phone::Phone,
    verbund::{PATIENCE, Verbund, complaint, ends, free_port, program},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "483920";

struct Token {
    dir: tempfile::TempDir,
}

impl Token {
    /// A token of this test's own; none where there is no SoftHSM.
    fn new() -> Option<Self> {
        if !Path::new(MODULE).exists() {
            assert!(std::env::var_os("CI").is_none(), "SoftHSM 2 is not installed, and in CI nothing is passed over");
            eprintln!("skipped: SoftHSM 2 is not installed");
            return None;
        }
        let token = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(token.path("tokens")).unwrap();
        fs::write(token.path("softhsm2.conf"), format!("directories.tokendir = {}\nlog.level = ERROR\n", token.path("tokens").display()))
            .unwrap();
        let arguments = ["--init-token", "--free", "--label", "CA", "--pin", PIN, "--so-pin", "739201"];
        let made = Command::new("softhsm2-util").args(arguments).env("SOFTHSM2_CONF", token.path("softhsm2.conf")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        token.pin(PIN);
        Some(token)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pin(&self, pin: &str) {
        fs::write(self.path("pin"), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The address of keys called so, with or without the file of the PIN.
    fn uri(&self, object: &str, with_pin: bool) -> String {
        let pin = if with_pin { format!("&pin-source={}", self.path("pin").display()) } else { String::new() };
        format!("pkcs11:token=CA;object={object}?module-path={MODULE}{pin}")
    }

    fn program(&self) -> Command {
        let mut program = program();
        program.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).env_remove("VERBUND_CA_PIN_FILE");
        program
    }

    fn up(&self, data: &Path, more: &[&str]) -> Verbund {
        let [sip, https] = addresses();
        Verbund::up_by(self.program(), data, &[&["--listen", &sip, "--https", &https], more].concat())
    }

    fn refused(&self, data: &Path, more: &[&str]) -> String {
        let [sip, https] = addresses();
        let output = ends(self.program().args(["up", "--json", "--listen", &sip, "--https", &https, "--data"]).arg(data).args(more));
        let (code, said) = complaint(&output);
        assert!(code == 1 && !said.contains(PIN), "{said}");
        said
    }

    /// Pulls the token out, or puts it back.
    fn is_there(&self, is_there: bool) {
        let (from, to) = if is_there { ("pulled", "tokens") } else { ("tokens", "pulled") };
        fs::create_dir_all(self.path(to)).unwrap();
        for entry in fs::read_dir(self.path(from)).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), self.path(to).join(entry.file_name())).unwrap();
        }
    }
}

fn addresses() -> [String; 2] {
    [(); 2].map(|()| format!("127.0.0.1:{}", free_port()))
}

fn key(data: &Path, name: &str) -> String {
    fs::read_to_string(data.join(format!("ca/{name}.key"))).unwrap()
}

#[test]
fn a_whole_organisation_lives_by_keys_that_never_leave_their_token() {
    let Some(token) = Token::new() else { return };
    let data = token.path("authority");
    let authority = token.up(&data, &["--ca-keys", &token.uri("contoso", true)]);
    for name in ["root", "issuing", "users"] {
        assert_eq!(key(&data, name).trim_end(), token.uri(&format!("contoso-{name}"), true), "all that is in its file");
    }
    let join = |name: &str| authority.json(&["server", "add", name])["join"].as_str().unwrap().to_owned();
    let second = Verbund::join(&join("fe2.verbund.test"), &token.path("second"));
    let third = Verbund::join(&join("fe3.verbund.test"), &token.path("third"));
    let end = Instant::now() + PATIENCE;
    let joined = || authority.json(&["topology", "status"]).as_array().unwrap().iter().filter(|one| one["state"] == "joined").count();
    while joined() < 3 {
        assert!(Instant::now() < end, "{}", authority.log());
        thread::sleep(Duration::from_millis(50));
    }
    let revoked = authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    assert_eq!(revoked["acknowledged"], revoked["members"], "{revoked}");
    assert!(authority.stop().success());
    let [sip, https] = addresses();
    let authority = Verbund::up_by(token.program(), &data, &["--listen", &sip, "--https", &https]);
    let mut alice = Phone::signed_in(&authority, "alice");

    // Without the token it serves, and signs nothing.
    token.is_there(false);
    let (code, said) = complaint(&authority.try_command(&["cert", "revoke", "fe3.verbund.test"]));
    assert!(code == 1 && said.contains("token"), "{said}");
    authority.wait_for_log("a CA's key signed nothing");
    assert!(!is_listed(&authority));
    assert_eq!(alice.register(600), 200, "who signs in is served");
    let _bob = Phone::signed_in(&authority, "bob");
    assert!(authority.stop().success());
    let said = token.refused(&data, &[]);
    assert!(said.contains("there is no token with the label \"CA\"") && said.contains("plug it in"), "{said}");
    token.is_there(true);
    // What was entered while nothing could be signed is published by the next start.
    let (listen, servers) = (format!("127.0.0.1:{}", free_port()), https);
    let authority = Verbund::up_by(token.program(), &data, &["--listen", &listen, "--https", &servers]);
    let end = Instant::now() + PATIENCE;
    while !is_listed(&authority) {
        assert!(Instant::now() < end, "{}", authority.log());
        thread::sleep(Duration::from_millis(50));
    }
    drop((second, third));
}

/// Whether a list was published after the last revocation.
fn is_listed(authority: &Verbund) -> bool {
    let events = authority.json(&["audit", "list", "--limit", "10000"]);
    let last = |name: &str| events.as_array().unwrap().iter().rposition(|link| link["event"]["event"] == name);
    last("revocation-list-published") > last("revoked")
}

#[test]
fn keys_that_are_in_the_token_are_taken_only_if_that_is_meant() {
    let Some(token) = Token::new() else { return };
    let uri = token.uri("contoso", true);
    assert!(token.up(&token.path("first"), &["--ca-keys", &uri]).stop().success());
    let said = token.refused(&token.path("again"), &["--ca-keys", &uri]);
    assert!(said.contains("already holds a key with the label \"contoso-root\""), "{said}");
    assert!(token.up(&token.path("again"), &["--ca-keys", &uri, "--ca-keys-exist"]).stop().success());
    let said = token.refused(&token.path("other"), &["--ca-keys", &token.uri("fabrikam", true), "--ca-keys-exist"]);
    assert!(said.contains("no P-256 key pair with the label \"fabrikam-root\""), "{said}");
    assert!(!token.path("other").exists(), "nothing is left behind");
    let said = token.refused(&token.path("first"), &["--ca-keys", &uri]);
    assert!(said.contains("leave --ca-keys out"), "{said}");
}

#[test]
fn the_pin_comes_from_a_file_and_from_nowhere_else() {
    let Some(token) = Token::new() else { return };
    let typed = format!("{}&pin-value={PIN}", token.uri("contoso", false));
    let output = ends(token.program().args(["up", "--ca-keys", &typed, "--data"]).arg(token.path("data")));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("give the PIN in a file"), "{said}");
    let said = token.refused(&token.path("data"), &["--ca-keys", &token.uri("contoso", false)]);
    assert!(said.contains("VERBUND_CA_PIN_FILE"), "{said}");
    // The passphrase of keys in files is not tried on a token, which would lock itself.
    let [sip, https] = addresses();
    let mut command = token.program();
    command.env("VERBUND_CA_PASSPHRASE_FILE", token.path("pin")).args(["up", "--listen", &sip, "--https", &https, "--ca-keys"]);
    let (_, said) = complaint(&ends(command.arg(token.uri("contoso", false)).arg("--data").arg(token.path("data"))));
    assert!(said.contains("VERBUND_CA_PIN_FILE"), "{said}");
    token.pin("000000");
    let said = token.refused(&token.path("data"), &["--ca-keys", &token.uri("contoso", true)]);
    assert!(said.contains("the token refused the PIN") && !said.contains("000000"), "{said}");
    fs::set_permissions(token.path("pin"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(token.refused(&token.path("data"), &["--ca-keys", &token.uri("contoso", true)]).contains("chmod 600"));
    token.pin(PIN);
    let credentials = token.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::rename(token.path("pin"), credentials.join("verbund-ca-pin")).unwrap();
    let mut program = token.program();
    program.env("CREDENTIALS_DIRECTORY", &credentials);
    let [sip, https] = addresses();
    let uri = token.uri("contoso", false);
    let server = Verbund::up_by(program, &token.path("data"), &["--listen", &sip, "--https", &https, "--ca-keys", &uri]);
    assert!(!server.log().contains(PIN) && server.stop().success());
}
