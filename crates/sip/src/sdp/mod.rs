//! What a session description says about encryption (P3, row N26). It reads; it never edits.
//!
//! Start with [`check`]. Finding the descriptions in a message is `bodies`' chapter, judging one is
//! `description`'s, and what counts as a key is `keys`'.
//!
//! The reader is strict where two programs might read differently: what cannot be read for certain is
//! refused, for the phone behind us may read it in the way that hurts.

mod bodies;
mod description;
mod keys;

use crate::Message;

/// Bytes of one session description.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// Lines of one session description.
pub const DESCRIPTION_LINES_MAX: usize = 4_000;
/// How deep multipart bodies may be nested.
pub const MULTIPART_DEPTH_MAX: usize = 4;
/// Parts of one message's body, all levels together.
pub const PARTS_MAX: usize = 32;

/// Why a body may not pass where media must be encrypted. The words go into the Warning header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unprotected {
    /// A medium travels without SRTP.
    #[error("media must be encrypted: offer SRTP with SDES keys or with DTLS-SRTP")]
    ClearMedia,
    /// SRTP profile, but nothing to key it.
    #[error("the description names SRTP, but no key: a=crypto or a=fingerprint is missing")]
    NoKey,
    /// RFC 4568 session parameters that switch protection off.
    #[error("the SDES keys switch encryption or authentication off")]
    ProtectionOff,
    /// The description cannot be read.
    #[error("the session description cannot be read")]
    Unreadable,
    /// The description is packed so that nobody on the way can read it.
    #[error("the session description is encoded or enciphered and cannot be checked")]
    Opaque,
}

/// What the bodies of a message say about media. A message without a session description passes, and so
/// does a description without media.
///
/// # Errors
/// The first session description that would let media travel unencrypted, or could not be judged.
pub fn check(message: &Message) -> Result<(), Unprotected> {
    bodies::check(message)
}

/// The same of one session description alone.
///
/// # Errors
/// As [`check`].
pub fn check_description(text: &[u8]) -> Result<(), Unprotected> {
    description::check(text).map(drop)
}

/// What white space separates. Descriptions are read as bytes: what is judged in them is ASCII.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
        let text = &rest[start..];
        let (word, after) = text.split_at(memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len()));
        rest = after;
        Some(word)
    })
}

/// What stands before and behind the first `separator`.
fn cut(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    text.iter().position(|b| *b == separator).map(|at| (&text[..at], &text[at + 1..]))
}
