//! Instructions that one piece of work on an ordinary INVITE takes, counted by callgrind: the same on a busy
//! machine as on an idle one. Times are `message`'s.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{env, hint::black_box, process::Command};

use bytes::{Bytes, BytesMut};
use sip::{Frame, Framer, Limits, Message, sdp};

#[path = "../tests/common/mod.rs"]
mod common;
mod forward;

const WORKS: [&str; 5] = ["frame", "parse", "validate", "forward", "sdp"];
/// Two counts, so that what is done once falls out of their difference.
const ROUNDS: [u64; 2] = [100, 1_100];

fn main() {
    let args: Vec<String> = env::args().collect();
    match &args[1..] {
        [work, rounds, ..] if WORKS.contains(&work.as_str()) => repeat(work, rounds.parse().unwrap()),
        // What `cargo bench` says; a test run of all targets has nothing to count.
        [flag] if flag == "--bench" => WORKS.iter().for_each(|work| println!("{work:10} {:>7}", instructions(work))),
        _ => {}
    }
}

fn instructions(work: &str) -> u64 {
    let [few, many] = ROUNDS.map(|rounds| count(work, rounds));
    (many - few) / (ROUNDS[1] - ROUNDS[0])
}

/// Runs this program under callgrind, which says "Collected : 12345" at its end.
fn count(work: &str, rounds: u64) -> u64 {
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe().unwrap());
    let told = callgrind.args([work, &rounds.to_string()]).output().expect("valgrind must be installed");
    let told = String::from_utf8_lossy(&told.stderr);
    let (_, number) = told.split_once("Collected :").unwrap_or_else(|| panic!("callgrind counted nothing:\n{told}"));
    number.split_whitespace().next().unwrap().parse().unwrap()
}

fn repeat(work: &str, rounds: u64) {
    let text = common::invite();
    let bytes = Bytes::from(text.clone());
    let message = Message::parse(bytes.clone()).unwrap();
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut out = BytesMut::with_capacity(4096);
    for _ in 0..rounds {
        match work {
            "frame" => {
                framer.handle_input(black_box(text.as_bytes()));
                assert!(matches!(framer.poll_frame(), Ok(Some(Frame::Message(_)))));
            }
            "parse" => drop(black_box(Message::parse(black_box(bytes.clone())).unwrap())),
            "validate" => black_box(&message).validate().unwrap(),
            "sdp" => sdp::check(black_box(&message)).unwrap(),
            _ => {
                out.clear();
                forward::forward(black_box(&message), &mut out);
                black_box(&out);
            }
        }
    }
}
