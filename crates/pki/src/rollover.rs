//! One root replaces another without anybody losing trust in anybody: what is to be done next, and for whom
//! it has to wait.
//!
//! Nobody is served by a new root that some member does not know yet, nor by an old one that is dropped
//! while certificates below it are still in use. So each step waits until *every* member has said that it
//! has taken the last one. An emergency waits a moment only; whoever is behind then joins anew.
//!
//! Publishing, issuing and renewing are the caller's: [`Rollover::poll`] says what is to be done, the
//! `handle_*` functions are told what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime},
};

use crate::{Fingerprint, Fqdn};

/// How long each step of an emergency waits for members that do not answer.
pub const EMERGENCY_WAIT: Duration = Duration::from_mins(1);

/// How much patience there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// The old root is sound: every member is waited for, however long that takes.
    Ordinary,
    /// The old root's key may be somebody else's.
    Emergency,
}

/// One of the two roots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The one that goes.
    Old,
    /// The one that comes.
    New,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The new root, its issuing CAs and the link certificates are made, and nobody knows of them.
    Staged,
    /// The bundle of this number, with both roots and all issuing CAs, is published.
    Distributing {
        /// Its number.
        sequence: u64,
    },
    /// Every member knows the new root: it is time to issue below it.
    Switching,
    /// What is issued is of the new root, with the link certificate; what is in use is being renewed.
    Renewing,
    /// Nothing of the old root is in use: it is time to drop it.
    Retiring,
    /// The bundle of this number, without the old root and its CAs, is published.
    Dropping {
        /// Its number.
        sequence: u64,
    },
    /// Nobody believes the old root any more.
    Done,
}

/// What is to be done next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Publish a bundle with both roots, the issuing CAs of both, and the revocation lists of all of them; then
    /// [`Rollover::handle_published`].
    PublishBoth,
    /// Issue from the new CAs from now on (the signer of documents gets its certificate first), and have every
    /// server renew; then [`Rollover::handle_switched`].
    Switch,
    /// Publish a bundle with the new root only; then [`Rollover::handle_published`].
    PublishNew,
    /// Nothing, until something is told or, in an emergency, time passes.
    Wait(Waiting),
    /// Nothing any more: the old root's key can be destroyed.
    Finished,
}

/// For what it waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// Members that have not done it yet.
    pub members: Vec<Fqdn>,
    /// Certificates below the old root that are still valid, if it waits for those.
    pub certificates: u64,
    /// When it goes on without them; never, in the ordinary course.
    pub until: Option<SystemTime>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
        match (self.members.is_empty(), self.certificates) {
            (true, certificates) => write!(out, "{certificates} certificates of the old root are still valid"),
            (false, 0) => write!(out, "waiting for {members}"),
            (false, certificates) => write!(out, "waiting for {members}; {certificates} certificates of the old root are still valid"),
        }
    }
}

/// What is known of a member.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// The newest bundle that it said it has in force.
    pub(crate) acknowledged: u64,
    /// Whether the certificate that it uses is of the new root.
    pub(crate) renewed: bool,
}

/// Why no rollover can start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RolloverFault {
    /// A root is not replaced by itself.
    #[error("the old and the new CA are the same; make a new root with `verbund ca root init`, or new issuing CAs")]
    SameRoot,
    /// A number that was used already.
    #[error("bundle {0} is not newer than the one before; publish it with the next number")]
    Sequence(u64),
    /// Told of a step that was not asked for.
    #[error("this is not the moment for that step; ask for the next one again")]
    OutOfTurn,
}

/// One root on its way in, another on its way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rollover {
    pub(crate) old: Fingerprint,
    pub(crate) new: Fingerprint,
    pub(crate) pace: Pace,
    pub(crate) phase: Phase,
    /// When this phase began.
    pub(crate) since: SystemTime,
    pub(crate) members: BTreeMap<Fqdn, Progress>,
    /// Valid certificates below the old root; unknown until told after the switch.
    pub(crate) outstanding: Option<u64>,
    /// Who was not waited for.
    pub(crate) left_behind: BTreeSet<Fqdn>,
}

