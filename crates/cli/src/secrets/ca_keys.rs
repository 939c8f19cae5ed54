//! The private keys of the CAs, and of who signs documents, in their files: encrypted, always, unless they lie in a token.
//!
//! The passphrase is the one that an administrator configured: in the file that `VERBUND_CA_PASSPHRASE_FILE` names, or as
//! systemd's credential `verbund-ca-passphrase`. Without one, the first key that is written makes a random one in a file
//! beside the folder of the keys. Of these exactly one counts: one that does not fit is told, and no other is tried.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, ensure};
use hsm::KeyUri;
use pki::{CaSigner, Key, KeyFault, Passphrase};
use zeroize::Zeroizing;

use super::{key_of, passphrase};
use crate::{
    ca::PREPARED,
    files::{self, Readers},
    organisation::Layout,
};

/// Names the file with the passphrase of the CA's keys.
pub(crate) const CA_PASSPHRASE_FILE: &str = "VERBUND_CA_PASSPHRASE_FILE";
/// The same as a credential of systemd (`LoadCredential=`).
const CA_PASSPHRASE_CREDENTIAL: &str = "verbund-ca-passphrase";
/// The folder of the keys in a data directory.
const KEYS: &str = "ca";
/// How deep keys lie in their folder.
const DEPTH_MAX: usize = 2;
/// What a key that lies in a token begins with in its file.
const TOKEN_URI: &str = "pkcs11:";

/// Where the passphrase of a key is.
enum Place {
    /// The file that the environment names.
    Configured(PathBuf),
    /// The credential.
    Credential(Zeroizing<String>),
    /// The file with the one that was made, which may be missing.
    Made(PathBuf),
}

impl Place {
    /// Where that of this key has to be. What is configured goes first.
    fn of(key: &Path) -> anyhow::Result<Self> {
        if let Some(path) = env::var_os(CA_PASSPHRASE_FILE) {
            return Ok(Self::Configured(path.into()));
        }
        Ok(match files::read_credential(CA_PASSPHRASE_CREDENTIAL)? {
            Some(text) => Self::Credential(text),
            None => Self::Made(beside_the_keys(key).join(Layout::CA_PASSPHRASE)),
        })
    }

    fn read(&self) -> anyhow::Result<Passphrase> {
        match self {
            Self::Configured(path) => passphrase(Some(path)),
            Self::Credential(text) => {
                Passphrase::new(text.clone()).with_context(|| format!("the credential {CA_PASSPHRASE_CREDENTIAL} is empty or endless"))
            }
            Self::Made(path) if path.exists() => passphrase(Some(path)),
            Self::Made(path) => Err(anyhow!(
                "it is encrypted, and there is no passphrase: put {} back from a backup, or the name of the file that holds it into \
                 {CA_PASSPHRASE_FILE}",
                path.display()
            )),
        }
    }

    /// The passphrase for a key that is to be written; made if there is none.
    fn read_or_make(&self) -> anyhow::Result<Passphrase> {
        if let Self::Made(path) = self
            && !path.exists()
        {
            let made = Passphrase::generate()?;
            let line = Zeroizing::new(format!("{}\n", made.expose()));
            files::write(path, line.as_bytes(), Readers::Owner)?;
        }
        self.read()
    }

    /// For people.
    fn named(&self) -> String {
        match self {
            Self::Configured(path) => format!("{}, which {CA_PASSPHRASE_FILE} names,", path.display()),
            Self::Credential(_) => format!("the credential {CA_PASSPHRASE_CREDENTIAL}"),
            Self::Made(path) => path.display().to_string(),
        }
    }
}

/// Where the folder of the keys lies: what opens them is not in it, so that a copy of that folder alone opens nothing. CAs that
/// replace one another have folders inside it.
fn beside_the_keys(key: &Path) -> &Path {
    let is_keys = |folder: &&Path| folder.file_name().is_some_and(|name| name == KEYS || name == PREPARED);
    let folder = key.ancestors().skip(1).find(is_keys).or(key.parent());
    folder.and_then(Path::parent).unwrap_or(Path::new("."))
}

/// Writes a key, encrypted, into its file.
///
/// # Errors
/// The passphrase is unreadable or too short, or the file cannot be written.
pub(crate) fn write_ca_key(path: &Path, key: &Key) -> anyhow::Result<()> {
    let pem = key.to_encrypted_pem(&Place::of(path)?.read_or_make()?)?;
    files::write(path, pem.expose(), Readers::Owner)
}

/// A CA's key of which its file says what or where it is: encrypted PEM, or the address of a key in a token.
///
/// # Errors
/// The file is missing or open to others, the passphrase or PIN is missing or wrong, or the token is not there.
pub(crate) fn read_ca_key(path: &Path) -> anyhow::Result<CaSigner> {
    let text = files::read_private(path)?;
    if !text.starts_with(TOKEN_URI) {
        return Ok(open(path, &text)?.into());
    }
    let shown = || path.display().to_string();
    let uri: KeyUri = text.trim_end().parse().with_context(shown)?;
    super::open_token_key(&uri).with_context(shown)
}

