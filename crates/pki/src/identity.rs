//! What the names in a certificate mean for SIP (RFC 5922 §7.1).
//!
//! Only exact names count: a wildcard is none (RFC 5922 §7.2, row N10), the common name is never
//! read (row N9), a URI of another scheme or with anything beside the host says nothing (row N36).

use std::{fmt, str::FromStr};

use crate::Fqdn;

/// A user of a domain as a certificate names one: the URI `sip:user@domain`.
///
/// The user part is compared octet by octet (RFC 3261 §19.1.4), the domain without regard to case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SipUser {
    user: String,
    domain: Fqdn,
}

impl SipUser {
    /// The longest user part that a certificate may name, in bytes.
    pub const USER_BYTES_MAX: usize = 128;

    /// A user part of unreserved characters of RFC 3261 §25.1 (nothing escaped, nothing that could
    /// be read in two ways) at a domain. `None` for anything else.
    pub fn new(user: &str, domain: Fqdn) -> Option<Self> {
        let fits = !user.is_empty() && user.len() <= Self::USER_BYTES_MAX;
        (fits && user.bytes().all(is_plain)).then(|| Self { user: user.into(), domain })
    }

    /// The part before the `@`.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &Fqdn {
        &self.domain
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&byte)
}

impl fmt::Display for SipUser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sip:{}@{}", self.user, self.domain)
    }
}

/// Text that is no plain `sip:user@domain`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no plain sip:user@domain")]
pub struct SipUserFault(String);

impl FromStr for SipUser {
    type Err = SipUserFault;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match read_uri(text) {
            Some(UriIdentity::User(user)) => Ok(user),
            Some(UriIdentity::Domain(_)) | None => Err(SipUserFault(text.into())),
        }
    }
}

/// Everything a certificate says about who holds it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Identities {
    /// dNSName entries that are exact host names.
    pub(crate) names: Vec<Fqdn>,
    /// Hosts of `sip:domain` URIs.
    pub(crate) domains: Vec<Fqdn>,
    /// `sip:user@domain` URIs.
    pub(crate) users: Vec<SipUser>,
    /// dNSName entries with a wildcard, kept for the reason of a refusal only.
    pub(crate) wildcards: Vec<String>,
}

impl Identities {
    /// Looks at every subject alternative name (row N36).
    pub(crate) fn read<'a>(dns: impl Iterator<Item = &'a str>, uris: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in dns {
            match Fqdn::parse_exact(name) {
                Ok(name) => push_new(&mut all.names, name),
                Err(_) if name.contains('*') => all.wildcards.push(name.into()),
                Err(_) => {}
            }
        }
        for uri in uris {
            match read_uri(uri) {
                Some(UriIdentity::Domain(domain)) => push_new(&mut all.domains, domain),
                Some(UriIdentity::User(user)) => push_new(&mut all.users, user),
                None => {}
            }
        }
        all
    }

    /// Whether nobody is named.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.domains.is_empty() && self.users.is_empty()
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

enum UriIdentity {
    Domain(Fqdn),
    User(SipUser),
}

/// RFC 5922 §7.1: the scheme must be `sip` (not `sips`), a URI with a user part is never a domain.
/// A port, parameter or header makes it something else than an identity; we take none of those.
fn read_uri(uri: &str) -> Option<UriIdentity> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") {
        return None;
    }
    match rest.rsplit_once('@') {
        Some((user, domain)) => SipUser::new(user, Fqdn::parse_exact(domain).ok()?).map(UriIdentity::User),
        None => Fqdn::parse_exact(rest).ok().map(UriIdentity::Domain),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(dns: &[&str], uris: &[&str], names: &[&str], domains: &[&str], users: &[&str]) {
        let all = Identities::read(dns.iter().copied(), uris.iter().copied());
        let text = |list: &[Fqdn]| list.iter().map(Fqdn::to_string).collect::<Vec<_>>();
        assert_eq!(text(&all.names), names, "names of {dns:?}");
        assert_eq!(text(&all.domains), domains, "domains of {uris:?}");
        assert_eq!(all.users.iter().map(SipUser::to_string).collect::<Vec<_>>(), users, "users of {uris:?}");
    }

    #[test]
    fn n36_every_alternative_name_is_looked_at() {
        check(&["x", "a.test", "b.test"], &["urn:x:y", "sip:c.test"], &["a.test", "b.test"], &["c.test"], &[]);
    }

    #[test]
    fn n36_case_does_not_matter() {
        check(&["FE1.A.Test", "fe1.a.test"], &["SIP:A.Test"], &["fe1.a.test"], &["a.test"], &[]);
    }

    #[test]
    fn n36_userinfo_is_never_a_domain() {
        check(&[], &["sip:alice@a.test"], &[], &[], &["sip:alice@a.test"]);
        check(&[], &["sip:b.test@a.test"], &[], &[], &["sip:b.test@a.test"]);
    }

    #[test]
    fn n36_other_schemes_say_nothing() {
        for uri in ["sips:a.test", "https:a.test", "im:alice@a.test", "urn:sip:a.test", "a.test", "sip", "xsip:a.test"] {
            check(&[], &[uri], &[], &[], &[]);
        }
    }

    #[test]
    fn n36_only_an_exact_name_counts() {
        for uri in [
            "sip:a.test:5061",
            "sip:a.test;transport=tls",
            "sip:a.test?x=y",
            "sip:a.test.",
            "sip://a.test",
            "sip:*.a.test",
            "sip:bücher.test",
            "sip:127.0.0.1",
            "sip:a",
            "sip:",
            "sip:@a.test",
            "sip:alice:secret@a.test",
            "sip:al%69ce@a.test",
            "sip:alice@b.test@a.test",
            "sip:alice@a.test;x",
            "sip:alice@",
            " sip:a.test",
        ] {
            check(&[], &[uri], &[], &[], &[]);
        }
        for name in ["a.test.", "*.a.test", "a_b.test", "127.0.0.1", "a", "a.test:1"] {
            check(&[name], &[], &[], &[], &[]);
        }
    }

    #[test]
    fn n10_a_wildcard_is_remembered_for_the_reason_only() {
        let all = Identities::read(["*.a.test"].into_iter(), std::iter::empty());
        assert!(all.is_empty());
        assert_eq!(all.wildcards, ["*.a.test"]);
    }
}
