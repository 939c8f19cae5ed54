//! What becomes of a request: transactions and forking (RFC 3261 §16 and §17, RFC 6026, RFC 5393).
//!
//! Who sent it, whether they may, and where it should go is decided by `node`; sockets belong to `net`.
//! Start with [`Proxy`]: a message goes in, a [`NewRequest`] comes back for a decision, [`Forward`]
//! or an answer goes in, and bytes for flows come out.
//!
//! Everything runs over TLS, so nothing is ever sent twice: timers A, E and G do not exist, and D, I,
//! J and K are zero (RFC 3261 §17, table 4).

mod branch;
mod client;
mod compose;
mod context;
mod counters;
mod desk;
mod incoming;
mod key;
mod plan;
mod proxy;
mod request;
mod response;
mod secret;
mod settings;
mod table;
mod token;

pub use counters::Counters;
pub use plan::{Forward, NewRequest, Target, Wanted};
pub use proxy::Proxy;
pub use registrar::{Flow, UserName};
pub use settings::{FlowLimits, Limits, Settings, Timers};
pub use token::{End, Leg, Route};
pub use topology::MediaPolicy;
