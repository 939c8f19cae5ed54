//! Several servers: what their users do with each other, and what becomes of those who pretend to be one.
#![allow(clippy::unwrap_used)]

mod calls;
mod cast;
mod certificates;
mod director;
mod domains;
mod failover;
mod forgeries;
mod links;
mod refusals;
