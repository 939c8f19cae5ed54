//! `openssl s_client` as a peer that connects by itself: with a certificate or without, with a session of before or without.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};

use crate::{Lab, PATIENCE, Program, Site, within};

/// A certificate that a peer shows, and its key.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The certificate in PEM.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// What is sent behind it.
    pub chain: PathBuf,
}

/// A running `openssl s_client`.
pub struct SClient {
    program: Program,
    stdin: ChildStdin,
}

impl SClient {
    /// Connects and stays: to `site`, showing this certificate, with these further options. A site without a name is asked for
    /// without one (no SNI).
    ///
    /// OpenSSL checks our certificate as any client should. What it sends is told with [`say`](Self::say).
    pub fn connect(lab: &Lab, name: &str, site: &Site, shown: Option<&Shown>, options: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{}", site.port), "-CAfile"]).arg(&site.ca);
        if site.name.is_empty() {
            command.arg("-noservername")
        } else {
            command.args(["-servername", &site.name])
        };
        command.args(["-verify_return_error", "-nocommands"]).args(options);
        if let Some(Shown { certificate, key, chain }) = shown {
            command.arg("-cert").arg(certificate).arg("-key").arg(key).arg("-cert_chain").arg(chain);
        }
        let (program, stdin) = Program::start_waiting(lab, name, &mut command);
        Self { program, stdin }
    }

    /// Sends this text. That the connection is gone already is no matter here.
    pub fn say(&mut self, text: &str) {
        let _ = self.stdin.write_all(text.as_bytes());
        let _ = self.stdin.flush();
    }

    /// Asks over the connection whether somebody is there (OPTIONS).
    pub fn ask(&mut self, number: usize) {
        let id = question(number);
        self.say(&format!(
            "OPTIONS sip:sip.verbund.test SIP/2.0\r\nVia: SIP/2.0/TLS peer.verbund.test;branch=z9hG4bK{id}\r\nMax-Forwards: 1\r\n\
             From: <sip:peer.verbund.test>;tag={id}\r\nTo: <sip:sip.verbund.test>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        ));
    }

    /// Whether the 200 to that question comes, before the connection ends.
    pub fn hears_answer(&mut self, number: usize) -> bool {
        let answer = format!("Call-ID: {}", question(number));
        within(PATIENCE, || {
            let ended = self.has_ended();
            let printed = self.program.printed();
            let answered = printed.contains("SIP/2.0 200") && printed.contains(&answer);
            (answered || ended).then_some(answered)
        })
        .unwrap_or(false)
    }

    /// Asks, and says whether the answer came.
    pub fn is_answered(&mut self, number: usize) -> bool {
        self.ask(number);
        self.hears_answer(number)
    }

    /// Ends the connection in order.
    pub fn leave(self) {
        let Self { mut program, stdin } = self;
        drop(stdin);
        program.wait_for_end();
    }

    /// Whether the connection is over.
    pub fn has_ended(&mut self) -> bool {
        self.program.ended().is_some()
    }

    /// Waits until the other side has ended the connection; all that was printed until then.
    pub fn wait_for_end(&mut self) -> String {
        self.program.wait_for_end();
        self.program.printed()
    }

    /// All that was printed until now.
    pub fn printed(&self) -> String {
        self.program.printed()
    }

    /// Waits for the handshake's end, on this side; whether a session of before was taken up again, or `None` without handshake.
    pub fn resumed(&mut self) -> Option<bool> {
        within(PATIENCE, || {
            let printed = self.program.printed();
            let found = printed.lines().find_map(|line| match line {
                line if line.starts_with("Reused, TLS") => Some(Some(true)),
                line if line.starts_with("New, TLS") => Some(Some(false)),
                _ => None,
            });
            found.or_else(|| self.has_ended().then_some(None))
        })
        .flatten()
    }
}

/// The Call-ID of a question.
fn question(number: usize) -> String {
    format!("q{number}x")
}

/// Options of [`SClient::connect`] that keep every session and ticket in this file.
pub fn keeping(file: &Path) -> [String; 2] {
    ["-sess_out".to_owned(), file.display().to_string()]
}

/// Options that offer the session of this file again.
pub fn offering(file: &Path) -> [String; 2] {
    ["-sess_in".to_owned(), file.display().to_string()]
}
