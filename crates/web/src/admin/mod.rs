//! Administration: HTTP and JSON over a socket in the data directory, for its owner alone.
//!
//! Who may speak is settled by the kernel (the directory's mode, the socket's mode, the uid of the other process); what
//! is done is left to the [`Admin`] behind it. [`serve`] is the server's side, [`Client`] the command's.

mod audit;
mod caller;
mod client;
mod password;
mod problem;
mod records;
mod replacement;
mod routes;
mod socket;

use pki::Fqdn;
use registrar::UserName;

pub use audit::{AuditLink, AuditVerdict, BackupNote, LeftBehind, Noted};
pub(crate) use caller::{as_caller, for_caller};
pub use caller::{caller, local_user};
pub use client::{Client, ClientError};
pub use password::Password;
pub use problem::Problem;
pub use records::{
    Added, Certificate, Chain, Connection, Created, Decision, Document, Expiry, Judgement, Member, Moved, NewHome, NewPassword, NewServer,
    NewUser, PublishedTopology, Registration, Revocation, ServerLink, Spread, Status, User, rfc3339,
};
pub use replacement::{CaReplacement, CaRequest, NewReplacement, SignedCa};
pub use socket::{SOCKET, Socket, SocketError, serve};

use crate::Answer;

/// Where the API lives, below the version of its shape.
const VERSION: &str = "/v1";

/// How many decisions of each verdict are told when nobody says how many, and at most.
pub const DECISIONS_DEFAULT: usize = 100;
/// See [`DECISIONS_DEFAULT`].
pub const DECISIONS_MAX: usize = 10_000;
/// How many ends of the audit log may be given to be checked against.
pub const NOTED_MAX: usize = 100;

/// A running server, as its administrator sees it.
///
/// Names arrive parsed, never as raw text. A [`Problem`] says what happened and what to do.
pub trait Admin: Send + Sync + 'static {
    /// Who and what is connected, registered and certified.
    fn status(&self) -> Answer<'_, Result<Status, Problem>>;

    /// All users.
    fn users(&self) -> Answer<'_, Result<Vec<User>, Problem>>;

    /// Makes a user, with this password or one made for it, whose home is this pool or ours; 409 when there is one.
    fn add_user(&self, user: UserName, password: Option<Password>, pool: Option<Fqdn>) -> Answer<'_, Result<Created, Problem>>;

    /// Gives a user this password or one made for it, and cuts what was signed in with the old one; 404 when there is
    /// no such user.
    fn set_password(&self, user: UserName, password: Option<Password>) -> Answer<'_, Result<Created, Problem>>;

    /// Takes a user out and cuts what is signed in; 404 when there is no such user.
    fn remove_user(&self, user: UserName) -> Answer<'_, Result<(), Problem>>;

    /// The certificates in force.
    fn certificates(&self) -> Answer<'_, Result<Vec<Certificate>, Problem>>;

    /// The latest verdicts on who may connect, the newest first; at most `of_each` that said yes, and as many that said no.
    fn decisions(&self, of_each: usize) -> Answer<'_, Result<Vec<Decision>, Problem>>;

    /// The organisation's side of things, where this server is its authority; a [`Problem`] that says who is elsewhere.
    fn authority(&self) -> Result<&dyn Organisation, Problem>;
}

/// What only the authority can do.
pub trait Organisation: Send + Sync {
    /// Lists a server as expected and opens a ticket for it. A pool that is unknown is made only if `new_pool`; else 404.
    fn add_server(&self, name: Fqdn, role: String, pool: Option<Fqdn>, new_pool: bool) -> Answer<'_, Result<Added, Problem>>;

    /// Takes a server out of the topology and publishes; its connections are cut (row N15).
    fn remove_server(&self, name: Fqdn) -> Answer<'_, Result<Spread, Problem>>;

    /// Signs and publishes a topology.
    fn publish(&self, document: String) -> Answer<'_, Result<Spread, Problem>>;

    /// Why a topology could not be published now; changes nothing.
    fn judge(&self, document: String) -> Answer<'_, Result<Judgement, Problem>>;

