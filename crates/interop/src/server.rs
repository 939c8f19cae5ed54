//! The server under test: `verbund up --json` in a data directory of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use crate::names::{OTHER_NAME, SERVER_NAME};
use crate::namespace::VERBUND_BIN;
use crate::process::{must_run, run};
use crate::{Lab, PATIENCE, Program};

/// A running verbund. Dropping it ends it hard; [`stop`](Self::stop) ends it as an administrator would.
pub struct Server {
    program: Program,
    ready: Value,
}

/// Who a phone signs in as.
#[derive(Clone)]
pub struct Account {
    /// The local part.
    pub user: String,
    /// The SIP domain.
    pub domain: String,
    /// The generated password.
    pub password: String,
}

impl Account {
    /// `sip:user@domain`
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    /// The same user with another password.
    pub fn with_password(&self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self.clone() }
    }

    /// The same password for another user.
    pub fn with_user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }
}

/// Where a phone connects to, and whom it trusts.
#[derive(Clone)]
pub struct Site {
    /// The name the phone was told, which the certificate has to bear.
    pub name: String,
    /// The TLS port.
    pub port: u16,
    /// PEM file of the roots that the phone trusts.
    pub ca: PathBuf,
}

impl Site {
    /// `name:port`
    pub fn authority(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }
}

impl Server {
    /// Starts a new organisation with users alice and bob and waits until it serves.
    pub fn start(lab: &Lab) -> Self {
        Self::start_with_users(lab, &["alice", "bob"])
    }

    /// The same with these users.
    pub fn start_with_users(lab: &Lab, users: &[&str]) -> Self {
        let mut command = verbund();
        command.args(["up", "--json", "--listen", "127.0.0.1:5061", "--https", "127.0.0.1:8443", "--data"]);
        command.arg(lab.path("data"));
        for user in users {
            command.args(["--user", user]);
        }
        let (program, stdout) = Program::start_talking(lab, "verbund", &mut command);
        let (send, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("verbund did not get ready; see {}", program.log().display()));
        // The reader thread lives on with the channel's end in here, so that verbund never writes into a closed pipe.
        thread::spawn(move || lines.into_iter().for_each(drop));
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("verbund said {line:?}, which is no JSON: {error}"));
        Self { program, ready }
    }

    /// What it said of itself when it was ready.
    pub fn said(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key:?} in {}", self.ready))
    }

    /// One of its users.
    pub fn account(&self, user: &str) -> Account {
        let domain = self.said("domain").to_owned();
        let aor = format!("sip:{user}@{domain}");
        let users = self.ready["users"].as_array().expect("users are listed");
        let entry = users.iter().find(|entry| entry["aor"] == aor.as_str()).unwrap_or_else(|| panic!("no user {aor} in {}", self.ready));
        let password = entry["password"].as_str().unwrap_or_else(|| panic!("no password of {aor} in {}", self.ready)).to_owned();
        Account { user: user.to_owned(), domain, password }
    }

    /// Its PEM file of the root, as phones get it.
    pub fn ca(&self) -> PathBuf {
        PathBuf::from(self.said("ca"))
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        Path::new(self.said("data"))
    }

    /// Where its phones connect to.
    pub fn site(&self) -> Site {
        Site { name: SERVER_NAME.to_owned(), port: 5061, ca: self.ca() }
    }

    /// The same server under a name that its certificate does not bear.
    pub fn site_by_another_name(&self) -> Site {
        Site { name: OTHER_NAME.to_owned(), ..self.site() }
    }

    /// An administrator's command: `verbund ARGUMENTS --data DIR`. What it printed; it must succeed.
    pub fn command(&self, arguments: &[&str]) -> String {
        must_run(verbund().args(arguments).arg("--data").arg(self.data()))
    }

    /// The same where it may fail.
    pub fn try_command(&self, arguments: &[&str]) -> (bool, String) {
        run(verbund().args(arguments).arg("--data").arg(self.data()))
    }

    /// Who is signed in and connected, as `verbund status` tells.
    pub fn status(&self) -> Status {
        Status(serde_json::from_str(&self.command(&["status", "--json"])).expect("a status in JSON"))
    }

    /// The password in what `user add --json` and `user password --json` print.
    pub fn password_in(answer: &str) -> String {
        let answer: Value = serde_json::from_str(answer).expect("an answer in JSON");
        answer["password"].as_str().unwrap_or_else(|| panic!("no password in {answer}")).to_owned()
    }

    /// What it logged until now.
    pub fn logged(&self) -> String {
        self.program.printed()
    }

    /// Ends it in order (SIGTERM) and says how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.program.signal("TERM");
        self.program.wait_for_end()
    }
}

/// What `verbund status --json` printed.
pub struct Status(Value);

impl Status {
    /// The addresses of record that have a binding, in order.
    pub fn signed_in(&self) -> Vec<&str> {
        let rows = self.0["registrations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut names: Vec<&str> = rows.iter().filter_map(|row| row["aor"].as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn verbund() -> Command {
    Command::new(std::env::var(VERBUND_BIN).expect("in_own_network says where verbund is"))
}
