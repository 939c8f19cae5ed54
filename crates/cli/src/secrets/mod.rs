//! Passphrases of private keys and PINs of tokens: from a file, from standard input, or from a terminal that shows
//! nothing; and the keys of CAs that they open.
//!
//! A service finds the one for the CA's keys in the file that `VERBUND_CA_PASSPHRASE_FILE` names, or as systemd's
//! credential `verbund-ca-passphrase`.

use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use hsm::{KeyUri, TokenKey};
use pki::{CaSigner, Key, Passphrase};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::files;

/// Names the file with the passphrase of the CA's keys, or the PIN of their token.
pub(crate) const CA_PASSPHRASE_FILE: &str = "VERBUND_CA_PASSPHRASE_FILE";
/// The same as a credential of systemd (`LoadCredential=`).
const CA_PASSPHRASE_CREDENTIAL: &str = "verbund-ca-passphrase";
/// What a key that lies in a token begins with in its file.
const TOKEN_URI: &str = "pkcs11:";

/// A passphrase from this file, from standard input (`-`), or asked for on the terminal.
///
/// # Errors
/// None can be had.
pub(crate) fn passphrase(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    let text = match file {
        Some(path) if path == Path::new("-") => from_input(&mut io::stdin().lock())?,
        Some(path) => files::read_private(path)?,
        None => ask("Passphrase: ")?,
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
    let first = ask("New passphrase: ")?;
    ensure!(first == ask("The same again: ")?, "the two passphrases differ: start again");
    Passphrase::new(first).context("the passphrase is empty or endless: choose another")
}

fn from_input(input: &mut impl io::Read) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(Passphrase::BYTES_MAX + 2));
    input.take(Passphrase::BYTES_MAX as u64 + 2).read_to_string(&mut text).context("cannot read the passphrase")?;
    Ok(text)
}

/// One line from the terminal, which does not show it.
fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let input = io::stdin();
    ensure!(
        input.is_terminal(),
        "there is no terminal to ask for the passphrase on: give it with --passphrase-file FILE, or - for standard input"
    );
    write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush())?;
    let shown = tcgetattr(&input)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &hidden)?;
    let mut line = Zeroizing::new(String::with_capacity(Passphrase::BYTES_MAX + 2));
    let read = input.lock().take(Passphrase::BYTES_MAX as u64 + 2).read_line(&mut line);
    tcsetattr(&input, OptionalActions::Flush, &shown)?;
    writeln!(io::stderr())?;
    read.context("cannot read the passphrase")?;
    Ok(line)
}

/// Where the passphrase of the CA's keys is configured to be, if it is.
fn ca_passphrase_file() -> Option<PathBuf> {
    let credential = || Some(PathBuf::from(env::var_os("CREDENTIALS_DIRECTORY")?).join(CA_PASSPHRASE_CREDENTIAL));
    env::var_os(CA_PASSPHRASE_FILE).map(PathBuf::from).or_else(|| credential().filter(|path| path.exists()))
}

fn ca_passphrase() -> anyhow::Result<Option<Passphrase>> {
    ca_passphrase_file().map(|path| passphrase(Some(&path))).transpose()
}

/// The PIN of the token that holds the CA's keys.
///
/// # Errors
/// None is configured, or its file is unreadable or open to others.
pub(crate) fn token_pin() -> anyhow::Result<Zeroizing<String>> {
    let path =
        ca_passphrase_file().with_context(|| format!("a token needs a PIN: put it into a file, and its name into {CA_PASSPHRASE_FILE}"))?;
    let text = files::read_private(&path)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A CA's key as its file shall have it: encrypted, if a passphrase is configured.
///
/// # Errors
/// The passphrase is unreadable or too short.
pub(crate) fn ca_key_pem(key: &Key) -> anyhow::Result<Zeroizing<String>> {
    let text = match ca_passphrase()? {
        Some(passphrase) => key.to_encrypted_pem(&passphrase)?,
        None => key.to_pem()?,
    };
    Ok(Zeroizing::new(text.expose().to_owned()))
}

/// A CA's key of which its file says what or where it is: PEM, encrypted PEM, or the address of a key in a token.
///
/// # Errors
/// The file is missing or open to others, the passphrase or PIN is missing or wrong, or the token is not there.
pub(crate) fn read_ca_key(path: &Path) -> anyhow::Result<CaSigner> {
    let text = files::read_private(path)?;
    if !text.starts_with(TOKEN_URI) {
        let passphrase = || {
            ca_passphrase()?
                .with_context(|| format!("it is encrypted: put its passphrase into a file, and that file's name into {CA_PASSPHRASE_FILE}"))
        };
        return Ok(key_of(path, &text, passphrase)?.into());
    }
    let uri: KeyUri = text.trim_end().parse().with_context(|| path.display().to_string())?;
    let key = TokenKey::open(&uri, token_pin()?).with_context(|| path.display().to_string())?;
    Ok(CaSigner::new(Arc::new(key)))
}

/// A private key in a file, opened with the passphrase that is asked for if one is needed.
///
/// # Errors
/// The file is missing or open to others, or the passphrase is missing or wrong.
pub(crate) fn read_key(path: &Path, passphrase: impl FnOnce() -> anyhow::Result<Passphrase>) -> anyhow::Result<Key> {
    key_of(path, &files::read_private(path)?, passphrase)
}

fn key_of(path: &Path, text: &str, passphrase: impl FnOnce() -> anyhow::Result<Passphrase>) -> anyhow::Result<Key> {
    let mut why = None;
    let key = Key::from_pem_with(text, || passphrase().map_err(|error| why = Some(error)).ok());
    let shown = || path.display().to_string();
    match (key, why) {
        (_, Some(why)) => Err(why.context(shown())),
        (key, None) => key.with_context(shown),
    }
}
