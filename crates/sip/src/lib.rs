//! SIP messages: from the bytes of a stream to something that can be asked, and back.
//!
//! This crate knows what a message *says* (RFC 3261), not what should become of it; `proxy` and
//! `registrar` decide that. Start with [`Framer`] (a stream becomes messages), then [`Message`]
//! (nothing is interpreted until asked), then [`Rewrite`] (copy through, change planned ranges only).
//!
//! The framer and the parser are one scan over one buffer, so they cannot disagree about where a
//! message ends: that disagreement is what request smuggling lives on (row N37).

mod compose;
mod fault;
mod framer;
mod limits;
mod message;
mod name;
mod rewrite;
mod scan;
pub mod sdp;
mod status;
mod uri;
mod values;

pub use compose::{Reply, ack_for_failure, cancel};
pub use fault::{Fault, Reason};
pub use framer::{Frame, Framer};
pub use limits::Limits;
pub use message::{Field, Message};
pub use name::Name;
pub use rewrite::Rewrite;
pub use status::Status;
pub use uri::{Host, Params, Scheme, Uri};
pub use values::{CSeq, Credentials, NameAddr, Via};
