//! A member of the organisation: how it joins, what it holds, and how what it holds comes into force.
//!
//! What the authority signs is read by `pki` and `topology`, carried by `web`; who may connect because of it is
//! decided by `trust`. Start with [`JoinString`].

mod join;

pub use join::{JoinFault, JoinString};
