//! Was this certificate revoked? Answered to anybody who asks, one certificate at a time (OCSP, RFC 6960).
//!
//! Our own members do not ask: they hold whole revocation lists. This is for everybody else, and for
//! stapling. What the answer is, the caller knows; here requests are read, bounded, answers signed and kept,
//! and stapled answers read. Start with [`Question`] (somebody asked), [`Responder`] (who answers) and
//! [`read_staple`] (somebody answered before we asked).

mod issuer;
mod kept;
mod question;
mod responder;
mod staple;

pub use kept::{ANSWERS_KEPT_MAX, Kept};
pub use question::{NONCE_BYTES_MAX, Question, REQUEST_BYTES_MAX, REQUEST_CERTIFICATES_MAX, request};
pub use responder::{ANSWER_VALIDITY, NoAnswer, Responder, ResponderFault, Status};
pub use staple::{CLOCK_SKEW_MAX, STAPLE_BYTES_MAX, STAPLE_CERTIFICATES_MAX, StapleFault, Stapled, read_staple};
