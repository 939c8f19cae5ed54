//! One generation of the CA replaces another: the root with everything below it, or the issuing CAs alone.
//!
//! What is to be done next is `pki`'s to say ([`pki::Rollover`]); here is what a replacement consists of ([`Replacement`]), how the
//! next generation is made (`make`), and the doing (`drive`).

mod drive;
mod make;
mod status;

use std::{sync::Arc, time::SystemTime};

use pki::{DocumentSigner, Fingerprint, Fqdn, Pace, Phase, Rollover, RolloverFault, RolloverRecordFault, Side};
use serde::{Deserialize, Serialize};
use store::Replacements as _;

pub(crate) use drive::Asked;
pub use make::Signed;
pub use status::ReplacementStatus;

use crate::{Generation, VaultFault};

/// What is replaced.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The root and all issuing CAs below it.
    Root,
    /// The issuing CAs below a root that stays.
    Issuing,
}

impl What {
    /// The word for people and for the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
        }
    }

    /// The word of the command that begins it.
    const fn command(self) -> &'static str {
        match self {
            Self::Root => "rollover",
            Self::Issuing => "issuing",
        }
    }
}

/// What an administrator wants replaced, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// What.
    pub what: What,
    /// How much patience there is.
    pub pace: Pace,
    /// Domains that the new issuing CAs may issue for, besides those of today.
    pub domains: Vec<Fqdn>,
}

