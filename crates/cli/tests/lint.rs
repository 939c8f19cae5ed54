//! What `verbund sip lint` says, held against golden files (`UPDATE_GOLDEN=1` rewrites them).

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lint")
}

fn lint(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verbund")).args(["sip", "lint"]).args(args).current_dir(golden_dir()).output().unwrap()
}

fn check(name: &str, exit: i32) {
    for (suffix, more) in [("txt", None), ("json", Some("--json"))] {
        let message = format!("{name}.sip");
        let output = lint(&[message.as_str()].into_iter().chain(more).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(exit), "{name}: {output:?}");
        assert!(output.stderr.is_empty(), "{name}: a verdict is no error: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let golden = golden_dir().join(format!("{name}.{suffix}"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, std::fs::read_to_string(&golden).unwrap(), "{}", golden.display());
    }
}

macro_rules! goldens {
    ($($exit:literal $name:ident)+) => { $(#[test] fn $name() { check(stringify!($name), $exit); })+ };
}

goldens! {
    0 message
    0 response
    0 no_content_length
    0 bytes_after_the_message
    0 empty_lines_before
    0 clear_media
    1 broken_response
    1 content_length_twice
    1 content_length_negative
    1 content_length_too_long
    1 no_call_id
    1 unterminated
    1 bare_line_feed
    1 another_version
    1 headers_in_the_request_uri
    1 method_mismatch
    1 terminal_escape
    1 very_long_line
    1 empty
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_verbund"))
        .args(["sip", "lint", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(golden_dir().join("message.sip")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(r#"{"verdict":"accepted","kind":"request","method":"MESSAGE""#));
}

#[test]
fn a_file_that_cannot_be_read_is_no_verdict() {
    for args in [&["missing.sip"][..], &["missing.sip", "--json"], &["."]] {
        let output = lint(args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("verbund: cannot read {}: ", args[0])), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Every torture message of RFC 4475, judged as the manifest says.
#[test]
fn the_torture_messages_are_judged_as_their_manifest_says() {
    let corpus =
        std::env::var_os("VERBUND_CORPUS").map_or(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let corpus = corpus.join("rfc4475");
    let Ok(manifest) = std::fs::read_to_string(corpus.join("MANIFEST.tsv")) else {
        eprintln!("skipped: no corpus at {} (set VERBUND_CORPUS)", corpus.display());
        return;
    };
    let mut wrong = Vec::new();
    for row in manifest.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let exit = if columns[5] == "accept" { 0 } else { 1 };
        let output = lint(&[corpus.join(columns[0]).to_str().unwrap(), "--json"]);
        if output.status.code() != Some(exit) {
            wrong.push(format!("{}: {}", columns[0], String::from_utf8_lossy(&output.stdout)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
