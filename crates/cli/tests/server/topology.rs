//! The list of trusted servers from the command line: faults with their place, what would be refused, what a script reads.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::{
    common::verbund::{Verbund, complaint, ends, program},
    network::wait_until,
};

struct Authority {
    dir: tempfile::TempDir,
    server: Verbund,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Verbund::up(&dir.path().join("data"), &[]);
        Self { dir, server }
    }

    /// The text in force with its version raised by `raised` and `from` replaced.
    fn text(&self, raised: i64, from: &str, to: &str) -> String {
        let text = self.server.command(&["topology", "show"]);
        let version = self.version();
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(&format!("version = {version}"), &format!("version = {}", version + raised), 1).replacen(from, to, 1)
    }

    fn version(&self) -> i64 {
        self.server.json(&["topology", "show"])["version"].as_i64().unwrap()
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("next.toml");
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, words: &[&str], file: &Path) -> Output {
        self.server.try_command(&[words, &[file.to_str().unwrap()]].concat())
    }

    /// Both ways of asking say no with these words, exit with 1 and change nothing.
    fn check_refused(&self, text: &str, words: &str) {
        let (file, before) = (self.file(text), self.version());
        let planned = self.run(&["topology", "plan", "--json"], &file);
        let said: Value = serde_json::from_slice(&planned.stdout).unwrap();
        assert!(said["obstacles"].to_string().contains(words), "{words:?} is not in {said}");
        assert_eq!(planned.status.code(), Some(1));
        let planned = self.run(&["topology", "plan"], &file);
        let said = String::from_utf8(planned.stdout.clone()).unwrap();
        assert!(said.lines().any(|line| line.starts_with("cannot be published: ") && line.contains(words)), "{said}");
        assert_eq!(planned.status.code(), Some(1));
        let (code, said) = complaint(&self.run(&["topology", "publish"], &file));
        assert!(said.contains(words) && said.contains("next.toml was not published"), "{words:?} is not in {said}");
        assert_eq!((code, self.version()), (1, before));
    }
}

