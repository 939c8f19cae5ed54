//! The layers: manifests and sources against the table in ARCHITECTURE.md.
//!
//! A crate may use only crates of a smaller layer number. A pure crate has no socket, clock, file, task or environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::shell::{root, say};
use crate::sources::{product_lines, rust_files, text_of};

/// Crates that reach for the world.
const WORLDLY_CRATES: [&str; 13] = [
    "tokio",
    "tokio-rustls",
    "axum",
    "hyper",
    "hyper-util",
    "tower",
    "rusqlite",
    "socket2",
    "rustix",
    "mio",
    "tempfile",
    "clap",
    "cryptoki",
];

/// What reaches for the world in a source. Addresses are values and allowed; sockets are not.
const WORLDLY_WORDS: [&str; 20] = [
    "tokio::",
    "async fn",
    "async move",
    ".await",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "std::fs",
    "std::io::stdin",
    "std::env",
    "std::process",
    "std::thread",
    "thread::spawn",
    "SystemTime::now",
    "Instant::now",
    "println!",
    "dbg!",
];

/// A row of the table.
#[derive(Debug, PartialEq)]
struct Row {
    /// `None` for the crates that are tests.
    layer: Option<u32>,
    pure: bool,
}

/// Reads the table, then every crate.
pub(crate) fn check() -> anyhow::Result<()> {
    say("== layers");
    let table = table(&text_of(&root().join("ARCHITECTURE.md")));
    let mut faults = Vec::new();
    let folders = crate_folders()?;
    for listed in table.keys().filter(|name| !folders.contains(*name)) {
        faults.push(format!("ARCHITECTURE.md lists the crate {listed}, which is not in crates/"));
    }
    for name in &folders {
        let folder = root().join("crates").join(name);
        match table.get(name) {
            None => faults.push(format!("crates/{name} is not in the table of ARCHITECTURE.md: give it a layer")),
            Some(row) => {
                faults.extend(faults_of_manifest(name, row, &text_of(&folder.join("Cargo.toml")), &table)?);
                if row.pure {
                    faults.extend(rust_files(&folder.join("src")).iter().flat_map(|path| faults_of_source(path)));
                }
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("layers are broken:\n  {}", faults.join("\n  "))
}

fn crate_folders() -> anyhow::Result<BTreeSet<String>> {
    let entries = fs::read_dir(root().join("crates")).context("there is no crates/")?.flatten();
    let with_manifest = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    Ok(with_manifest.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// The rows `| layer | crate | what | kind |`.
fn table(text: &str) -> BTreeMap<String, Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(String, Row)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [layer, name, _, kind] = cells[..] else { return None };
    let name = name.strip_prefix('`')?.strip_suffix('`')?;
    let layer = match layer {
        "test" => None,
        number => Some(number.parse().ok()?),
    };
    Some((name.to_owned(), Row { layer, pure: kind == "pure" }))
}

fn faults_of_manifest(name: &str, row: &Row, manifest: &str, table: &BTreeMap<String, Row>) -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().with_context(|| format!("crates/{name}/Cargo.toml"))?;
    let uses = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    Ok(uses.keys().filter_map(|used| fault_of_use(name, row, used, table)).collect())
}

fn fault_of_use(name: &str, row: &Row, used: &str, table: &BTreeMap<String, Row>) -> Option<String> {
    if row.pure && WORLDLY_CRATES.contains(&used) {
        return Some(format!("{name} is pure and must not use {used}"));
    }
    // The program's package bears the project's name, its folder is called cli.
    let used = if used == "verbund" { "cli" } else { used };
    let (layer, used_layer) = (row.layer?, table.get(used)?.layer);
    match used_layer {
        Some(below) if below < layer => None,
        Some(level) => Some(format!("{name} (layer {layer}) must not use {used} (layer {level})")),
        None => Some(format!("{name} must not use {used}, which is for tests")),
    }
}

fn faults_of_source(path: &Path) -> Vec<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem == "tests" || path.components().any(|part| part.as_os_str() == "tests") {
        return Vec::new();
    }
    let text = text_of(path);
    let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let hits = product_lines(&text).filter_map(|(number, line)| Some((number, WORLDLY_WORDS.iter().find(|word| line.contains(**word))?)));
    hits.map(|(number, word)| format!("{shown}:{number}: {word:?} in a pure crate")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| layer | crate | what | kind |\n|---|---|---|---|\n| 1 | `sip` | a | pure |\n| 2 | `trust` | b | pure |\n\
                         | 3 | `net` | c | the world |\n| test | `sim` | d | test |";

    fn check(name: &str, dependency: &str) -> Vec<String> {
        let table = table(TABLE);
        let manifest = format!("[dependencies]\n{dependency}.workspace = true\n[dev-dependencies]\nsim.workspace = true\n");
        faults_of_manifest(name, &table[name], &manifest, &table).expect("a manifest")
    }

    #[test]
    fn a_crate_may_use_what_is_below_it_and_any_library() {
        assert_eq!(check("trust", "sip"), [""; 0]);
        assert_eq!(check("trust", "serde"), [""; 0]);
        assert_eq!(check("net", "tokio"), [""; 0]);
        assert_eq!(check("sim", "net"), [""; 0]);
    }

    #[test]
    fn a_crate_may_not_use_its_own_layer_or_above_or_a_test_crate() {
        assert_eq!(check("sip", "trust").len(), 1);
        assert_eq!(check("trust", "trust").len(), 1);
        assert_eq!(check("net", "sim").len(), 1);
    }

    #[test]
    fn a_pure_crate_does_not_reach_for_the_world() {
        assert_eq!(check("sip", "tokio").len(), 1);
    }
}
