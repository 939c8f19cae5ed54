//! Administration: HTTP and JSON over a socket in the data directory, for its owner alone.
//!
//! Who may speak is settled by the kernel (the directory's mode, the socket's mode, the uid of the other process); what
//! is done is left to the [`Admin`] behind it. [`serve`] is the server's side, [`Client`] the command's.

mod client;
mod password;
mod problem;
mod records;
mod routes;
mod socket;

use registrar::UserName;

pub use client::{Client, ClientError};
pub use password::Password;
pub use problem::Problem;
pub use records::{Certificate, Connection, Created, Decision, NewPassword, NewUser, Registration, Status, User, rfc3339};
pub use socket::{SOCKET, Socket, SocketError, serve};

use crate::Answer;

/// Where the API lives, below the version of its shape.
const VERSION: &str = "/v1";

/// How many decisions are told when nobody says how many, and at most.
pub const DECISIONS_DEFAULT: usize = 100;
/// See [`DECISIONS_DEFAULT`].
pub const DECISIONS_MAX: usize = 10_000;

/// A running server, as its administrator sees it.
///
/// Names arrive parsed, never as raw text. A [`Problem`] says what happened and what to do.
pub trait Admin: Send + Sync + 'static {
    /// Who and what is connected, registered and certified.
    fn status(&self) -> Answer<'_, Result<Status, Problem>>;

    /// All users.
    fn users(&self) -> Answer<'_, Result<Vec<User>, Problem>>;

    /// Makes a user, with this password or one made for it; 409 when there is one.
    fn add_user(&self, user: UserName, password: Option<Password>) -> Answer<'_, Result<Created, Problem>>;

    /// Gives a user this password or one made for it, and cuts what was signed in with the old one; 404 when there is
    /// no such user.
    fn set_password(&self, user: UserName, password: Option<Password>) -> Answer<'_, Result<Created, Problem>>;

    /// Takes a user out and cuts what is signed in; 404 when there is no such user.
    fn remove_user(&self, user: UserName) -> Answer<'_, Result<(), Problem>>;

    /// The certificates in force.
    fn certificates(&self) -> Answer<'_, Result<Vec<Certificate>, Problem>>;

    /// The latest verdicts on who may connect, the newest first; at most `limit`.
    fn decisions(&self, limit: usize) -> Answer<'_, Result<Vec<Decision>, Problem>>;
}
