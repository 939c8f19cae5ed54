//! The names of users, read once into a type that cannot be wrong.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use sip::Uri;

/// Longest user name, in bytes.
const USER_NAME_BYTES_MAX: usize = 64;

/// The name of a user of this organisation: what stands before `@` in the address-of-record.
///
/// 1 to 64 of `a-z 0-9 . _ - +`, kept in lower case. RFC 3261 §19.1.4 compares user parts by case, but
/// leaves their meaning to the home domain; here `Alice` and `alice` are one user, because two who
/// differ in case only would be taken for each other by people. The other unreserved characters are
/// left out: none of them needs escaping in a URI, a file name, a quoted string or a log line. At least one
/// letter or digit stands in it, for `.` and `..` are names of directories.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserName(Arc<str>);

/// Why a text is not a user name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UserNameFault {
    /// Nothing stands there.
    #[error("a user name must not be empty")]
    Empty,
    /// Longer than 64 bytes.
    #[error("a user name has at most {USER_NAME_BYTES_MAX} characters")]
    TooLong,
    /// A character that is not allowed, after unescaping.
    #[error("a user name is made of a-z, 0-9 and . _ - +; another character stands in it")]
    Character,
    /// Nothing but punctuation.
    #[error("a user name has at least one letter or digit")]
    Punctuation,
}

/// A name spelt out on the stack, lower-cased and unescaped: comparing needs no allocation.
struct Spelt {
    bytes: [u8; USER_NAME_BYTES_MAX],
    length: usize,
}

impl Spelt {
    fn read(bytes: impl Iterator<Item = Option<u8>>) -> Result<Self, UserNameFault> {
        let mut spelt = Self { bytes: [0; USER_NAME_BYTES_MAX], length: 0 };
        for byte in bytes {
            let byte = byte.ok_or(UserNameFault::Character)?.to_ascii_lowercase();
            if !(byte.is_ascii_alphanumeric() || b"._-+".contains(&byte)) {
                return Err(UserNameFault::Character);
            }
            *spelt.bytes.get_mut(spelt.length).ok_or(UserNameFault::TooLong)? = byte;
            spelt.length += 1;
        }
        match &spelt.bytes[..spelt.length] {
            [] => Err(UserNameFault::Empty),
            name if name.iter().any(u8::is_ascii_alphanumeric) => Ok(spelt),
            _ => Err(UserNameFault::Punctuation),
        }
    }

    fn as_str(&self) -> &str {
        // Only ASCII was let in.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// The bytes of a user part with each `%xx` read once; `None` where an escape is broken. What an escape
/// hides is checked like any other character, so `%00` or `%40` never becomes part of a name.
pub(crate) fn unescaped(text: &str) -> impl Iterator<Item = Option<u8>> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some(Some(byte));
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(), digit());
        Some(high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()))
    })
}

impl UserName {
    /// Reads a name as a person types it; upper case becomes lower case.
    ///
    /// # Errors
    /// See [`UserNameFault`].
    pub fn parse(text: &str) -> Result<Self, UserNameFault> {
        Ok(Self(Spelt::read(text.bytes().map(Some))?.as_str().into()))
    }

    /// The user part of a SIP URI, unescaped; `None` when there is none or it is not a name we give.
    #[must_use]
    pub fn of(uri: &Uri<'_>) -> Option<Self> {
        let spelt = Spelt::read(unescaped(uri.user.filter(|_| uri.is_sip())?)).ok()?;
        Some(Self(spelt.as_str().into()))
    }

    /// Whether `uri` is this user's address-of-record in `domain`; the same reading as [`Aor::of`],
    /// without an allocation.
    #[must_use]
    pub fn owns(&self, uri: &Uri<'_>, domain: &str) -> bool {
        uri.is_sip()
            && uri.host.is_name(domain)
            && uri.user.is_some_and(|user| Spelt::read(unescaped(user)).is_ok_and(|spelt| spelt.as_str() == &*self.0))
    }

