//! `docs/topology.md` is held to the parser: its examples parse, and the keys that it tells of are those there are.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use topology::{Faults, Role, Topology};

const PAGE: &str = include_str!("../../../docs/topology.md");

/// The text between two lines that begin so.
fn between<'a>(start: &str, end: &str) -> &'a str {
    let from = PAGE.find(start).unwrap_or_else(|| panic!("{start:?} is not in the page")) + start.len();
    let length = PAGE[from..].find(end).unwrap_or(PAGE.len() - from);
    &PAGE[from..from + length]
}

fn examples() -> Vec<&'static str> {
    PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The first cells of a table, and whether the second says that it must be there.
fn keys(section: &str) -> Vec<(String, bool)> {
    let rows = between(section, "\n#").lines().filter_map(|line| line.strip_prefix("| `"));
    let key = |row: &str| {
        let (key, rest) = row.split_once("` | ").unwrap();
        (key.to_owned(), rest.starts_with("yes"))
    };
    rows.map(key).collect()
}

/// The one thing that is wrong with a text.
fn fault(text: &str) -> String {
    let Faults(faults) = Topology::parse(text).unwrap_err();
    faults[0].rule.to_string()
}

/// The keys that the parser takes in a table: it names them where it meets one that it does not know.
fn known(table: &str) -> BTreeSet<String> {
    let head = "version = 1\norganisation = \"C\"\ndomains = [\"contoso.example\"]\n";
    let said = fault(&if table.is_empty() { format!("nonsense = 1\n{head}") } else { format!("{head}{table}\nnonsense = 1\n") });
    let (_, names) = said.split_once("expected ").unwrap_or_else(|| panic!("{said}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_example_can_be_published_as_it_stands() {
    assert!(!examples().is_empty());
    for example in examples() {
        if let Err(faults) = Topology::parse(example) {
            panic!("{faults}\nin\n{example}");
        }
    }
}

#[test]
fn every_key_of_the_parser_is_told_and_no_other() {
    for (section, table) in [
        ("### At the top\n", ""),
        ("### `[limits]`\n", "[limits]"),
        ("### `[federation]`\n", "[federation]"),
        ("### `[[pool]]`\n", "[[pool]]"),
        ("### `[[pool.server]]`\n", "[[pool]]\nname = \"p\"\n[[pool.server]]"),
    ] {
        let told: BTreeSet<String> = keys(section).into_iter().map(|(key, _)| key).collect();
        // The tables have sections of their own.
        let known: BTreeSet<String> =
            known(table).into_iter().filter(|key| !["federation", "limits", "pool", "server"].contains(&key.as_str())).collect();
        assert_eq!(told, known, "{section}");
    }
}

#[test]
fn a_key_that_must_be_there_is_missed_and_another_is_not() {
    let whole = "version = 1\norganisation = \"C\"\ndomains = [\"c.example\"]\n[[pool]]\nname = \"a.c.example\"\n[[pool.server]]\n\
                 fqdn = \"a.c.example\"\nroles = [\"authority\"]\n";
    assert!(Topology::parse(whole).is_ok(), "none of those that need not be there is missed");
    for section in ["### At the top\n", "### `[[pool]]`\n", "### `[[pool.server]]`\n"] {
        for (key, _) in keys(section).into_iter().filter(|(_, must)| *must) {
            let without: String =
                whole.lines().filter(|line| !line.starts_with(&format!("{key} ="))).map(|line| format!("{line}\n")).collect();
            assert!(fault(&without).contains(&format!("missing field `{key}`")), "{key}: {}", fault(&without));
        }
    }
}

#[test]
fn every_role_is_told_and_no_other() {
    let told: BTreeSet<String> = keys("### Roles\n").into_iter().map(|(key, _)| key).collect();
    assert_eq!(told, Role::ALL.map(|role| role.as_str().to_owned()).into());
}

#[test]
fn the_limits_are_those_of_the_code() {
    let limits = between("## Limits\n", "\n## ").trim().to_owned();
    let [mib, kib] = [Topology::FILE_BYTES_MAX / 1024 / 1024, Topology::DOMAIN_BYTES_MAX / 1024];
    let expected = format!(
        "{mib} MiB of text, {} servers, {kib} KB of domains in a certificate, {} faults told at once.",
        Topology::SERVERS_MAX,
        Topology::FAULTS_MAX
    );
    assert_eq!(limits, expected);
}
