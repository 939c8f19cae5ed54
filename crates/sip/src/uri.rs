use std::fmt;

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

/// The host part of a SIP URI or Via.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host<'m> {
    /// A DNS name, spelt as it stood; compare without regard to case.
    Name(&'m str),
    /// `192.0.2.1`
    V4(std::net::Ipv4Addr),
    /// `[2001:db8::1]`
    V6(std::net::Ipv6Addr),
}

/// `;name=value;name` as it stands in a URI or header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'m>(&'m str);

/// A SIP URI in its parts (RFC 3261 §19.1), nothing unescaped: `%40` in the user part is data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

impl<'m> Uri<'m> {
    /// Reads a URI; `None` when it breaks the grammar. A URI of another scheme is opaque.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let first = scheme.bytes().next()?;
        if !first.is_ascii_alphabetic() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return None;
        }
        if text.bytes().any(|b| b <= b' ' || b == b'<' || b == b'>' || b == b'"' || b == 0x7f) {
            return None;
        }
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case("sip") => Scheme::Sip,
            s if s.eq_ignore_ascii_case("sips") => Scheme::Sips,
            s if s.eq_ignore_ascii_case("tel") => Scheme::Tel,
            s => Scheme::Other(s),
        };
        if !matches!(scheme, Scheme::Sip | Scheme::Sips) {
            let opaque =
                Self { text, scheme, user: None, password: None, host: Host::Name(""), port: None, params: Params(""), headers: None };
            return (!rest.is_empty()).then_some(opaque);
        }
        Self::parse_sip(text, scheme, rest)
    }

    fn parse_sip(text: &'m str, scheme: Scheme<'m>, rest: &'m str) -> Option<Self> {
        // The user part may hold ";" and "?", so "@" is looked for first.
        let (userinfo, after) = match rest.split_once('@') {
            Some((info, after)) => (Some(info), after),
            None => (None, rest),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(info), None),
            },
        };
        if user.is_some_and(|u| u.is_empty() || !is_escaped_well(u)) {
            return None;
        }
        let (before, headers) = match after.split_once('?') {
            Some((before, headers)) => (before, Some(headers)),
            None => (after, None),
        };
        let (hostport, params) = match before.find(';') {
            Some(at) => before.split_at(at),
            None => (before, ""),
        };
        let (host, port) = host_port(hostport)?;
        Some(Self { text, scheme, user, password, host, port, params: Params(params), headers })
    }

    /// `sip:` or `sips:`.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// Whether both name the same thing by RFC 3261 §19.1.4.
    #[must_use]
    pub fn same_as(&self, other: &Uri<'_>) -> bool {
        fn plain(text: Option<&str>) -> std::borrow::Cow<'_, str> {
            unescape(text.unwrap_or(""))
        }
        let scheme = matches!((self.scheme, other.scheme), (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips));
        if !scheme {
            return self.text == other.text;
        }
        plain(self.user) == plain(other.user)
            && self.user.is_some() == other.user.is_some()
            && self.password == other.password
            && self.host.same_as(&other.host)
            && self.port == other.port
            && self.params.agree_with(other.params)
            && other.params.agree_with(self.params)
            && self.headers == other.headers
    }
}

impl Host<'_> {
    /// Same address, or same name whatever the case (RFC 4343).
    #[must_use]
    pub fn same_as(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.')),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }

    /// Whether it is this DNS name.
    #[must_use]
    pub fn is_name(&self, name: &str) -> bool {
        self.same_as(&Host::Name(name))
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl<'m> Params<'m> {
    pub(crate) fn new(text: &'m str) -> Self {
        Self(text)
    }

    /// The text, from the first `;`.
    #[must_use]
    pub fn as_str(&self) -> &'m str {
        self.0
    }

    /// Name and value of each; quotes around a value are kept.
    pub fn iter(&self) -> impl Iterator<Item = (&'m str, Option<&'m str>)> + use<'m> {
        crate::values::split_outside_quotes(self.0, b';').map(str::trim).filter(|p| !p.is_empty()).map(|p| match p.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (p, None),
        })
    }

    /// Whether it stands there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Its value, quotes taken off (escapes are left as they stand); `""` when it has none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'m str> {
        let (_, value) = self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        let value = value.unwrap_or("");
        Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
    }

    /// The parameters that count in a comparison, each as RFC 3261 §19.1.4 says.
    fn agree_with(&self, other: Params<'_>) -> bool {
        const MUST_MATCH: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        self.iter().all(|(name, value)| match other.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, theirs)) => value.unwrap_or("").eq_ignore_ascii_case(theirs.unwrap_or("")),
            None => !MUST_MATCH.iter().any(|must| must.eq_ignore_ascii_case(name)),
        })
    }
}

/// `host [":" port]`, with an IPv6 reference in brackets.
pub(crate) fn host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        (
            Host::V6(address.parse().ok()?),
            after.trim_start().strip_prefix(':').map(str::trim).or(if after.is_empty() { None } else { Some("?") }),
        )
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name.trim_end(), Some(port.trim_start())),
            None => (text, None),
        };
        let host = match name.parse() {
            Ok(address) => Host::V4(address),
            Err(_) if is_host_name(name) => Host::Name(name),
            Err(_) => return None,
        };
        (host, port)
    };
    match port {
        None => Some((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        Some(_) => None,
    }
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !name.starts_with(['-', '.'])
        && !name.contains("..")
}

/// Every `%` is followed by two hexadecimal digits.
fn is_escaped_well(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' && !(bytes.next().is_some_and(|b| b.is_ascii_hexdigit()) && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())) {
            return false;
        }
    }
    true
}

/// `%41` becomes `A`; for comparing, never for splitting.
fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}
