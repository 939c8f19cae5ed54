//! A replacement of the CA that is under way, and the bundles by which members that were away follow it later.

use std::{future::Future, time::SystemTime};

use crate::{Bundle, Event, Result, Revision};

/// How far a replacement of the CA has come. What the record says is for the authority to know.
pub trait Replacements: Send + Sync {
    /// Keeps the record of it, or lets go of it (`None`: it is over); `event` is what the audit log says of that, in the same
    /// change.
    fn keep_replacement(&self, record: Option<&str>, event: &Event, now: SystemTime) -> impl Future<Output = Result<Revision>> + Send;

    /// The record of the one that is under way.
    fn replacement(&self) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Keeps a bundle for members that hold an older one and believe nobody who signed a later one. Of these the newest
    /// [`BRIDGES_MAX`](crate::limits::BRIDGES_MAX) are kept.
    fn keep_bridge(&self, bridge: &Bundle) -> impl Future<Output = Result<()>> + Send;

    /// The first one that is newer than this.
    fn bridge_after(&self, sequence: u64) -> impl Future<Output = Result<Option<Bundle>>> + Send;
}
