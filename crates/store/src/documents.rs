//! What the authority publishes: topologies, trust bundles, revocation lists. None of them is looked into; that each
//! goes forward only (row N29) is seen to here, at the source.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use crate::Result;

/// Counts the changes of the whole store: each change gets the next number, without a gap.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// The version of a topology, as its document states it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topology as it was published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// Its version.
    pub version: Version,
    /// The document, as the administrator wrote it.
    pub document: String,
    /// The same, signed (JWS); `None` for those from before there were signatures.
    pub signed: Option<String>,
    /// When it was published.
    pub published_at: SystemTime,
}

/// The topology as it was published, version by version.
pub trait TopologyStore: Send + Sync {
    /// Publishes `document` as `version` when `expect` is the current version (`None`: there is none yet);
    /// [`Error::Conflict`](crate::Error::Conflict) otherwise, and when `version` is not above the current one (row N29: never
    /// backwards).
    fn publish(
        &self,
        document: &str,
        signed: Option<&str>,
        version: Version,
        expect: Option<Version>,
        now: SystemTime,
    ) -> impl Future<Output = Result<Revision>> + Send;

    /// Puts a new signature to the version in force: its first one, or one that lasts longer.
    /// [`Error::Conflict`](crate::Error::Conflict) when it is not the version in force.
    fn sign_again(&self, signed: &str, version: Version, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// The topology in force.
    fn current(&self) -> impl Future<Output = Result<Option<Published>>> + Send;

    /// The topology of this version.
    fn at(&self, version: Version) -> impl Future<Output = Result<Option<Published>>> + Send;

    /// The topologies, the newest first; at most `limit`.
    fn history(&self, limit: usize) -> impl Future<Output = Result<Vec<Published>>> + Send;
}

/// A trust bundle as it was published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// Its sequence number.
    pub sequence: u64,
    /// The signed document (JWS).
    pub signed: String,
    /// When it was published.
    pub published_at: SystemTime,
}

/// The newest trust bundle.
pub trait Bundles: Send + Sync {
    /// Replaces the bundle; [`Error::NotNewer`](crate::Error::NotNewer) when the number is not above that of the one held.
    fn publish_bundle(&self, signed: &str, sequence: u64, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// The bundle in force.
    fn bundle(&self) -> impl Future<Output = Result<Option<Bundle>>> + Send;
}

/// A revocation list as its CA signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationList {
    /// SHA-256 of the issuing certificate, in hexadecimal.
    pub issuer: String,
    /// Its number (RFC 5280 §5.2.3).
    pub number: u64,
    /// The list in DER.
    pub der: Vec<u8>,
    /// When it was signed.
    pub this_update: SystemTime,
    /// When the next one is due.
    pub next_update: SystemTime,
}

/// The newest revocation list of each issuer.
pub trait RevocationListStore: Send + Sync {
    /// Replaces the list of its issuer; [`Error::NotNewer`](crate::Error::NotNewer) when the number is not above that of the
    /// one held.
    fn publish_list(&self, list: &RevocationList, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// The list of this issuer (SHA-256 of its certificate in hexadecimal).
    fn list(&self, issuer: &str) -> impl Future<Output = Result<Option<RevocationList>>> + Send;

    /// All lists, by issuer.
    fn lists(&self) -> impl Future<Output = Result<Vec<RevocationList>>> + Send;
}
