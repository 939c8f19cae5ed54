//! Who is at the other end of a connection, and may they be there?
//!
//! The answer is a [`Peer`] or a [`Refusal`], with a [`DecisionRecord`] that says why; nothing else
//! in the workspace decides this. What a peer may ask for afterwards is left to `node` and `proxy`,
//! sockets to `net`.
//!
//! Start with [`judge()`] for whoever calls us, [`judge_answer()`] for whoever answers our call. [`tls`] makes the rustls configurations that ask the same question during
//! the handshake.

mod judge;
mod peer;
mod policy;
mod record;
mod refusal;
pub mod tls;

pub use judge::{Decision, judge, judge_answer};
pub use peer::{Listener, Peer};
pub use policy::{LivePolicy, Policy};
pub use record::{Contact, DecisionRecord, Direction, Records, ShownCertificate, TlsFacts};
pub use refusal::Refusal;
