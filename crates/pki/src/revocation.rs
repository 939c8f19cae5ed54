//! What was revoked, as far as we know, and whether we know enough.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use webpki::VerifiedPath;

use crate::{Anchors, Fingerprint, IssuerName, Rejection, RevocationList, RevocationListFault, Serial, describe};

/// The newest revocation list of each issuer. A copy costs a pointer a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevocationLists {
    lists: Vec<Arc<RevocationList>>,
}

impl RevocationLists {
    /// The most issuers whose lists are held.
    pub const ISSUERS_MAX: usize = 64;
    /// How far ahead the clock of a CA may be.
    pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

    /// No lists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a list in place of the older one of its issuer, and says whether that is news. Row
    /// N29: what is older than the one held, or past its next update, is refused and the held one
    /// stays.
    ///
    /// # Errors
    /// Why it was not taken in.
    pub fn take(&mut self, list: RevocationList, now: SystemTime) -> Result<bool, RevocationListFault> {
        check_time(&list, now)?;
        let issuer = list.issuer_text().to_owned();
        let Some(held) = self.lists.iter_mut().find(|held| same_issuer(held, &list)) else {
            if self.lists.len() == Self::ISSUERS_MAX {
                return Err(RevocationListFault::TooMany);
            }
            self.lists.push(Arc::new(list));
            return Ok(true);
        };
        if list.number() < held.number() {
            return Err(RevocationListFault::Older { issuer, number: list.number(), held: held.number() });
        }
        if list.number() == held.number() {
            return if list.agrees_with(held) { Ok(false) } else { Err(RevocationListFault::Conflict { issuer, number: list.number() }) };
        }
        *held = Arc::new(list);
        Ok(true)
    }

    /// Lets go of the lists of all issuers but those that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&RevocationList) -> bool) {
        self.lists.retain(|list| keep(list));
    }

    /// The list of the CA with this name and this key (SHA-256 of its SubjectPublicKeyInfo).
    pub fn of(&self, issuer: &IssuerName, key: Fingerprint) -> Option<&RevocationList> {
        self.lists.iter().find(|list| list.issuer_key() == key && list.issuer() == issuer).map(|list| &**list)
    }

    /// The lists, in the order of their first coming.
    pub fn iter(&self) -> impl Iterator<Item = &RevocationList> {
        self.lists.iter().map(|list| &**list)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// How many certificates they revoke together.
    pub fn revoked(&self) -> usize {
        self.iter().map(RevocationList::len).sum()
    }
}

fn same_issuer(a: &RevocationList, b: &RevocationList) -> bool {
    a.issuer_key() == b.issuer_key() && a.issuer() == b.issuer()
}

fn check_time(list: &RevocationList, now: SystemTime) -> Result<(), RevocationListFault> {
    let (issuer, number, now_text) = (list.issuer_text().to_owned(), list.number(), describe::rfc3339(now));
    if now > list.next_update() {
        return Err(RevocationListFault::Expired { issuer, number, next_update: describe::rfc3339(list.next_update()), now: now_text });
    }
    if list.this_update() > now + RevocationLists::CLOCK_SKEW_MAX {
        return Err(RevocationListFault::NotYet { issuer, number, this_update: describe::rfc3339(list.this_update()), now: now_text });
    }
    Ok(())
}

/// What [`verify`](crate::verify()) goes by: the lists, and how much of a path they must cover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    lists: RevocationLists,
    coverage: Coverage,
    grace: Duration,
}

/// Which certificates of a path need a list of their issuer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coverage {
    /// Every one below the root (row N6).
    Whole,
    /// The leaf, if there is any list at all.
    Listed,
    /// None: what they revoke is refused, however old they are.
    Known,
}

impl Revocation {
    /// The longest grace that can be announced. What is asked for beyond it is cut.
    pub const GRACE_MAX: Duration = Duration::from_hours(24);

    /// Every certificate below the root needs a list of its issuer (row N6), which is not older
    /// than its next update and this grace (row N31). What every listener of ours goes by.
    pub fn strict(lists: RevocationLists, grace: Duration) -> Self {
        Self { lists, coverage: Coverage::Whole, grace: grace.min(Self::GRACE_MAX) }
    }

