//! Sockets, TLS and the clock: the rim around a [`Core`], which is `node::Node`.
//!
//! Accepts TCP, runs TLS handshakes within bounds, asks `trust` who is there, cuts streams into SIP messages, hands them
//! to the core's one task and carries out what that decides. What a message *means* is the core's affair; who may be
//! there is `trust`'s; HTTPS is `web`'s. No listener here speaks clear text.
//!
//! Start with [`Server::bind`], then `task` (the life of one connection) and `core` (the task that owns the core).

mod connection;
mod core;
mod facts;
mod farewell;
mod fault;
mod gate;
mod handshake;
mod limits;
mod link;
mod listener;
mod meters;
mod open_files;
mod scratch;
mod server;
mod server_name;
mod shared;
mod sources;
mod task;
mod tls;

pub use core::Core;
pub use facts::Connection;
pub use gate::Gate;
pub use limits::Limits;
pub use listener::{BindError, listen};
pub use server::{Handle, Server};
