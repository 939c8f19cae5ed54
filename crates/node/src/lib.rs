//! One running server's signalling core: who, what and when go in; messages and closings come out.
//!
//! It decides what a request may do and carries the decision out. Transactions and forking are `proxy`'s, bindings and
//! sign-in are `registrar`'s, who a connection belongs to is `trust`'s. Start with [`Node`], then `decide` (may it?) and `route`
//! (where to?); `links`, `place` and `among` are about the other servers.

mod among;
mod answer;
mod counters;
mod decide;
mod links;
mod node;
mod place;
mod probe;
mod route;
mod session;
mod vouch;

pub use counters::{Counters, Figures};
pub use links::{LinkLimits, LinkState, LinkStatus};
pub use node::{Arrival, Limits, Node, Output, Secrets, Settings};
pub use registrar::Registration;
