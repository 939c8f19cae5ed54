//! What lies where in a data directory: of an organisation's authority, or of a member.

use std::path::{Path, PathBuf};

use crate::accounts::Accounts;

/// A data directory's files. Whether they are there is not known here.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Says what this directory is. Written last: where it is, the rest is there too.
    pub(crate) const MANIFEST: &str = "organisation.toml";
    /// The same for a server that has joined.
    pub(crate) const MEMBER: &str = "member.toml";
    /// Shows the topology in force. Nothing is read from it: what counts is stored.
    pub(crate) const TOPOLOGY: &str = "topology.toml";
    pub(crate) const ROOT: &str = "ca/root.pem";
    /// May be taken away to a safe: without it everything works but the root's own revocation list and new issuing CAs.
    pub(crate) const ROOT_KEY: &str = "ca/root.key";
    /// The root's newest revocation list, where the root's key is not.
    pub(crate) const ROOT_LIST: &str = "ca/root.crl";
    pub(crate) const ISSUING: &str = "ca/issuing.pem";
    pub(crate) const ISSUING_KEY: &str = "ca/issuing.key";
    /// The issuing CA of users' certificates.
    pub(crate) const USERS: &str = "ca/users.pem";
    pub(crate) const USERS_KEY: &str = "ca/users.key";
    /// Who signs topology and trust bundle.
    pub(crate) const DOCUMENTS: &str = "ca/documents.pem";
    pub(crate) const DOCUMENTS_KEY: &str = "ca/documents.key";
    /// The generation of the CA that is to come, while it replaces the one in `ca/`.
    pub(crate) const NEXT: &str = "ca/next";
    /// How the folders of generations of before begin, one each, as long as their revocation lists are wanted.
    pub(crate) const BEFORE: &str = "ca/before-";
    /// The old root's word for the new one; in `ca/next` only.
    pub(crate) const LINK: &str = "ca/link.pem";
    /// The passphrase that was made for the keys in `ca`, unless another is configured: not in that folder.
    pub(crate) const CA_PASSPHRASE: &str = "ca-passphrase";
    pub(crate) const SERVER_CHAIN: &str = "server/chain.pem";
    pub(crate) const SERVER_KEY: &str = "server/key.pem";
    /// Key and chain of the next certificate in one file, while they take the place of the two above.
    pub(crate) const SERVER_NEXT: &str = "server/next.pem";
    /// A member's ACME account: what it renews its certificate with.
    pub(crate) const ACCOUNT: &str = "server/account.json";
    /// The root once more, for phones.
    pub(crate) const CA: &str = "ca.pem";
    pub(crate) const STATE: &str = "state.sqlite";
    /// There while an authority that was put back from a backup waits for what its members hold.
    pub(crate) const RESTORED: &str = "restored.json";

    /// Without each of these there is no organisation.
    pub(crate) const REQUIRED: [&str; 8] =
        [Self::MANIFEST, Self::ROOT, Self::ISSUING, Self::ISSUING_KEY, Self::SERVER_CHAIN, Self::SERVER_KEY, Self::CA, Self::STATE];
    /// Without each of these there is no member.
    pub(crate) const REQUIRED_OF_MEMBER: [&str; 6] =
        [Self::MEMBER, Self::SERVER_CHAIN, Self::SERVER_KEY, Self::ACCOUNT, Self::CA, Self::STATE];
    /// These must be their owner's alone.
    pub(crate) const SECRETS: [&str; 8] = [
        Self::ROOT_KEY,
        Self::ISSUING_KEY,
        Self::USERS_KEY,
        Self::DOCUMENTS_KEY,
        Self::CA_PASSPHRASE,
        Self::SERVER_KEY,
        Self::SERVER_NEXT,
        Self::ACCOUNT,
    ];

    pub(crate) fn of(data: &Path) -> Self {
        Self(data.to_owned())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.0
    }

    /// One of the files above.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same file of the CA as it lies in another folder than `ca/`.
    pub(crate) fn file_in(&self, folder: &str, name: &str) -> PathBuf {
        self.0.join(folder).join(name.trim_start_matches("ca/"))
    }

    /// Those of generations of before.
    ///
    /// # Errors
    /// The folder of the CA cannot be read.
    pub(crate) fn folders_of_before(&self) -> std::io::Result<Vec<PathBuf>> {
        let listed = std::fs::read_dir(self.file("ca"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
        let is_one =
            |path: &PathBuf| path.file_name().is_some_and(|name| format!("ca/{}", name.to_string_lossy()).starts_with(Self::BEFORE));
        let mut folders: Vec<PathBuf> = listed.into_iter().filter(is_one).collect();
        folders.sort();
        Ok(folders)
    }

    /// The root for phones.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file(Self::CA)
    }

    /// The phones' files.
    pub(crate) fn accounts(&self) -> Accounts {
        Accounts::at(self.file("accounts"))
    }
}
