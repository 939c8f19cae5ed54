//! What a backup says of itself, and which files may be in one.

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::{files::Readers, organisation::Layout};

/// The edition of the archive that this program writes and reads.
const FORMAT: u32 = 1;
/// The name of the list in the archive.
pub(super) const NAME: &str = "backup.json";
/// The longest list that is read.
pub(super) const BYTES_MAX: u64 = 1 << 20;
/// The most files of one backup.
const FILES_MAX: usize = 256;
/// The largest file that is no state file.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files beside the folders.
const ALONE: [&str; 5] = [Layout::MANIFEST, Layout::TOPOLOGY, Layout::CA, Layout::CA_PASSPHRASE, Layout::STATE];
/// How many parts the name of a file has at most.
pub(super) const DEPTH_MAX: usize = 3;
/// Folders whose files are taken.
pub(super) const FOLDERS: [&str; 2] = ["ca", "server"];

/// What is in a backup.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    format: u32,
    /// RFC 3339.
    pub(super) made_at: String,
    /// The same in seconds since 1970.
    pub(super) made_at_seconds: u64,
    made_by: String,
    pub(super) domain: String,
    pub(super) server_name: String,
    /// The version of the topology in force.
    pub(super) topology: u64,
    /// The end of the audit log, `NUMBER:HASH`.
    pub(super) audit: Option<String>,
    /// In the order of the archive.
    pub(super) files: Vec<Entry>,
}

/// One of its files.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// What a list is made of, besides its files.
pub(super) struct About {
    pub(super) made_at: String,
    pub(super) made_at_seconds: u64,
    pub(super) domain: String,
    pub(super) server_name: String,
    pub(super) topology: u64,
    pub(super) audit: Option<String>,
}

impl Contents {
    pub(super) fn new(about: About, files: Vec<Entry>) -> Self {
        let About { made_at, made_at_seconds, domain, server_name, topology, audit } = about;
        let made_by = format!("verbund {}", env!("CARGO_PKG_VERSION"));
        Self { format: FORMAT, made_at, made_at_seconds, made_by, domain, server_name, topology, audit, files }
    }

    /// Reads a list; what it names is checked to be of a data directory, so that no name leads out of one.
    ///
    /// # Errors
    /// It is of another edition, or names something else.
    pub(super) fn parse(json: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Edition {
            format: u32,
        }
        let Edition { format } = serde_json::from_slice(json).context("it is no backup of verbund")?;
        ensure!(format == FORMAT, "it is of format {format}, and this verbund knows {FORMAT}: use the version that made it");
        let contents: Self = serde_json::from_slice(json).context("its list of files cannot be read")?;
        ensure!(contents.files.len() <= FILES_MAX, "it lists more than {FILES_MAX} files");
        for (at, entry) in contents.files.iter().enumerate() {
            ensure!(is_ours(&entry.name), "it lists {:?}, which is no file of a data directory", entry.name);
            ensure!(!contents.files[..at].iter().any(|other| other.name == entry.name), "it lists {} twice", entry.name);
            ensure!(entry.name == Layout::STATE || entry.bytes <= FILE_BYTES_MAX, "{} in it is too large", entry.name);
        }
        let missing = Layout::REQUIRED.iter().find(|name| !contents.files.iter().any(|entry| entry.name == **name));
        ensure!(missing.is_none(), "it lists no {}", missing.unwrap_or(&""));
        Ok(contents)
    }
}

/// Whether this is the name of a file that a backup may hold.
pub(super) fn is_ours(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    match *parts {
        [alone] => ALONE.contains(&alone),
        // CAs that replace one another have folders of their own.
        [folder, ref inner @ ..] => FOLDERS.contains(&folder) && inner.len() < DEPTH_MAX && inner.iter().all(|part| is_plain(part)),
        [] => false,
    }
}

fn is_plain(part: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_fine)
}

/// Files beside the folders, without the state file, which is copied in its own way.
pub(super) fn alone() -> impl Iterator<Item = &'static str> {
    ALONE.into_iter().filter(|name| *name != Layout::STATE)
}

/// Who may read it: certificates and lists are public.
pub(super) fn readers(name: &str) -> Readers {
    let is_public = [".pem", ".crl", ".cer"].iter().any(|end| name.ends_with(end)) && name != Layout::SERVER_KEY;
    if is_public { Readers::Everyone } else { Readers::Owner }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let entry = |name: &str| Entry { name: name.to_owned(), bytes: 1, sha256: String::new() };
        let about = About {
            made_at: String::new(),
            made_at_seconds: 0,
            domain: "a.test".into(),
            server_name: "sip.a.test".into(),
            topology: 1,
            audit: None,
        };
        Contents::new(about, Layout::REQUIRED.iter().map(|name| entry(name)).collect())
    }

    #[track_caller]
    fn refused(change: impl Fn(&mut Contents), said: &str) {
        let mut changed = contents();
        change(&mut changed);
        let error = format!("{:#}", Contents::parse(&serde_json::to_vec(&changed).unwrap()).unwrap_err());
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Contents::parse(&serde_json::to_vec(&contents()).unwrap()).unwrap().files, contents().files);
        refused(|contents| contents.format = 2, "format 2, and this verbund knows 1");
        refused(|contents| contents.files.truncate(3), "it lists no ");
        refused(|contents| contents.files.push(contents.files[0].clone()), "twice");
        refused(|contents| contents.files[0].bytes = FILE_BYTES_MAX + 1, "too large");
        assert!(Contents::parse(b"{}").is_err() && Contents::parse(b"").is_err());
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for good in ["ca/root.pem", "ca/next/root.key", "server/key.pem", "topology.toml", "state.sqlite", "ca-passphrase"] {
            assert!(is_ours(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "ca/../x",
            "ca/./x",
            "ca//x",
            "./topology.toml",
            "ca",
            "ca/a/b/c",
            "ca/a/../b",
            "ca/../../b",
            "ca/.x",
            "other/x",
            "other",
            "admin.sock",
            "ca/x y",
            "ca/x\0",
            "ca/x/",
        ] {
            assert!(!is_ours(bad), "{bad:?}");
            refused(|contents| contents.files.push(Entry { name: bad.into(), bytes: 0, sha256: String::new() }), "no file of a data");
        }
    }
}
