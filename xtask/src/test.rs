//! `cargo xtask test`: every test there is.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::packages;
use crate::shell::{command, say, step, succeeds, target};

/// Tests of real clients mostly wait for each other, so more of them run at a time than there are cores.
const TESTS_PER_CORE: usize = 2;
const WHAT: &str = "unit tests, scenes, conformance, processes, real clients";

/// Installs what is missing, builds, runs. The last line printed says how many tests passed and failed.
pub(crate) fn run() -> anyhow::Result<()> {
    packages::ensure()?;
    step("build of the program and its tests", &mut command("cargo test --quiet --workspace --no-run"))?;
    step("examples in the documentation", &mut command("cargo test --quiet --workspace --doc"))?;
    // Cargo builds the program for the command's own tests; the real clients use the same one.
    let verbund = target().join("debug/verbund");
    ensure!(verbund.is_file(), "{} was not built", verbund.display());
    let threads = available_parallelism().map_or(1, usize::from) * TESTS_PER_CORE;
    if succeeds(&mut command("cargo nextest --version")) {
        let mut tests = command(&format!("cargo nextest run --workspace --test-threads {threads}"));
        step(WHAT, tests.env("INTEROP_REQUIRED", "1").env("VERBUND_BIN", verbund))
    } else {
        let mut tests = command("cargo test --workspace --no-fail-fast --lib --bins --tests");
        tests.env("INTEROP_REQUIRED", "1").env("VERBUND_BIN", verbund).env("RUST_TEST_THREADS", threads.to_string());
        plain_cargo_test(&mut tests)
    }
}

/// Cargo's own runner says how each program of tests went; the sum is ours.
fn plain_cargo_test(tests: &mut Command) -> anyhow::Result<()> {
    say(&format!("== {WHAT}"));
    let start = Instant::now();
    let mut child = tests.stdout(Stdio::piped()).spawn().context("cargo does not start")?;
    let mut sum = Sum::default();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        sum.add(&line);
        print(&line);
    }
    let status = child.wait()?;
    sum.failed_tests.iter().for_each(|name| print(&format!("failed: {name}")));
    let word = if status.success() { "ok" } else { "FAILED" };
    let Sum { programs, passed, failed, ignored, .. } = sum;
    let seconds = start.elapsed().as_secs_f32();
    print(&format!(
        "\nSummary of {programs} programs: {word}. {passed} passed; {failed} failed; {ignored} ignored; finished in {seconds:.2}s"
    ));
    if !status.success() {
        bail!("{WHAT}: failed");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the runner's own output is passed on")]
fn print(line: &str) {
    println!("{line}");
}

#[derive(Debug, Default, PartialEq)]
struct Sum {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    failed_tests: Vec<String>,
}

impl Sum {
    /// Takes in a line of libtest's output.
    fn add(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed_tests.push(name.to_owned());
        }
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        let count = |what: &str| -> u32 {
            let number = counts.split("; ").find_map(|part| part.strip_suffix(what));
            number.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
        };
        self.programs += 1;
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_programs_are_added() {
        let mut sum = Sum::default();
        for line in [
            "test a::b ... ok",
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.08s",
            "test c::d ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.08s",
        ] {
            sum.add(line);
        }
        assert_eq!(sum, Sum { programs: 2, passed: 9, failed: 1, ignored: 1, failed_tests: vec!["c::d".to_owned()] });
    }
}
