//! A program whose clock goes ahead: weeks pass for real processes without a test that waits for them.
//!
//! What is preloaded is built by the test itself, from the lines below, and changes one call: the one that tells the time of day.

use std::{path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use super::verbund::program;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, id, now);
    const char *ahead = getenv("TEST_CLOCK_AHEAD_SECONDS");
    if (result == 0 && id == CLOCK_REALTIME && ahead)
        now->tv_sec += atol(ahead);
    return (int)result;
}
"#;

/// The program, with its clock so far ahead.
pub fn program_ahead_by(ahead: Duration) -> Command {
    let mut command = program();
    command.env("LD_PRELOAD", shim()).env("TEST_CLOCK_AHEAD_SECONDS", ahead.as_secs().to_string());
    command
}

fn shim() -> &'static PathBuf {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        // Beside the program under test, so that it goes with it; of this process, so that two runs do not meet.
        let object = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("clock-{}.so", std::process::id()));
        let source = object.with_extension("c");
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&object, &source]).status().unwrap();
        assert!(built.success(), "a C compiler is needed, as it is for the TLS library");
        object
    })
}
