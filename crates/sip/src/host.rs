//! A host and its port, as URI and Via write them. Nothing is looked up.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::chars::{find, is_host_byte, trim};

/// The host part of a SIP URI or Via.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host<'m> {
    /// A DNS name, spelt as it stood; compare without regard to case.
    Name(&'m str),
    /// `192.0.2.1`
    V4(Ipv4Addr),
    /// `[2001:db8::1]`
    V6(Ipv6Addr),
}

impl<'m> Host<'m> {
    /// A name or an address; an IPv6 address stands in brackets.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            return inside.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        match text.parse() {
            Ok(address) => Some(Self::V4(address)),
            Err(_) => is_host_name(text).then_some(Self::Name(text)),
        }
    }

    /// Same address, or same name whatever the case (RFC 4343) and the final dot.
    #[must_use]
    pub fn same_as(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => without_dot(a).eq_ignore_ascii_case(without_dot(b)),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            (Host::Name(_) | Host::V4(_) | Host::V6(_), _) => false,
        }
    }

    /// Whether it is this DNS name.
    #[must_use]
    pub fn is_name(&self, name: &str) -> bool {
        self.same_as(&Host::Name(name))
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
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

/// `host [ COLON port ]` (RFC 3261 §25.1); white space around the colon as a Via may have it.
pub(crate) fn host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let name_end = if text.starts_with('[') { find(text, b']')? + 1 } else { find(text, b':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(name_end);
    let host = Host::parse(trim(host))?;
    let rest = trim(rest);
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = trim(rest.strip_prefix(':')?);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((host, Some(digits.parse().ok().filter(|_| is_number)?)))
}

/// Labels of letters, digits, `-` and (as real names have it) `_`. The last one is not a number: what
/// looks like a broken IPv4 address is not a name (RFC 3261 §25.1, `toplabel`).
fn is_host_name(name: &str) -> bool {
    let name = without_dot(name).as_bytes();
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len()) && label.iter().all(|b| is_host_byte(*b)) && !label.starts_with(b"-") && !label.ends_with(b"-")
    };
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    name.len() <= 253 && name.split(|b| *b == b'.').all(is_label) && !last.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Option<(&str, Option<u16>)>) {
        let told = host_port(text).map(|(host, port)| (host.to_string(), port));
        assert_eq!(told, wanted.map(|(host, port)| (host.to_owned(), port)), "{text}");
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        check("sip.example.com", Some(("sip.example.com", None)));
        check("sip.example.com.:5061", Some(("sip.example.com.", Some(5061))));
        check("_sip.host_1", Some(("_sip.host_1", None)));
        check("192.0.2.1 : 5060", Some(("192.0.2.1", Some(5060))));
        check("[2001:db8::1]:5061", Some(("[2001:db8::1]", Some(5061))));
        check("[2001:DB8:0::1]", Some(("[2001:db8::1]", None)));
        check("a:05061", Some(("a", Some(5061))));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", ":5060", "a:", "a:+1", "a:65536", "a:-1", "a:5 0", "a b", "a..b", ".a", "-a", "a-", "a@b", "ä.de", "a/b", "a,b"] {
            check(text, None);
        }
        for text in ["192.0.2.256", "1.2.3", "1234", "[::1", "::1", "[::1]x", "[192.0.2.1]", "[fe80::1%eth0]", "[]", "a]", "192.0.2.1.1"] {
            check(text, None);
        }
        check(&"a".repeat(64), None);
        check(&"a.".repeat(128), None);
    }

    #[test]
    fn a_final_dot_and_case_do_not_make_another_name() {
        assert!(Host::Name("Example.COM.").is_name("example.com"));
        assert!(!Host::Name("example.com..").is_name("example.com"));
        assert!(!Host::Name("192.0.2.1x").same_as(&Host::V4([192, 0, 2, 1].into())));
    }
}
