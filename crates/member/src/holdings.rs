//! What a server holds: the signed documents that it believed, and the users it was told of.
//!
//! Everything is checked when it comes in, all of it or nothing (row N29); what was believed stays until something newer
//! is. Pure: who stores it and who puts it into force is elsewhere.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::{
    Anchors, Bundle, BundleFault, DocumentKind, Fingerprint, HeldBundle, Revocation, RevocationList, RevocationListFault, RevocationLists,
    read_signed,
};
use topology::{HeldTopology, SignedTopology, Topology};
use trust::Policy;
use web::control::{self, InForce, ListInForce, Update};

use crate::users::{Users, UsersChange, UsersFault};

/// How long a revocation list is believed after its next update (row N31). Announced: the alarm rings long before.
pub const GRACE: Duration = Duration::from_hours(12);

/// Why something was not taken (row N29). What was held before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A trust bundle.
    #[error(transparent)]
    Bundle(#[from] BundleFault),
    /// A signed document of any kind.
    #[error(transparent)]
    Document(#[from] pki::DocumentFault),
    /// A topology.
    #[error(transparent)]
    Topology(#[from] topology::TopologyRefusal),
    /// A revocation list.
    #[error(transparent)]
    List(#[from] pki::RevocationListFault),
    /// A revocation list that was old already when the bundle was made.
    #[error(
        "the revocation list of {issuer} has number {number}, and the trust bundle says that {wanted} was there already; whoever sent it is behind, or replays"
    )]
    Behind {
        /// Whose list.
        issuer: String,
        /// Its number.
        number: u64,
        /// The one that the bundle names.
        wanted: u64,
    },
    /// A part of the directory.
    #[error(transparent)]
    Users(#[from] UsersFault),
}

/// What an update changed.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// The bundle or a revocation list: who is believed.
    pub trust: bool,
    /// The topology: who is listed.
    pub topology: bool,
    /// The users.
    pub users: UsersChange,
    /// The authority asks for a renewal of our certificate now.
    pub renew: bool,
}

/// A document as it came, and when it was believed: signatures count at that moment, also when it is read again years later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Believed {
    /// The document.
    pub text: String,
    /// When it was taken.
    pub at: SystemTime,
}

/// Everything that a server needs to know whom to believe. A copy is cheap: documents and users are shared until they change.
#[derive(Clone, Debug)]
pub struct Holdings {
    bundle: Arc<Bundle>,
    held_bundle: HeldBundle,
    bundle_text: Arc<Believed>,
    lists: RevocationLists,
    topology: Arc<Topology>,
    held_topology: HeldTopology,
    topology_text: Arc<Believed>,
    users: Users,
    parts: Vec<control::UserRecord>,
}

impl Holdings {
    /// The first holdings of a server that knows the root's fingerprint and nothing else: the bundle must hold that root and
    /// be signed below it, the lists must be its CAs', the topology must be signed by somebody who is not revoked.
    ///
    /// # Errors
    /// Any of it is not so.
    pub fn begin(root: Fingerprint, bundle: Believed, lists: &[Vec<u8>], topology: Believed) -> Result<Self, Refused> {
        let (read, held_bundle) = Bundle::read_pinned(&bundle.text, root, bundle.at)?;
        let begun = Self::with_bundle(read, held_bundle, bundle, lists, topology)?;
        begun.lists.iter().try_for_each(|list| begun.check_not_behind(list))?;
        Ok(begun)
    }

    /// What was believed before, read again from this server's own disk.
    ///
    /// # Errors
    /// The disk holds something else than what was put there.
    pub fn restore(roots: &Anchors, bundle: Believed, lists: &[Vec<u8>], topology: Believed) -> Result<Self, Refused> {
        let document = read_signed(DocumentKind::Bundle, &bundle.text, roots, &Revocation::none(), bundle.at)?;
        let (read, held_bundle) = Bundle::accept(None, &document, bundle.at)?;
        Self::with_bundle(read, held_bundle, bundle, lists, topology)
    }

