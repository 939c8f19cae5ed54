//! SIP messages: from the bytes of a stream to something that can be asked, and back.
//!
//! This crate knows what a message *says* (RFC 3261), not what should become of it; `proxy` and
//! `registrar` decide that. Start with [`Framer`] (a stream becomes messages), then [`Message`]
//! (nothing is interpreted until asked), then [`Rewrite`] (copy through, change planned ranges only).
//!
//! The framer and the parser are one scan over one buffer, so they cannot disagree about where a
//! message ends: that disagreement is what request smuggling lives on (row N37).

mod address;
mod chars;
mod compose;
mod credentials;
mod fault;
mod framer;
mod host;
mod limits;
mod lint;
mod message;
mod name;
mod params;
mod rewrite;
mod scan;
pub mod sdp;
mod start_line;
mod status;
mod uri;
mod validate;
mod values;
mod via;

pub use address::NameAddr;
pub use compose::{Reply, ack_for_failure, cancel};
pub use credentials::Credentials;
pub use fault::{Fault, Reason};
pub use framer::{Frame, Framer};
pub use host::Host;
pub use limits::Limits;
pub use lint::{Accepted, Note, Rejected, Verdict, lint};
pub use message::{Field, Message};
pub use name::Name;
pub use params::Params;
pub use rewrite::Rewrite;
pub use status::Status;
pub use uri::{Scheme, Uri};
pub use values::{CSeq, MediaType};
pub use via::Via;
