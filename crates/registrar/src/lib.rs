//! Where users can be reached right now, and how they prove who they are.
//!
//! Bindings (RFC 3261 §10) live and die with the connection they came in on (RFC 5626), sign-in is
//! digest (RFC 7616, 8760). What becomes of a request afterwards is `proxy`'s affair, who may connect
//! at all is `trust`'s, and keeping credentials on disk is `store`'s.
//!
//! Start with [`Challenger`] (a request's credentials become a [`UserName`] or a [`Denied`]), then
//! [`Registrar`] (a signed-in REGISTER becomes bindings; a user becomes [`Target`]s).
//!
//! Nothing here reads a clock, draws randomness or opens a socket: `Instant`s and keys are arguments.

mod binding;
mod bindings;
mod challenger;
mod contact;
mod credential;
mod digest;
mod fault;
mod flow;
mod nonce;
mod registered;
mod registrar;
mod replay;
mod throttle;
mod user;

pub use binding::{Registration, Target};
pub use challenger::{Challenge, Challenger, ChallengerCounters, Denied, NONCE_LIFETIME};
pub use credential::{Credential, Directory, DirectoryFull};
pub use digest::respond;
pub use fault::RegisterFault;
pub use flow::Flow;
pub use registered::{Limits, Registered, RegistrarCounters};
pub use registrar::Registrar;
pub use throttle::{Source, ThrottleLimits};
pub use user::{Aor, UserName, UserNameFault};