impl Rollover {
    /// Begins to replace `old` by `new` among these members. The new root, its issuing CAs and the link
    /// certificates have been made. Where only the issuing CAs are replaced below a root that stays, `old` and `new` are those.
    pub fn stage(
        old: Fingerprint,
        new: Fingerprint,
        pace: Pace,
        members: impl IntoIterator<Item = Fqdn>,
        now: SystemTime,
    ) -> Result<Self, RolloverFault> {
        if old == new {
            return Err(RolloverFault::SameRoot);
        }
        let members = members.into_iter().map(|name| (name, Progress::default())).collect();
        let (phase, left_behind) = (Phase::Staged, BTreeSet::new());
        Ok(Self { old, new, pace, phase, since: now, members, outstanding: None, left_behind })
    }

    /// When its phase began.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// What goes and what comes.
    pub fn roots(&self) -> (Fingerprint, Fingerprint) {
        (self.old, self.new)
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How much patience there is.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether members shall believe this root now.
    pub fn believes(&self, side: Side) -> bool {
        match (self.phase, side) {
            (Phase::Staged, Side::New) | (Phase::Dropping { .. } | Phase::Done, Side::Old) => false,
            (Phase::Staged | Phase::Distributing { .. } | Phase::Switching | Phase::Renewing | Phase::Retiring, _) => true,
            (Phase::Dropping { .. } | Phase::Done, Side::New) => true,
        }
    }

    /// Below which root certificates are issued now.
    pub fn issues_from(&self) -> Side {
        match self.phase {
            Phase::Staged | Phase::Distributing { .. } | Phase::Switching => Side::Old,
            Phase::Renewing | Phase::Retiring | Phase::Dropping { .. } | Phase::Done => Side::New,
        }
    }

    /// Whether the link certificate is sent behind the issuing CA's: phones and partners may know the old root only.
    pub fn sends_cross(&self) -> bool {
        match self.phase {
            Phase::Renewing | Phase::Retiring | Phase::Dropping { .. } => true,
            Phase::Staged | Phase::Distributing { .. } | Phase::Switching | Phase::Done => false,
        }
    }

    /// Whether it can be given up without anybody noticing: nothing was issued by the new side yet.
    pub fn can_be_given_up(&self) -> bool {
        match self.phase {
            Phase::Staged | Phase::Distributing { .. } | Phase::Switching => true,
            Phase::Renewing | Phase::Retiring | Phase::Dropping { .. } | Phase::Done => false,
        }
    }

    /// Members that an emergency did not wait for. They have to join anew.
    pub fn left_behind(&self) -> impl Iterator<Item = &Fqdn> {
        self.left_behind.iter()
    }

    /// Tells who is a member now. One that is gone is waited for no longer; a new one is from now on.
    pub fn handle_members(&mut self, members: impl IntoIterator<Item = Fqdn>) {
        let mut known = std::mem::take(&mut self.members);
        self.members = members.into_iter().map(|name| (name.clone(), known.remove(&name).unwrap_or_default())).collect();
        self.left_behind.retain(|name| self.members.contains_key(name));
    }

    /// Tells that the bundle that was to be published is out.
    pub fn handle_published(&mut self, sequence: u64, now: SystemTime) -> Result<(), RolloverFault> {
        if self.members.values().any(|member| member.acknowledged >= sequence) {
            return Err(RolloverFault::Sequence(sequence));
        }
        let next = match self.phase {
            Phase::Staged => Phase::Distributing { sequence },
            Phase::Retiring => Phase::Dropping { sequence },
            // A newer one with the same roots came out for another reason: it does as well.
            Phase::Distributing { .. } | Phase::Dropping { .. } => return Ok(()),
            Phase::Switching | Phase::Renewing | Phase::Done => return Err(RolloverFault::OutOfTurn),
        };
        self.enter(next, now);
        Ok(())
    }

    /// Tells that certificates are issued below the new root from now on.
    pub fn handle_switched(&mut self, now: SystemTime) -> Result<(), RolloverFault> {
        if self.phase != Phase::Switching {
            return Err(RolloverFault::OutOfTurn);
        }
        self.outstanding = None;
        self.enter(Phase::Renewing, now);
        Ok(())
    }

    /// Tells that a member has the bundle of this number in force. Nobody goes back.
    pub fn handle_acknowledged(&mut self, member: &Fqdn, sequence: u64) {
        if let Some(member) = self.members.get_mut(member) {
            member.acknowledged = member.acknowledged.max(sequence);
        }
    }

    /// Tells below which root the certificate is that a member uses.
    pub fn handle_certificate(&mut self, member: &Fqdn, root: Fingerprint) {
        let renewed = root == self.new;
        if let Some(member) = self.members.get_mut(member) {
            member.renewed = renewed;
        }
    }

    /// Tells how many certificates below the old root are valid: neither expired nor revoked, of servers and users.
    pub fn handle_outstanding(&mut self, certificates: u64) {
        self.outstanding = Some(certificates);
    }

    /// What is to be done next. Asked again it says the same, until it is told that it was done.
    pub fn poll(&mut self, now: SystemTime) -> Step {
        loop {
            let (waiting, next) = match self.phase {
                Phase::Staged => return Step::PublishBoth,
                Phase::Switching => return Step::Switch,
                Phase::Retiring => return Step::PublishNew,
                Phase::Done => return Step::Finished,
                Phase::Distributing { sequence } => (self.waiting(|member| member.acknowledged >= sequence), Phase::Switching),
                Phase::Renewing => (self.renewing(), Phase::Retiring),
                Phase::Dropping { sequence } => (self.waiting(|member| member.acknowledged >= sequence), Phase::Done),
            };
            if let Some(waiting) = waiting.filter(|waiting| waiting.until.is_none_or(|until| now < until)) {
                return Step::Wait(waiting);
            }
            self.enter(next, now);
        }
    }

    /// When [`poll`](Self::poll) is to be asked again although nothing was told.
    pub fn poll_timeout(&self) -> Option<SystemTime> {
        match (self.pace, self.phase) {
            (Pace::Emergency, Phase::Distributing { .. } | Phase::Renewing | Phase::Dropping { .. }) => Some(self.since + EMERGENCY_WAIT),
            (Pace::Emergency, Phase::Staged | Phase::Switching | Phase::Retiring | Phase::Done) | (Pace::Ordinary, _) => None,
        }
    }

    fn enter(&mut self, phase: Phase, now: SystemTime) {
        let behind = match self.phase {
            Phase::Distributing { sequence } | Phase::Dropping { sequence } => self.behind(|member| member.acknowledged >= sequence),
            Phase::Renewing => self.behind(|member| member.renewed),
            Phase::Staged | Phase::Switching | Phase::Retiring | Phase::Done => Vec::new(),
        };
        self.left_behind.extend(behind);
        (self.phase, self.since) = (phase, now);
    }

    fn behind(&self, done: impl Fn(&Progress) -> bool) -> Vec<Fqdn> {
        let waited_for = |name: &Fqdn| !self.left_behind.contains(name);
        self.members.iter().filter(|(name, member)| waited_for(name) && !done(member)).map(|(name, _)| name.clone()).collect()
    }

    fn waiting(&self, done: impl Fn(&Progress) -> bool) -> Option<Waiting> {
        let members = self.behind(done);
        (!members.is_empty()).then(|| Waiting { members, certificates: 0, until: self.poll_timeout() })
    }

    /// Every member has its new certificate, and no old one counts.
    fn renewing(&self) -> Option<Waiting> {
        let members = self.behind(|member| member.renewed);
        // As long as nobody has counted, there may be some.
        let certificates = self.outstanding.unwrap_or(u64::from(members.is_empty()));
        let wait = !members.is_empty() || certificates > 0;
        wait.then(|| Waiting { members, certificates, until: self.poll_timeout() })
    }
}
