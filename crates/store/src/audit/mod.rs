//! What was done, in a chain of hashes: a link that is changed, taken out, moved or put in shows.
//!
//! What is written is in [`Event`], how it is chained in [`Chain`]. The changes of this crate's other traits write their
//! events themselves, in the transaction of the change, so nobody can forget to. A chain that someone wrote anew from the
//! first link on is whole; what gives it away is a [`Checkpoint`], or a [`Head`] that was noted elsewhere.

mod chain;
mod event;

use std::future::Future;
use std::time::SystemTime;

pub use chain::{Break, BreakKind, Chain, Checkpoint, Head, HeadFault, Link};
pub use event::Event;

use crate::Result;

/// What reading the whole chain came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Every link fits, and the chain reaches every checkpoint.
    Intact {
        /// The last link; `None` when there is none yet.
        head: Option<Head>,
        /// The newest signed head. Its signature is not checked here.
        checkpoint: Option<Checkpoint>,
    },
    /// A link does not fit.
    Broken(Break),
}

/// The audit log: only ever added to.
pub trait AuditLog: Send + Sync {
    /// Adds an event that is no change of this store: an action of an administrator, a member that joined.
    fn append(&self, event: &Event, now: SystemTime) -> impl Future<Output = Result<Link>> + Send;

    /// The links from this number on, in order; at most `limit`. The first link is number 1.
    fn links(&self, from: u64, limit: usize) -> impl Future<Output = Result<Vec<Link>>> + Send;

    /// The last link.
    fn head(&self) -> impl Future<Output = Result<Option<Head>>> + Send;

    /// Reads the whole chain. It must go through the checkpoints, and through the heads that were `noted` elsewhere: on
    /// paper, in a backup, at another server.
    fn verify(&self, noted: &[Head]) -> impl Future<Output = Result<Verdict>> + Send;

    /// Keeps a signed head (JWS), so that links missing at the end are noticed.
    /// [`Error::NotInChain`](crate::Error::NotInChain) when the chain has no such link.
    fn checkpoint(&self, head: &Head, signed: &str, now: SystemTime) -> impl Future<Output = Result<()>> + Send;

    /// The newest signed heads first; at most `limit`.
    fn checkpoints(&self, limit: usize) -> impl Future<Output = Result<Vec<Checkpoint>>> + Send;
}
