//! What is in the way of a start: one line that says what, to what, and the cure; exit code 1; nothing destroyed.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::common::phone::Phone;
use crate::common::verbund::{Verbund, complaint, ends, free_port, refused};

/// An organisation that is not running.
fn made() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_eq!(Verbund::up(&data, &[]).stop().code(), Some(0));
    (dir, data)
}

/// Every file below `dir` with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// Starts, is refused with all of `words`, and leaves every file as it was.
fn check(data: &Path, args: &[&str], words: &[&str]) {
    let before = content(data);
    let said = refused(data, args);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    let after = content(data);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{said}: changed {changed:?}");
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    for option in ["--listen", "--https"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let said = refused(&data, &[option, &address]);
        assert!(said.contains(&format!("cannot listen on {address}: another program holds this port")), "{said}");
        assert!(!data.exists(), "nothing was made");
    }
}

#[test]
fn a_port_that_is_taken_leaves_an_organisation_as_it_is() {
    let (_dir, data) = made();
    for option in ["--listen", "--https"] {
        let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        check(&data, &[option, &address, "--user", "carol"], &["cannot listen on", "another program holds this port"]);
    }
    Verbund::up(&data, &[]);
}

#[test]
fn an_address_of_another_machine_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(&dir.path().join("data"), &["--listen", "203.0.113.7:5061"]);
    assert!(said.contains("this machine does not have the address 203.0.113.7"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let said = refused(&dir.path().join("file/data"), &[]);
    assert!(said.contains("/file/data"), "{said}");
    let said = refused(&dir.path().join("file"), &[]);
    assert!(said.contains("is not a directory: choose another with --data"), "{said}");
}

#[test]
fn a_directory_of_somebody_else_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("verbund");
    fs::copy(env!("CARGO_BIN_EXE_verbund"), &copy).unwrap();
    let mut command = std::process::Command::new(&copy);
    let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    command.args(["up", "--json", "--listen", &sip, "--https", &https, "--data"]).arg(dir.path().join("data"));
    if fs::metadata("/proc/self").map(|facts| std::os::unix::fs::MetadataExt::uid(&facts)).unwrap() == 0 {
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let (code, said) = complaint(&ends(&mut command));
    assert_eq!(code, 1);
    assert!(said.contains("cannot make the directory"), "{said}");
    assert!(said.contains("Permission denied (os error 13); choose another directory with --data"), "{said}");
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    check(dir.path(), &[], &["is not empty (it holds thesis.tex)", "choose another with --data"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let required = ["ca/root.pem", "ca/issuing.pem", "ca/issuing.key", "server/chain.pem", "server/key.pem", "ca.pem", "state.sqlite"];
    let (_dir, data) = made();
    for name in required.into_iter().chain(["organisation.toml"]) {
        let aside = data.with_extension("aside");
        fs::rename(data.join(name), &aside).unwrap();
        check(&data, &[], &["is incomplete", &format!("{name} is missing"), "from a backup"]);
        fs::rename(&aside, data.join(name)).unwrap();
    }
    // The root's key may lie in a safe.
    fs::remove_file(data.join("ca/root.key")).unwrap();
    Verbund::up(&data, &[]);
}

#[test]
fn a_directory_of_another_version_is_told() {
    let (_dir, data) = made();
    let manifest = data.join("organisation.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("format = 1", "format = 7\nshape = \"new\"")).unwrap();
    check(&data, &[], &["organisation.toml", "format 7", "knows 1", "use the version of verbund that made it"]);
}

#[test]
fn one_directory_is_served_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _server = Verbund::up(&data, &[]);
    let said = refused(&data, &[]);
    assert!(said.contains("another verbund serves this data directory") && said.contains("stop it first"), "{said}");
}

#[test]
fn what_the_first_start_settled_stays() {
    let (_dir, data) = made();
    check(&data, &["--domain", "other.test"], &["belongs to the domain verbund.test, not to other.test", "leave --domain out"]);
    check(&data, &["--media", "support"], &["the media policy of verbund.test is require", "verbund topology publish"]);
    Verbund::up(&data, &["--domain", "verbund.test", "--media", "require"]);
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let (_dir, data) = made();
    for name in ["ca/root.key", "ca/issuing.key", "server/key.pem"] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o640)).unwrap();
        check(&data, &[], &["holds secrets and others on this machine may read it", &format!("chmod 600 '{}'", data.join(name).display())]);
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_data_directory_that_others_can_enter_is_not_served() {
    let (_dir, data) = made();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    check(&data, &[], &["others on this machine may enter it (mode 0755)", "chmod 700"]);
}

