//! Parameters behind a semicolon, in headers and URIs.

use std::borrow::Cow;

use crate::chars::{cut, is_param_value, is_token, split_outside_quotes, trim, unescape_quoted, without_quotes};

/// `;name=value;name` as it stands in a URI or header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'m>(&'m str);

impl<'m> Params<'m> {
    /// Nothing, or text from the first `;` on. Whoever makes one has looked at the grammar.
    pub(crate) fn new(text: &'m str) -> Self {
        Self(text)
    }

    /// A header's parameters: `*( SEMI generic-param )` (RFC 3261 §25.1), white space around the marks allowed.
    pub(crate) fn of_header(text: &'m str) -> Option<Self> {
        let text = trim(text);
        if text.is_empty() {
            return Some(Self(""));
        }
        let well_formed = |part: &str| match cut(part, b'=') {
            Some((name, value)) => is_token(trim(name)) && is_param_value(trim(value)),
            None => is_token(trim(part)),
        };
        split_outside_quotes(text.strip_prefix(';')?, b';').all(well_formed).then_some(Self(text))
    }

    /// The text, from the first `;`.
    #[must_use]
    pub fn as_str(&self) -> &'m str {
        self.0
    }

    /// Name and value of each; quotes around a value are kept.
    pub fn iter(&self) -> impl Iterator<Item = (&'m str, Option<&'m str>)> + use<'m> {
        split_outside_quotes(self.0, b';').map(trim).filter(|part| !part.is_empty()).map(|part| match cut(part, b'=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (part, None),
        })
    }

    /// Whether it stands there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Whether it stands there more than once, so that two readers may see two values.
    #[must_use]
    pub fn has_twice(&self, name: &str) -> bool {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).nth(1).is_some()
    }

    /// Its value, quotes taken off (escapes are left as they stand); `""` when it has none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'m str> {
        let (_, value) = self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(without_quotes(value.unwrap_or("")))
    }

    /// Its value, quotes taken off and `\"` resolved.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Cow<'m, str>> {
        self.value(name).map(unescape_quoted)
    }
}
