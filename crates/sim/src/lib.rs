//! Scenes for tests: signalling cores, phones that reach them by real TLS in memory, and a clock that jumps.
//!
//! No socket, no task, no waiting: a scene of three minutes takes milliseconds and goes the same way every time.
//! Start with [`Sim`], a single server, or [`Organisation`], several with mutual TLS between them; [`Phone`] makes what phones say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)] // a scene that cannot be set up must fail loudly

mod cable;
mod host;
mod organisation;
mod phone;
mod plan;
mod sim;
mod wire;

pub use host::Holder;
pub use organisation::Organisation;
pub use phone::{CLEAR, ENCRYPTED, Phone};
pub use plan::{Entry, OTHER_DOMAIN};
pub use sim::{Line, Sim};
