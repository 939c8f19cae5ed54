//! HTTPS towards one server: its address is given, its name is proved by its certificate, no DNS is asked.
//!
//! How the certificate is judged is decided by the TLS configuration that the caller brings
//! (`trust::tls`). Every wait and every body has a limit. [`root`] fetches the root that a join string pins;
//! [`acme`] enrols a member.

pub mod acme;
pub mod root;
mod target;

pub use target::{CallError, Response, Target};
