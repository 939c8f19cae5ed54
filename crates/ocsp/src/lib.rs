//! Was this certificate revoked? Answered to anybody who asks, one certificate at a time (OCSP, RFC 6960).
//!
//! Our own members do not ask: they hold whole revocation lists. This is for everybody else, and for
//! stapling. What the answer is, the caller knows; here requests are read, bounded, and answers signed.
//! Start with [`answer`] (somebody asked) and [`Responder::staple`] (nobody had to).

mod request;
mod responder;

pub use request::{NONCE_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_CERTIFICATES_MAX, request_of_path};
pub use responder::{ANSWER_VALIDITY, Responder, ResponderFault, Status, answer};
