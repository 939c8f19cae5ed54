//! A member of the organisation: how it joins, what it holds, and how what it holds comes into force.
//!
//! What the authority signs is read by `pki` and `topology`, carried by `web`; who may connect because of it is
//! decided by `trust`. Start with [`JoinString`], then [`Holdings`] (what is believed), [`Member`] (that it is in force) and
//! [`Agent`] (the line to the authority).

mod agent;
mod catch_up;
pub mod disk;
mod holdings;
mod join;
mod member;
#[cfg(test)]
mod tests;
mod users;
mod way_back;

pub use agent::{About, Agent, jittered};
pub use catch_up::{CatchUpFault, authority_addresses, catch_up};
pub use holdings::{Believed, Changed, GRACE, Holdings, Refused};
pub use join::{JoinFault, JoinString};
pub use member::{Member, ShownCertificate, Taken, checks_sign_ins_of, directory};
pub use users::{Homed, USERS_MAX, Users, UsersChange, UsersFault, record};
