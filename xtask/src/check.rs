//! `cargo xtask ci`: everything a change must pass.

use std::path::Path;

use anyhow::bail;

use crate::shell::{command, root, step, succeeds, target};
use crate::{layers, packages, promises, test};

/// The version that the policy in deny.toml was written for.
const CARGO_DENY: &str = "cargo-deny@0.20.2";
/// The version that fuzz/ was written for.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";
const FUZZ_SECONDS: u32 = 10;

/// The cheap checks first.
pub(crate) fn run() -> anyhow::Result<()> {
    step("format", &mut command("cargo fmt --all --check"))?;
    layers::check()?;
    promises::check()?;
    step("lints", &mut command("cargo clippy --quiet --workspace --all-targets -- -D warnings"))?;
    let mut docs = command("cargo doc --quiet --workspace --no-deps --document-private-items");
    step("documentation, private items too", docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    dependencies()?;
    fuzz()?;
    test::run()
}

/// Licences, sources and banned crates. Advisories are left out: their database is a git repository that a build without a way to it
/// cannot fetch, and a check that passes when it could not look is worse than none.
fn dependencies() -> anyhow::Result<()> {
    let deny = tool("deny", CARGO_DENY)?;
    let policy = "--all-features --log-level error check --hide-inclusion-graph licenses bans sources";
    step("dependency policy: licences, bans, sources (no advisories: no database)", &mut command(&format!("{deny} {policy}")))
}

/// How to start a cargo subcommand that does not come with cargo: what is installed, else one of ours.
fn tool(name: &str, package: &str) -> anyhow::Result<String> {
    if succeeds(&mut command(&format!("cargo {name} --version"))) {
        return Ok(format!("cargo {name}"));
    }
    let folder = target().join("tools");
    let own = folder.join(format!("bin/cargo-{name}"));
    if !own.is_file() {
        // A debug build: it is made in a third of the time and runs for a second.
        let install = format!("cargo install --quiet --locked --debug --root {} {package}", folder.display());
        step(&format!("cargo-{name} is not here and is installed (two minutes)"), &mut command(&install))?;
    }
    Ok(format!("{} {name}", own.display()))
}

/// Ten seconds of each fuzz target. The stable compiler is told to allow the sanitizer and coverage that libFuzzer wants;
/// nothing that is shipped is built so.
fn fuzz() -> anyhow::Result<()> {
    let targets = fuzz_targets(&root().join("fuzz/fuzz_targets"));
    if targets.is_empty() {
        bail!("fuzz/fuzz_targets holds no target");
    }
    packages::ensure_fuzzing()?;
    let fuzz = tool("fuzz", CARGO_FUZZ)?;
    for name in targets {
        let line = format!("{fuzz} run {name} {} -- -max_total_time={FUZZ_SECONDS}", fuzz_input(&name)?);
        step(&format!("fuzz target {name}, {FUZZ_SECONDS} s"), command(&line).env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

/// Where a target puts what it finds, and the seeds that it begins with, if it has some.
fn fuzz_input(target: &str) -> anyhow::Result<String> {
    let [corpus, seeds] = ["corpus", "seeds"].map(|folder| root().join("fuzz").join(folder).join(target));
    std::fs::create_dir_all(&corpus)?;
    let seeds = if seeds.is_dir() { seeds.display().to_string() } else { String::new() };
    Ok(format!("{} {seeds}", corpus.display()))
}

fn fuzz_targets(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}