    fn with_bundle(read: Bundle, held_bundle: HeldBundle, bundle: Believed, ders: &[Vec<u8>], topology: Believed) -> Result<Self, Refused> {
        let issuers: Vec<_> = read.list_issuers().cloned().collect();
        let mut lists = RevocationLists::new();
        for der in ders {
            let list = match RevocationList::read(der, &issuers) {
                Ok(list) => list,
                // Of a CA that the bundle has no more. Without a list nobody is believed, so to pass one over lets nobody in.
                Err(RevocationListFault::UnknownIssuer { .. }) => continue,
                Err(fault) => return Err(fault.into()),
            };
            // One that has run out on our disk is still better than none: `Revocation` knows how old it may be.
            let at = bundle.at.min(list.next_update()).max(list.this_update());
            lists.take(list, at)?;
        }
        let revocation = Revocation::strict(lists.clone(), GRACE);
        let signed = SignedTopology::accept(&topology.text, None, &read.anchors()?, &revocation, topology.at)?;
        Ok(Self {
            bundle: Arc::new(read),
            held_bundle,
            bundle_text: Arc::new(bundle),
            lists,
            topology: Arc::new(signed.topology().clone()),
            held_topology: signed.held(),
            topology_text: Arc::new(topology),
            users: Users::default(),
            parts: Vec::new(),
        })
    }

    /// Takes an update in, whole or not at all.
    ///
    /// # Errors
    /// Row N29: tampered, older, expired, of somebody else. Nothing changed then.
    pub fn take(&mut self, update: &Update, now: SystemTime) -> Result<Changed, Refused> {
        match update {
            Update::Bundle { document } => self.take_bundle(document, now),
            Update::RevocationLists { lists } => self.take_lists(lists, now),
            Update::Topology { document } => self.take_topology(document, now),
            Update::Users { revision, from_scratch, more, put, gone } => self.take_users(*revision, *from_scratch, *more, put, gone),
            Update::Renew => Ok(Changed { renew: true, ..Changed::default() }),
            Update::Show | Update::Heartbeat | Update::Unknown => Ok(Changed::default()),
        }
    }

    fn take_bundle(&mut self, text: &str, now: SystemTime) -> Result<Changed, Refused> {
        let document = read_signed(DocumentKind::Bundle, text, &self.bundle.anchors()?, &self.revocation(), now)?;
        let (bundle, held) = Bundle::accept(Some(&self.held_bundle), &document, now)?;
        bundle.anchors()?;
        let changed = held.sequence != self.held_bundle.sequence;
        let keys: Vec<Fingerprint> = bundle.list_issuers().filter_map(pki::facts).map(|facts| facts.public_key_fingerprint()).collect();
        self.lists.retain(|list| keys.contains(&list.issuer_key()));
        self.bundle = Arc::new(bundle);
        self.held_bundle = held;
        self.bundle_text = Arc::new(Believed { text: text.to_owned(), at: now });
        Ok(Changed { trust: changed, ..Changed::default() })
    }

    fn take_lists(&mut self, ders: &[Vec<u8>], now: SystemTime) -> Result<Changed, Refused> {
        let issuers: Vec<_> = self.bundle.list_issuers().cloned().collect();
        let mut lists = self.lists.clone();
        let mut trust = false;
        for der in ders {
            let list = RevocationList::read(der, &issuers)?;
            self.check_not_behind(&list)?;
            trust |= lists.take(list, now)?;
        }
        self.lists = lists;
        Ok(Changed { trust, ..Changed::default() })
    }

    fn take_topology(&mut self, text: &str, now: SystemTime) -> Result<Changed, Refused> {
        let signed = SignedTopology::accept(text, Some(&self.held_topology), &self.bundle.anchors()?, &self.revocation(), now)?;
        let topology = signed.topology().version() != self.topology.version();
        self.topology = Arc::new(signed.topology().clone());
        self.held_topology = signed.held();
        self.topology_text = Arc::new(Believed { text: text.to_owned(), at: now });
        Ok(Changed { topology, ..Changed::default() })
    }

    /// Parts of one revision are put together before any of it counts.
    fn take_users(
        &mut self,
        revision: u64,
        from_scratch: bool,
        more: bool,
        put: &[control::UserRecord],
        gone: &[String],
    ) -> Result<Changed, Refused> {
        self.parts.extend_from_slice(put);
        if self.parts.len() > crate::users::USERS_MAX {
            self.parts.clear();
            return Err(UsersFault::TooMany.into());
        }
        if more {
            return Ok(Changed::default());
        }
        let parts = std::mem::take(&mut self.parts);
        let users = self.users.take(revision, from_scratch, &parts, gone)?;
        Ok(Changed { users, ..Changed::default() })
    }

