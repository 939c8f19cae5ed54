//! Who may ask for a certificate: one-time tickets, and the ACME accounts that were opened with one.
//!
//! The protocols are `web`'s, what a ticket is good for is decided by the authority; here a ticket burns exactly once.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use pki::{Fqdn, NoRandomness};
use zeroize::Zeroizing;

use crate::Result;

/// The secret half of a ticket: the key of the HMAC that shows it (RFC 8555 §7.3.4). Wiped when dropped, never printed.
#[derive(Clone)]
pub struct TicketKey(Zeroizing<[u8; 32]>);

impl TicketKey {
    /// From what [`expose`](Self::expose) gave.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The octets: for the join string, and to check a proof with.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

/// A right to one certificate for one server, to be given out once.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its public half: 128 random bits in base64url.
    pub kid: String,
    /// Its secret half.
    pub key: TicketKey,
    /// The server that may join with it, and no other (row N33).
    pub server: Fqdn,
    /// The first moment at which it no longer counts.
    pub expires: SystemTime,
}

impl Ticket {
    /// A new one.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate(server: Fqdn, expires: SystemTime) -> std::result::Result<Self, NoRandomness> {
        let kid = BASE64_URL_SAFE_NO_PAD.encode(pki::random::<16>()?);
        Ok(Self { kid, key: TicketKey::from_bytes(pki::random()?), server, expires })
    }
}

/// A ticket as it was opened, and what became of it.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Its public half.
    pub kid: String,
    /// Its secret half; `None` once it was burnt or made void, because it was wiped then.
    pub key: Option<TicketKey>,
    /// The server that may join with it.
    pub server: Fqdn,
    /// When it was opened.
    pub opened_at: SystemTime,
    /// The first moment at which it no longer counts.
    pub expires: SystemTime,
    /// When the certificate was fetched with it.
    pub burnt_at: Option<SystemTime>,
    /// When it was taken back.
    pub voided_at: Option<SystemTime>,
}

impl Enrolment {
    /// Whether it can be burnt at `now`.
    pub fn is_open(&self, now: SystemTime) -> bool {
        self.burnt_at.is_none() && self.voided_at.is_none() && now < self.expires
    }
}

/// The number of an ACME account.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId(pub u64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an account counts (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountStatus {
    /// It does.
    Valid,
    /// Its holder, or the authority, ended it.
    Deactivated,
}

/// An account that is to be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewAccount {
    /// Its public key as a JWK (RFC 7517).
    pub jwk: String,
    /// The thumbprint of that key (RFC 7638), in base64url: no two accounts have the same.
    pub thumbprint: String,
    /// The server whose certificates it may ask for.
    pub server: Fqdn,
    /// The ticket it was opened with.
    pub kid: String,
}

/// An ACME account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// Its number: never used again.
    pub id: AccountId,
    /// Its public key as a JWK.
    pub jwk: String,
    /// The thumbprint of that key.
    pub thumbprint: String,
    /// The server whose certificates it may ask for.
    pub server: Fqdn,
    /// The ticket it was opened with.
    pub kid: String,
    /// Whether it counts.
    pub status: AccountStatus,
    /// When it was opened.
    pub created: SystemTime,
}

/// Tickets and accounts. Each change is an event of the [audit log](crate::AuditLog), written in the same transaction.
pub trait Enrolments: Send + Sync {
    /// Opens a ticket; [`Error::Full`](crate::Error::Full) when its server has as many open ones as it may.
    fn open_enrolment(&self, ticket: &Ticket, now: SystemTime) -> impl Future<Output = Result<()>> + Send;

    /// The ticket of this name, whatever became of it.
    fn enrolment(&self, kid: &str) -> impl Future<Output = Result<Option<Enrolment>>> + Send;

    /// The tickets that can be burnt at `now`, by server.
    fn open_enrolments(&self, now: SystemTime) -> impl Future<Output = Result<Vec<Enrolment>>> + Send;

    /// The servers that could get a certificate at `now`: by an open ticket, or an account that counts.
    fn enrolled(&self, now: SystemTime) -> impl Future<Output = Result<Vec<Fqdn>>> + Send;

    /// Burns a ticket, exactly once whoever else tries, and wipes its key; [`Error::TicketSpent`](crate::Error::TicketSpent) when
    /// it was burnt, is void, expired, or unknown (row N33).
    fn burn(&self, kid: &str, now: SystemTime) -> impl Future<Output = Result<Enrolment>> + Send;

    /// Makes the open tickets of a server void; gives how many those were.
    fn void_enrolments(&self, server: &Fqdn, now: SystemTime) -> impl Future<Output = Result<usize>> + Send;

    /// Opens an account. [`Error::KeyTaken`](crate::Error::KeyTaken) when there is one with this key, valid or not;
    /// [`Error::Full`](crate::Error::Full) when its server has as many as it may.
    fn add_account(&self, account: &NewAccount, now: SystemTime) -> impl Future<Output = Result<AccountId>> + Send;

    /// The account of this number.
    fn account(&self, id: AccountId) -> impl Future<Output = Result<Option<Account>>> + Send;

    /// The account with the key of this thumbprint.
    fn account_of_key(&self, thumbprint: &str) -> impl Future<Output = Result<Option<Account>>> + Send;

    /// The accounts of a server, by number.
    fn accounts_of(&self, server: &Fqdn) -> impl Future<Output = Result<Vec<Account>>> + Send;

    /// Gives an account another key (RFC 8555 §7.3.5). [`Error::KeyTaken`](crate::Error::KeyTaken) when another has it;
    /// [`Error::NoSuchAccount`](crate::Error::NoSuchAccount) when there is none of this number that counts.
    fn replace_account_key(&self, id: AccountId, jwk: &str, thumbprint: &str, now: SystemTime) -> impl Future<Output = Result<()>> + Send;

    /// Ends an account, for good; [`Error::NoSuchAccount`](crate::Error::NoSuchAccount) when there is none of this number that
    /// counts.
    fn deactivate_account(&self, id: AccountId, now: SystemTime) -> impl Future<Output = Result<()>> + Send;

    /// Ends all accounts of a server; gives how many those were.
    fn deactivate_accounts_of(&self, server: &Fqdn, now: SystemTime) -> impl Future<Output = Result<usize>> + Send;
}