fn piped(server: &Verbund, words: &[&str], input: &[u8]) -> Output {
    let mut child = program()
        .args(words)
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn every_fault_is_told_with_file_line_and_column_wherever_a_file_is_read() {
    let authority = Authority::new();
    let bad = authority.text(1, "fqdn = \"sip.verbund.test\"", "fqdn = \"sip_1.verbund.test\"");
    let bad = bad.replacen("domains = [\"verbund.test\"]", "domains = [\"verbund\"]", 1);
    let file = authority.file(&bad);
    let checked = ends(program().args(["topology", "check"]).arg(&file));
    let lines = String::from_utf8(checked.stdout.clone()).unwrap();
    let place = |word: &str| {
        let (number, line) = bad.lines().enumerate().find(|(_, line)| line.contains(word)).unwrap();
        format!("{}:{}:{}: ", file.display(), number + 1, line.find(word).unwrap() + 1)
    };
    let begins: Vec<bool> = lines.lines().zip(["\"verbund\"", "\"sip_1"]).map(|(line, word)| line.starts_with(&place(word))).collect();
    assert_eq!(begins, [true, true], "{lines}");
    for words in [["topology", "plan"], ["topology", "publish"]] {
        let output = authority.run(&words, &file);
        assert_eq!((String::from_utf8(output.stdout).unwrap(), output.status.code()), (lines.clone(), Some(1)), "{words:?}");
    }
    let json = |words: &[&str]| -> Value { serde_json::from_slice(&authority.run(words, &file).stdout).unwrap() };
    let checked = json(&["topology", "check", "--json"]);
    assert_eq!((checked["ok"].as_bool(), checked["faults"].as_array().unwrap().len()), (Some(false), 2));
    assert_eq!(json(&["topology", "plan", "--json"]), checked);
    assert_eq!(json(&["topology", "publish", "--json"]), checked);
}

#[test]
fn n29_what_would_be_refused_is_told_by_the_plan_and_not_published() {
    let authority = Authority::new();
    let front_end = "fe2.verbund.test";
    authority.server.json(&["server", "add", front_end]);
    authority.server.json(&["user", "add", "dora", "--pool", front_end]);
    authority.check_refused(&authority.text(0, "verbund", "verbund"), "raise `version`");
    authority.check_refused(&authority.text(-1, "verbund", "verbund"), "raise `version`");
    authority.check_refused(
        &authority.text(1, "[\"verbund.test\"]", "[\"verbund.test\", \"verbund.example\"]"),
        "outside the domains of the issuing CA",
    );
    let text = authority.text(1, "verbund", "verbund");
    let without = &text[..text.find(&format!("\n[[pool]]\nname = \"{front_end}\"")).unwrap()];
    authority.check_refused(without, &format!("1 users are at home in {front_end}"));
    let renamed = text.replace("sip.verbund.test", "sip2.verbund.test");
    authority.check_refused(&renamed, "cannot publish itself away");
    // And the yes to all of these noes.
    let file = authority.file(&authority.text(1, "media = \"require\"", "media = \"support\""));
    let planned = authority.run(&["topology", "plan", "--json"], &file);
    let said: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!((planned.status.code(), &said["obstacles"]), (Some(0), &serde_json::json!([])), "{said}");
    assert_eq!(said["changes"][0]["change"], "media");
    assert_eq!(authority.run(&["topology", "publish"], &file).status.code(), Some(0));
}

#[test]
fn a_topology_may_come_through_standard_input_and_is_not_read_without_end() {
    let authority = Authority::new();
    let good = authority.text(1, "media = \"require\"", "media = \"support\"");
    let checked = piped(&authority.server, &["topology", "check", "-"], good.as_bytes());
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), "-: no faults\n");
    assert_eq!(piped(&authority.server, &["topology", "plan", "-"], good.as_bytes()).status.code(), Some(0));
    let picture = piped(&authority.server, &["topology", "graph", "-"], good.as_bytes());
    assert!(String::from_utf8(picture.stdout).unwrap().contains("<svg"));
    assert!(authority.server.json(&["topology", "graph"])["svg"].as_str().unwrap().contains("<svg"));
    assert_eq!(piped(&authority.server, &["topology", "publish", "-"], good.as_bytes()).status.code(), Some(0));
    assert_eq!(authority.server.json(&["topology", "show"])["document"], good.as_str());
    // A file without an end.
    for words in [["topology", "check"], ["topology", "plan"], ["topology", "publish"]] {
        let output = authority.run(&words, Path::new("/dev/zero"));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!((said.as_str(), output.status.code()), ("/dev/zero:1:1: the file has more than 1048576 bytes\n", Some(1)));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_2() {
    let authority = Authority::new();
    let latin = authority.dir.path().join("latin.toml");
    fs::write(&latin, b"# Z\xfcrich\n").unwrap();
    for words in [["topology", "check"], ["topology", "plan"], ["topology", "publish"], ["topology", "graph"]] {
        let (code, said) = complaint(&authority.run(&words, Path::new("/nowhere/x.toml")));
        assert_eq!((code, said.contains("cannot read /nowhere/x.toml")), (2, true), "{said}");
        let (code, said) = complaint(&authority.run(&words, &latin));
        assert_eq!((code, said.contains("latin.toml is no text in UTF-8")), (2, true), "{said}");
    }
}

#[test]
fn a_mistyped_pool_is_refused_with_the_ones_there_are_and_the_nearest() {
    let authority = Authority::new();
    let add = |words: &[&str]| authority.server.try_command(&[&["server", "add"], words].concat());
    assert!(add(&["fe1.verbund.test", "--pool", "east.verbund.test", "--new-pool"]).status.success());
    let version = authority.version();
    let (code, said) = complaint(&add(&["fe2.verbund.test", "--pool", "eats.verbund.test"]));
    for words in ["no pool eats.verbund.test (did you mean east.verbund.test?)", "are sip.verbund.test, east.verbund.test", "--new-pool"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_eq!((code, authority.version()), (1, version), "nothing was published");
    // A pool that is there, one of its own name, and none named.
    for (name, words) in [
        ("fe2.verbund.test", &["--pool", "east.verbund.test"][..]),
        ("fe3.verbund.test", &["--pool", "fe3.verbund.test"]),
        ("fe4.verbund.test", &[]),
    ] {
        assert!(add(&[&[name], words].concat()).status.success(), "{name}");
    }
    let (_, said) = complaint(&add(&["fe2.verbund.test", "--pool", "fe4.verbund.test"]));
    assert!(said.contains("fe2.verbund.test is listed in the pool east.verbund.test"), "{said}");
    let (code, said) = complaint_of_usage(&add(&["fe5.verbund.test", "--new-pool"]));
    assert_eq!((code, said.contains("--pool")), (2, true), "{said}");
}

fn complaint_of_usage(output: &Output) -> (i32, String) {
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr.clone()).unwrap())
}

