//! HTTPS: pages for everyone (health, metrics, roots, revocation lists), enrolment for servers, the control channel for
//! members; and administration for the owner of the data directory.
//!
//! What the answers are is left to whoever implements [`Health`], [`Published`], [`enrolment::Enrolment`],
//! [`control::Control`] and [`admin::Admin`]; how TLS is set up and who is trusted is `trust`'s affair. Start reading at
//! [`serve`] (HTTPS), then [`enrolment`], [`control`], [`admin::serve`] (a socket in the file system) and the callers'
//! sides: [`client`], [`control::ControlClient`], [`admin::Client`].

mod acme;
pub mod admin;
pub mod client;
mod connection;
pub mod control;
pub mod enrolment;
pub mod est;
mod gate;
mod handing;
mod https;
pub mod jose;
mod limits;
mod listener;
pub mod metrics;
mod pages;
mod places;
mod public;
mod published;
mod window;

use std::future::Future;
use std::pin::Pin;

pub use acme::DIRECTORY_PATH as ACME_DIRECTORY_PATH;
pub use gate::Gate;
pub use https::{Door, serve};
pub use limits::Limits;
pub use pages::{About, Desk, Health, Site};
pub use public::serve_public_http;
pub use published::{Published, RootOnly};
pub use window::Window;

/// An answer that takes its time, behind a trait object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Does a change in a task of its own: once begun it is carried through, though whoever asked for it is gone. What is
/// stored and not in force would be in the way of everything after it. `broke_off` is what is answered when it panicked.
pub fn to_the_end<T, E>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
    broke_off: impl FnOnce() -> E + Send + 'static,
) -> Answer<'static, Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    let change = tokio::spawn(admin::as_caller(change));
    Box::pin(async move { change.await.unwrap_or_else(|_| Err(broke_off())) })
}
