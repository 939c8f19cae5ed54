//! A ticket: one server's right to its first certificate, once and not for long.

use std::fmt;
use std::time::SystemTime;

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::Fqdn;
use zeroize::Zeroizing;

use super::{Fault, TicketId};

/// What a ticket allows, as the policy engine knows it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its name.
    pub id: TicketId,
    /// Its key.
    pub key: TicketKey,
    /// The server that may join with it.
    pub member: Fqdn,
    /// Whether it still counts.
    pub state: TicketState,
}

/// Whether a ticket still counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TicketState {
    /// It does.
    Open,
    /// A certificate was fetched with it.
    Used {
        /// When.
        at: SystemTime,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        at: SystemTime,
    },
    /// It was taken back.
    Withdrawn,
}

impl Ticket {
    /// Whether it still counts, as a reason why not.
    ///
    /// # Errors
    /// It was used, ended, or was taken back (row N33).
    pub fn check(&self) -> Result<(), Fault> {
        match self.state {
            TicketState::Open => Ok(()),
            TicketState::Used { at } => Err(Fault::TicketUsed { at }),
            TicketState::Expired { at } => Err(Fault::TicketExpired { at }),
            TicketState::Withdrawn => Err(Fault::TicketWithdrawn),
        }
    }
}

/// The secret of a ticket: the HMAC key of an external account binding, the password of EST. Wiped when
/// dropped, not printable by accident.
#[derive(Clone)]
pub struct TicketKey(Zeroizing<Vec<u8>>);

/// Why a text is no key of a ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a ticket's key is {} to {} bytes in base64url", TicketKey::BYTES_MIN, TicketKey::BYTES_MAX)]
pub struct TicketKeyFault;

impl TicketKey {
    /// The shortest key: HS256 wants as many bits as its digest has (RFC 7518 §3.2).
    pub const BYTES_MIN: usize = 32;
    /// The longest.
    pub const BYTES_MAX: usize = 64;

    /// These bytes.
    ///
    /// # Errors
    /// Too few or too many.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TicketKeyFault> {
        let bytes = Zeroizing::new(bytes.into());
        if (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(TicketKeyFault) }
    }

    /// From its text: base64url without padding, as join strings and passwords have it.
    ///
    /// # Errors
    /// Another alphabet, too short or too long.
    pub fn from_text(text: &str) -> Result<Self, TicketKeyFault> {
        Self::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketKeyFault)?)
    }

    /// As text.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*self.0))
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `tag` is the HMAC-SHA-256 of `message` under this key; takes the same time either way.
    pub(crate) fn has_signed(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message, tag).is_ok()
    }

    /// Whether `text` is this key; takes the same time either way.
    pub(crate) fn is(&self, text: &str) -> bool {
        constant_time::verify_slices_are_equal(self.to_text().as_bytes(), text.as_bytes()).is_ok()
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TicketKey(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_size_of_its_digest_at_least() {
        assert!(TicketKey::new([1; 31]).is_err() && TicketKey::new([1; 65]).is_err());
        assert!(TicketKey::new([1; 32]).is_ok() && TicketKey::new([1; 64]).is_ok());
    }

    #[test]
    fn a_key_survives_its_text_and_cannot_be_printed() {
        let key = TicketKey::new([7; 32]).unwrap();
        let again = TicketKey::from_text(&key.to_text()).unwrap();
        assert!(again.is(&key.to_text()) && !again.is("x") && !again.is(""));
        assert_eq!(format!("{key:?}"), "TicketKey(..)");
    }
}
