//! SIPp 3.6 (Debian's sip-tester). It has no TLS, so socat carries each of its connections; socat checks the server's certificate.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{Account, Lab, Program, Site, wait_until};

/// A local TCP port whose connections go to the server inside TLS.
pub struct TlsTunnel {
    _program: Program,
    port: u16,
}

impl TlsTunnel {
    /// Opens it.
    pub fn open(lab: &Lab, site: &Site, port: u16) -> Self {
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,nodelay");
        let connect =
            format!("OPENSSL:{0}:{1},cafile={2},commonname={0},snihost={0},verify=1,nodelay", site.name, site.port, site.ca.display());
        let program = Program::start(lab, &format!("socat-{port}"), Command::new("socat").args([listen, connect]));
        wait_until("socat's port", || listens(port).then_some(()));
        Self { _program: program, port }
    }
}

/// Does something listen there? Asked without connecting: a connection would go on to the server.
fn listens(port: u16) -> bool {
    let wanted = format!(":{port:04X} 00000000:0000 0A");
    std::fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| line.contains(&wanted))
}

/// One of the scenarios in `sipp/`.
#[derive(Clone, Copy)]
pub enum Scenario {
    /// REGISTER, answered to a challenge if there is one.
    Register,
    /// One MESSAGE, without a sign-in before it.
    Message,
    /// Sign in, then claim to be the user `victim` in every way there is.
    Forge,
    /// Sign in, then INVITE with encrypted media, ACK, a moment, BYE.
    Call,
    /// Sign in, then take the messages that come in.
    AnswerMessages,
    /// Sign in, then answer the calls that come in.
    AnswerCalls,
}

impl Scenario {
    fn file(self) -> &'static str {
        match self {
            Self::Register => "register.xml",
            Self::Message => "message.xml",
            Self::Forge => "forge.xml",
            Self::Call => "call.xml",
            Self::AnswerMessages | Self::AnswerCalls => "answer.xml",
        }
    }

    /// What to do with requests that belong to no call of its own.
    fn for_incoming(self) -> Option<&'static str> {
        match self {
            Self::AnswerMessages => Some("answer-message.xml"),
            Self::AnswerCalls => Some("answer-call.xml"),
            Self::Register | Self::Message | Self::Forge | Self::Call => None,
        }
    }
}

/// A running SIPp.
pub struct Sipp {
    program: Program,
    name: String,
}

impl Sipp {
    /// No scenario of the tests runs longer.
    const SECONDS_MAX: Duration = Duration::from_secs(60);

    /// Starts `scenario` `calls` times at `rate` a second, all over one connection, with the users in turn; whom they write to or
    /// call is the user in `to` at the same place.
    pub fn start(lab: &Lab, tunnel: &TlsTunnel, scenario: Scenario, users: &[Account], to: &[Account], calls: u32, rate: u32) -> Self {
        let name = format!("sipp-{}-{}", scenario.file().trim_end_matches(".xml"), tunnel.port);
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp");
        let csv = lab.file(&format!("{name}.csv"), &injection(users, to));
        let mut command = Command::new("sipp");
        command.arg(format!("127.0.0.1:{}", tunnel.port)).args(["-t", "t1", "-i", "127.0.0.1", "-nostdin", "-inf"]).arg(csv);
        command.arg("-sf").arg(scenarios.join(scenario.file()));
        if let Some(file) = scenario.for_incoming() {
            command.arg("-oocsf").arg(scenarios.join(file));
        }
        command.args(["-m", &calls.to_string(), "-r", &rate.to_string(), "-l", "200", "-recv_timeout", "15000"]);
        // Without it SIPp signs for the tunnel's address, which is nobody's name.
        command.args(["-auth_uri", &users[0].domain]);
        command.args(["-trace_err", "-error_file"]).arg(lab.path(&format!("{name}.errors")));
        command.args(["-trace_screen", "-screen_file"]).arg(lab.path(&format!("{name}.screen")));
        command.args(["-trace_msg", "-message_file"]).arg(lab.path(&format!("{name}.messages")));
        command.env("TERM", "dumb").current_dir(lab.dir());
        Self { program: Program::start(lab, &name, &mut command), name }
    }

    /// Waits for its end: how many calls succeeded and failed.
    pub fn result(mut self, lab: &Lab) -> (u32, u32) {
        self.program.wait_for_end_within(Self::SECONDS_MAX);
        let screen = std::fs::read_to_string(lab.path(&format!("{}.screen", self.name))).unwrap_or_default();
        let total = |row: &str| {
            let line =
                screen.lines().rev().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no {row:?} on SIPp's screen: {screen}"));
            line.rsplit('|').next().and_then(|cell| cell.trim().parse().ok()).unwrap_or_else(|| panic!("no number in {line:?}"))
        };
        (total("Successful call"), total("Failed call"))
    }

    /// Waits until its log of messages shows `text` this often.
    pub fn wait_for_messages(&self, lab: &Lab, text: &str, times: usize) {
        let file = lab.path(&format!("{}.messages", self.name));
        let count = || std::fs::read_to_string(&file).unwrap_or_default().matches(text).count();
        wait_until(&format!("{times} times {text:?} at SIPp"), || (count() >= times).then_some(()));
    }

    /// Tells it to finish what it has begun.
    pub fn finish(&self) {
        self.program.signal("USR1");
    }
}

/// SIPp's injection file: user; domain; credentials; the other user.
fn injection(users: &[Account], to: &[Account]) -> String {
    let mut csv = String::from("SEQUENTIAL\n");
    let pairs = users.iter().cycle().zip(to.iter().cycle());
    for (user, other) in pairs.take(users.len().max(to.len())) {
        let Account { user: name, domain, password } = user;
        let _ = writeln!(csv, "{name};{domain};[authentication username={name} password={password}];{}", other.user);
    }
    csv
}
