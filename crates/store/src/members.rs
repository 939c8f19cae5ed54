//! The board: what each member of the organisation says that it has in force.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::SystemTime;

use pki::Fqdn;

use crate::{Result, Version};

/// What a member reported last. That it is a member was decided before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Who: the name in its certificate.
    pub server: Fqdn,
    /// The topology it goes by.
    pub topology: Option<Version>,
    /// The sequence number of the trust bundle it goes by.
    pub bundle: Option<u64>,
    /// The number of the revocation list it goes by, for each issuer (SHA-256 of the issuing certificate in hexadecimal).
    pub lists: BTreeMap<String, u64>,
    /// The version of its program.
    pub software: String,
    /// Where it listens, by the name of the port.
    pub listeners: BTreeMap<String, SocketAddr>,
    /// When it said so, by our clock.
    pub seen_at: SystemTime,
}

/// The newest report of each member.
pub trait Members: Send + Sync {
    /// Puts a report on the board, in place of the one before; [`Error::Full`](crate::Error::Full) when there are too many,
    /// [`Error::TooLarge`](crate::Error::TooLarge) when it says too much.
    fn report(&self, report: &Report) -> impl Future<Output = Result<()>> + Send;

    /// All reports, by name.
    fn members(&self) -> impl Future<Output = Result<Vec<Report>>> + Send;

    /// Takes the report of a server off the board, if there is one.
    fn forget_member(&self, server: &Fqdn) -> impl Future<Output = Result<()>> + Send;
}