/// The lines of the issue "For scripts", to the letter: what a script types and which keys it reads.
#[test]
fn scripts_read_what_they_were_promised() {
    let authority = Authority::new();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let has = |value: &Value, wanted: &[&str]| {
        wanted.iter().for_each(|key| assert!(keys(value).contains(&(*key).to_owned()), "{key} is not in {value}"))
    };
    for role in ["front-end", "director", "edge", "application"] {
        let added = authority.server.json(&["server", "add", &format!("{role}.verbund.test"), "--role", role]);
        assert!(added["join"].as_str().unwrap().starts_with("verbund-join:v1:"), "{added}");
    }
    let added = authority.server.json(&["server", "add", "fe2.verbund.test"]);
    let text = authority.server.command(&["topology", "show"]);
    assert!(text.contains("[[pool]]\nname = \"fe2.verbund.test\""), "a front end without --pool gets a pool of its own name: {text}");
    let pooled =
        authority.server.json(&["server", "add", "fe3.verbund.test", "--role", "front-end", "--pool", "east.verbund.test", "--new-pool"]);
    has(&pooled, &["join"]);

    let second = Verbund::join(added["join"].as_str().unwrap(), &authority.dir.path().join("second"));
    let alone = Verbund::up(&authority.dir.path().join("alone"), &[]);
    assert_eq!(keys(&second.ready), keys(&alone.ready), "join prints the same object as up");
    let user = authority.server.json(&["user", "add", "dora", "--pool", "fe2.verbund.test"]);
    assert_eq!((keys(&user), &user["aor"]), (vec!["aor".to_owned(), "password".to_owned()], &"sip:dora@verbund.test".into()));
    has(&authority.server.json(&["user", "add", "erna"]), &["aor", "password"]);

    let revoked = authority.server.json(&["cert", "revoke", "fe2.verbund.test"]);
    assert!(["members", "acknowledged", "ms"].iter().all(|key| revoked[key].is_u64()), "{revoked}");
    authority.server.command(&["topology", "remove", "application.verbund.test"]);

    let data = authority.server.data();
    let verify = |words: &[&str]| ends(program().args(["cert", "verify"]).args(words).current_dir(&data));
    let chain = ["server/chain.pem", "--root", "ca.pem", "--json"];
    let accepted = verify(&[&chain[..], &["--name", "sip.verbund.test", "--purpose", "server"]].concat());
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    let refused = verify(&[&chain[..], &["--name", "fe9.verbund.test"]].concat());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let late = verify(&[&chain[..], &["--at", "2099-01-01T00:00:00Z"]].concat());
    assert_eq!(late.status.code(), Some(1), "{late:?}");
}

#[test]
fn status_tells_each_members_version_age_and_lag() {
    let authority = Authority::new();
    let string = authority.server.json(&["server", "add", "fe2.verbund.test"])["join"].as_str().unwrap().to_owned();
    let _second = Verbund::join(&string, &authority.dir.path().join("second"));
    authority.server.json(&["server", "add", "fe3.verbund.test"]);
    let version = authority.version();
    let mut members = Value::Null;
    wait_until("both have it in force", || {
        members = authority.server.json(&["topology", "status"]);
        members.as_array().unwrap().iter().filter(|member| member["topology"] == version).count() == 2
    });
    for name in ["sip.verbund.test", "fe2.verbund.test"] {
        let member = members.as_array().unwrap().iter().find(|member| member["name"] == name).unwrap();
        assert!(member["topology_age_seconds"].is_u64() && member["lag"] == 0, "{member}");
        assert!(!member["version"].as_str().unwrap().is_empty(), "of its program: {member}");
    }
    let expected = members.as_array().unwrap().iter().find(|member| member["name"] == "fe3.verbund.test").unwrap();
    assert_eq!((&expected["state"], &expected["topology_age_seconds"]), (&"expected".into(), &Value::Null), "{expected}");
    let table = authority.server.command(&["topology", "status"]);
    assert!(table.starts_with("SERVER") && table.contains("LAG") && table.contains("AGE"), "{table}");
}

#[test]
fn limits_of_the_topology_count_from_the_next_start_on() {
    let authority = Authority::new();
    assert!(authority.server.log().contains("connections_max=") && !authority.server.log().contains("connections_max=48 "));
    let text = authority.text(1, "media = ", "limits.connections = 48\nmedia = ");
    let planned = authority.run(&["topology", "plan"], &authority.file(&text));
    assert!(String::from_utf8(planned.stdout).unwrap().contains("connections 48"), "the plan tells it");
    assert!(authority.run(&["topology", "publish"], &authority.file(&text)).status.success());
    let Authority { dir, server } = authority;
    assert_eq!(server.stop().code(), Some(0));
    let again = Verbund::up(&dir.path().join("data"), &[]);
    assert!(again.log().contains("connections_max=48"), "{}", again.log());
}
