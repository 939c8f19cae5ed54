//! What the tests of this crate share: a moment, names, and the `openssl` program as a second opinion.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use pki::Fqdn;

pub const DAY: Duration = Duration::from_hours(24);

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

/// A folder in which the `openssl` program works.
pub struct OpenSsl {
    folder: tempfile::TempDir,
}

impl OpenSsl {
    /// `None`, with a line that says so, where there is no such program.
    pub fn find() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "no openssl program here, and in CI nothing is passed over");
            eprintln!("skipped: no openssl program here");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs it in the folder, the arguments in one line.
    pub fn try_run(&self, line: &str) -> Output {
        Command::new("openssl").args(line.split_whitespace()).current_dir(self.folder()).output().unwrap()
    }

    /// The same; it must succeed. Gives what it said on both outputs.
    pub fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "openssl {line}\n{said}");
        said
    }

    /// The same; it must fail.
    pub fn fails(&self, line: &str) -> String {
        let output = self.try_run(line);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "openssl {line}\n{said}");
        said
    }
}
