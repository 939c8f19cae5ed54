//! `verbund cert verify` on chains made here: each yes has its no, with reason and cure.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use pki::{CertificateDer, Key, RevocationReason, RevokedCertificate, certificates_to_pem, facts, sign_revocation_list};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyUsagePurpose, SanType,
};
use serde_json::Value;
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "fe1.contoso.example";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params
}

/// A root, an issuing CA below it, and a folder with their files.
struct Lab {
    folder: TempDir,
    root: CertificateDer<'static>,
    root_key: Key,
    issuing: CertificateDer<'static>,
    issuing_key: Key,
}

impl Lab {
    fn new(organisation: &str) -> Self {
        let [root_key, issuing_key] = [(); 2].map(|()| Key::generate().unwrap());
        let mut root_params = params(&format!("{organisation} Root"));
        root_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut issuing = root_params.clone();
        issuing.distinguished_name = params(&format!("{organisation} Issuing")).distinguished_name;
        issuing.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = root_params.self_signed(&root_key).unwrap().der().clone();
        let issuing = issuing.signed_by(&issuing_key, &Issuer::from_ca_cert_der(&root, &root_key).unwrap()).unwrap().der().clone();
        let lab = Self { folder: tempfile::tempdir().unwrap(), root, root_key, issuing, issuing_key };
        std::fs::write(lab.path("root.pem"), certificates_to_pem([&lab.root])).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A leaf spoilt like this, and its chain in `chain.pem`.
    fn chain(&self, spoil: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut leaf = params(NAME);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![Eku::ServerAuth];
        leaf.subject_alt_names = vec![dns(NAME)];
        spoil(&mut leaf);
        let issuer = Issuer::from_ca_cert_der(&self.issuing, &self.issuing_key).unwrap();
        let leaf = leaf.signed_by(&Key::generate().unwrap(), &issuer).unwrap().der().clone();
        std::fs::write(self.path("chain.pem"), certificates_to_pem([&leaf, &self.issuing])).unwrap();
        leaf
    }

    /// A list of the issuing CA in DER, made now and good for a day.
    fn list(&self, file: &str, number: u64, revoked: &[&CertificateDer<'_>]) {
        let entry = |der: &&CertificateDer<'_>| RevokedCertificate {
            serial: facts(der).unwrap().serial,
            at: now(),
            reason: RevocationReason::KeyCompromise,
        };
        let revoked: Vec<_> = revoked.iter().map(entry).collect();
        let der = sign_revocation_list(&self.issuing, &self.issuing_key, &revoked, number, now(), now() + DAY / 2).unwrap();
        std::fs::write(self.path(file), der).unwrap();
    }

    fn run(&self, more: &[&str]) -> Output {
        let fixed = ["cert", "verify", "chain.pem", "--root", "root.pem"];
        let mut arguments: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).collect();
        if !more.contains(&"--at") {
            arguments.extend(["--at", "2027-01-15T08:00:00Z"]);
        }
        Command::new(env!("CARGO_BIN_EXE_verbund")).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    fn json(&self, exit: i32, more: &[&str]) -> Value {
        let arguments: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
        let output = self.run(&arguments);
        assert_eq!(output.status.code(), Some(exit), "{more:?}: {output:?}");
        assert!(output.stderr.is_empty(), "a verdict is no error: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn accepts(&self, more: &[&str]) -> Value {
        let said = self.json(0, more);
        assert_eq!(said["verdict"], "accepted");
        said
    }

    /// It is refused by this rule, with words in the reason and a cure.
    fn refuses(&self, more: &[&str], rule: &str, words: &str) {
        let said = self.json(1, more);
        assert_eq!((said["verdict"].as_str(), said["rule"].as_str()), (Some("refused"), Some(rule)), "{said}");
        assert!(said["reason"].as_str().unwrap().contains(words), "{said}\n  lacks: {words}");
        assert!(said["cure"].as_str().is_some_and(|cure| !cure.is_empty()), "{said}");
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// Spoilt like this it is refused by this rule.
fn check(spoil: impl FnOnce(&mut CertificateParams), rule: &str, words: &str) {
    let lab = Lab::new("Contoso");
    lab.chain(spoil);
    lab.refuses(&["--name", NAME], rule, words);
}

#[test]
fn a_good_chain_is_accepted_and_told() {
    let lab = Lab::new("Contoso");
    let leaf = lab.chain(|_| {});
    let said = lab.accepts(&["--name", NAME]);
    assert_eq!(said["names"], serde_json::json!([NAME]));
    assert_eq!((said["root"].as_str(), said["issuer"].as_str()), (Some("CN=Contoso Root"), Some("CN=Contoso Issuing")));
    assert_eq!(said["serial"], facts(&leaf).unwrap().serial.to_string());
    assert_eq!(said["not_after"], "2027-01-16T08:00:00Z");
    assert_eq!(said["reason"], Value::Null);
    lab.accepts(&[]);
    let text = String::from_utf8(lab.run(&[]).stdout).unwrap();
    assert!(text.starts_with("accepted: fe1.contoso.example\n"), "{text}");
}

#[test]
fn n8_n9_n10_names() {
    let lab = Lab::new("Contoso");
    lab.chain(|_| {});
    lab.refuses(&["--name", "fe2.contoso.example"], "wrong_name", "names fe1.contoso.example, not fe2.contoso.example");
    lab.refuses(&["--name", "192.0.2.1"], "wrong_name", "no certificate proves");
    lab.refuses(&["--name", "*.contoso.example"], "wrong_name", "no certificate proves");
    lab.accepts(&["--name", "FE1.Contoso.Example"]);
    check(|leaf| leaf.subject_alt_names = vec![], "no_identity", "a common name does not count");
    check(|leaf| leaf.subject_alt_names = vec![dns("*.contoso.example")], "wildcard", "names *.contoso.example");
    check(|leaf| leaf.subject_alt_names = vec![dns("*.contoso.example"), dns("x.contoso.example")], "wrong_name", "not fe1");
    lab.chain(|leaf| leaf.subject_alt_names = vec![]);
    lab.refuses(&[], "no_identity", "a common name does not count");
}

#[test]
fn n36_domains_and_users_by_uri() {
    let lab = Lab::new("Contoso");
    lab.chain(|leaf| leaf.subject_alt_names = vec![uri("sip:contoso.example"), uri("sips:fabrikam.example"), uri("sip:x@trey.example")]);
    lab.accepts(&["--name", "contoso.example"]);
    lab.refuses(&["--name", "fabrikam.example"], "wrong_name", "not fabrikam.example");
    lab.refuses(&["--name", "trey.example"], "wrong_name", "not trey.example");
    lab.chain(|leaf| {
        leaf.subject_alt_names = vec![uri("sip:anna@contoso.example")];
        leaf.extended_key_usages = vec![Eku::ClientAuth];
    });
    for name in ["sip:anna@contoso.example", "anna@Contoso.example"] {
        lab.accepts(&["--purpose", "client", "--name", name]);
    }
    lab.refuses(&["--purpose", "client", "--name", "bert@contoso.example"], "wrong_name", "not sip:bert@contoso.example");
    lab.refuses(&["--purpose", "client", "--name", "contoso.example"], "wrong_name", "not contoso.example");
    lab.refuses(&["--name", "anna@contoso.example"], "wrong_purpose", "serverAuth");
}

#[test]
fn n3_n4_time() {
    check(|leaf| leaf.not_after = (now() - Duration::from_secs(1)).into(), "expired", "expired at 2027-01-15T07:59:59Z");
    check(|leaf| leaf.not_before = (now() + Duration::from_secs(1)).into(), "not_yet_valid", "counts only from 2027-01-15T08:00:01Z");
    let lab = Lab::new("Contoso");
    lab.chain(|_| {});
    lab.accepts(&["--at", "2027-01-16T09:00:00+01:00"]);
    lab.refuses(&["--at", "2027-01-16T08:00:01Z"], "expired", "expired");
    lab.refuses(&["--at", "2026-12-01T00:00:00Z"], "not_yet_valid", "counts only from");
    lab.chain(|leaf| leaf.not_after = (now() + 9 * DAY).into());
    lab.refuses(&["--at", "2027-01-17T00:00:00Z"], "expired", "CN=");
}

#[test]
fn n7_purposes() {
    check(|leaf| leaf.extended_key_usages = vec![Eku::ClientAuth], "wrong_purpose", "lists: clientAuth");
    check(|leaf| leaf.extended_key_usages = vec![], "wrong_purpose", "lists: nothing");
    check(|leaf| leaf.extended_key_usages = vec![Eku::Any, Eku::ServerAuth], "wrong_purpose", "any");
    let lab = Lab::new("Contoso");
    lab.chain(|_| {});
    lab.refuses(&["--purpose", "client"], "wrong_purpose", "not for the purpose clientAuth");
}

#[test]
fn n2_foreign_roots() {
    let (ours, theirs) = (Lab::new("Contoso"), Lab::new("Fabrikam"));
    ours.chain(|_| {});
    std::fs::copy(theirs.path("root.pem"), ours.path("root.pem")).unwrap();
    ours.refuses(&[], "unknown_issuer", "which no trusted root vouches for");
    let same_name = Lab::new("Contoso");
    std::fs::copy(same_name.path("root.pem"), ours.path("root.pem")).unwrap();
    ours.refuses(&[], "bad_signature", "the signature is not of that CA");
    // A leaf is no root.
    std::fs::copy(ours.path("chain.pem"), ours.path("root.pem")).unwrap();
    ours.refuses(&[], "root", "is no CA");
}

#[test]
fn n5_revoked_by_a_list_in_der_or_pem() {
    let lab = Lab::new("Contoso");
    let leaf = lab.chain(|_| {});
    lab.list("clean.crl", 1, &[]);
    lab.list("revoking.crl", 2, &[&leaf]);
    assert_eq!(lab.accepts(&["--crl", "clean.crl"])["revocation_list"], 1);
    lab.refuses(&["--crl", "revoking.crl"], "revoked", "was revoked");
    // The newest counts, whatever the order.
    lab.refuses(&["--crl", "clean.crl", "--crl", "revoking.crl"], "revoked", "was revoked");
    lab.refuses(&["--crl", "revoking.crl", "--crl", "clean.crl"], "revoked", "was revoked");
    let convert = ["crl", "-inform", "DER", "-in", "revoking.crl", "-out", "revoking.pem"];
    if Command::new("openssl").args(convert).current_dir(lab.folder.path()).status().is_ok_and(|status| status.success()) {
        lab.refuses(&["--crl", "revoking.pem"], "revoked", "was revoked");
    }
}

#[test]
fn n6_n29_n31_lists_that_do_not_do() {
    let (lab, other) = (Lab::new("Contoso"), Lab::new("Contoso"));
    lab.chain(|_| {});
    other.list("of_another_key.crl", 9, &[]);
    std::fs::copy(other.path("of_another_key.crl"), lab.path("of_another_key.crl")).unwrap();
    lab.refuses(&["--crl", "of_another_key.crl"], "revocation_list", "not signed by that CA's key");
    lab.list("clean.crl", 1, &[]);
    lab.refuses(&["--crl", "clean.crl", "--at", "2027-01-15T20:00:01Z"], "revocation_list", "was good until 2027-01-15T20:00:00Z");
    let der = sign_revocation_list(&lab.root, &lab.root_key, &[], 1, now(), now() + DAY).unwrap();
    std::fs::write(lab.path("root.crl"), der).unwrap();
    lab.refuses(&["--crl", "root.crl"], "no_revocation_list", "no revocation list of CN=Contoso Issuing");
    lab.accepts(&["--crl", "root.crl", "--crl", "clean.crl"]);
    let stranger = Lab::new("Fabrikam");
    stranger.list("stranger.crl", 1, &[]);
    std::fs::copy(stranger.path("stranger.crl"), lab.path("stranger.crl")).unwrap();
    lab.refuses(&["--crl", "stranger.crl"], "revocation_list", "no CA known here");
    lab.accepts(&["--crl", "stranger.crl", "--crl", "clean.crl"]);
}

#[test]
fn n14_weak_keys() {
    let lab = Lab::new("Contoso");
    let fixed = ["req", "-x509", "-nodes", "-keyout", "/dev/null", "-out", "chain.pem", "-days", "3650", "-subj", "/CN=weak.example"];
    for (key, digest, words) in [("rsa:1024", "-sha256", "RSA 1024"), ("rsa:2048", "-sha1", "is signed with sha1WithRSAEncryption")] {
        let made = Command::new("openssl").args(fixed).args(["-newkey", key, digest]).current_dir(lab.folder.path()).output();
        if made.is_ok_and(|made| made.status.success()) {
            lab.refuses(&[], "weak", words);
        }
    }
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let lab = Lab::new("Contoso");
    let leaf = lab.chain(|_| {});
    for (count, words) in [(4, "the chain has 5 certificates"), (300, "certificates, at most 4 are looked at")] {
        let all = std::iter::once(&leaf).chain(std::iter::repeat_n(&lab.issuing, count));
        std::fs::write(lab.path("chain.pem"), certificates_to_pem(all)).unwrap();
        lab.refuses(&[], "chain_too_large", words);
    }
    std::fs::write(lab.path("chain.pem"), certificates_to_pem([&CertificateDer::from(vec![0x30; 40])])).unwrap();
    lab.refuses(&[], "malformed", "is damaged");
}

#[test]
fn what_is_nothing_to_judge_is_an_error() {
    let lab = Lab::new("Contoso");
    lab.chain(|_| {});
    std::fs::write(lab.path("nothing"), "hello").unwrap();
    let check = |more: &[&str], words: &str| {
        let output = lab.run(more);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{more:?} {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}\n  lacks: {words}");
    };
    check(&["--crl", "missing.crl"], "cannot read missing.crl");
    check(&["--crl", "nothing"], "cannot read nothing");
    check(&["--at", "tomorrow"], "RFC 3339");
    std::fs::write(lab.path("root.pem"), "hello").unwrap();
    check(&[], "cannot read root.pem: there is no certificate in it");
    std::fs::remove_file(lab.path("chain.pem")).unwrap();
    check(&[], "cannot read chain.pem");
}
