//! The Rust files of a crate, and the tests in them.

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files below `folder`, in order.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let below = |path: PathBuf| match path.is_dir() {
        true => rust_files(&path),
        false => vec![path],
    };
    entries.into_iter().flat_map(below).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// A file's content; nothing if it cannot be read.
pub(crate) fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The names of the functions that are run as tests: marked `#[test]` or `#[…::test]`, and not ignored.
pub(crate) fn tests_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let (mut is_test, mut ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
            ignored |= line.starts_with("#[ignore");
        } else if let Some(name) = function_name(line) {
            if is_test && !ignored {
                names.push(name);
            }
            (is_test, ignored) = (false, false);
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// What is compiled into the library: everything before the test module at the end, without comments.
pub(crate) fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let opens_a_module = |line: &&str| line.starts_with("mod ") && line.ends_with('{');
    let is_test_module =
        |at: usize| lines[at] == "#[cfg(test)]" && lines[at..].iter().find(|line| !line.starts_with("#[")).is_some_and(opens_a_module);
    let end = (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len());
    lines.into_iter().take(end).enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_with_any_runner_and_without_the_ignored() {
        let text =
            "#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\n#[test]\n#[ignore]\nfn three() {}";
        assert_eq!(tests_in(text), ["one", "two"]);
    }

    #[test]
    fn the_test_module_and_comments_are_not_the_product() {
        let text = "use a;\n// b\n#[cfg(test)]\nmod tests {\n    use c;\n}";
        assert_eq!(product_lines(text).collect::<Vec<_>>(), [(1, "use a;")]);
    }
}
