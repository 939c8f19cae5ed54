//! A phone that is a Python library: a script of ours (`py/`) drives it and tells each event as one line of JSON.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::lab::target_dir;
use crate::{Lab, PATIENCE, Program};

/// What a script told: `{"event": "...", ...}`.
pub type Event = Value;

/// A running script.
pub struct Script {
    program: Program,
    events: Receiver<Event>,
    told: Vec<Event>,
}

impl Script {
    /// Starts `py/<script>` as the program `name` of the lab.
    pub fn start(lab: &Lab, name: &str, script: &str, arguments: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("py").join(script);
        let mut command = Command::new(python());
        command.arg("-u").arg(path).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        let (program, stdout) = Program::start_talking(lab, name, &mut command);
        let (send, events) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|event| send.send(event))
        });
        Self { program, events, told: Vec::new() }
    }

    /// Waits for the event `name` (not counting those waited for before).
    ///
    /// # Panics
    /// When the script ends or [`PATIENCE`] is over before it came.
    pub fn wait_for(&mut self, name: &str) -> Event {
        let end = Instant::now() + PATIENCE;
        while let Ok(event) = self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.told.push(event.clone());
            if event["event"] == name {
                return event;
            }
        }
        panic!("waited in vain for {name:?}, told was {:?}; see {}", self.told, self.program.log().display());
    }

    /// Waits until the script ends.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.program.wait_for_end()
    }

    /// What the library complained about.
    pub fn complaints(&self) -> String {
        self.program.printed()
    }
}

/// The Python of the folder that `cargo xtask test` fills from PyPI.
pub(crate) fn python() -> PathBuf {
    target_dir().join("interop-venv/bin/python")
}
