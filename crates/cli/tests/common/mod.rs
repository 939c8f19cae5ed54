//! A running `verbund` and a small phone, for tests that use the real program.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod clock;
pub mod phone;
pub mod verbund;
