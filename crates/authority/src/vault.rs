//! Where the keys of the CA's next generation are made and lie. How, is for the program to know that the authority runs in.

use pki::{CaSigner, Fingerprint, Key};

/// Why a key or a file of the CA could not be made, read or put away: the fact, then the cure.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct VaultFault(pub String);

/// The keys of a generation that is to come.
#[derive(Clone, Debug)]
pub struct NextKeys {
    /// Of the root, where it is made here and replaced too.
    pub root: Option<CaSigner>,
    /// Of the issuing CA for servers.
    pub servers: CaSigner,
    /// Of the issuing CA for users.
    pub users: CaSigner,
}

/// A public file of a generation that is to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextFile {
    /// The new root's certificate.
    Root,
    /// The new root's first revocation list, where its key is not here.
    RootList,
    /// The old root's word for the new one.
    Link,
    /// The certificate of the issuing CA for servers.
    Servers,
    /// The certificate of the issuing CA for users.
    Users,
}

/// The place of the CA's files. Whatever it says `Ok` to lasts.
pub trait Vault: Send + Sync + 'static {
    /// Makes the keys of the next generation, in place of what lay there for one.
    ///
    /// # Errors
    /// They cannot be made or kept.
    fn make_keys(&self, with_root: bool) -> Result<NextKeys, VaultFault>;

    /// The keys that were made, if any were.
    ///
    /// # Errors
    /// They cannot be read.
    fn keys(&self) -> Result<Option<NextKeys>, VaultFault>;

    /// Keeps a file of the next generation.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep(&self, file: NextFile, content: &[u8]) -> Result<(), VaultFault>;

    /// Removes everything of the next generation.
    ///
    /// # Errors
    /// It cannot be removed.
    fn discard(&self) -> Result<(), VaultFault>;

    /// Keeps who signs documents: for the next generation, or for the one in place.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep_signer(&self, is_next: bool, chain: &str, key: &Key) -> Result<(), VaultFault>;

    /// Puts the next generation into its place; the files of the one before, `old`, are put aside. Begun again it goes on, and
    /// done again it does nothing.
    ///
    /// # Errors
    /// A file cannot be read or written.
    fn settle(&self, old: Fingerprint) -> Result<(), VaultFault>;

    /// Removes the files, keys among them, of a generation that was put aside.
    ///
    /// # Errors
    /// They cannot be removed.
    fn forget(&self, old: Fingerprint) -> Result<(), VaultFault>;
}
