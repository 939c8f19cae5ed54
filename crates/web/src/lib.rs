//! HTTPS for everyone (health, metrics, the root certificate) and administration for the owner of the data directory.
//!
//! What the answers are is left to whoever implements [`Health`] and [`admin::Admin`]; how TLS is set up is `trust`'s
//! affair. Start reading at [`serve`] (HTTPS), then [`admin::serve`] (a socket in the file system) and
//! [`admin::Client`], which talks to it.

pub mod admin;
mod connection;
mod https;
mod limits;
pub mod metrics;
mod pages;
mod places;

use std::future::Future;
use std::pin::Pin;

pub use https::serve;
pub use limits::Limits;
pub use pages::{About, Health, Site};

/// An answer that takes its time, behind a trait object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
