//! Scenes for tests: one signalling core, phones that reach it by real TLS in memory, and a clock that jumps.
//!
//! No socket, no task, no waiting: a scene of three minutes takes milliseconds and goes the same way every time.
//! Start with [`Sim`]; [`Phone`] makes what phones say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)] // a scene that cannot be set up must fail loudly

mod phone;
mod sim;
mod wire;

pub use phone::{CLEAR, ENCRYPTED, Phone};
pub use sim::{Line, Sim};
