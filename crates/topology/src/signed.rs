//! The topology as it is published: numbered, linked to the one before, signed by the authority (row N29).

use std::time::{Duration, SystemTime};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pki::{Anchors, DocumentFault, DocumentKind, DocumentSigner, Fingerprint, Revocation, SignedDocument, read_signed};
use serde::{Deserialize, Serialize};

use crate::{Faults, Topology};

/// How far ahead the clock of the authority may be.
const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// What a server keeps of the newest topology that it believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeldTopology {
    /// Its version.
    pub version: u64,
    /// SHA-256 of what was signed.
    pub digest: Fingerprint,
}

/// A topology whose signature, number and time were checked. Only [`accept`](Self::accept) makes one.
#[derive(Clone, Debug)]
pub struct SignedTopology {
    topology: Topology,
    held: HeldTopology,
}

/// What is signed.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    version: u64,
    /// The digest of the one before; none for the first.
    previous: Option<String>,
    /// Seconds since 1970.
    published_at: u64,
    valid_until: u64,
    /// The administrator's words, TOML.
    document: String,
}

/// Why a topology was not taken, or not signed: the fact, then the cure.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopologyRefusal {
    /// The signature, or whose it is.
    #[error(transparent)]
    Document(#[from] DocumentFault),
    /// Not what a signed topology looks like.
    #[error("the signed topology cannot be read ({0}); bring this server to the authority's version")]
    Malformed(String),
    /// What was signed breaks the rules.
    #[error("the signed topology has faults; bring this server to the authority's version, or publish a corrected one:\n{0}")]
    Faults(#[from] Faults),
    /// Somebody plays back an old one.
    #[error("topology version {offered} is older than version {held}, which is held; whoever sent it is behind or plays back old ones")]
    Older {
        /// The version offered.
        offered: u64,
        /// The version held.
        held: u64,
    },
    /// Two that say different things under one number.
    #[error(
        "two different topologies have version {version}; the authority was restored from an old backup, or there are two: publish a higher version"
    )]
    Forked {
        /// Their version.
        version: u64,
    },
    /// The next one, but not of the one held.
    #[error(
        "topology version {version} does not follow the one that is held; the authority was restored from an old backup, or there are two: publish once more"
    )]
    NotLinked {
        /// Its version.
        version: u64,
    },
    /// Its time is over.
    #[error(
        "topology version {version} counted until {until} seconds after 1970, and the clock says {now}; publish a new one, or set the clock"
    )]
    Expired {
        /// Its version.
        version: u64,
        /// Its end.
        until: u64,
        /// Our time.
        now: u64,
    },
    /// Made in our future.
    #[error(
        "topology version {version} was published at {at} seconds after 1970, and the clock says {now}; set the clock on one of the two sides"
    )]
    NotYet {
        /// Its version.
        version: u64,
        /// Its start.
        at: u64,
        /// Our time.
        now: u64,
    },
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl SignedTopology {
    /// Signs a document to follow the one held, good from `now` until `until`.
    ///
    /// # Errors
    /// It is no topology, or the signer fails.
    pub fn sign(
        document: &str,
        held: Option<&HeldTopology>,
        signer: &DocumentSigner,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<String, TopologyRefusal> {
        let payload = Payload {
            version: Topology::parse(document)?.version(),
            previous: held.map(|held| held.digest.to_string()),
            published_at: seconds(now),
            valid_until: seconds(until),
            document: document.to_owned(),
        };
        let payload = serde_json::to_vec(&payload).map_err(|error| TopologyRefusal::Malformed(error.to_string()))?;
        Ok(signer.sign(DocumentKind::Topology, &payload)?)
    }

    /// The same words signed anew, by a signer whose certificate is younger: no new version.
    ///
    /// # Errors
    /// The text is none of ours, or the signer fails.
    pub fn sign_again(text: &str, signer: &DocumentSigner) -> Result<String, TopologyRefusal> {
        let payload = own_part(text, 1).ok_or_else(|| TopologyRefusal::Malformed("it is no signed document".into()))?;
        Ok(signer.sign(DocumentKind::Topology, &payload)?)
    }

    /// Whether a text of our own bears the certificate of this signer. Proves nothing: for the authority, which keeps its own.
    pub fn is_signed_by(text: &str, signer: &DocumentSigner) -> bool {
        #[derive(Deserialize)]
        struct Header {
            x5c: Vec<String>,
        }
        let header = own_part(text, 0).and_then(|header| serde_json::from_slice::<Header>(&header).ok());
        let shown = header.and_then(|header| STANDARD.decode(header.x5c.first()?).ok());
        shown.is_some() && shown.as_deref() == signer.chain().first().map(|leaf| leaf.as_ref())
    }

    /// What the one after a text of our own has to follow. Proves nothing, like [`is_signed_by`](Self::is_signed_by).
    pub fn link_of(text: &str) -> Option<HeldTopology> {
        let payload = own_part(text, 1)?;
        let version = serde_json::from_slice::<Payload>(&payload).ok()?.version;
        Some(HeldTopology { version, digest: Fingerprint::of(&payload) })
    }

    /// Takes a signed topology in the place of the one held, if it is newer, its successor if it is the very next, and counts now.
    /// The same one again is taken again.
    ///
    /// # Errors
    /// Row N29: anything else. The one held stays.
    pub fn accept(
        text: &str,
        held: Option<&HeldTopology>,
        anchors: &Anchors,
        revocation: &Revocation,
        now: SystemTime,
    ) -> Result<Self, TopologyRefusal> {
        let document = read_signed(DocumentKind::Topology, text, anchors, revocation, now)?;
        let payload = payload(&document)?;
        check_time(&payload, seconds(now))?;
        let topology = Topology::parse(&payload.document)?;
        if topology.version() != payload.version {
            return Err(TopologyRefusal::Malformed("its version is not that of the document in it".into()));
        }
        let new = HeldTopology { version: payload.version, digest: document.digest() };
        if let Some(held) = held {
            check_follows(held, &new, payload.previous.as_deref())?;
        }
        Ok(Self { topology, held: new })
    }

    /// What is listed.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What the next one has to follow.
    pub fn held(&self) -> HeldTopology {
        self.held
    }
}

/// A part of a compact JWS, whose signature nobody looks at.
fn own_part(text: &str, part: usize) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.split('.').nth(part)?).ok()
}

fn payload(document: &SignedDocument) -> Result<Payload, TopologyRefusal> {
    serde_json::from_slice(document.payload()).map_err(|error| TopologyRefusal::Malformed(error.to_string()))
}

fn check_time(payload: &Payload, now: u64) -> Result<(), TopologyRefusal> {
    let version = payload.version;
    if now > payload.valid_until {
        return Err(TopologyRefusal::Expired { version, until: payload.valid_until, now });
    }
    if payload.published_at > now + CLOCK_SKEW_MAX.as_secs() {
        return Err(TopologyRefusal::NotYet { version, at: payload.published_at, now });
    }
    Ok(())
}

fn check_follows(held: &HeldTopology, new: &HeldTopology, previous: Option<&str>) -> Result<(), TopologyRefusal> {
    if new.version < held.version {
        return Err(TopologyRefusal::Older { offered: new.version, held: held.version });
    }
    if new.version == held.version {
        return if new.digest == held.digest { Ok(()) } else { Err(TopologyRefusal::Forked { version: new.version }) };
    }
    if new.version == held.version + 1 && previous != Some(held.digest.to_string().as_str()) {
        return Err(TopologyRefusal::NotLinked { version: new.version });
    }
    Ok(())
}
