//! Enrolment: how a server gets its certificate, and what is asked of the authority for it.
//!
//! The protocols (ACME, EST) are here; who may have which certificate is left to whoever implements
//! [`Enrolment`]: one policy under all protocols. It hears nothing of HTTP, only of tickets, accounts,
//! names and requests, each of them read and proved: a [`TicketId`] comes only from a request whose
//! author showed that he holds the ticket's key, an [`AccountId`] only with the account's signature.

mod fault;
mod identifiers;
mod ticket;

use std::sync::Arc;
use std::time::SystemTime;

use pki::{CertificateDer, Fqdn, Serial};

pub use fault::Fault;
pub use identifiers::{AccountId, IdentifierFault, TicketId};
pub use ticket::{Ticket, TicketKey, TicketKeyFault, TicketState};

use crate::Answer;
use crate::jose::AccountKey;

/// Who asks for a certificate. He has proved it; what he may have is the policy's affair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Applicant {
    /// The holder of an ACME account's key (also when his certificate has ended).
    Account(AccountId),
    /// The holder of a ticket, by EST's password.
    Ticket(TicketId),
    /// A server whose certificate was judged in the handshake (EST re-enrolment).
    Member(Fqdn),
}

/// An ACME account (RFC 8555 §7.1.2): the key of one member, bound to the ticket it came with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// The last part of its URL.
    pub id: AccountId,
    /// Its public key.
    pub key: AccountKey,
    /// The server it stands for.
    pub member: Fqdn,
    /// Whether it may still ask.
    pub state: AccountState,
}

/// Whether an account may still ask (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountState {
    /// It may.
    Valid,
    /// Its owner gave it up.
    Deactivated,
    /// We took it away: its member was revoked or removed.
    Revoked,
}

/// Who asks for a revocation (RFC 8555 §7.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Revoker {
    /// The holder of an account; the policy looks whether the certificate is that member's.
    Account(AccountId),
    /// The holder of the certificate's own key.
    CertificateKey,
}

/// Which certificate renewal information is asked about (RFC 9773 §4.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CertificateId {
    /// The issuer's key identifier (the certificate's authority key identifier).
    pub authority_key: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
}

/// When a certificate is to be renewed (RFC 9773 §4.2); a window that lies in the past means now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RenewalWindow {
    /// From when on.
    pub start: SystemTime,
    /// Until when; later than `start`.
    pub end: SystemTime,
}

/// The policy engine. What it refuses, it refuses with a [`Fault`]; the protocols put that in their own words.
pub trait Enrolment: Send + Sync + 'static {
    /// A ticket with its key and state; `None` when there is none of that name. The state is told only
    /// to who proves to hold the key.
    fn ticket<'a>(&'a self, id: &'a TicketId) -> Answer<'a, Result<Option<Ticket>, Fault>>;

    /// The account of this key.
    fn account_of<'a>(&'a self, key: &'a AccountKey) -> Answer<'a, Result<Option<Account>, Fault>>;

    /// The account of this name.
    fn account<'a>(&'a self, id: &'a AccountId) -> Answer<'a, Result<Option<Account>, Fault>>;

    /// Makes an account for the ticket's member. The caller proved to hold both keys; that the ticket is
    /// still open is checked here once more, in one step with the making. A ticket is tied to the first key
    /// that comes with it: the same key gets its account again (the first answer was lost), another one is
    /// [`Fault::TicketOfAnotherKey`] (row N33).
    fn create_account(&self, ticket: TicketId, key: AccountKey) -> Answer<'_, Result<Account, Fault>>;

    /// Gives an account up (RFC 8555 §7.3.6).
    fn deactivate_account(&self, id: AccountId) -> Answer<'_, Result<Account, Fault>>;

    /// Puts another key in place of an account's (RFC 8555 §7.3.5); [`Fault::KeyInUse`] when another account has it.
    fn change_key(&self, id: AccountId, key: AccountKey) -> Answer<'_, Result<Account, Fault>>;

    /// May the applicant have a certificate for these names? What his topology entry does not list is
    /// [`Fault::NamesOutside`] (row N33).
    fn authorize<'a>(&'a self, applicant: &'a Applicant, names: &'a [Fqdn]) -> Answer<'a, Result<(), Fault>>;

    /// Issues: the chain, the leaf first, without the root. Only the public key of the request (PKCS#10 in
    /// DER) is used, after its proof of possession was checked; the names come from the topology.
    fn issue(&self, applicant: Applicant, request: Vec<u8>) -> Answer<'_, Result<Vec<CertificateDer<'static>>, Fault>>;

    /// The certificate is about to be handed over: now its ticket is burnt. Nothing is handed over when this fails, or the
    /// ticket would be good once more. Called again when the certificate is fetched again.
    fn fetched(&self, leaf: CertificateDer<'static>) -> Answer<'_, Result<(), Fault>>;

    /// Whether this certificate was issued here. Whoever shows another one has proved nothing by its key.
    fn is_ours<'a>(&'a self, certificate: &'a CertificateDer<'static>) -> Answer<'a, Result<bool, Fault>>;

    /// Revokes a certificate, for a reason of RFC 5280 §5.3.1 that a requester may give (0, 1, 3, 4, 5). It is carried through,
    /// though the requester may be gone before the answer is.
    fn revoke(self: Arc<Self>, by: Revoker, certificate: CertificateDer<'static>, reason: u8) -> Answer<'static, Result<(), Fault>>;

    /// When to renew; `None` when the certificate is not ours.
    fn renewal_window<'a>(&'a self, certificate: &'a CertificateId) -> Answer<'a, Result<Option<RenewalWindow>, Fault>>;
}