    /// The topology of this version, or the one in force; 404 when there is none.
    fn topology(&self, version: Option<u64>) -> Answer<'_, Result<PublishedTopology, Problem>>;

    /// The versions published so far, the newest first, without their documents.
    fn history(&self, limit: usize) -> Answer<'_, Result<Vec<PublishedTopology>, Problem>>;

    /// Every listed server, and what is in force there.
    fn members(&self) -> Answer<'_, Result<Vec<Member>, Problem>>;

    /// Revokes every certificate of this name (a server, a user, or a serial number) and waits a while for members to
    /// put that into force (row N5).
    fn revoke(&self, name: String) -> Answer<'_, Result<Spread, Problem>>;

    /// Every certificate that counts now or later, the first to end first.
    fn ledger(&self, limit: usize) -> Answer<'_, Result<Vec<Certificate>, Problem>>;

    /// Everything in the organisation that ends, the first to end first.
    fn expiries(&self) -> Answer<'_, Result<Vec<Expiry>, Problem>>;

    /// Issues a server's certificate for a request (PKCS#10 in PEM): names come from the topology.
    fn sign(&self, server: Fqdn, request: String) -> Answer<'_, Result<Chain, Problem>>;

    /// Ends the waiting of an authority that was put back from a backup for members that have not shown what they hold.
    fn go_on(&self) -> Answer<'_, Result<LeftBehind, Problem>> {
        Box::pin(async { Err(nothing_to_go_on_with()) })
    }

    /// Enters into the audit log that a backup was written, and signs the end of the log.
    fn backed_up(&self, sha256: String) -> Answer<'_, Result<(), Problem>> {
        let _ = sha256;
        Box::pin(async { Err(no_audit_log()) })
    }

    /// Gives a user another home; 404 when there is no such user or pool.
    fn move_user(&self, user: UserName, pool: Fqdn) -> Answer<'_, Result<Moved, Problem>>;

    /// Issues a certificate for a user's sign-in, for a request (PKCS#10 in PEM): the name is the user's.
    fn sign_user(&self, user: UserName, request: String) -> Answer<'_, Result<Chain, Problem>>;
    /// Begins to replace the root or the issuing CAs; 409 while that is under way already.
    fn replace_ca(&self, new: NewReplacement) -> Answer<'_, Result<CaReplacement, Problem>> {
        let _ = new;
        Box::pin(async { Err(no_replacement()) })
    }

    /// Makes the keys of new issuing CAs, and what an offline root has to sign for them.
    fn request_ca(&self, new: NewReplacement) -> Answer<'_, Result<Vec<CaRequest>, Problem>> {
        let _ = new;
        Box::pin(async { Err(no_replacement()) })
    }

    /// How far a replacement has come, and what it waits for; nothing while none is under way.
    fn ca_replacement(&self) -> Answer<'_, Result<Option<CaReplacement>, Problem>> {
        Box::pin(async { Err(no_replacement()) })
    }

    /// Gives a replacement up, as long as nobody was switched.
    fn give_up_ca_replacement(&self) -> Answer<'_, Result<(), Problem>> {
        Box::pin(async { Err(no_replacement()) })
    }

    /// The newest links of the audit log first; at most `limit`.
    fn audit(&self, limit: usize) -> Answer<'_, Result<Vec<AuditLink>, Problem>> {
        let _ = limit;
        Box::pin(async { Err(no_audit_log()) })
    }

    /// Reads the whole audit log: does every link fit, and does it reach all that was signed, or `noted` elsewhere
    /// (each as `NUMBER:HASH`)? A broken log is an answer, not a [`Problem`].
    fn verify_audit(&self, noted: Vec<String>) -> Answer<'_, Result<AuditVerdict, Problem>> {
        let _ = noted;
        Box::pin(async { Err(no_audit_log()) })
    }
}

fn no_replacement() -> Problem {
    Problem::not_found("the CA is not replaced here", "ask the authority")
}

/// See [`Organisation::go_on`].
fn nothing_to_go_on_with() -> Problem {
    Problem::not_found("this server waits for nobody", "ask the authority")
}

fn no_audit_log() -> Problem {
    Problem::not_found("no audit log is kept here", "ask the authority")
}
