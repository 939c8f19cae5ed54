//! State that lasts: users, certificates and who may ask for one, what was published, what was done.
//!
//! What users and certificates mean is left to `registrar` and `pki`, and where they are needed at run time (the
//! bindings, the decisions) nothing here is asked. One trait per class of state; [`Embedded`] implements them all on one
//! SQLite file. Start reading at [`Directory`], then [`AuditLog`], then [`Embedded`].
//!
//! An answer of `Ok` to a change means that the change survives `kill -9` and loss of power. A caller that drops the
//! future after the first poll has *not* taken the change back.

mod actor;
mod audit;
mod directory;
mod documents;
mod embedded;
mod enrolment;
mod error;
mod held;
mod ledger;
mod members;
mod replacement;

pub use actor::Actor;
pub use audit::{AuditLog, Break, BreakKind, Chain, Checkpoint, Event, Head, HeadFault, Link, Verdict};
pub use directory::{Directory, User};
pub use documents::{Bundle, Bundles, Published, Revision, RevocationList, RevocationListStore, TopologyStore, Version};
pub use embedded::{Embedded, Lock};
pub use enrolment::{Account, AccountId, AccountStatus, Enrolment, Enrolments, NewAccount, Ticket, TicketKey};
pub use error::{Error, TicketEnd};
pub use held::{Held, HeldDocument, HeldKind};
pub use ledger::{Asked, IssuanceLedger, Issued, Reason, Revocation, Revoked, Role};
pub use members::{Members, Report};
pub use replacement::Replacements;

/// What a question to the store gives.
pub type Result<T> = std::result::Result<T, Error>;

/// The sizes and counts that the store holds to, unit last. What is above is refused, never cut.
pub mod limits {
    /// Tickets of one server that can be redeemed at the same time.
    pub const OPEN_TICKETS_PER_SERVER_MAX: usize = 4;
    /// ACME accounts of one server that count at the same time. Of those that no longer count the newest as many are kept.
    pub const ACCOUNTS_PER_SERVER_MAX: usize = 8;
    /// How long a ticket that is burnt, void or expired can still be named when someone shows it again.
    pub const ENDED_TICKET_KEPT_SECONDS: u64 = 90 * 24 * 60 * 60;
    /// The public key of an ACME account as a JWK.
    pub const JWK_BYTES_MAX: usize = 8 * 1024;
    /// A topology, a bundle or their signed form.
    pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
    /// Versions of the topology that are kept, the newest; that there were others is in the audit log.
    pub const TOPOLOGIES_KEPT_MAX: usize = 1000;
    /// A revocation list.
    pub const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Documents of one kind that a member holds.
    pub const HELD_PER_KIND_MAX: usize = 256;
    /// The key that tells documents of one kind apart.
    pub const HELD_KEY_BYTES_MAX: usize = 253;
    /// Servers with a report on the board.
    pub const MEMBERS_MAX: usize = 10_000;
    /// All that one member reports, as text.
    pub const REPORT_BYTES_MAX: usize = 64 * 1024;
    /// The record of a CA's replacement.
    pub const REPLACEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
    /// Bundles that are kept for members that were away while the CA was replaced.
    pub const BRIDGES_MAX: usize = 16;
    /// One event of the audit log, as JSON.
    pub const EVENT_BYTES_MAX: usize = 64 * 1024;
}