    /// Sorts before every name: the start of a range.
    pub(crate) fn lowest() -> Self {
        Self("".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = UserNameFault;

    fn from_str(text: &str) -> Result<Self, UserNameFault> {
        Self::parse(text)
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserName({})", self.0)
    }
}

/// An address-of-record: the address of a user that does not say where they are (RFC 3261 §6).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Aor {
    /// Who.
    pub user: UserName,
    /// Of which organisation; lower case.
    pub domain: Arc<str>,
}

impl Aor {
    /// The address of `user` in `domain`.
    #[must_use]
    pub fn new(user: UserName, domain: &str) -> Self {
        Self { user, domain: domain.to_ascii_lowercase().into() }
    }

    /// Reads a URI as an address-of-record in `domain` (RFC 3261 §10.3 step 5): parameters, port and
    /// password do not count, escapes are undone. `None` when it is of another domain or names nobody.
    #[must_use]
    pub fn of(uri: &Uri<'_>, domain: &str) -> Option<Self> {
        uri.host.is_name(domain).then(|| UserName::of(uri)).flatten().map(|user| Self::new(user, domain))
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{}@{}", self.user, self.domain)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, UserNameFault>) {
        assert_eq!(UserName::parse(text).as_ref().map(UserName::as_str).map_err(|e| *e), expected, "{text:?}");
    }

    #[test]
    fn a_name_is_kept_in_lower_case() {
        check("Alice.B_c-d+1", Ok("alice.b_c-d+1"));
    }

    #[test]
    fn nothing_is_not_a_name() {
        check("", Err(UserNameFault::Empty));
    }

    #[test]
    fn a_name_has_at_most_64_bytes() {
        check(&"a".repeat(64), Ok(&"a".repeat(64)));
        check(&"a".repeat(65), Err(UserNameFault::TooLong));
    }

    #[test]
    fn a_name_has_no_character_that_needs_care() {
        for text in ["a b", "a@b", "a\"b", "a%62", "a\0", "a\r\nb", "a;b", "a:b", "a/b", "a\\b", "älice", "a\u{202e}b", "*", "<a>"] {
            check(text, Err(UserNameFault::Character));
        }
    }

    #[test]
    fn a_name_is_never_that_of_a_directory_above() {
        for text in [".", "..", "...", "-", "+", "._-+"] {
            check(text, Err(UserNameFault::Punctuation));
        }
        check("..a", Ok("..a"));
        check("+1", Ok("+1"));
    }

    fn aor(uri: &str) -> Option<String> {
        let uri = Uri::parse(uri).unwrap();
        let aor = Aor::of(&uri, "verbund.test");
        let same = UserName::parse("alice").unwrap().owns(&uri, "verbund.test");
        assert_eq!(same, aor.as_ref().is_some_and(|a| a.user.as_str() == "alice"), "owns() and of() read alike: {uri}");
        aor.map(|aor| aor.to_string())
    }

    #[test]
    fn an_aor_is_read_without_parameters_port_password_case_and_escapes() {
        for uri in [
            "sip:alice@verbund.test",
            "sips:alice@verbund.test",
            "sip:alice@verbund.test;transport=tls;user=phone",
            "sip:alice@verbund.test:5061",
            "sip:alice:secret@verbund.test",
            "sip:ALICE@Verbund.TEST.",
            "sip:%61lic%65@verbund.test",
        ] {
            assert_eq!(aor(uri).as_deref(), Some("sip:alice@verbund.test"), "{uri}");
        }
    }

    #[test]
    fn what_is_not_ours_is_no_aor_of_ours() {
        for uri in [
            "sip:alice@other.test",
            "sip:verbund.test",
            "sip:alice@sub.verbund.test",
            "sip:alice%00@verbund.test",
            "sip:alice%40verbund.test@verbund.test",
            "sip:alic%2565@verbund.test",
            "sip:alice;x=y@verbund.test",
            "tel:+491234",
        ] {
            assert_eq!(aor(uri), None, "{uri}");
        }
    }
}
