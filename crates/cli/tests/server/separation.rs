//! A server and its authority that were apart for longer than lists or certificates live: days pass, by a clock that is ahead.

use std::{path::PathBuf, time::Duration};

use crate::{
    common::{
        clock::program_ahead_by,
        verbund::{Verbund, program},
    },
    network::{Network, wait_until},
};

const DAY: Duration = Duration::from_hours(24);

/// An organisation of two servers that were stopped.
struct Apart {
    network_dir: tempfile::TempDir,
    authority: Stopped,
    second: Stopped,
    /// Serial number of the second server's certificate.
    serial: String,
}

struct Stopped {
    data: PathBuf,
    at: [String; 3],
}

impl Stopped {
    fn of(server: Verbund) -> Self {
        let stopped = Self { data: server.data(), at: ["sip", "servers", "https"].map(|key| server.said(key).to_owned()) };
        assert_eq!(server.stop().code(), Some(0));
        stopped
    }

    /// Where it was, its clock so far ahead.
    fn up(&self, ahead: Duration) -> Verbund {
        let [sip, servers, https] = &self.at;
        let command = if ahead.is_zero() { program() } else { program_ahead_by(ahead) };
        Verbund::up_by(command, &self.data, &["--listen", sip, "--servers", servers, "--https", https])
    }
}

impl Apart {
    /// Both stopped; before that, something is done at the authority while the second server is away.
    fn after(meanwhile: impl FnOnce(&Verbund)) -> Self {
        let Network { dir, authority, second, .. } = Network::new();
        wait_until("the second server is on the line", || second.log().contains("the line to the authority is there"));
        let serial = serial(&second);
        let second = Stopped::of(second);
        meanwhile(&authority);
        Self { network_dir: dir, authority: Stopped::of(authority), second, serial }
    }
}

fn serial(server: &Verbund) -> String {
    server.certificate()["serial"].as_str().unwrap().to_owned()
}

/// It is back when it hears of what was done at the authority.
fn is_back(authority: &Verbund, second: &Verbund) {
    authority.json(&["user", "add", "dora", "--pool", "fe2.verbund.test"]);
    wait_until("the second server has caught up", || second.command(&["user", "list"]).contains("dora"));
    wait_until("a link between the servers", || authority.json(&["status"])["links"][0]["state"] == "up");
}

#[test]
fn a_server_comes_back_by_itself_after_lists_have_run_out() {
    let apart = Apart::after(|_| {});
    // It starts alone, believes nobody, and waits.
    let second = apart.second.up(5 * DAY);
    second.wait_for_log("no line to the authority");
    let authority = apart.authority.up(5 * DAY);
    is_back(&authority, &second);
    drop(apart.network_dir);
}

#[test]
fn a_server_comes_back_by_itself_after_its_certificate_has_ended() {
    comes_back_with_another_certificate(8 * DAY);
}

#[test]
fn a_server_comes_back_by_itself_after_the_trust_bundle_has_ended() {
    comes_back_with_another_certificate(40 * DAY);
}

#[test]
fn a_server_comes_back_by_itself_after_whoever_signed_its_documents_has_ended() {
    comes_back_with_another_certificate(100 * DAY);
}

fn comes_back_with_another_certificate(ahead: Duration) {
    let apart = Apart::after(|_| {});
    let second = apart.second.up(ahead);
    second.wait_for_log("server certificate not renewed");
    let authority = apart.authority.up(ahead);
    is_back(&authority, &second);
    assert_ne!(serial(&second), apart.serial, "by its account it has a new one");
}

#[test]
fn n5_a_server_that_was_revoked_while_it_was_away_does_not_come_back() {
    let apart = Apart::after(|authority| {
        authority.json(&["cert", "revoke", "fe2.verbund.test"]);
    });
    let authority = apart.authority.up(8 * DAY);
    let second = apart.second.up(8 * DAY);
    second.wait_for_log("server certificate not renewed");
    second.wait_for_log("refuses (");
    assert!(!second.log().contains("the line to the authority is there"), "{}", second.log());
    assert!(authority.json(&["status"])["links"].as_array().unwrap().iter().all(|link| link["state"] != "up"));
}

#[test]
fn n31_an_authority_that_has_no_fresh_lists_is_not_believed_however_long_one_was_apart() {
    let apart = Apart::after(|_| {});
    // Its clock stands where it stood: what it signs has run out by everybody else's.
    let _authority = apart.authority.up(Duration::ZERO);
    let second = apart.second.up(5 * DAY);
    // Several calls, and a question for newer lists before each.
    second.wait_for_log("again_in=800ms");
    let said = second.log();
    let reason = said.lines().find(|line| line.contains("no line to the authority")).unwrap();
    assert!(reason.contains("was good until") && !reason.contains("OtherError"), "{reason}");
    assert!(!second.log().contains("the line to the authority is there"), "{}", second.log());
}
