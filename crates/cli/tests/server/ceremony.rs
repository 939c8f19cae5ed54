//! The root ceremony with the real program: two machines that share nothing but files.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::common::{
    phone::Phone,
    verbund::{Verbund, complaint, ends, free_port, program, refused},
};

const PASSPHRASE: &str = "correct horse battery staple";

/// A safe and an authority to be.
struct Ceremony {
    dir: tempfile::TempDir,
}

impl Ceremony {
    fn new() -> Self {
        let ceremony = Self { dir: tempfile::tempdir().unwrap() };
        ceremony.secret("passphrase", PASSPHRASE);
        ceremony
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("{text}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs `verbund ca …` here, the arguments in one line.
    fn try_ca(&self, line: &str) -> Output {
        ends(program().arg("ca").args(line.split_whitespace()).current_dir(self.dir.path()))
    }

    fn ca(&self, line: &str) -> String {
        let output = self.try_ca(line);
        assert!(output.status.success(), "ca {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, line: &str) -> String {
        let (code, said) = complaint(&self.try_ca(line));
        assert_eq!(code, 1, "{said}");
        said
    }

    fn root(&self) -> String {
        self.ca("root init --out safe --organisation Contoso --passphrase-file passphrase")
    }

    fn request(&self, more: &str) -> String {
        self.ca(&format!("request --data data --organisation Contoso --domain contoso.example {more}"))
    }

    fn sign(&self) -> String {
        self.ca("root sign data/prepared/servers.request data/prepared/users.request --root safe --out signed --passphrase-file passphrase")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn fingerprints(text: &str) -> Vec<&str> {
    let is_one = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_whitespace().filter(is_one).collect()
}

#[test]
fn an_organisation_whose_root_was_never_online_serves() {
    let ceremony = Ceremony::new();
    let root = ceremony.root();
    let requested = ceremony.request("");
    let signed = ceremony.sign();
    assert_eq!(fingerprints(&requested), fingerprints(&signed), "people can compare the keys on both sides");
    let installed = ceremony.ca("install signed --data data");
    assert_eq!(fingerprints(&installed), fingerprints(&root));

    let server = Verbund::up(&ceremony.path("data"), &["--domain", "contoso.example"]);
    let _ = Phone::signed_in(&server, "alice");
    let data = server.data();
    assert!(!data.join("ca/root.key").exists() && !data.join("prepared").exists());
    assert_eq!(fs::read(data.join("ca.pem")).unwrap(), fs::read(ceremony.path("safe/root.pem")).unwrap());
    let added = server.json(&["server", "add", "fe2.contoso.example"]);
    assert!(added["join"].as_str().unwrap().starts_with("verbund-join:v1:"));
    assert_eq!(server.stop().code(), Some(0));
    let again = Verbund::up(&ceremony.path("data"), &[]);
    let _ = Phone::signed_in(&again, "bob");
}

#[test]
fn the_safe_holds_an_encrypted_key_and_opens_with_the_passphrase_only() {
    let ceremony = Ceremony::new();
    ceremony.root();
    let key = fs::read_to_string(ceremony.path("safe/root.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    assert_eq!([mode(&ceremony.path("safe")), mode(&ceremony.path("safe/root.key"))], [0o700, 0o600]);
    ceremony.secret("wrong", "incorrect horse battery");
    ceremony.secret("short", "horse");
    let said = ceremony.refused("root sign --root safe --out signed --passphrase-file wrong");
    assert!(said.contains("passphrase of the private key is missing or wrong"), "{said}");
    let said = ceremony.refused("root sign --root safe --out signed");
    assert!(said.contains("there is no terminal to ask"), "{said}");
    let said = ceremony.refused("root init --out other --organisation Contoso --passphrase-file short");
    assert!(said.contains("at least 12 characters") && !ceremony.path("other").exists(), "{said}");
    let said = ceremony.refused("root init --out safe --organisation Contoso --passphrase-file passphrase");
    assert!(said.contains("never be overwritten"), "{said}");
    fs::set_permissions(ceremony.path("passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = ceremony.refused("root sign --root safe --out signed --passphrase-file passphrase");
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn the_passphrase_can_come_through_a_pipe() {
    let ceremony = Ceremony::new();
    ceremony.root();
    let mut command = program();
    command.args(["ca", "root", "sign", "--root", "safe", "--out", "signed", "--passphrase-file", "-"]).current_dir(ceremony.dir.path());
    command.stdin(fs::File::open(ceremony.path("passphrase")).unwrap()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(ceremony.path("signed/root.crl").exists());
}

#[test]
fn nothing_starts_before_the_root_has_signed() {
    let ceremony = Ceremony::new();
    let said = ceremony.refused("install signed --data data");
    assert!(said.contains("begin with `verbund ca request`"), "{said}");
    ceremony.root();
    ceremony.request("");
    let said = ceremony.refused("request --data data --organisation Contoso --domain contoso.example");
    assert!(said.contains("is there already, with keys in it"), "{said}");
    let said = refused(&ceremony.path("data"), &["--domain", "contoso.example"]);
    assert!(said.contains("waits for the root's signature"), "{said}");
    ceremony.sign();
    ceremony.ca("install signed --data data");
    let said = refused(&ceremony.path("data"), &["--domain", "fabrikam.example"]);
    assert!(said.contains("lies outside the domains of this CA (contoso.example)"), "{said}");
    assert!(Verbund::up(&ceremony.path("data"), &["--domain", "contoso.example"]).stop().success());
}

#[test]
fn what_another_root_signed_is_not_put_into_place() {
    let ceremony = Ceremony::new();
    ceremony.root();
    ceremony.request("");
    ceremony.sign();
    ceremony.ca("root init --out other --organisation Contoso --generation 2 --passphrase-file passphrase");
    fs::copy(ceremony.path("other/root.pem"), ceremony.path("signed/root.pem")).unwrap();
    let said = ceremony.refused("install signed --data data");
    assert!(said.contains("root.crl"), "its list is not that root's: {said}");
    fs::copy(ceremony.path("other/root.crl"), ceremony.path("signed/root.crl")).unwrap();
    let said = ceremony.refused("install signed --data data");
    assert!(said.contains("issuing certificate is not one of a CA made here"), "{said}");
    assert!(!ceremony.path("data/prepared/root.pem").exists());
}

#[test]
fn the_root_takes_a_ca_back_and_its_list_goes_to_the_authority() {
    let ceremony = Ceremony::new();
    ceremony.root();
    ceremony.request("");
    let signed = ceremony.sign();
    ceremony.ca("install signed --data data");
    assert!(Verbund::up(&ceremony.path("data"), &["--domain", "contoso.example"]).stop().success());
    let serial = signed.split("serial number ").nth(2).unwrap().split_whitespace().next().unwrap();
    ceremony.ca(&format!("root sign --root safe --out list --revoke {serial} --passphrase-file passphrase"));
    let said = ceremony.refused("install signed --data data");
    assert!(said.contains("not replaced by files"), "{said}");
    let said = ceremony.ca("install list --data data");
    assert!(said.starts_with("List number 3 "), "{said}");
    let said = ceremony.refused("root sign --root safe --out list --revoke 4711 --passphrase-file passphrase");
    assert!(said.contains("signed no CA with the serial number 4711"), "{said}");
    let listed =
        Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(ceremony.path("data/ca/root.crl")).output();
    let Ok(listed) = listed else { return };
    assert!(String::from_utf8_lossy(&listed.stdout).to_lowercase().contains(&serial.to_lowercase()), "{listed:?}");
}

#[test]
fn one_root_vouches_for_the_next() {
    let ceremony = Ceremony::new();
    ceremony.root();
    ceremony.ca("root init --out next --organisation Contoso --generation 2 --passphrase-file passphrase");
    ceremony.ca("root cross next/root.pem --root safe --out link.pem --passphrase-file passphrase");
    let arguments = ["verify", "-CAfile", "safe/root.pem", "link.pem"];
    let Ok(output) = Command::new("openssl").args(arguments).current_dir(ceremony.dir.path()).output() else { return };
    assert!(output.status.success(), "{output:?}");
    let said = ceremony.refused("root cross safe/root.pem --root safe --out self.pem --passphrase-file passphrase");
    assert!(said.contains("there is a CA named"), "{said}");
}

#[test]
fn the_keys_of_the_cas_lie_under_a_passphrase_if_one_is_configured() {
    let ceremony = Ceremony::new();
    let configured = || {
        let mut program = program();
        program.env("VERBUND_CA_PASSPHRASE_FILE", ceremony.path("passphrase"));
        program
    };
    let [sip, https] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let args = ["--listen", &sip, "--https", &https];
    let server = Verbund::up_by(configured(), &ceremony.path("data"), &args);
    let _ = Phone::signed_in(&server, "alice");
    for name in ["root", "issuing", "users"] {
        let key = fs::read_to_string(server.data().join(format!("ca/{name}.key"))).unwrap();
        assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{name}: {key}");
    }
    assert!(server.stop().success());
    let said = refused(&ceremony.path("data"), &[]);
    assert!(said.contains("VERBUND_CA_PASSPHRASE_FILE"), "{said}");
    assert!(Verbund::up_by(configured(), &ceremony.path("data"), &args).stop().success());
}
