//! The project's own commands: `cargo xtask test` runs every test, `cargo xtask ci` checks everything.

mod check;
mod layers;
mod packages;
mod promises;
mod shell;
mod sources;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test | ci | layers | promises
  test      installs what the real-client tests need (or names it), then runs every test
  ci        format, lints, documentation, dependency policy, layers, promises, fuzz targets, then every test
  layers    only the check of manifests and sources against the table in ARCHITECTURE.md
  promises  only the check that each test named in docs/promises.md exists";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => test::run(),
        ["ci"] => check::run(),
        ["layers"] => layers::check(),
        ["promises"] => promises::check(),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::complain(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
