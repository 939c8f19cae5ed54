//! The program under test in a data directory of its own.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ports between two that are handed out: a server takes one above that of SIP for other servers by itself.
const STRIDE: u16 = 4;

/// A port that nobody has now, nor the one above it, below the range that outgoing connections take theirs from. It stays this
/// test's until its process ends: others look before they take it, but not in the moment between.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static OURS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let start = (std::process::id() % 1_000) as u16 * 12;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(STRIDE, Ordering::Relaxed)) % 12_000;
        if let Some(reserved) = reserve(port)
            && is_free(port)
            && is_free(port + 1)
        {
            OURS.lock().unwrap().push(reserved);
            return port;
        }
    }
}

/// The right to a port among the tests of this machine, whichever run they belong to.
fn reserve(port: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("verbund-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(port.to_string())).unwrap();
    file.try_lock().is_ok().then_some(file)
}

/// The program, without the variables of whoever runs the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbund"));
    for variable in [
        "VERBUND_DATA",
        "VERBUND_LOG",
        "VERBUND_CA_PASSPHRASE_FILE",
        "VERBUND_CA_PIN_FILE",
        "CREDENTIALS_DIRECTORY",
        "XDG_DATA_HOME",
        "NO_COLOR",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Exit code and the one line on standard error of a command that must fail.
pub fn complaint(output: &Output) -> (i32, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("verbund: ")).collect();
    assert_eq!(complaints.len(), 1, "one line says what is wrong: {said}");
    (output.status.code().unwrap_or(-1), complaints[0].to_owned())
}

/// `verbund up` that must not come up.
pub fn refused(data: &Path, args: &[&str]) -> String {
    let ports = [format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port())];
    let mut command = program();
    command.args(["up", "--json", "--data"]).arg(data);
    for (name, port) in ["--listen", "--https"].iter().zip(&ports) {
        if !args.contains(name) {
            command.args([name, port.as_str()]);
        }
    }
    let output = ends(command.args(args));
    assert!(output.stdout.is_empty(), "nothing is ready: {output:?}");
    let (code, said) = complaint(&output);
    assert_eq!(code, 1, "{said}");
    said
}

/// Runs a command that must end by itself.
pub fn ends(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (send, ended) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        signal(pid, "KILL");
        panic!("{command:?} did not end by itself")
    })
}

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

/// A server that is up. Dropping it ends it hard.
pub struct Verbund {
    child: Child,
    pub ready: Value,
    log: Arc<Mutex<String>>,
}

impl Verbund {
    /// Brings up what is in `data`, or makes it.
    pub fn up(data: &Path, args: &[&str]) -> Self {
        let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        Self::up_at(data, &[&["--listen", &sip, "--https", &https], args].concat())
    }

    /// The same with all addresses in `args`.
    pub fn up_at(data: &Path, args: &[&str]) -> Self {
        Self::up_by(program(), data, args)
    }

    /// The same by a program that has more in its environment.
    pub fn up_by(mut command: Command, data: &Path, args: &[&str]) -> Self {
        command.args(["up", "--json", "--data"]).arg(data).args(args);
        Self::launch(command)
    }

    /// A server that joins with this string.
    pub fn join(string: &str, data: &Path) -> Self {
        let (sip, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut command = program();
        command.args(["join", string, "--json", "--listen", &sip, "--https", &https, "--data"]).arg(data);
        Self::launch(command)
    }

    fn launch(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("not ready: {}", log.lock().unwrap())
        };
        Self { child, ready: serde_json::from_str(&line).unwrap(), log }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said of itself.
    pub fn said(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.said("data").into()
    }

    /// The password of a user, as the ready line has it.
    pub fn password(&self, user: &str) -> String {
        let aor = format!("sip:{user}@{}", self.said("domain"));
        let entry = self.ready["users"].as_array().unwrap().iter().find(|entry| entry["aor"] == aor.as_str());
        entry.unwrap()["password"].as_str().unwrap().to_owned()
    }

    /// An administrator's command that must succeed; what it printed.
    pub fn command(&self, args: &[&str]) -> String {
        let output = self.try_command(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.command(&[args, &["--json"]].concat())).unwrap()
    }

    /// The certificate that this server shows, as it says itself.
    pub fn certificate(&self) -> Value {
        let all = self.json(&["cert", "show"]);
        let own = all.as_array().unwrap().iter().find(|one| one["name"] == self.said("server_name"));
        own.cloned().expect("a server knows its own certificate")
    }

    pub fn try_command(&self, args: &[&str]) -> Output {
        ends(program().args(args).arg("--data").arg(self.data()))
    }

    /// Standard error until now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds this.
    pub fn wait_for_log(&self, what: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(what) {
            assert!(Instant::now() < end, "no {what:?} in {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// SIGTERM, and how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "did not end: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Verbund {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(mut from: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&log);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read) = from.by_ref().read(&mut buffer) {
            if read == 0 {
                return;
            }
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
    log
}
