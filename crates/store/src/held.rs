//! The verified documents that a member holds, so that it starts again without the authority.
//!
//! They were verified before they came here and are verified again when they are read: a disk proves nothing.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::Result;

/// What a held document is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HeldKind {
    /// A signed topology.
    Topology,
    /// A signed trust bundle.
    Bundle,
    /// A revocation list; the key is its issuer.
    RevocationList,
    /// A part of the users and where they are at home, with credentials: a secret.
    Directory,
}

impl HeldKind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Topology, Self::Bundle, Self::RevocationList, Self::Directory];

    /// Whether its number never goes back.
    pub(crate) fn goes_forward(self) -> bool {
        match self {
            Self::Topology | Self::Bundle | Self::RevocationList => true,
            Self::Directory => false,
        }
    }

    /// The word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topology => "topology",
            Self::Bundle => "bundle",
            Self::RevocationList => "crl",
            Self::Directory => "directory",
        }
    }
}

impl fmt::Display for HeldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A document that is held.
#[derive(Clone, Eq, PartialEq)]
pub struct HeldDocument {
    /// What tells it from others of its kind; empty where there is one only.
    pub key: String,
    /// Its version, sequence or number.
    pub number: u64,
    /// The document as it came. Wiped when dropped, as a directory is a secret.
    pub content: Zeroizing<Vec<u8>>,
    /// When it was put here.
    pub held_at: SystemTime,
}

impl fmt::Debug for HeldDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, number, content, held_at } = self;
        write!(f, "HeldDocument({key:?}, number {number}, {} bytes, {held_at:?})", content.len())
    }
}

/// The newest document of each kind and key.
pub trait Held: Send + Sync {
    /// Holds documents in place of those before, all of them or none; of the kinds in `only`, whatever is not among them goes, so that
    /// what belongs together never lies here in half. [`Error::NotNewer`](crate::Error::NotNewer) when the number of one is below that
    /// of the one held (row N29); the same number may come again: it was signed anew. A directory's number may go back: it bears no
    /// signature, and when the authority was restored it counts who is there, not how they are counted.
    fn hold_together(&self, documents: Vec<(HeldKind, HeldDocument)>, only: &[HeldKind]) -> impl Future<Output = Result<()>> + Send;

    /// Holds one document.
    fn hold(&self, kind: HeldKind, key: &str, number: u64, content: &[u8], now: SystemTime) -> impl Future<Output = Result<()>> + Send {
        let document = HeldDocument { key: key.to_owned(), number, content: Zeroizing::new(content.to_vec()), held_at: now };
        self.hold_together(vec![(kind, document)], &[])
    }

    /// The document of this kind and key.
    fn held(&self, kind: HeldKind, key: &str) -> impl Future<Output = Result<Option<HeldDocument>>> + Send;

    /// All documents of this kind, by key.
    fn all_held(&self, kind: HeldKind) -> impl Future<Output = Result<Vec<HeldDocument>>> + Send;
}
