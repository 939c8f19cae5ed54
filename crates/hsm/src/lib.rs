//! A CA's private key in a token (PKCS #11): made there, and it never comes out. This crate talks to the world.
//!
//! Where the key lies is a [`KeyUri`] (RFC 7512); [`TokenKey`] signs with it and is a [`pki::CaKey`] like a key
//! in a file. What is signed is left to `pki`.

mod key;
mod module;
mod uri;
mod worker;

pub use key::{TokenFault, TokenKey};
pub use uri::{KeyUri, KeyUriFault};
