//! `verbund up` and the commands that talk to it, as a person or a script meets them: the real program, real TLS.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod backup;
mod ceremony;
mod commands;
mod errors;
mod keys;
mod network;
mod ocsp;
mod refusals;
mod rollover;
mod separation;
mod signals;
mod starts;
mod token;
mod topology;
mod users;
