//! URIs: read strictly, compared by RFC 3261 §19.1.4, never unescaped on the way.

use std::fmt;

use smallvec::SmallVec;

use crate::{
    Host, Params,
    chars::{cut, cut_before, is_password, is_space, is_uri_headers, is_uri_param, is_user},
    host::host_port,
};

/// A URI's scheme, as far as a SIP server cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme<'m> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Anything else; a server that cannot route it answers 416.
    Other(&'m str),
}

impl<'m> Scheme<'m> {
    /// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3261 §25.1).
    fn parse(text: &'m str) -> Option<Self> {
        let is_scheme = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        };
        match text {
            s if s.eq_ignore_ascii_case("sip") => Some(Self::Sip),
            s if s.eq_ignore_ascii_case("sips") => Some(Self::Sips),
            s if s.eq_ignore_ascii_case("tel") => Some(Self::Tel),
            s => is_scheme(s).then_some(Self::Other(s)),
        }
    }
}

/// A SIP URI in its parts (RFC 3261 §19.1), nothing unescaped: `%40` in the user part is data.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Uri<'m> {
    /// The URI as it stood.
    pub text: &'m str,
    /// Its scheme.
    pub scheme: Scheme<'m>,
    /// What stands before `@`, without the password.
    pub user: Option<&'m str>,
    /// What stands between `:` and `@`. Never log it.
    pub password: Option<&'m str>,
    /// The host; an empty name when the scheme is not SIP.
    pub host: Host<'m>,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// `;transport=tls;lr` and the like.
    pub params: Params<'m>,
    /// What follows `?`.
    pub headers: Option<&'m str>,
}

/// Parameters of one URI. Each may stand there once (RFC 3261 §19.1.1), which is looked at pair by pair.
const PARAMS_MAX: usize = 32;

impl<'m> Uri<'m> {
    /// Reads a URI; `None` when it breaks the grammar. A URI of another scheme is opaque.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let (scheme, rest) = cut(text, b':')?;
        let scheme = Scheme::parse(scheme)?;
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::parse_sip(text, scheme, rest),
            Scheme::Tel | Scheme::Other(_) => Self::opaque(text, scheme, rest),
        }
    }

    fn opaque(text: &'m str, scheme: Scheme<'m>, rest: &'m str) -> Option<Self> {
        let is_text = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
        let plain =
            Self { text, scheme, user: None, password: None, host: Host::Name(""), port: None, params: Params::new(""), headers: None };
        is_text.then_some(plain)
    }

    fn parse_sip(text: &'m str, scheme: Scheme<'m>, rest: &'m str) -> Option<Self> {
        // The user part may hold ";" and "?", so "@" is looked for first.
        let (userinfo, after) = cut(rest, b'@').map_or((None, rest), |(info, after)| (Some(info), after));
        let (user, password) = match userinfo.map(|info| (info, cut(info, b':'))) {
            None => (None, None),
            Some((info, None)) => (Some(info), None),
            Some((_, Some((user, password)))) => (Some(user), Some(password)),
        };
        if !user.is_none_or(is_user) || !password.is_none_or(is_password) {
            return None;
        }
        let (before, headers) = cut(after, b'?').map_or((after, None), |(before, headers)| (before, Some(headers)));
        let (host, params) = cut_before(before, b';');
        // White space is for Via only.
        if host.bytes().any(is_space) || !headers.is_none_or(is_uri_headers) || !are_params(params) {
            return None;
        }
        let (host, port) = host_port(host)?;
        Some(Self { text, scheme, user, password, host, port, params: Params::new(params), headers })
    }

    /// `sip:` or `sips:`.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// Whether both name the same thing by RFC 3261 §19.1.4. Nothing is allocated.
    #[must_use]
    pub fn same_as(&self, other: &Uri<'_>) -> bool {
        let scheme = matches!((self.scheme, other.scheme), (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips));
        if !scheme {
            return self.text == other.text;
        }
        same_optional(self.user, other.user)
            && same_optional(self.password, other.password)
            && self.host.same_as(&other.host)
            && self.port == other.port
            && agree(self.params, other.params)
            && agree(other.params, self.params)
            && same_headers(self.headers, other.headers)
    }
}

/// `*( ";" pname [ "=" pvalue ] )`, each name once.
fn are_params(text: &str) -> bool {
    let mut names: SmallVec<[&str; PARAMS_MAX]> = SmallVec::new();
    let mut rest = text;
    while let Some(parts) = rest.strip_prefix(';') {
        let (part, after) = cut_before(parts, b';');
        let (name, value) = cut(part, b'=').unwrap_or((part, ""));
        // "lr=" and the like: an empty value is not in the grammar, but some phones write it.
        let well_formed = is_uri_param(name) && (value.is_empty() || is_uri_param(value));
        if !well_formed || names.len() == PARAMS_MAX || names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return false;
        }
        names.push(name);
        rest = after;
    }
    rest.is_empty()
}

/// The bytes of an escaped text; `true` where an escape stood for a byte that is not `unreserved`, for
/// such a byte and its escape are not the same (RFC 3261 §19.1.4).
struct Escapes<'m>(&'m [u8]);

impl Iterator for Escapes<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            self.0 = rest;
            let byte = (high * 16 + low) as u8;
            return Some((byte, !(byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte))));
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((*first, false))
    }
}

fn same_escaped(a: &str, b: &str) -> bool {
    Escapes(a.as_bytes()).eq(Escapes(b.as_bytes()))
}

fn same_escaped_ignoring_case(a: &str, b: &str) -> bool {
    let lower = |(byte, escaped): (u8, bool)| (byte.to_ascii_lowercase(), escaped);
    Escapes(a.as_bytes()).map(lower).eq(Escapes(b.as_bytes()).map(lower))
}

