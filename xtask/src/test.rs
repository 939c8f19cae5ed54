//! `cargo xtask test`: every test there is.

use anyhow::ensure;

use crate::packages;
use crate::shell::{command, step, target};

/// Tests of the real clients mostly wait for each other, so more of them run at a time than there are cores.
const TEST_THREADS: &str = "4";

/// Installs what is missing, builds, runs. The last lines printed are the test runner's own.
pub(crate) fn run() -> anyhow::Result<()> {
    packages::ensure()?;
    step("build of the program and its tests", &mut command("cargo test --quiet --workspace --no-run"))?;
    // Cargo builds the program for the command's own tests; the real clients use the same one.
    let verbund = target().join("debug/verbund");
    ensure!(verbund.is_file(), "{} was not built", verbund.display());
    let mut tests = command("cargo test --workspace --no-fail-fast");
    tests.env("INTEROP_REQUIRED", "1").env("VERBUND_BIN", verbund).env("RUST_TEST_THREADS", TEST_THREADS);
    step("unit tests, scenes, conformance, processes, real clients, examples in the documentation", &mut tests)
}
