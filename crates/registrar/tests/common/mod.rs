//! What the tests of this crate share: requests as text, and a moment to count from.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part

use std::time::Instant;

use bytes::Bytes;
use registrar::UserName;
use sip::Message;

pub const DOMAIN: &str = "verbund.test";

pub fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

pub fn start() -> Instant {
    Instant::now()
}

/// A request of `method` from `from` to `to` (user names), with these further header lines.
pub fn request(method: &str, from: &str, to: &str, cseq: u32, lines: &[&str]) -> Message {
    let uri = if method == "REGISTER" { format!("sip:{DOMAIN}") } else { format!("sip:{to}@{DOMAIN}") };
    let mut text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.4:40000;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}@{DOMAIN}>;tag=f\r\nTo: <sip:{to}@{DOMAIN}>\r\nCSeq: {cseq} {method}\r\n"
    );
    if !lines.iter().any(|line| line.starts_with("Call-ID")) {
        text += "Call-ID: call-1\r\n";
    }
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text += "Content-Length: 0\r\n\r\n";
    Message::parse(Bytes::from(text)).unwrap()
}

/// A REGISTER of alice.
pub fn register(cseq: u32, lines: &[&str]) -> Message {
    request("REGISTER", "alice", "alice", cseq, lines)
}