fn same_optional(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_escaped(a, b),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Every parameter of `a` that counts is the same in `b`.
fn agree(a: Params<'_>, b: Params<'_>) -> bool {
    const MUST_MATCH: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    a.iter().all(|(name, value)| match b.iter().find(|(n, _)| same_escaped_ignoring_case(n, name)) {
        Some((_, theirs)) => same_escaped_ignoring_case(value.unwrap_or(""), theirs.unwrap_or("")),
        None => !MUST_MATCH.iter().any(|must| same_escaped_ignoring_case(must, name)),
    })
}

/// `?a=b&c=d`: present in both, in whatever order.
fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        (None, Some(_)) | (Some(_), None) => return false,
    };
    let holds = |list: &str, wanted: &str| list.split('&').any(|part| same_escaped(part, wanted));
    let few = a.split('&').count() == b.split('&').count() && a.split('&').nth(PARAMS_MAX).is_none();
    few && a.split('&').all(|part| holds(b, part)) && b.split('&').all(|part| holds(a, part))
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Uri<'_> {
    /// Without the password, and so without the text that holds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.password.is_none() {
            return write!(f, "Uri({})", self.text);
        }
        f.debug_struct("Uri").field("user", &self.user).field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Option<(Option<&str>, &str, Option<u16>, &str)>) {
        let uri = Uri::parse(text);
        let host = uri.map(|uri| uri.host.to_string());
        let told = uri.map(|uri| (uri.user, host.as_deref().unwrap_or_default(), uri.port, uri.params.as_str()));
        assert_eq!(told, wanted, "{text}");
    }

    #[test]
    fn a_sip_uri_is_read_in_its_parts() {
        check("sip:alice@example.com", Some((Some("alice"), "example.com", None, "")));
        check("SIPS:alice@example.com:5061;transport=tls;lr", Some((Some("alice"), "example.com", Some(5061), ";transport=tls;lr")));
        check("sip:example.com", Some((None, "example.com", None, "")));
        check("sip:a:secret@[2001:db8::1]:5061?Subject=x", Some((Some("a"), "[2001:db8::1]", Some(5061), "")));
        check("sip:*72#@example.com", Some((Some("*72#"), "example.com", None, "")));
        check("sip:a@b;lr=", Some((Some("a"), "b", None, ";lr=")));
    }

    #[test]
    fn marks_before_the_at_belong_to_the_user() {
        check("sip:a;b=c%40d?e@h;f", Some((Some("a;b=c%40d?e"), "h", None, ";f")));
        check("sip:sips%3Auser%40example.com@example.net", Some((Some("sips%3Auser%40example.com"), "example.net", None, "")));
        check("sip:nul%00@h", Some((Some("nul%00"), "h", None, "")));
    }

    #[test]
    fn what_breaks_the_grammar_is_no_uri() {
        for text in ["", "sip", "sip:", "sip:@h", "sip:a@", "sip:a@b@c", "sip:a b@c", "sip:a%4@c", "sip:a%zz@c", "sip:a@b c", "1sip:x"] {
            check(text, None);
        }
        for text in
            ["sip:a@b;", "sip:a@b;;lr", "sip:a@b;lr;LR", "sip:a@b;x=\"y\"", "sip:a@b:x", "sip:ä@b", "sip:a@ä", "sip:a\0@b", "sip:a@b "]
        {
            check(text, None);
        }
        for text in
            ["sip:a@b?x=<y>", "sip:a@b?x=%4", "sip:a\\b@c", "sip:a@b;x=%", "<sip:a@b>", "sip:a@b\r\n", "tel:", "x:<y>", "sip:\"a\"@b"]
        {
            check(text, None);
        }
        let crowded = format!("sip:a@b{}", (0..33).map(|n| format!(";p{n}")).collect::<String>());
        check(&crowded, None);
    }

    #[test]
    fn another_scheme_is_opaque() {
        assert_eq!(Uri::parse("tel:+4930").unwrap().scheme, Scheme::Tel);
        assert_eq!(Uri::parse("isbn:2983792873").unwrap().scheme, Scheme::Other("isbn"));
        assert!(!Uri::parse("soap.beep://192.0.2.103:3002").unwrap().is_sip());
    }

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
        assert_eq!(a.same_as(&b), b.same_as(&a), "{a} {b}");
        a.same_as(&b)
    }

    #[test]
    fn equality_is_that_of_the_standard() {
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(same("sip:biloxi.com;transport=tcp;method=REGISTER", "sip:biloxi.com;method=REGISTER;transport=tcp"));
        assert!(same("sip:a@b?Subject=x&Priority=y", "sip:a@b?Priority=y&Subject=x"));
    }

    #[test]
    fn inequality_is_that_of_the_standard() {
        assert!(!same("SIP:ALICE@AtLanTa.CoM", "sip:alice@atlanta.com"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!same("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;newparam=6"));
        assert!(!same("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next"));
        assert!(!same("sip:a@b", "sips:a@b"));
        assert!(!same("sip:b", "sip:a@b"));
        assert!(!same("sip:a@b", "sip:a:@b"));
    }

    #[test]
    fn an_escaped_mark_is_not_the_mark() {
        assert!(!same("sip:a%3Bb@h", "sip:a;b@h"));
        assert!(same("sip:a%3bb@h", "sip:a%3Bb@h"));
        assert!(!same("sip:a%FF@h", "sip:a%FE@h"));
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", Uri::parse("sip:a:secret@b").unwrap()).contains("secret"));
    }
}
