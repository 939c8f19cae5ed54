//! Passphrases of private keys, and other secrets of one line: from a file, from standard input, or from a terminal that shows nothing. What opens
//! the keys of the CAs, and how they lie in their files, is in [`ca_keys`].

mod ca_keys;
mod token;

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use pki::{Key, Passphrase};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

pub(crate) use ca_keys::{CA_PASSPHRASE_FILE, change_passphrase, encrypt_plain_keys, read_ca_key, read_document_key, write_ca_key};
pub(crate) use token::{make_token_key, open_token_key};

use crate::files;

/// The longest passphrase and the end of its line.
const PASSPHRASE_BYTES_MAX: usize = Passphrase::BYTES_MAX + 2;

/// A passphrase from this file, from standard input (`-`), or asked for on the terminal.
///
/// # Errors
/// None can be had.
pub(crate) fn passphrase(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    let text = match file {
        Some(path) if path == Path::new("-") => from_input(&mut io::stdin().lock(), PASSPHRASE_BYTES_MAX)?,
        Some(path) => files::read_private(path)?,
        None => ask_passphrase("Passphrase: ")?,
    };
    Passphrase::new(text).context("the passphrase is empty or endless: give the one that the key was encrypted with")
}

/// A passphrase that a key is to be encrypted with; on a terminal it is asked for twice.
///
/// # Errors
/// None can be had, or the two differ.
pub(crate) fn new_passphrase(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    if file.is_some() {
        return passphrase(file);
    }
    let first = ask_passphrase("New passphrase: ")?;
    ensure!(first == ask_passphrase("The same again: ")?, "the two passphrases differ: start again");
    Passphrase::new(first).context("the passphrase is empty or endless: choose another")
}

/// One line: from the terminal, which does not show it, or else from standard input.
///
/// # Errors
/// There is none, or none so short.
pub(crate) fn line(prompt: &str, bytes_max: usize) -> anyhow::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return ask(prompt, bytes_max);
    }
    let mut line = Zeroizing::new(String::with_capacity(bytes_max));
    io::stdin().lock().take(bytes_max as u64).read_line(&mut line).context("cannot read standard input")?;
    Ok(line)
}

fn from_input(input: &mut impl io::Read, bytes_max: usize) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(bytes_max));
    input.take(bytes_max as u64).read_to_string(&mut text).context("cannot read it from standard input")?;
    Ok(text)
}

fn ask_passphrase(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    ensure!(
        io::stdin().is_terminal(),
        "there is no terminal to ask for the passphrase on: give it with --passphrase-file FILE, or - for standard input"
    );
    ask(prompt, PASSPHRASE_BYTES_MAX)
}

/// One line from the terminal, which does not show it.
fn ask(prompt: &str, bytes_max: usize) -> anyhow::Result<Zeroizing<String>> {
    let input = io::stdin();
    write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush())?;
    let shown = tcgetattr(&input)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &hidden)?;
    let mut line = Zeroizing::new(String::with_capacity(bytes_max));
    let read = input.lock().take(bytes_max as u64).read_line(&mut line);
    tcsetattr(&input, OptionalActions::Flush, &shown)?;
    writeln!(io::stderr())?;
    read.context("cannot read from the terminal")?;
    Ok(line)
}

/// A private key in a file, opened with the passphrase that is asked for if one is needed.
///
/// # Errors
/// The file is missing or open to others, or the passphrase is missing or wrong.
pub(crate) fn read_key(path: &Path, passphrase: impl FnOnce() -> anyhow::Result<Passphrase>) -> anyhow::Result<Key> {
    key_of(path, &files::read_private(path)?, passphrase)
}

/// The same of a file that was read.
fn key_of(path: &Path, text: &str, passphrase: impl FnOnce() -> anyhow::Result<Passphrase>) -> anyhow::Result<Key> {
    let mut why = None;
    let key = Key::from_pem_with(text, || passphrase().map_err(|error| why = Some(error)).ok());
    let shown = || path.display().to_string();
    match (key, why) {
        (_, Some(why)) => Err(why.context(shown())),
        (key, None) => key.with_context(shown),
    }
}
