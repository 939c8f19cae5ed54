//! A program that was started for a test: its log, its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::{Lab, PATIENCE, within};

/// A running program. Dropping it ends it.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command`; what it prints goes to `<name>.log` of the lab.
    pub fn start(lab: &Lab, name: &str, command: &mut Command) -> Self {
        let (log, file) = log_file(lab, name);
        let same_file = file.try_clone().expect("a file handle can be doubled");
        Self::spawn(name, log, command.stdin(Stdio::null()).stdout(file).stderr(same_file))
    }

    /// Starts `command` whose standard output is read by the test; only its complaints go to the log.
    pub(crate) fn start_talking(lab: &Lab, name: &str, command: &mut Command) -> (Self, ChildStdout) {
        let (log, file) = log_file(lab, name);
        let mut program = Self::spawn(name, log, command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file));
        let stdout = program.child.stdout.take().expect("standard output was asked for");
        (program, stdout)
    }

    /// Starts `command` whose standard input stays open and silent, for programs that end with it. The handle keeps it open.
    pub fn start_waiting(lab: &Lab, name: &str, command: &mut Command) -> (Self, ChildStdin) {
        let (log, file) = log_file(lab, name);
        let same_file = file.try_clone().expect("a file handle can be doubled");
        let mut program = Self::spawn(name, log, command.stdin(Stdio::piped()).stdout(file).stderr(same_file));
        let stdin = program.child.stdin.take().expect("standard input was asked for");
        (program, stdin)
    }

    fn spawn(name: &str, log: PathBuf, command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it printed until now.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `text` is in its log.
    ///
    /// # Panics
    /// When it does not come, or the program ends before.
    pub fn wait_to_print(&mut self, text: &str) {
        let found = within(PATIENCE, || {
            let ended = self.ended().is_some();
            match self.printed().contains(text) {
                true => Some(true),
                false => ended.then_some(false),
            }
        });
        assert!(found == Some(true), "{} did not print {text:?}; see {}", self.name, self.log.display());
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked about")
    }

    /// Waits for its end.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.wait_for_end_within(PATIENCE)
    }

    /// Waits for its end, for programs that run longer than a moment.
    pub fn wait_for_end_within(&mut self, patience: std::time::Duration) -> ExitStatus {
        within(patience, || self.ended())
            .unwrap_or_else(|| panic!("{} still runs after {} s; see {}", self.name, patience.as_secs(), self.log.display()))
    }

    /// Asks it to end, as `kill -SIGNAL` does.
    pub fn signal(&self, signal: &str) {
        // The signal goes through kill(1): the system call would need unsafe code or one more dependency.
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        assert!(status.is_ok(), "kill(1) is not there");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(lab: &Lab, name: &str) -> (PathBuf, File) {
    let log = lab.path(&format!("{name}.log"));
    let file = File::create(&log).unwrap_or_else(|error| panic!("{} cannot be written: {error}", log.display()));
    (log, file)
}

/// Runs `command` to its end: whether it succeeded, and all it printed.
pub(crate) fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Runs `command`, which must succeed.
pub(crate) fn must_run(command: &mut Command) -> String {
    let (good, text) = run(command);
    assert!(good, "{command:?} failed: {text}");
    text
}
