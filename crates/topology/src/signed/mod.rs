//! The list as it travels: a signed document that members take if it is newer than the one they hold.
//!
//! Who may sign is for `pki` to say; here it is said whether this document may follow that one (row
//! N29). Each is linked to the one before by its digest, so that two histories cannot be mixed.

mod payload;
mod refusal;

use std::time::SystemTime;

use pki::{Anchors, BACKDATE, DocumentKind, DocumentSigner, Fingerprint, Revocation, read_signed};

pub use refusal::TopologyRefusal;

use self::payload::{Payload, rfc3339, signing_chain, unchecked};
use crate::Topology;

/// What has to be known of the list that is held, to judge the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeldTopology {
    /// Its version.
    pub version: u64,
    /// Its digest: what the next one is linked to.
    pub digest: Fingerprint,
    /// Until when it counts.
    pub valid_until: SystemTime,
}

/// A list whose signature was checked and that may be put into force. Only [`accept`](Self::accept)
/// makes one, so holding it is the proof.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedTopology {
    topology: Topology,
    document: String,
    published_at: SystemTime,
    held: HeldTopology,
}

impl SignedTopology {
    /// Signs a list that is to follow the one held, which counts until `valid_until` unless a newer
    /// one is published.
    ///
    /// # Errors
    /// The text has faults, or members would not take it after the one held.
    pub fn sign(
        document: &str,
        held: Option<&HeldTopology>,
        signer: &DocumentSigner,
        now: SystemTime,
        valid_until: SystemTime,
    ) -> Result<String, TopologyRefusal> {
        let topology = Topology::parse(document).map_err(TopologyRefusal::Faulty)?;
        let offered = topology.version();
        match held {
            Some(held) if offered < held.version => return Err(TopologyRefusal::Older { offered, held: held.version }),
            Some(held) if offered == held.version => return Err(TopologyRefusal::Differs { version: offered }),
            Some(_) | None => {}
        }
        let previous = held.map(|held| held.digest);
        let payload = Payload { version: offered, previous, published_at: now, valid_until, document: document.to_owned() };
        Ok(signer.sign(DocumentKind::Topology, &payload.to_json()?)?)
    }

    /// The same list under the certificate of this signer, by whose end it may live longer; no new
    /// version. Only for what the authority has stored itself, since its old signature is not looked at.
    ///
    /// # Errors
    /// The text is no list that was signed.
    pub fn sign_again(signed: &str, signer: &DocumentSigner) -> Result<String, TopologyRefusal> {
        let before = Payload::from_json(&unchecked(signed)?)?;
        let again = Payload { valid_until: before.valid_until.max(signer.not_after()), ..before };
        Ok(signer.sign(DocumentKind::Topology, &again.to_json()?)?)
    }

    /// Whether a text of our own carries the chain of this signer. Proves nothing about its signature.
    pub fn is_signed_by(signed: &str, signer: &DocumentSigner) -> bool {
        signing_chain(signed).is_some_and(|carried| carried == signer.chain())
    }

    /// What the next one after a text of our own has to follow. Proves nothing either.
    pub fn link_of(signed: &str) -> Option<HeldTopology> {
        Some(Payload::from_json(&unchecked(signed).ok()?).ok()?.link())
    }

    /// Takes a signed list if it may follow the one held: newer, and its successor if it is the very
    /// next. The one held is taken again, also if its life was made longer.
    ///
    /// # Errors
    /// Row N29: anything else. The one held stays in force.
    pub fn accept(
        text: &str,
        held: Option<&HeldTopology>,
        anchors: &Anchors,
        revocation: &Revocation,
        now: SystemTime,
    ) -> Result<Self, TopologyRefusal> {
        let signed = read_signed(DocumentKind::Topology, text, anchors, revocation, now)?;
        let payload = Payload::from_json(signed.payload())?;
        check_time(&payload, now)?;
        let new = payload.link();
        if let Some(held) = held {
            check_follows(held, &new, payload.previous)?;
        }
        let topology = Topology::parse(&payload.document).map_err(TopologyRefusal::Faulty)?;
        if topology.version() != payload.version {
            return Err(TopologyRefusal::OtherVersion { outside: payload.version, inside: topology.version() });
        }
        Ok(Self { topology, document: payload.document, published_at: payload.published_at, held: new })
    }

    /// The list.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// As the administrator wrote it.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// When it was signed.
    pub fn published_at(&self) -> SystemTime {
        self.published_at
    }

    /// Until when it counts.
    pub fn valid_until(&self) -> SystemTime {
        self.held.valid_until
    }

    /// What the next one must follow.
    pub fn held(&self) -> HeldTopology {
        self.held
    }
}

/// Clocks of members may differ by as much as certificates are dated back.
fn check_time(payload: &Payload, now: SystemTime) -> Result<(), TopologyRefusal> {
    let version = payload.version;
    if now > payload.valid_until {
        return Err(TopologyRefusal::Expired { version, valid_until: rfc3339(payload.valid_until), now: rfc3339(now) });
    }
    if payload.published_at > now + BACKDATE {
        return Err(TopologyRefusal::NotYetValid { version, published_at: rfc3339(payload.published_at), now: rfc3339(now) });
    }
    Ok(())
}

fn check_follows(held: &HeldTopology, new: &HeldTopology, previous: Option<Fingerprint>) -> Result<(), TopologyRefusal> {
    let version = new.version;
    if version < held.version {
        Err(TopologyRefusal::Older { offered: version, held: held.version })
    } else if version == held.version && new.digest != held.digest {
        Err(TopologyRefusal::Differs { version })
    } else if version == held.version && new.valid_until < held.valid_until {
        Err(TopologyRefusal::ShorterLife { version, offered: rfc3339(new.valid_until), held: rfc3339(held.valid_until) })
    } else if held.version.checked_add(1) == Some(version) && previous != Some(held.digest) {
        Err(TopologyRefusal::NotLinked { version, held: held.version })
    } else {
        Ok(())
    }
}
