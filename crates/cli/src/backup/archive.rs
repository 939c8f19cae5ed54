//! The file: written in one go, and read with every name, size and digest held against the list in it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    iter,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use age::{DecryptError, Decryptor, Encryptor, scrypt, secrecy::SecretString};
use anyhow::{Context as _, anyhow, ensure};
use aws_lc_rs::digest;
use pki::Passphrase;

use super::{
    contents::{BYTES_MAX, Contents, Entry, NAME},
    snapshot::Snapshot,
};
use crate::organisation::Layout;

/// scrypt for a passphrase that a person remembers: 2^17, 128 MiB of memory, as OWASP recommends it.
const WORK: u8 = 17;
/// The same for one of 256 random bits, which nobody guesses.
const WORK_RANDOM: u8 = 4;
/// The most work that a file may ask of us.
const WORK_MAX: u8 = 18;

/// SHA-256 in hexadecimal of all that passes.
pub(super) struct Hash(digest::Context);

impl Hash {
    fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn of(bytes: &[u8]) -> String {
        let mut hash = Self::new();
        hash.0.update(bytes);
        hash.finish()
    }
}

/// Counts and hashes what is read or written through it.
struct Watched<Io> {
    io: Io,
    hash: Hash,
    bytes: u64,
}

impl<Io> Watched<Io> {
    fn new(io: Io) -> Self {
        Self { io, hash: Hash::new(), bytes: 0 }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.0.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<Io: Read> Read for Watched<Io> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.io.read(buffer)?;
        self.note(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<Io: Write> Write for Watched<Io> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.io.write(buffer)?;
        self.note(buffer.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

/// Size and digest of a file.
pub(super) fn hash_of(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = Watched::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?);
    io::copy(&mut file, &mut io::sink()).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((file.bytes, file.hash.finish()))
}

/// Writes a new file (mode 0600) and syncs it; gives its SHA-256.
pub(super) fn write(path: &Path, snapshot: &Snapshot, passphrase: &Passphrase) -> anyhow::Result<String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    let mut recipient = scrypt::Recipient::new(secret(passphrase));
    recipient.set_work_factor(if passphrase.is_random() { WORK_RANDOM } else { WORK });
    let encryptor = Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))?;
    let sealed = encryptor.wrap_output(BufWriter::new(Watched::new(file)))?;
    let sealed = fill(sealed, snapshot).with_context(|| format!("cannot write {}", path.display()))?;
    let Watched { io: file, hash, .. } = sealed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(hash.finish())
}

fn fill<W: Write>(sealed: W, snapshot: &Snapshot) -> anyhow::Result<W> {
    let mut archive = tar::Builder::new(sealed);
    let list = serde_json::to_vec(&snapshot.contents)?;
    append(&mut archive, NAME, list.len() as u64, list.as_slice())?;
    for (entry, content) in snapshot.contents.files.iter().zip(&snapshot.files) {
        append(&mut archive, &entry.name, entry.bytes, content.as_slice())?;
    }
    let state = snapshot.contents.files.last().filter(|entry| entry.name == Layout::STATE).context("the state file is missing")?;
    append(&mut archive, &state.name, state.bytes, File::open(snapshot.state.path())?)?;
    Ok(archive.into_inner()?)
}

fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, content)
}

/// Reads a backup to its last octet. `take` gets each file in order, and may believe it only when all of this has succeeded.
///
/// # Errors
/// The passphrase is not the right one; or the file is damaged, cut off, changed, or none of ours.
pub(super) fn read(
    path: &Path,
    passphrase: &Passphrase,
    mut take: impl FnMut(&Entry, &mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<Contents> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let damaged = || format!("{} is damaged, or no backup of verbund: take another", path.display());
    let opened = Decryptor::new_buffered(BufReader::new(file)).and_then(|decryptor| {
        let mut identity = scrypt::Identity::new(secret(passphrase));
        identity.set_max_work_factor(WORK_MAX);
        decryptor.decrypt(iter::once(&identity as &dyn age::Identity))
    });
    let opened = opened.map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            anyhow!("the passphrase does not open {}: give the one that it was written with", path.display())
        }
        error => anyhow!(error.to_string()).context(damaged()),
    })?;
    let mut archive = tar::Archive::new(opened);
    let contents = read_entries(&mut archive, &mut take).with_context(damaged)?;
    // Only the last piece tells that nothing was cut off.
    io::copy(&mut archive.into_inner(), &mut io::sink()).with_context(damaged)?;
    Ok(contents)
}

fn read_entries<R: Read>(
    archive: &mut tar::Archive<R>,
    take: &mut impl FnMut(&Entry, &mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<Contents> {
    let mut entries = archive.entries()?;
    let mut next = |name: &str| -> anyhow::Result<tar::Entry<'_, R>> {
        let entry = entries.next().with_context(|| format!("{name} is missing in it"))??;
        ensure!(
            entry.header().entry_type().is_file() && entry.path_bytes().as_ref() == name.as_bytes(),
            "{name} is not where it should be"
        );
        Ok(entry)
    };
    let mut list = Vec::new();
    next(NAME)?.take(BYTES_MAX).read_to_end(&mut list)?;
    let contents = Contents::parse(&list)?;
    for wanted in &contents.files {
        let entry = next(&wanted.name)?;
        ensure!(entry.size() == wanted.bytes, "{} in it is not as long as it should be", wanted.name);
        let mut content = Watched::new(entry);
        take(wanted, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        ensure!((content.bytes, content.hash.finish()) == (wanted.bytes, wanted.sha256.clone()), "{} in it is damaged", wanted.name);
    }
    ensure!(entries.next().is_none(), "there is more in it than it lists");
    Ok(contents)
}

fn secret(passphrase: &Passphrase) -> SecretString {
    SecretString::from(passphrase.expose().to_owned())
}