/// The key of who signs documents. It is in use at every start, so it lies in a file.
///
/// # Errors
/// The file is missing or open to others, or the passphrase is missing or wrong.
pub(crate) fn read_document_key(path: &Path) -> anyhow::Result<Key> {
    open(path, &files::read_private(path)?)
}

fn open(path: &Path, text: &str) -> anyhow::Result<Key> {
    // Nothing is looked for where no passphrase is needed.
    let place = if Key::is_encrypted(text) { Some(Place::of(path)?) } else { None };
    let read = || place.as_ref().context("no passphrase is needed")?.read();
    key_of(path, text, read).map_err(|error| match (error.downcast_ref::<KeyFault>(), &place) {
        (Some(KeyFault::Passphrase), Some(place)) => anyhow!(
            "{}: the passphrase in {} does not open it: put the right one there; to change to another: verbund ca passphrase",
            path.display(),
            place.named()
        ),
        _ => error,
    })
}

/// Encrypts the keys that lie open, as organisations made by earlier versions have them. Each is replaced as a whole, so an
/// interruption leaves some for the next start.
///
/// # Errors
/// A key or the passphrase cannot be read, or nothing can be written.
pub(crate) fn encrypt_plain_keys(folder: &Path) -> anyhow::Result<()> {
    let keys = KeyFile::all(folder)?;
    let plain: Vec<&KeyFile> = keys.iter().filter(|key| key.is_plain()).collect();
    let Some(first) = plain.first() else { return Ok(()) };
    let place = Place::of(&first.path)?;
    // Were a new one made here, the lost one would be forgotten.
    let passphrase = if keys.iter().any(KeyFile::is_encrypted) { place.read() } else { place.read_or_make() }?;
    for key in &plain {
        key.write(&Key::from_pem(&key.text).with_context(|| key.path.display().to_string())?, &passphrase)?;
    }
    tracing::info!(keys = plain.len(), passphrase = place.named(), "the private keys of the CAs lie encrypted now");
    Ok(())
}

/// Encrypts all keys of this folder with another passphrase. What an interruption left half done is finished by doing it
/// again: keys that open with the new one are left alone. Gives the file of the passphrase that was made and that opens
/// nothing any more, if there is one.
///
/// # Errors
/// A key opens with neither, or nothing can be written.
pub(crate) fn change_passphrase(folder: &Path, new: &Passphrase) -> anyhow::Result<Option<PathBuf>> {
    ensure!(new.is_strong(), KeyFault::WeakPassphrase);
    let mut opened = Vec::new();
    let keys = KeyFile::all(folder)?;
    for file in keys.iter().filter(|file| file.is_plain() || file.is_encrypted()) {
        let again = || Passphrase::new(Zeroizing::new(new.expose().to_owned()));
        if file.is_encrypted() && Key::from_pem_with(&file.text, again).is_ok() {
            continue;
        }
        opened.push((file, open(&file.path, &file.text)?));
    }
    for (file, key) in &opened {
        file.write(key, new)?;
    }
    let made = folder.parent().unwrap_or(Path::new(".")).join(Layout::CA_PASSPHRASE);
    Ok(made.exists().then_some(made))
}

/// The files of all keys below a folder, so many folders deep.
fn find(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let (path, is_dir) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))?;
        if is_dir && depth > 1 {
            find(&path, depth - 1, paths)?;
        } else if !is_dir && path.extension().is_some_and(|extension| extension == "key") {
            paths.push(path);
        }
    }
    Ok(())
}

/// The file of a key.
struct KeyFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl KeyFile {
    fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let mut paths = Vec::new();
        find(folder, DEPTH_MAX, &mut paths)?;
        paths.sort();
        paths.into_iter().map(|path| Ok(Self { text: files::read_private(&path)?, path })).collect()
    }

    fn is_encrypted(&self) -> bool {
        Key::is_encrypted(&self.text)
    }

    fn is_plain(&self) -> bool {
        !self.is_encrypted() && !self.text.starts_with(TOKEN_URI)
    }

    fn write(&self, key: &Key, passphrase: &Passphrase) -> anyhow::Result<()> {
        files::write(&self.path, key.to_encrypted_pem(passphrase)?.expose(), Readers::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, wanted: &str) {
        assert_eq!(beside_the_keys(Path::new(key)), Path::new(wanted));
    }

    #[test]
    fn what_opens_the_keys_is_never_in_their_folder() {
        check("/data/ca/root.key", "/data");
        check("/data/ca/next/root.key", "/data");
        check("/data/.making/ca/root.key", "/data/.making");
        check("/data/prepared/servers.key", "/data");
        check("/srv/ca/data/ca/root.key", "/srv/ca/data");
        check("/safe/root.key", "/");
    }
}
