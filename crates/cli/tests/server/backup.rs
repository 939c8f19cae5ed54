//! The authority is lost and comes back out of a backup, as real processes: what was done after the backup stays done.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::verbund::{PATIENCE, Verbund, complaint, ends, free_port, program};

/// 256 bits: nothing to stretch, so these tests are quick.
const RANDOM: &str = "4f1c0e2d3b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.secret("passphrase", RANDOM);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("{text}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn backup(&self, data: &Path, file: &str) -> Output {
        let arguments = ["backup", "--json", "--passphrase-file"];
        ends(program().args(arguments).arg(self.path("passphrase")).arg("--data").arg(data).arg(self.path(file)))
    }

    fn restore(&self, file: &str, data: &Path) -> Output {
        let arguments = ["restore", "--json", "--passphrase-file"];
        ends(program().args(arguments).arg(self.path("passphrase")).arg("--data").arg(data).arg(self.path(file)))
    }

    fn refused(&self, output: &Output) -> String {
        let (code, said) = complaint(output);
        assert_eq!(code, 1, "{said}");
        assert!(!said.contains(RANDOM));
        said
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn join(authority: &Verbund, name: &str, data: &Path) -> Verbund {
    let string = authority.json(&["server", "add", name])["join"].as_str().unwrap().to_owned();
    let joined = Verbund::join(&string, data);
    wait_until("the authority has seen it", || state(authority, name) == "joined");
    joined
}

fn member(authority: &Verbund, name: &str) -> Value {
    let members = authority.json(&["topology", "status"]);
    members.as_array().unwrap().iter().find(|member| member["name"] == name).cloned().unwrap_or_default()
}

fn state(authority: &Verbund, name: &str) -> String {
    member(authority, name)["state"].as_str().unwrap_or_default().to_owned()
}

fn version(authority: &Verbund) -> u64 {
    member(authority, "sip.verbund.test")["topology"].as_u64().unwrap()
}

/// Publishes the same with a higher version; what became of it.
fn publish(authority: &Verbund, place: &Place) -> Output {
    let (text, version) = (authority.command(&["topology", "show"]), version(authority));
    let text = text.replace(&format!("\nversion = {version}\n"), &format!("\nversion = {}\n", version + 1));
    fs::write(place.path("next.toml"), text).unwrap();
    authority.try_command(&["topology", "publish", place.path("next.toml").to_str().unwrap(), "--json"])
}

fn events(authority: &Verbund) -> Vec<Value> {
    let listed = authority.json(&["audit", "list", "--limit", "10000"]);
    listed.as_array().unwrap().iter().map(|link| link["event"].clone()).collect()
}

fn addresses(server: &Verbund) -> [String; 2] {
    [server.said("sip").to_owned(), server.said("https").to_owned()]
}

fn up_again(data: &Path, [sip, https]: &[String; 2]) -> Verbund {
    Verbund::up_at(data, &["--listen", sip, "--https", https])
}

#[test]
fn an_authority_goes_on_from_its_backup_and_the_revoked_stay_revoked() {
    let place = Place::new();
    let mut authority = Verbund::up(&place.path("authority"), &[]);
    let at = addresses(&authority);
    let second = join(&authority, "fe2.verbund.test", &place.path("second"));
    let third = join(&authority, "fe3.verbund.test", &place.path("third"));
    let ticket = authority.json(&["server", "add", "fe4.verbund.test"])["join"].as_str().unwrap().to_owned();
    let made = json(&place.backup(&authority.data(), "backup"));
    assert_eq!(made["topology"], version(&authority));
    assert!(events(&authority).iter().any(|event| event["event"] == "backed-up" && event["sha256"] == made["sha256"]));

    // Afterwards one server is revoked, and topologies are published.
    let revoked = authority.json(&["cert", "revoke", "fe3.verbund.test"]);
    assert_eq!(revoked["acknowledged"], revoked["members"], "{revoked}");
    for _ in 0..3 {
        let published = json(&publish(&authority, &place));
        assert!(published["acknowledged"].as_u64().unwrap() >= 2, "{published}");
    }
    let before = version(&authority);
    authority.signal("KILL");
    authority.wait();
    fs::remove_dir_all(place.path("authority")).unwrap();

    let restored = json(&place.restore("backup", &place.path("elsewhere")));
    assert_eq!(restored["tickets_voided"], serde_json::json!(["fe4.verbund.test"]), "{restored}");
    let authority = up_again(&place.path("elsewhere"), &at);
    authority.wait_for_log("has caught up");
    assert!(!place.path("elsewhere/restored.json").exists());
    assert_eq!(version(&authority), before, "what members hold is what counts");
    wait_until("the second server is back", || {
        let second = member(&authority, "fe2.verbund.test");
        second["state"] == "joined" && second["lag"] == 0
    });
    // The revoked server tries all the time, and is believed by nobody.
    wait_until("the revoked server is refused", || {
        let decisions = authority.json(&["decisions"]);
        let of_it = |one: &&Value| one["verdict"] == "refused" && one["evidence"]["rule"] == "revoked";
        decisions.as_array().unwrap().iter().find(of_it).is_some()
    });
    assert_ne!(state(&authority, "fe3.verbund.test"), "joined");
    // What was issued after the backup and shown by nobody cannot be revoked, so the CAs that issued it go.
    authority.wait_for_log("a replacement of the CA has begun");
    wait_until("the issuing CAs are replaced", || authority.json(&["ca", "rollover", "status"]).is_null());
    assert!(!place.path("elsewhere/issuing-cas-to-replace").exists());
    let said = place.refused(&authority.try_command(&["cert", "revoke", "fe3.verbund.test"]));
    assert!(said.contains("there is no certificate"), "{said}");
    let events = events(&authority);
    let has = |name: &str, key: &str, value: Value| events.iter().any(|event| event["event"] == name && event[key] == value);
    assert!(has("accounts-deactivated", "server", "fe3.verbund.test".into()), "its account does not come back to life");
    assert!(has("caught-up", "shown", serde_json::json!(["fe2.verbund.test"])) || events.iter().any(|event| event["event"] == "caught-up"));
    assert!(events.iter().any(|event| event["event"] == "restored"));
    assert_eq!(authority.json(&["audit", "verify"])["intact"], true);

    // A ticket of before is void; everything else goes on, with numbers that members take.
    let [sip, https] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let output = ends(program().args(["join", &ticket, "--listen", &sip, "--https", &https, "--data"]).arg(place.path("fourth")));
    place.refused(&output);
    assert!(!place.path("fourth/member.toml").exists());
    let published = json(&publish(&authority, &place));
    assert!(published["missing"].as_array().is_none_or(|missing| !missing.contains(&"fe2.verbund.test".into())), "{published}");
    let fourth = join(&authority, "fe4.verbund.test", &place.path("fourth"));
    let revoked = authority.json(&["cert", "revoke", "fe4.verbund.test"]);
    assert!(!revoked["missing"].to_string().contains("fe2."), "{revoked}");
    wait_until("the second has the new list", || second.log().contains("what is believed has changed"));
    assert!(!second.log().contains("a document was refused"), "{}", second.log());
    drop((second, third, fourth));
}

#[test]
fn it_waits_for_every_member_until_somebody_says_to_go_on() {
    let place = Place::new();
    let authority = Verbund::up(&place.path("authority"), &[]);
    let at = addresses(&authority);
    let second = join(&authority, "fe2.verbund.test", &place.path("second"));
    let third = join(&authority, "fe3.verbund.test", &place.path("third"));
    json(&place.backup(&authority.data(), "backup"));
    assert!(authority.stop().success());
    drop(third);
    json(&place.restore("backup", &place.path("elsewhere")));
    let authority = up_again(&place.path("elsewhere"), &at);
    // The second shows what it holds; then only the third is missing.
    let only_the_third = |authority: &Verbund| {
        wait_until("the second has shown", || {
            let said = place.refused(&publish(authority, &place));
            assert!(said.contains("fe3.verbund.test"), "{said}");
            !said.contains("fe2.verbund.test")
        });
    };
    only_the_third(&authority);
    let waits = |output: Output| {
        let said = place.refused(&output);
        assert!(said.contains("missing: fe3.verbund.test") && said.contains("verbund restore --go-on"), "{said}");
    };
    waits(publish(&authority, &place));
    waits(authority.try_command(&["cert", "revoke", "fe2.verbund.test"]));
    waits(authority.try_command(&["server", "add", "fe4.verbund.test"]));
    waits(authority.try_command(&["user", "add", "carla"]));
    // It waits over a restart too.
    assert!(authority.stop().success());
    let authority = up_again(&place.path("elsewhere"), &at);
    only_the_third(&authority);
    let gone_on = authority.json(&["restore", "--go-on"]);
    assert_eq!(gone_on["left_behind"], serde_json::json!(["fe3.verbund.test"]));
    wait_until("the second is back", || state(&authority, "fe2.verbund.test") == "joined");
    json(&publish(&authority, &place));
    let said = place.refused(&authority.try_command(&["restore", "--go-on"]));
    assert!(said.contains("waits for nobody"), "{said}");
    // Whoever was silent may have been put out after the backup: its account opens nothing.
    let closed = |event: &Value| event["event"] == "accounts-deactivated" && event["server"] == "fe3.verbund.test";
    assert!(events(&authority).iter().any(closed));
    drop(second);
}

/// No backup of ours at all: somebody put a copy of the directory back.
#[test]
fn an_authority_whose_data_went_back_is_told_so_by_its_members() {
    let place = Place::new();
    let authority = Verbund::up(&place.path("authority"), &[]);
    let at = addresses(&authority);
    let second = join(&authority, "fe2.verbund.test", &place.path("second"));
    let third = join(&authority, "fe3.verbund.test", &place.path("third"));
    assert!(authority.stop().success());
    fs::copy(place.path("authority/state.sqlite"), place.path("old.sqlite")).unwrap();
    fs::copy(place.path("authority/topology.toml"), place.path("old.toml")).unwrap();
    let authority = up_again(&place.path("authority"), &at);
    wait_until("the second is back", || state(&authority, "fe2.verbund.test") == "joined");
    authority.json(&["cert", "revoke", "fe3.verbund.test"]);
    json(&publish(&authority, &place));
    let before = version(&authority);
    assert!(authority.stop().success());
    fs::copy(place.path("old.sqlite"), place.path("authority/state.sqlite")).unwrap();
    fs::copy(place.path("old.toml"), place.path("authority/topology.toml")).unwrap();
    let authority = up_again(&place.path("authority"), &at);
    authority.wait_for_log("had gone back to an older state");
    wait_until("what the member with the newest holds is in force", || version(&authority) == before);
    let said = place.refused(&authority.try_command(&["cert", "revoke", "fe3.verbund.test"]));
    assert!(said.contains("there is no certificate"), "{said}");
    wait_until("the second is back", || member(&authority, "fe2.verbund.test")["lag"] == 0);
    json(&publish(&authority, &place));
    drop((second, third));
}

#[test]
fn an_organisation_of_one_server_waits_for_nobody() {
    let place = Place::new();
    let authority = Verbund::up(&place.path("authority"), &[]);
    let root = fs::read(place.path("authority/ca.pem")).unwrap();
    assert!(authority.stop().success());
    // The same while no server runs.
    let made = json(&place.backup(&place.path("authority"), "backup"));
    assert_eq!(fs::metadata(place.path("backup")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!place.path("authority/.backup").exists() && !place.path("backup.new").exists());
    json(&place.restore("backup", &place.path("elsewhere")));
    let authority = Verbund::up(&place.path("elsewhere"), &[]);
    authority.wait_for_log("has caught up");
    json(&publish(&authority, &place));
    assert_eq!(fs::read(place.path("elsewhere/ca.pem")).unwrap(), root);
    let verdict = authority.json(&["audit", "verify", "--expect", made["audit"].as_str().unwrap()]);
    assert_eq!(verdict["intact"], true, "the log goes on from the one of the backup");
    let text = authority.command(&["audit", "list"]);
    assert!(text.contains("restored") && text.contains("uid"), "{text}");
}

#[test]
fn a_backup_tells_nobody_anything_and_is_whole_or_nothing() {
    let place = Place::new();
    let authority = Verbund::up(&place.path("authority"), &[]);
    json(&place.backup(&authority.data(), "backup"));
    let good = fs::read(place.path("backup")).unwrap();
    assert!(good.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    for secret in ["BEGIN", "verbund.test", "alice", "ca-passphrase", "SQLite"] {
        assert!(!good.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret}");
    }
    let said = place.refused(&place.backup(&authority.data(), "backup"));
    assert!(said.contains("never overwritten"), "{said}");
    // Nothing but the whole file, unchanged, with its passphrase.
    let target = place.path("elsewhere");
    let middle = good.len() / 2;
    let flipped: Vec<u8> = good.iter().enumerate().map(|(at, byte)| if at == middle { byte ^ 1 } else { *byte }).collect();
    let last = good.len() - 1;
    let flipped_last: Vec<u8> = good.iter().enumerate().map(|(at, byte)| if at == last { byte ^ 1 } else { *byte }).collect();
    let longer = [&good[..], b"x"].concat();
    let damaged: [&[u8]; 7] = [&good[..middle], &good[..last], &good[..64 << 10], &flipped, &flipped_last, &longer, b"dear diary"];
    for bad in damaged {
        fs::write(place.path("bad"), bad).unwrap();
        let said = place.refused(&place.restore("bad", &target));
        assert!(said.contains("is damaged, or no backup"), "{said}");
        assert!(!target.exists(), "nothing is left behind");
    }
    place.secret("passphrase", &RANDOM.replace('4', "5"));
    assert!(place.refused(&place.restore("backup", &target)).contains("the passphrase does not open"));
    place.secret("passphrase", "too short");
    assert!(place.refused(&place.backup(&authority.data(), "other")).contains("at least 12 characters"));
    place.secret("passphrase", RANDOM);
    // What is there stays as it is.
    fs::create_dir(&target).unwrap();
    fs::write(target.join("diary"), "dear").unwrap();
    assert!(place.refused(&place.restore("backup", &target)).contains("nothing is overwritten"));
    assert!(place.refused(&place.restore("backup", &authority.data())).contains("nothing is overwritten"));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    let second = join(&authority, "fe2.verbund.test", &place.path("second"));
    assert!(place.refused(&place.backup(&second.data(), "other")).contains("it joins anew"));
}

/// Without the passphrase of the keys there is nothing to restore, and that shows before anything is put into place.
#[test]
fn keys_that_nothing_opens_are_not_restored() {
    let place = Place::new();
    assert!(Verbund::up(&place.path("authority"), &[]).stop().success());
    place.secret("keys", "correct horse battery staple");
    let changed = ends(
        program().args(["ca", "passphrase", "--new-passphrase-file"]).arg(place.path("keys")).arg("--data").arg(place.path("authority")),
    );
    assert!(changed.status.success(), "{changed:?}");
    json(&place.backup(&place.path("authority"), "backup"));
    let said = place.refused(&place.restore("backup", &place.path("elsewhere")));
    assert!(said.contains("VERBUND_CA_PASSPHRASE_FILE") && !place.path("elsewhere").exists(), "{said}");
    let arguments = ["restore", "--passphrase-file"];
    let mut command = program();
    command.env("VERBUND_CA_PASSPHRASE_FILE", place.path("keys")).args(arguments).arg(place.path("passphrase"));
    let output = ends(command.arg("--data").arg(place.path("elsewhere")).arg(place.path("backup")));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("verbund up --data"), "{output:?}");
}