#[test]
fn a_root_for_phones_that_is_not_ours_is_told() {
    let (_dir, data) = made();
    fs::copy(data.join("ca/issuing.pem"), data.join("ca.pem")).unwrap();
    check(&data, &[], &["ca.pem is not the root of this organisation"]);
}

/// Puts a CA into `data` that was made at another time, and a server certificate that it issued then.
fn replace_ca(data: &Path, made: SystemTime) {
    let domain = pki::Fqdn::parse("verbund.test").unwrap();
    let (root, authority) = pki::Authority::create("verbund.test", std::slice::from_ref(&domain), made).unwrap();
    let key = pki::Key::generate().unwrap();
    let names = pki::ServerNames { server: pki::Fqdn::parse("sip.verbund.test").unwrap(), aliases: Vec::new(), domains: vec![domain] };
    let issued = authority.issue_server(&names, &key.public(), made).unwrap();
    let files = [
        ("ca/root.pem", root.certificate_pem()),
        ("ca.pem", root.certificate_pem()),
        ("ca/root.key", root.key_pem().unwrap().expose().to_owned()),
        ("ca/issuing.pem", authority.issuing_pem()),
        ("ca/issuing.key", authority.key_pem().unwrap().expose().to_owned()),
        ("ca/users.pem", authority.users().unwrap().certificate_pem()),
        ("ca/users.key", authority.users().unwrap().key_pem().unwrap().expose().to_owned()),
        ("server/key.pem", key.to_pem().unwrap().expose().to_owned()),
        ("server/chain.pem", issued.chain_pem()),
    ];
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_clock_before_the_certificates_start_is_told_with_both_times() {
    let (_dir, data) = made();
    let start = SystemTime::now() + DAY;
    replace_ca(&data, start);
    let [now, start] = [SystemTime::now(), start - pki::BACKDATE].map(|moment| web::admin::rfc3339(moment)[..15].to_owned());
    check(&data, &[], &[&format!("clock says {now}"), &format!("before the start of the root CA's certificate ({start}"), "set the clock"]);
}

#[test]
fn a_ca_whose_time_is_over_is_told() {
    let (_dir, data) = made();
    replace_ca(&data, SystemTime::now() - 4 * 365 * DAY);
    check(&data, &[], &["the issuing CA's certificate ended at", "clock says"]);
}

#[test]
fn a_server_certificate_past_half_its_life_or_expired_is_replaced_at_start() {
    for age in [4 * DAY, 8 * DAY] {
        let (_dir, data) = made();
        replace_ca(&data, SystemTime::now() - age);
        let old = fs::read(data.join("server/chain.pem")).unwrap();
        let server = Verbund::up(&data, &[]);
        assert_ne!(fs::read(data.join("server/chain.pem")).unwrap(), old);
        Phone::signed_in(&server, "alice");
        assert!(server.certificate()["days_left"].as_i64().unwrap() >= 6);
    }
}

#[test]
fn what_ends_next_is_told_and_is_exit_code_1_once_it_should_have_been_replaced() {
    let (_dir, data) = made();
    for (age, code) in [(2 * 365 * DAY, 0), ((3 * 365 - 60) * DAY, 1)] {
        replace_ca(&data, SystemTime::now() - age);
        let server = Verbund::up(&data, &[]);
        let due = server.try_command(&["cert", "due", "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&due.stdout).unwrap();
        let issuing = said.as_array().unwrap().iter().find(|one| one["kind"] == "issuing-ca").unwrap();
        assert_eq!((due.status.code(), issuing["urgency"] == "overdue"), (Some(code), code == 1), "{said}");
        let table = server.try_command(&["cert", "due"]);
        assert!(String::from_utf8(table.stdout).unwrap().starts_with("WHAT"));
        assert_eq!(table.status.code(), Some(code));
        if code == 1 {
            server.wait_for_log("this was not replaced in time");
        }
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_young_server_certificate_is_kept_and_a_damaged_one_replaced() {
    let (_dir, data) = made();
    let old = fs::read(data.join("server/chain.pem")).unwrap();
    assert_eq!(Verbund::up(&data, &[]).stop().code(), Some(0));
    assert_eq!(fs::read(data.join("server/chain.pem")).unwrap(), old);
    // As a renewal that was interrupted between its two files leaves them.
    fs::write(data.join("server/key.pem"), pki::Key::generate().unwrap().to_pem().unwrap().expose()).unwrap();
    let server = Verbund::up(&data, &[]);
    Phone::signed_in(&server, "alice");
}

/// Makes the CA in `data` what one of before documents were signed was.
fn age_ca(data: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, GeneralSubtree, IsCa, Issuer, NameConstraints};
    let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
    let root = pki::certificates_from_pem(&read("ca/root.pem")).unwrap();
    let passphrase = read("ca-passphrase");
    let opened = |name: &str| pki::Key::from_pem_with(&read(name), || pki::Passphrase::new(passphrase.clone().into())).unwrap();
    let [root_key, key] = ["ca/root.key", "ca/issuing.key"].map(opened);
    // Nor were keys encrypted.
    for (name, key) in [("ca/root.key", &root_key), ("ca/issuing.key", &key)] {
        fs::write(data.join(name), key.to_pem().unwrap().expose()).unwrap();
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "verbund.test Issuing CA 2026-1");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // A SEQUENCE of id-kp-serverAuth and id-kp-clientAuth (RFC 5280 §4.2.1.12).
    let both = [&[0x30, 20][..], &[6, 8, 43, 6, 1, 5, 5, 7, 3, 1], &[6, 8, 43, 6, 1, 5, 5, 7, 3, 2]].concat();
    let mut purposes = CustomExtension::from_oid_content(&[2, 5, 29, 37], both);
    purposes.set_criticality(false);
    params.custom_extensions = vec![purposes];
    let domain = GeneralSubtree::DnsName("verbund.test".into());
    params.name_constraints = Some(NameConstraints { permitted_subtrees: vec![domain], excluded_subtrees: Vec::new() });
    let aged = params.signed_by(&key, &Issuer::from_ca_cert_der(&root[0], &root_key).unwrap()).unwrap();
    fs::write(data.join("ca/issuing.pem"), pki::certificates_to_pem([aged.der()])).unwrap();
    for name in ["ca/users.pem", "ca/users.key", "ca/documents.pem", "ca/documents.key", "ca-passphrase"] {
        fs::remove_file(data.join(name)).unwrap();
    }
}

#[test]
fn an_organisation_of_before_documents_were_signed_serves_on() {
    let (_dir, data) = made();
    age_ca(&data);
    let aged = fs::read(data.join("ca/issuing.pem")).unwrap();
    let server = Verbund::up(&data, &[]);
    Phone::signed_in(&server, "alice");
    let renewed = fs::read(data.join("ca/issuing.pem")).unwrap();
    assert_ne!(renewed, aged);
    assert_eq!(server.stop().code(), Some(0));
    // Once is enough.
    Phone::signed_in(&Verbund::up(&data, &[]), "alice");
    assert_eq!(fs::read(data.join("ca/issuing.pem")).unwrap(), renewed);
}

#[test]
fn an_organisation_of_before_documents_were_signed_needs_its_roots_key_once() {
    let (_dir, data) = made();
    age_ca(&data);
    fs::remove_file(data.join("ca/root.key")).unwrap();
    // Keys that lie there plain are encrypted, whatever becomes of the start.
    refused(&data, &[]);
    check(&data, &[], &["issuing.pem was made before topologies were signed", "put the root's key back for one start"]);
}
