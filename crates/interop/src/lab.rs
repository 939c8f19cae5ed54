//! The place a test works in: a folder for every log, key and recording, kept afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::must_run;

/// A test's own folder, `target/interop/<test>/`. Its content outlives the test, so that a failure can be read.
pub struct Lab {
    dir: PathBuf,
}

impl Lab {
    /// The lab of the test named `test`, as it is (the folder is made if it is not there).
    pub(crate) fn open(test: &str) -> Self {
        let dir = target_dir().join("interop").join(test.replace("::", "."));
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{} cannot be made: {error}", dir.display()));
        Self { dir }
    }

    /// The same, empty.
    pub(crate) fn fresh(test: &str) -> Self {
        let lab = Self::open(test);
        fs::remove_dir_all(&lab.dir).unwrap_or_else(|error| panic!("{} cannot be emptied: {error}", lab.dir.display()));
        Self::open(test)
    }

    /// The same place under a short name of its own, in a mount namespace: long test names make paths that neither a Unix socket
    /// (108 bytes) nor baresip's recorder (128) can take.
    pub(crate) fn mounted(self) -> Self {
        let short = PathBuf::from("/mnt");
        if !short.is_dir() {
            return self;
        }
        must_run(Command::new("mount").arg("--bind").arg(&self.dir).arg(&short));
        Self { dir: short }
    }

    /// Gives this test's network a card with an address besides loopback, as a desk has one: some phones look for it.
    pub fn plug_in_network_card(&self) {
        for line in
            ["link add card0 type veth peer name wall0", "address add 192.0.2.1/24 dev card0", "link set card0 up", "link set wall0 up"]
        {
            must_run(Command::new("ip").args(line.split(' ')));
        }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the file `name` of this lab is, or is to be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new folder in this lab.
    pub fn folder(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{} cannot be made: {error}", dir.display()));
        dir
    }

    /// A file of this lab with this content.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
        path
    }
}

/// The folder cargo builds into: the test program is `<target>/<profile>/deps/<name>`.
pub(crate) fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile folder is inside the target folder").to_path_buf()
}

/// `<target>/<profile>`, where built programs are.
pub(crate) fn profile_dir() -> PathBuf {
    let test_program = std::env::current_exe().expect("a running program has a path");
    test_program.ancestors().nth(2).expect("a test program is inside <profile>/deps").to_path_buf()
}
