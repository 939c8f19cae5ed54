//! JSON Web Signatures as ACME uses them (RFC 7515, RFC 7517, RFC 8555 §6.2), read strictly.

mod key;
mod signed;

pub use key::{AccountKey, Algorithm, KeyFault};
pub use signed::{Signed, SignedFault, Signer};