    /// What came of a directory so far, and not to its end, counts for nothing.
    pub(crate) fn forget_parts(&mut self) {
        self.parts.clear();
    }

    /// What every listener and link goes by at this moment. When the time of the bundle is over no issuing CA counts any more, so
    /// nobody with a certificate is believed (row N29); the roots still do, so that a new bundle can be.
    ///
    /// # Errors
    /// Never for holdings that were taken in: their roots were looked at.
    pub fn policy(&self, now: SystemTime) -> Result<Policy, Refused> {
        Ok(Policy {
            topology: Topology::clone(&self.topology),
            anchors: self.bundle.anchors()?,
            revocation: self.revocation(),
            issuing: if self.is_bundle_over(now) { Vec::new() } else { self.bundle.pinned() },
        })
    }

    /// Whether the bundle counted until a moment that has passed, [`GRACE`] included.
    #[must_use]
    pub fn is_bundle_over(&self, now: SystemTime) -> bool {
        now > self.bundle.valid_until + GRACE
    }

    /// Whether something should be asked for, because its time is over, it is behind or missing: what its CA issued is believed for
    /// [`GRACE`] more, then no longer.
    #[must_use]
    pub fn is_stale(&self, now: SystemTime) -> bool {
        let is_fresh = |key: Fingerprint| {
            let held = self.lists.iter().find(|list| list.issuer_key() == key);
            held.is_some_and(|list| now <= list.next_update() && self.check_not_behind(list).is_ok())
        };
        let keys = self.bundle.list_issuers().filter_map(pki::facts).map(|facts| facts.public_key_fingerprint());
        now > self.bundle.valid_until || !keys.into_iter().all(is_fresh)
    }

    /// Whether a list is at least the one that there was when the bundle was made. One that is held already stays, though a later bundle
    /// says so: what it revokes stays revoked, its time ends as it ends, and the next one is asked for.
    fn check_not_behind(&self, list: &RevocationList) -> Result<(), Refused> {
        let is_issuer = |issuer: &Fingerprint| {
            let certificate = self.bundle.list_issuers().find(|certificate| Fingerprint::of(certificate) == *issuer);
            certificate.and_then(pki::facts).is_some_and(|facts| facts.public_key_fingerprint() == list.issuer_key())
        };
        let wanted = self.bundle.lists.iter().filter(|place| is_issuer(&place.issuer)).map(|place| place.number).max().unwrap_or(0);
        let (issuer, number) = (list.issuer_text().to_owned(), list.number());
        if number < wanted { Err(Refused::Behind { issuer, number, wanted }) } else { Ok(()) }
    }

    /// What every certificate is held against.
    #[must_use]
    pub fn revocation(&self) -> Revocation {
        Revocation::strict(self.lists.clone(), GRACE)
    }

    /// The trust bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// It as it was signed.
    #[must_use]
    pub fn bundle_text(&self) -> &Believed {
        &self.bundle_text
    }

    /// The revocation lists.
    #[must_use]
    pub fn lists(&self) -> &RevocationLists {
        &self.lists
    }

    /// The topology.
    #[must_use]
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// It as it was signed.
    #[must_use]
    pub fn topology_text(&self) -> &Believed {
        &self.topology_text
    }

    /// What the next topology must follow.
    #[must_use]
    pub fn held_topology(&self) -> &HeldTopology {
        &self.held_topology
    }

    /// What the next bundle must follow.
    #[must_use]
    pub fn held_bundle(&self) -> &HeldBundle {
        &self.held_bundle
    }

    /// The users.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// What the authority is told of it.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        let list = |list: &RevocationList| ListInForce { issuer: list.issuer_key().to_string(), number: list.number() };
        InForce {
            topology: self.topology.version(),
            bundle: self.held_bundle.sequence,
            users: self.users.revision(),
            lists: self.lists.iter().map(list).collect(),
            ..InForce::default()
        }
    }

    /// What is asked of the authority when a feed begins.
    #[must_use]
    pub fn held(&self) -> control::Held {
        control::Held { topology: self.topology.version(), bundle: self.held_bundle.sequence, users: self.users.revision() }
    }
}
