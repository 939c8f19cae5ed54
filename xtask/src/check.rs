//! `cargo xtask ci`: everything a change must pass.

use std::path::Path;

use crate::shell::{command, root, say, step, succeeds, target};
use crate::{layers, promises, test};

/// The version that the policy in deny.toml was written for.
const CARGO_DENY: &str = "cargo-deny@0.20.2";
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
    let own = target().join("tools/bin/cargo-deny");
    let deny = if succeeds(&mut command("cargo deny --version")) {
        "cargo deny".to_owned()
    } else {
        if !own.is_file() {
            let root = target().join("tools");
            // A debug build: it is made in a third of the time and runs for a second.
            let install = format!("cargo install --quiet --locked --debug --root {} {CARGO_DENY}", root.display());
            step("cargo-deny is not here and is installed (two minutes)", &mut command(&install))?;
        }
        format!("{} deny", own.display())
    };
    let policy = "--all-features --log-level error check --hide-inclusion-graph licenses bans sources";
    step("dependency policy: licences, bans, sources (no advisories: no database)", &mut command(&format!("{deny} {policy}")))
}

/// Ten seconds of each fuzz target, where cargo-fuzz and the nightly compiler that it needs are installed.
fn fuzz() -> anyhow::Result<()> {
    let targets = fuzz_targets(&root().join("fuzz/fuzz_targets"));
    if !targets.is_empty() && !succeeds(&mut command("rustup run nightly cargo fuzz --version")) {
        say("== fuzz targets: passed over, there is no cargo-fuzz with a nightly compiler here");
        return Ok(());
    }
    for name in targets {
        let line = format!("rustup run nightly cargo fuzz run {name} -- -max_total_time={FUZZ_SECONDS}");
        step(&format!("fuzz target {name}, {FUZZ_SECONDS} s"), &mut command(&line))?;
    }
    Ok(())
}

fn fuzz_targets(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}
