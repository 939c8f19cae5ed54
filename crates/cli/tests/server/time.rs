//! Weeks and months, by a clock that is told what to say (libfaketime): certificates and lists end, and servers come back by themselves.

#![allow(clippy::print_stderr)]

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    common::verbund::{Verbund, program},
    network::wait_until,
};

/// Where Debian puts it; `cargo xtask test` installs it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The program with a clock that goes so many hours ahead; `None`, and a line, where that cannot be had.
pub(crate) fn after(hours: u32) -> Option<Command> {
    if !Path::new(FAKETIME).is_file() {
        assert!(std::env::var_os("INTEROP_REQUIRED").is_none(), "{FAKETIME} is missing");
        eprintln!("skipped: no libfaketime here");
        return None;
    }
    let mut command = program();
    // Timers go on as they are: only the calendar moves.
    command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", format!("+{hours}h")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Some(command)
}

/// An authority and a member, both stopped, at addresses that stay.
struct Asleep {
    _dir: tempfile::TempDir,
    authority: (std::path::PathBuf, [String; 2]),
    member: (std::path::PathBuf, [String; 2]),
    serial: Value,
}

impl Asleep {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Verbund::up(&dir.path().join("authority"), &[]);
        let string = authority.json(&["server", "add", "fe2.verbund.test"])["join"].as_str().unwrap().to_owned();
        let member = Verbund::join(&string, &dir.path().join("member"));
        let serial = member.certificate()["serial"].clone();
        let place = |server: &Verbund| (server.data(), ["sip", "https"].map(|key| server.said(key).to_owned()));
        let (at_authority, at_member) = (place(&authority), place(&member));
        assert_eq!((member.stop().code(), authority.stop().code()), (Some(0), Some(0)));
        Self { _dir: dir, authority: at_authority, member: at_member, serial }
    }
}

fn wake(command: Command, (data, [sip, https]): &(std::path::PathBuf, [String; 2])) -> Verbund {
    Verbund::up_by(command, data, &["--listen", sip, "--https", https])
}

fn comes_back(hours: u32) {
    let (Some(first), Some(second)) = (after(hours), after(hours)) else { return };
    let asleep = Asleep::new();
    let authority = wake(first, &asleep.authority);
    let member = wake(second, &asleep.member);
    wait_until("the member has a certificate that counts", || {
        let shown = member.certificate();
        shown["serial"] != asleep.serial && shown["days_left"].as_i64() >= Some(6)
    });
    wait_until("the member is on the line and lags in nothing", || {
        let members = authority.json(&["topology", "status"]);
        let fe2 = members.as_array().unwrap().iter().find(|member| member["name"] == "fe2.verbund.test").unwrap().clone();
        fe2["state"] == "joined" && fe2["lag"] == 0 && fe2["topology"].as_u64() > Some(0)
    });
    wait_until("the servers are connected", || {
        let links = authority.json(&["status"])["links"].clone();
        links.as_array().is_some_and(|links| links.iter().any(|link| link["state"] == "up"))
    });
}

#[test]
fn a_server_that_was_away_longer_than_lists_last_comes_back_by_itself() {
    // Five days: its certificate counts still, its lists do not (four days and the grace of half a day).
    comes_back(5 * 24);
}

#[test]
fn a_server_that_was_away_longer_than_its_certificate_lasts_comes_back_by_its_account() {
    comes_back(20 * 24);
}
