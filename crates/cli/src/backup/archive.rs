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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::backup::contents::About;

    /// The files of a small backup, and what its list says of them.
    fn files() -> Vec<(String, Vec<u8>)> {
        Layout::REQUIRED.iter().map(|name| ((*name).to_owned(), name.repeat(3).into_bytes())).collect()
    }

    fn list(files: &[(String, Vec<u8>)]) -> Contents {
        let entry =
            |(name, content): &(String, Vec<u8>)| Entry { name: name.clone(), bytes: content.len() as u64, sha256: Hash::of(content) };
        let about = About {
            made_at: String::new(),
            made_at_seconds: 0,
            domain: "a.test".into(),
            server_name: "sip.a.test".into(),
            topology: 1,
            audit: None,
        };
        Contents::new(about, files.iter().map(entry).collect())
    }

    fn passphrase() -> Passphrase {
        Passphrase::new("ab".repeat(32).into()).unwrap()
    }

    /// A file sealed by somebody who has the passphrase, and its reading.
    fn read_back(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> anyhow::Result<Vec<String>> {
        let mut archive = tar::Builder::new(Vec::new());
        fill(&mut archive);
        let mut recipient = scrypt::Recipient::new(secret(&passphrase()));
        recipient.set_work_factor(WORK_RANDOM);
        let sealed = age::encrypt(&recipient, &archive.into_inner().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), sealed).unwrap();
        let mut taken = Vec::new();
        read(file.path(), &passphrase(), |entry, content| {
            taken.push(entry.name.clone());
            io::copy(content, &mut io::sink())?;
            Ok(())
        })?;
        Ok(taken)
    }

    fn put(archive: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        append(archive, name, content.len() as u64, content).unwrap();
    }

    fn put_all(archive: &mut tar::Builder<Vec<u8>>, contents: &Contents, files: &[(String, Vec<u8>)]) {
        put(archive, NAME, &serde_json::to_vec(contents).unwrap());
        files.iter().for_each(|(name, content)| put(archive, name, content));
    }

    #[track_caller]
    fn refused(said: &str, fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) {
        let error = format!("{:#}", read_back(fill).unwrap_err());
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn what_is_as_listed_is_read() {
        let taken = read_back(|archive| put_all(archive, &list(&files()), &files())).unwrap();
        assert_eq!(taken, files().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_as_listed_is_refused() {
        let (good, contents) = (files(), list(&files()));
        let changed = |at: usize, content: &[u8]| {
            let mut files = files();
            files[at].1 = content.to_vec();
            files
        };
        refused("is damaged", |archive| put_all(archive, &contents, &changed(2, &b"x".repeat(good[2].1.len()))));
        refused("not as long", |archive| put_all(archive, &contents, &changed(2, b"x")));
        refused("not where it should be", |archive| put_all(archive, &contents, &good.iter().rev().cloned().collect::<Vec<_>>()));
        refused("is missing", |archive| put_all(archive, &contents, &good[..good.len() - 1]));
        refused("not where it should be", |archive| put_all(archive, &contents, &good[1..]));
        refused("more in it than it lists", |archive| {
            put_all(archive, &contents, &good);
            put(archive, "ca/more.pem", b"x");
        });
        refused("backup.json", |_| {});
        refused("not where it should be", |archive| put(archive, "ca.pem", b"x"));
    }

    #[test]
    fn nothing_but_files_is_taken() {
        let (good, contents) = (files(), list(&files()));
        refused("not where it should be", |archive| {
            put(archive, NAME, &serde_json::to_vec(&contents).unwrap());
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, &good[0].0, "/etc/passwd").unwrap();
        });
        let mut outside = good.clone();
        outside[0].0 = "../outside".into();
        let contents = list(&[&good[..], &outside[..1]].concat());
        refused("no file of a data directory", |archive| put(archive, NAME, &serde_json::to_vec(&contents).unwrap()));
    }

    /// Work is what the file asks for before anybody is known to have the passphrase.
    #[test]
    fn a_file_that_asks_for_too_much_work_is_refused() {
        let header = b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 30\nn5tb9ZWu8JI5MWB79ZdaN9oVYcGIk5sPvBOM2U4xHt0\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), header).unwrap();
        let began = std::time::Instant::now();
        assert!(read(file.path(), &passphrase(), |_, _| Ok(())).is_err());
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "2^30 rounds would take an hour");
    }
}