    /// Only what these lists say. If there are any, one of them must be of the leaf's issuer, and
    /// none that speaks of the path may be past its next update. For chains judged by hand and for
    /// callers who belong to nobody yet.
    pub fn listed(lists: RevocationLists) -> Self {
        Self { lists, coverage: Coverage::Listed, grace: Duration::ZERO }
    }

    /// Nothing is known to be revoked: for callers who belong to nobody yet.
    pub fn none() -> Self {
        Self::listed(RevocationLists::new())
    }

    /// What is known to be revoked is refused; that a list is missing or too old is not asked. For fetching what proves itself
    /// (the next lists, the next bundle) from somebody who cannot be judged strictly before that came, and for nothing else.
    pub fn known(lists: RevocationLists) -> Self {
        Self { lists, coverage: Coverage::Known, grace: Duration::ZERO }
    }

    /// Whether a path without lists is refused.
    pub fn is_strict(&self) -> bool {
        match self.coverage {
            Coverage::Whole => true,
            Coverage::Listed | Coverage::Known => false,
        }
    }

    /// The lists.
    pub fn lists(&self) -> &RevocationLists {
        &self.lists
    }

    /// How long a list is believed after its next update.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Checks every certificate of the path below the root, the leaf first. The leaf's list comes
    /// back, if it has one: it belongs to the evidence.
    pub(crate) fn check(&self, path: &VerifiedPath<'_>, anchors: &Anchors, now: SystemTime) -> Result<Option<ListUsed>, Rejection> {
        let leaf: &webpki::Cert<'_> = path.end_entity();
        let certificates: Vec<_> = std::iter::once(leaf).chain(path.intermediate_certificates()).collect();
        let mut used = None;
        for (position, certificate) in certificates.iter().enumerate() {
            let issuer_key = match certificates.get(position + 1) {
                Some(issuer) => Some(Fingerprint::of(&issuer.subject_public_key_info())),
                None => anchors.key_of(path.anchor()),
            };
            let list = issuer_key.and_then(|key| self.lists.of(&IssuerName::new(certificate.issuer()), key));
            self.check_one(certificate, list, position, now)?;
            if position == 0 {
                used = list.map(ListUsed::of);
            }
        }
        Ok(used)
    }

    fn check_one(
        &self,
        certificate: &webpki::Cert<'_>,
        list: Option<&RevocationList>,
        position: usize,
        now: SystemTime,
    ) -> Result<(), Rejection> {
        let facts = || describe::facts(&certificate.der());
        let subject = || facts().map_or_else(|| "a certificate".into(), |facts| facts.subject);
        let Some(list) = list else {
            return if self.needs_list(position) {
                let issuer = facts().map_or_else(|| "its issuer".into(), |facts| facts.issuer);
                Err(Rejection::NoRevocationList { subject: subject(), issuer })
            } else {
                Ok(())
            };
        };
        let serial = Serial::from_be_bytes(certificate.serial());
        if list.contains(&serial) {
            // Also by a stale list: nobody comes back from a revocation.
            return Err(Rejection::Revoked { subject: subject(), serial });
        }
        if self.is_stale(list, now) {
            return Err(Rejection::StaleRevocationList {
                issuer: list.issuer_text().to_owned(),
                number: list.number(),
                next_update: describe::rfc3339(list.next_update()),
                now: describe::rfc3339(now),
            });
        }
        Ok(())
    }

    fn needs_list(&self, position: usize) -> bool {
        match self.coverage {
            Coverage::Whole => true,
            Coverage::Listed => position == 0 && !self.lists.is_empty(),
            Coverage::Known => false,
        }
    }

    fn is_stale(&self, list: &RevocationList, now: SystemTime) -> bool {
        match self.coverage {
            Coverage::Whole | Coverage::Listed => now > list.next_update() + self.grace,
            Coverage::Known => false,
        }
    }
}

/// The revocation list that a certificate was looked up in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListUsed {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: SystemTime,
}

impl ListUsed {
    fn of(list: &RevocationList) -> Self {
        Self { number: list.number(), this_update: list.this_update() }
    }
}