/// Why a replacement does not begin, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplacementFault {
    /// One at a time.
    #[error("a replacement of the CA is under way already: `verbund ca rollover status` says what it waits for")]
    UnderWay,
    /// What is published now could contradict what members hold.
    #[error("this authority was put back from a backup and waits for what its members hold: replace the CA once that is over")]
    Recovering,
    /// Nothing to give up.
    #[error("no replacement of the CA is under way")]
    NoneUnderWay,
    /// Something was issued by the new side.
    #[error(
        "certificates are issued by the new CA already, so the replacement can only go on: `verbund ca rollover status` says what it waits for"
    )]
    TooLate,
    /// The root lies in a safe.
    #[error(
        "the root's key is not here, and only the root can sign a CA: have `verbund ca {} request` write what it has to sign, and give \
         back what it signed with --signed",
        .0.command()
    )]
    RootAway(What),
    /// What was signed is of keys that are not here.
    #[error("no keys were made for these certificates: begin with the `request` command, and take what it writes to the root")]
    NoKeys,
    /// Requests are on their way.
    #[error("keys wait for the root's signature: give what it signed with --signed, or give up with `verbund ca rollover abort`")]
    Waiting,
    /// What came from the root does not do.
    #[error("{what} does not do: {why}")]
    NotSigned {
        /// Which file.
        what: &'static str,
        /// What is wrong, and the cure.
        why: String,
    },
    /// A name that another CA has or had.
    #[error("there is or was a CA named {0} already, and two of one name cannot be told apart: have it made with another --generation")]
    NameTaken(String),
    /// Nobody keeps the CA's files here.
    #[error("this authority was started without a place for the keys of its CA")]
    NoVault,
    /// A file or a key.
    #[error(transparent)]
    Vault(#[from] VaultFault),
    /// The order of things.
    #[error(transparent)]
    Rollover(#[from] RolloverFault),
    /// What was stored of it.
    #[error(transparent)]
    Record(#[from] RolloverRecordFault),
    /// What was stored of it is none of ours.
    #[error("the record of the CA's replacement cannot be read ({0}); put the state file back from a backup")]
    Damaged(String),
}

/// How far a replacement has come, as it is stored.
#[derive(Clone, Debug)]
pub struct Record {
    /// What is replaced.
    pub what: What,
    /// How far it has come.
    pub rollover: Rollover,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    what: What,
    rollover: String,
}

impl Record {
    fn to_json(&self) -> Result<String, ReplacementFault> {
        let written = Written { what: self.what, rollover: self.rollover.to_json()? };
        serde_json::to_string(&written).map_err(|error| ReplacementFault::Damaged(error.to_string()))
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// It is damaged, or of another version.
    pub fn read(text: &str) -> Result<Self, ReplacementFault> {
        let Written { what, rollover } = serde_json::from_str(text).map_err(|error| ReplacementFault::Damaged(error.to_string()))?;
        Ok(Self { what, rollover: Rollover::from_json(&rollover)? })
    }

    /// The side that issues now.
    #[must_use]
    pub fn issues_from(&self) -> Side {
        self.rollover.issues_from()
    }

    /// Whether nothing is left to do but to put the files into their place.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rollover.phase() == Phase::Done
    }

    /// Stores that it is over: the files are in their place.
    ///
    /// # Errors
    /// The store.
    pub async fn end(&self, store: &store::Embedded, now: SystemTime) -> Result<(), store::Error> {
        store.keep_replacement(None, &self.event("finished"), now).await.map(drop)
    }

    fn event(&self, phase: &str) -> store::Event {
        let (old, new) = self.rollover.roots();
        store::Event::CaReplacement {
            what: self.what.as_str().to_owned(),
            old: old.to_string(),
            new: new.to_string(),
            phase: phase.to_owned(),
            left_behind: self.rollover.left_behind().map(Fqdn::to_string).collect(),
        }
    }
}

/// One generation on its way in, another on its way out.
#[derive(Clone)]
pub struct Replacement {
    pub(crate) record: Record,
    pub(crate) old: Arc<Generation>,
    pub(crate) new: Arc<Generation>,
    /// Who signs documents below the new one; made when it is time to switch.
    pub(crate) new_signer: Option<Arc<DocumentSigner>>,
    pub(crate) old_signer: Arc<DocumentSigner>,
}

impl Replacement {
    /// A replacement that was read back. Once the new generation issues, its signer must be there.
    #[must_use]
    pub fn new(record: Record, old: Generation, new: Generation, old_signer: DocumentSigner, new_signer: Option<DocumentSigner>) -> Self {
        let (old, new, old_signer) = (Arc::new(old), Arc::new(new), Arc::new(old_signer));
        Self { record, old, new, old_signer, new_signer: new_signer.map(Arc::new) }
    }

    pub(crate) fn side(&self, side: Side) -> &Arc<Generation> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// The generation that issues.
    pub(crate) fn active(&self) -> &Arc<Generation> {
        self.side(self.record.issues_from())
    }

    /// The other one, if it is believed.
    pub(crate) fn believed_besides(&self) -> Option<&Arc<Generation>> {
        let side = other(self.record.issues_from());
        self.record.rollover.believes(side).then(|| self.side(side))
    }

    /// The old one, once nobody believes it.
    pub(crate) fn dropped(&self) -> Option<&Arc<Generation>> {
        (!self.record.rollover.believes(Side::Old)).then_some(&self.old)
    }

    pub(crate) fn signer(&self) -> &Arc<DocumentSigner> {
        match (self.record.issues_from(), &self.new_signer) {
            (Side::New, Some(signer)) => signer,
            (Side::New, None) | (Side::Old, _) => &self.old_signer,
        }
    }

    /// The same, with another signer for the side that issues.
    pub(crate) fn signed_by(mut self, signer: &Arc<DocumentSigner>) -> Self {
        match self.record.issues_from() {
            Side::Old => self.old_signer = Arc::clone(signer),
            Side::New => self.new_signer = Some(Arc::clone(signer)),
        }
        self
    }

    fn with(&self, rollover: Rollover) -> Self {
        Self { record: Record { what: self.record.what, rollover }, ..self.clone() }
    }
}

const fn other(side: Side) -> Side {
    match side {
        Side::Old => Side::New,
        Side::New => Side::Old,
    }
}

/// What tells two generations apart in the record of a replacement: their roots, or where that stays their issuing CAs.
#[must_use]
pub fn mark(what: What, generation: &Generation) -> Fingerprint {
    match what {
        What::Root => Fingerprint::of(generation.authority.root()),
        What::Issuing => generation.id(),
    }
}

fn staged(order: &Order, old: &Generation, new: &Generation, members: Vec<Fqdn>, now: SystemTime) -> Result<Record, ReplacementFault> {
    let rollover = Rollover::stage(mark(order.what, old), mark(order.what, new), order.pace, members, now)?;
    Ok(Record { what: order.what, rollover })
}

/// How a phase is called.
const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Staged => "staged",
        Phase::Distributing { .. } => "distributing",
        Phase::Switching => "switching",
        Phase::Renewing => "renewing",
        Phase::Retiring => "retiring",
        Phase::Dropping { .. } => "dropping",
        Phase::Done => "done",
    }
}
