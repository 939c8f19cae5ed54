//! The value of an authentication header, read into scheme and parameters. Whether it proves anything is `registrar`'s affair.

use std::{borrow::Cow, fmt};

use crate::chars::{is_param_value, is_space, is_token, split_outside_quotes, trim, unescape_quoted, without_quotes};

/// `Digest a=b, c="d"`: a challenge or what answers it (RFC 7616, RFC 3261 §25.1). Never log it.
#[derive(Clone, Copy)]
pub struct Credentials<'m> {
    /// `Digest`, as it stood.
    pub scheme: &'m str,
    rest: &'m str,
}

/// Parameters of one value; a name may stand there once, which is looked at pair by pair.
const PARAMS_MAX: usize = 32;

impl<'m> Credentials<'m> {
    /// Reads one value. Of the Digest scheme every parameter must be `name=value`, each name once: two
    /// readers must not see two users. Other schemes are opaque.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let text = trim(text);
        let (scheme, rest) = text.split_at(text.bytes().position(is_space)?);
        let credentials = Self { scheme, rest: trim(rest) };
        Some(credentials).filter(|c| is_token(scheme) && (!c.is_digest() || c.is_well_formed()))
    }

    /// `Digest`, in any case.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    fn params(&self) -> impl Iterator<Item = (&'m str, &'m str)> + use<'m> {
        let pair = |part: &'m str| part.split_once('=').map_or((part, ""), |(name, value)| (trim(name), trim(value)));
        split_outside_quotes(self.rest, b',').map(pair)
    }

    fn is_well_formed(&self) -> bool {
        let mut names: [&str; PARAMS_MAX] = [""; PARAMS_MAX];
        self.params().enumerate().all(|(at, (name, value))| {
            let known = names[..at.min(PARAMS_MAX)].iter().any(|n| n.eq_ignore_ascii_case(name));
            match names.get_mut(at) {
                Some(slot) if !known && is_token(name) && is_param_value(value) => *slot = name,
                _ => return false,
            }
            true
        })
    }

    /// A parameter's value, quotes taken off (escapes are left as they stand, as in `response` computations
    /// of clients that never escape; see [`unquoted`](Self::unquoted)).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'m str> {
        self.params().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| without_quotes(value))
    }

    /// A parameter's value, quotes taken off and `\"` resolved: `unq()` of RFC 7616 §3.4.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Cow<'m, str>> {
        self.value(name).map(unescape_quoted)
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_case_and_without_quotes() {
        let digest = Credentials::parse("Digest username=\"a, b\",\r\n realm = \"x=y\" , nc=00000001, QOP=auth").unwrap();
        assert!(digest.is_digest());
        assert_eq!(digest.value("username"), Some("a, b"));
        assert_eq!(digest.value("Realm"), Some("x=y"));
        assert_eq!(digest.value("nc"), Some("00000001"));
        assert_eq!(digest.value("qop"), Some("auth"));
        assert_eq!(digest.value("opaque"), None);
    }

    #[test]
    fn quoted_pairs_are_resolved_when_asked() {
        let digest = Credentials::parse(r#"Digest username="a\"b\\", response="1""#).unwrap();
        assert_eq!(digest.value("username"), Some(r#"a\"b\\"#));
        assert_eq!(digest.unquoted("username").unwrap(), r#"a"b\"#);
        assert_eq!(digest.value("response"), Some("1"));
    }

    #[test]
    fn two_readers_never_see_two_users() {
        for text in
            ["Digest username=\"a\", Username=\"b\"", "Digest username=\"a", "Digest username=\"a\"x, b=\"c\"", "Digest a b=c", "Digest"]
        {
            assert!(Credentials::parse(text).is_none(), "{text}");
        }
        for text in ["Digest ,a=b", "Digest a=b,", "Digest a", "Digest a=", "", "=x y", "Digest a=b c"] {
            assert!(Credentials::parse(text).is_none(), "{text}");
        }
        let crowded = (0..33).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join(",");
        assert!(Credentials::parse(&format!("Digest {crowded}")).is_none());
    }

    #[test]
    fn another_scheme_is_opaque() {
        assert_eq!(Credentials::parse("Bearer a.b.c==").unwrap().scheme, "Bearer");
        assert!(Credentials::parse("NoOneKnows opaque-data=here").is_some());
    }

    #[test]
    fn nothing_of_them_is_printed() {
        let shown = format!("{:?}", Credentials::parse("Digest response=\"abc\"").unwrap());
        assert!(shown.contains("Digest") && !shown.contains("abc"));
    }
}
