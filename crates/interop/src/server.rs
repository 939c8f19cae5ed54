//! The server under test: `verbund up --json` in a data directory of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use crate::names::OTHER_NAME;
use crate::namespace::VERBUND_BIN;
use crate::process::{must_run, run};
use crate::{Host, Lab, PATIENCE, Program};

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
        Self::start_by(lab, verbund(), users)
    }

    /// The same by a command that has more in its environment, or more words.
    pub fn start_by(lab: &Lab, mut command: Command, users: &[&str]) -> Self {
        command.args(["up", "--json", "--listen", "127.0.0.1:5061", "--https", "127.0.0.1:8443", "--data"]);
        command.arg(lab.path("data"));
        for user in users {
            command.args(["--user", user]);
        }
        Self::launch(lab, "verbund", command)
    }

    /// Brings up what the machine `host` has in its data directory; there a new organisation is made if there is none.
    pub fn up_on(lab: &Lab, host: &Host) -> Self {
        Self::on(lab, host, &["up"])
    }

    /// The same with one more variable in its environment.
    pub fn up_on_with(lab: &Lab, host: &Host, (name, value): &(&str, PathBuf)) -> Self {
        let mut command = host.command(&program());
        command.env(name, value);
        Self::serve_on(lab, host, command, &["up"])
    }

    /// A server on the machine `host` that joins with this string.
    pub fn join_on(lab: &Lab, host: &Host, string: &str) -> Self {
        Self::on(lab, host, &["join", string])
    }

    fn on(lab: &Lab, host: &Host, words: &[&str]) -> Self {
        Self::serve_on(lab, host, host.command(&program()), words)
    }

    fn serve_on(lab: &Lab, host: &Host, mut command: Command, words: &[&str]) -> Self {
        command.args(words).arg("--json").arg("--data").arg(lab.path(&format!("{}-data", host.name())));
        let address = host.address();
        command.args(["--listen", &format!("{address}:5061"), "--https", &format!("{address}:8443")]);
        Self::launch(lab, &format!("verbund-{}", host.name()), command)
    }

    fn launch(lab: &Lab, name: &str, mut command: Command) -> Self {
        let (program, stdout) = Program::start_talking(lab, name, &mut command);
        let (send, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} did not get ready; see {}", program.log().display()));
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

    /// A new user, whose home is that pool.
    pub fn add_user(&self, user: &str, pool: &str) -> Account {
        let password = Self::password_in(&self.command(&["user", "add", user, "--pool", pool, "--json"]));
        Account { user: user.to_owned(), domain: self.said("domain").to_owned(), password }
    }

    /// The string that the server `name` can join with.
    pub fn add_server(&self, name: &str, more: &[&str]) -> String {
        let added = self.json(&[&["server", "add", name], more].concat());
        added["join"].as_str().unwrap_or_else(|| panic!("no join string in {added}")).to_owned()
    }

    /// Publishes the topology with these words replaced, as the next version.
    pub fn publish(&self, lab: &Lab, from: &str, to: &str) {
        let text = self.command(&["topology", "show"]);
        assert!(text.contains(from), "no {from:?} in {text}");
        let version = self.json(&["topology", "show"])["version"].as_u64().expect("a topology has a version");
        let text = text.replace(&format!("version = {version}\n"), &format!("version = {}\n", version + 1)).replace(from, to);
        let file = lab.file("next-topology.toml", &text);
        self.command(&["topology", "publish", &file.display().to_string()]);
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
        Site { name: self.said("server_name").to_owned(), port: port_of(self.said("sip")), ca: self.ca() }
    }

    /// Where other servers connect to.
    pub fn servers_site(&self) -> Site {
        Site { port: port_of(self.said("servers")), ..self.site() }
    }

    /// The same server under a name that its certificate does not bear.
    pub fn site_by_another_name(&self) -> Site {
        Site { name: OTHER_NAME.to_owned(), ..self.site() }
    }

    /// An administrator's command: `verbund ARGUMENTS --data DIR`. What it printed; it must succeed.
    pub fn command(&self, arguments: &[&str]) -> String {
        must_run(verbund().args(arguments).arg("--data").arg(self.data()))
    }

    /// The same, answered in JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.command(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{arguments:?} answered {answer:?}, which is no JSON: {error}"))
    }

    /// The same where it may fail.
    pub fn try_command(&self, arguments: &[&str]) -> (bool, String) {
        run(verbund().args(arguments).arg("--data").arg(self.data()))
    }

    /// Who is signed in and connected, as `verbund status` tells.
    pub fn status(&self) -> Status {
        Status(serde_json::from_str(&self.command(&["status", "--json"])).expect("a status in JSON"))
    }

    /// The servers that it has a link with that is up, each once.
    pub fn links_up(&self) -> Vec<String> {
        let status = self.json(&["status"]);
        let links = status["links"].as_array().map(Vec::as_slice).unwrap_or_default();
        let up = links.iter().filter(|link| link["state"] == "up").filter_map(|link| link["server"].as_str());
        let mut names: Vec<String> = up.map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// How many of its newest decisions refused somebody for this reason, as `verbund decisions` has it.
    pub fn refused(&self, rule: &str) -> usize {
        self.decisions().iter().filter(|one| one["verdict"] == "refused" && one["evidence"]["rule"] == rule).count()
    }

    /// Its newest decisions, the newest first.
    pub fn decisions(&self) -> Vec<Value> {
        self.json(&["decisions"]).as_array().cloned().unwrap_or_default()
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

    /// Ends it as a power cut does (SIGKILL).
    pub fn kill(mut self) {
        self.program.signal("KILL");
        self.program.wait_for_end();
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

fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {address:?}"))
}

fn verbund() -> Command {
    Command::new(program())
}

/// Where the program under test is.
pub fn program() -> String {
    std::env::var(VERBUND_BIN).expect("in_own_network says where verbund is")
}
