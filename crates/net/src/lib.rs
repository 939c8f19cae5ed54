//! Sockets, TLS and the clock: the rim around a [`Core`], which is `node::Node`.
//!
//! Accepts TCP on every port and opens links to other servers, runs TLS handshakes within bounds, asks `trust` who is
//! there (and asks again when what it goes by has changed), cuts streams into SIP messages, hands them to the core's one
//! task and carries out what that decides. What a message *means* is the core's affair; who may be there is `trust`'s;
//! HTTPS is `web`'s. Nothing here speaks clear text.
//!
//! Start with [`Server::on`], then `task` and `dial` (the life of a connection that came in, and of one that we open) and
//! `core_task` (the task that owns the core).

mod alarm;
mod connection;
mod core;
mod core_task;
mod dial;
mod facts;
mod farewell;
mod fault;
mod gate;
mod handle;
mod handshake;
mod limits;
mod link;
mod listener;
mod meters;
mod open_files;
mod queues;
mod rejudge;
mod scratch;
mod server;
mod server_name;
mod share;
mod shared;
mod sources;
mod task;
mod tls;
mod verdicts;
mod way;

pub use core::Core;
pub use facts::{Connection, Direction};
pub use gate::{Dialler, Gate};
pub use handle::Handle;
pub use limits::Limits;
pub use listener::{BindError, listen};
pub use rejudge::Rejudged;
pub use server::Server;
