//! The names of tickets and accounts: short, and harmless in a URL, a header and a log.

use std::fmt;
use std::str::FromStr;

/// The longest name of a ticket or an account.
const IDENTIFIER_BYTES_MAX: usize = 64;

/// Why a text is no name of a ticket or an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("such a name is made of 1 to {IDENTIFIER_BYTES_MAX} of A-Z a-z 0-9 - and _")]
pub struct IdentifierFault;

fn checked(text: &str) -> Result<String, IdentifierFault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
    if good { Ok(text.to_owned()) } else { Err(IdentifierFault) }
}

/// The name of a ticket: `kid` of an external account binding (RFC 8555 §7.3.4), user name of EST's Basic.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TicketId(String);

/// The name of an account: the last part of its URL.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId(String);

macro_rules! identifier {
    ($name:ident) => {
        impl $name {
            /// Reads one.
            ///
            /// # Errors
            /// Empty, too long, or another character.
            pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
                checked(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentifierFault;
            fn from_str(text: &str) -> Result<Self, IdentifierFault> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

identifier!(TicketId);
identifier!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_harmless() {
        for good in ["a", "A-z_9", &"x".repeat(64)] {
            assert!(TicketId::parse(good).is_ok() && AccountId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "..", "a:b", "ä", "a\n", &"x".repeat(65)] {
            assert!(TicketId::parse(bad).is_err() && AccountId::parse(bad).is_err(), "{bad}");
        }
    }
}
