//! docs/promises.md: what is promised is proved by tests that exist.
//!
//! Each row of a table there whose first cell is a promise or a refusal (`P1`, `N12`) names tests as inline code in its last cell:
//! `crates/net/tests/tls.rs::old_versions_are_refused` (any Rust file of the project), or
//! `trust::judge::tests::mutual_means_both` (a crate, the modules to it). A row whose last cell starts with `later` names none.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::shell::{root, say};
use crate::sources::{rust_files, tests_in, text_of};

/// Reads the page and looks for every test that it names.
pub(crate) fn check() -> anyhow::Result<()> {
    let page = text_of(&root().join("docs/promises.md"));
    if page.is_empty() {
        bail!("docs/promises.md is missing");
    }
    let rows: Vec<Row<'_>> = page.lines().filter_map(Row::parse).collect();
    let faults: Vec<String> = rows.iter().flat_map(|row| row.faults(exists)).collect();
    let named: usize = rows.iter().map(|row| row.tests.len()).sum();
    say(&format!("== promises: {} rows name {named} tests", rows.len()));
    match faults.is_empty() && named > 0 {
        true => Ok(()),
        false => bail!("docs/promises.md does not hold:\n  {}", faults.join("\n  ")),
    }
}

/// One promise and what proves it.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    number: &'a str,
    tests: Vec<&'a str>,
    later: bool,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let (first, last) = (*cells.first()?, *cells.last()?);
        let number = first.strip_prefix(['P', 'N'])?;
        // `N3, N4` is one row of two refusals.
        if !number.starts_with(|digit: char| digit.is_ascii_digit()) {
            return None;
        }
        let tests = last.split('`').skip(1).step_by(2).collect();
        Some(Self { number: first, tests, later: last.starts_with("later") })
    }

    fn faults(&self, exists: impl Fn(&str) -> bool) -> Vec<String> {
        if self.tests.is_empty() && !self.later {
            return vec![format!("{} names no test (and does not start with \"later\")", self.number)];
        }
        self.tests.iter().filter(|test| !exists(test)).map(|test| format!("{}: there is no test {test}", self.number)).collect()
    }
}

/// Is there such a test, one that is run?
fn exists(name: &str) -> bool {
    let Some((place, test)) = name.rsplit_once("::") else { return false };
    files_of(place).iter().any(|path| tests_in(&text_of(path)).contains(&test))
}

/// The files in which a test of this place may be.
fn files_of(place: &str) -> Vec<PathBuf> {
    if place.ends_with(".rs") {
        return vec![root().join(place)];
    }
    let mut parts = place.split("::");
    let name = parts.next().unwrap_or_default();
    let modules: Vec<&str> = parts.filter(|part| *part != "tests").collect();
    let source = root().join(if name == "xtask" { "xtask" } else { "crates" }).join(folder_of(name)).join("src");
    let files = rust_files(&source);
    files.into_iter().filter(|path| is_below(path.strip_prefix(&source).unwrap_or(path), &modules)).collect()
}

fn folder_of(name: &str) -> &str {
    match name {
        "verbund" => "cli",
        "xtask" => "",
        other => other,
    }
}

/// Is `src/a/b.rs`, `src/a/b/mod.rs`, `src/a/b/tests.rs` … the file of the modules `a::b`, or can it hold them inline?
fn is_below(path: &Path, modules: &[&str]) -> bool {
    let parts: Vec<String> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !matches!(*part, "mod" | "lib" | "main" | "tests")).collect();
    modules.starts_with(&parts) || parts.starts_with(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_the_tests_of_a_promise() {
        let row = Row::parse("| P4 | A client can `authenticate` | `a::b`, `crates/x/tests/y.rs::c` |").expect("a row");
        assert_eq!(row, Row { number: "P4", tests: vec!["a::b", "crates/x/tests/y.rs::c"], later: false });
        assert_eq!(row.faults(|name| name == "a::b").len(), 1);
        assert_eq!(row.faults(|_| true), [""; 0]);
    }

    #[test]
    fn a_promise_without_a_test_is_a_fault_unless_it_says_later() {
        let fault = |line: &str| Row::parse(line).expect("a row").faults(|_| true).len();
        assert_eq!(fault("| N12 | clear text | |"), 1);
        assert_eq!(fault("| N12 | clear text | later: with the second server |"), 0);
    }

    #[test]
    fn what_is_no_promise_is_no_row() {
        assert_eq!(Row::parse("| # | promise | tests |"), None);
        assert_eq!(Row::parse("| Peer | a word | `x::y` |"), None);
        assert_eq!(Row::parse("P4 in a sentence"), None);
    }

    #[test]
    fn a_test_is_found_by_file_and_by_module_and_not_otherwise() {
        assert!(exists("xtask/src/promises.rs::what_is_no_promise_is_no_row"));
        assert!(exists("xtask::promises::tests::what_is_no_promise_is_no_row"));
        assert!(!exists("xtask::layers::tests::what_is_no_promise_is_no_row"));
        assert!(!exists("xtask::promises::what_is_promised_but_not_tested"));
        assert!(!exists("what_is_no_promise_is_no_row"));
    }
}
