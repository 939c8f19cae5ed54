//! Why a signed list was not taken.

use pki::DocumentFault;

use crate::Faults;

/// Why a signed list was not taken (row N29), or not signed. What was held before stays in force.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopologyRefusal {
    /// The signature, or whose it is.
    #[error(transparent)]
    Document(#[from] DocumentFault),
    /// Signed, but not what a list looks like.
    #[error("the signed topology cannot be read ({detail}); bring this server to the authority's version, or have it published again")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// Signed, but the list breaks our rules.
    #[error("the signed topology has faults for this server; bring it to the authority's version, or correct them and publish again:\n{0}")]
    Faulty(Faults),
    /// The number it travels under is not the one it bears.
    #[error("a topology travels as version {outside} and says version {inside} itself; have the authority publish it again")]
    OtherVersion {
        /// The number beside the list.
        outside: u64,
        /// The number in the list.
        inside: u64,
    },
    /// Its time is over.
    #[error(
        "topology version {version} counted until {valid_until} and the clock says {now}; fetch a newer one from the authority, or set the clock"
    )]
    Expired {
        /// Its version.
        version: u64,
        /// Its end.
        valid_until: String,
        /// Our time.
        now: String,
    },
    /// Made in our future.
    #[error("topology version {version} was published at {published_at} and the clock says {now}; set the clock on one of the two sides")]
    NotYetValid {
        /// Its version.
        version: u64,
        /// Its start.
        published_at: String,
        /// Our time.
        now: String,
    },
    /// Somebody plays back an old one.
    #[error(
        "topology version {offered} is older than version {held}, which is held; nothing is done, but whoever sent it is behind or plays back \
         old ones: publish a version above {held}"
    )]
    Older {
        /// What was offered.
        offered: u64,
        /// What is held.
        held: u64,
    },
    /// The held one, as it was signed before.
    #[error(
        "topology version {version} came with the end {offered}, and the one held counts until {held}; nothing is done, but whoever sent it is \
         behind or plays back old ones"
    )]
    ShorterLife {
        /// Its version.
        version: u64,
        /// The end offered.
        offered: String,
        /// The end held.
        held: String,
    },
    /// Two that say different things under one number.
    #[error(
        "two different topologies have version {version}; the authority was restored from an old backup, or there are two: publish a higher \
         version"
    )]
    Differs {
        /// Their version.
        version: u64,
    },
    /// The next one, but not of the one held.
    #[error(
        "topology version {version} does not follow the version {held} that is held; the authority was restored from an old backup, or there \
         are two: publish once more"
    )]
    NotLinked {
        /// Its version.
        version: u64,
        /// What is held.
        held: u64,
    },
}
