//! The name of a server or of a SIP domain.

use std::{fmt, str::FromStr};

/// The DNS name of a server or of a SIP domain: the one thing a certificate, the topology and a
/// connection must agree on. Compared without regard to case (RFC 4343), hence kept in lower case;
/// at least two labels of letters, digits and hyphens, no final dot.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fqdn(String);

/// Why a text is not the name of a host. Each states what is wrong with which text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FqdnFault {
    /// Nothing, or more than 253 bytes (RFC 1035 §3.1).
    #[error("a host name has 1 to 253 characters, this one has {0}")]
    Length(usize),
    /// A short name says nothing outside its own network.
    #[error("{0:?} is a short name; write it in full, with its domain (fe1.contoso.example)")]
    Short(String),
    /// A label is empty or longer than 63 bytes (RFC 1035 §3.1).
    #[error("{0:?} has an empty label or one of more than 63 characters")]
    Label(String),
    /// Only letters, digits and hyphens, no hyphen at an edge (RFC 952, RFC 1123 §2.1); IDN is
    /// written in its `xn--` form.
    #[error("{0:?} is not a host name: labels are letters, digits and inner hyphens (no underscore, IDN as xn--...)")]
    Character(String),
    /// The last label is a number, so this is an IP address (RFC 1123 §2.1).
    #[error("{0:?} is an IP address; servers are known by name only")]
    Address(String),
}

impl Fqdn {
    /// The longest name of the DNS in text (RFC 1035 §3.1 less the root's length byte).
    const BYTES_MAX: usize = 253;
    /// The longest label (RFC 1035 §3.1).
    const LABEL_BYTES_MAX: usize = 63;

    /// Reads a name as people write it: any case, one final dot allowed and dropped.
    pub fn parse(text: &str) -> Result<Self, FqdnFault> {
        Self::parse_exact(text.strip_suffix('.').unwrap_or(text))
    }

    /// Reads a name as certificates carry it: no final dot (RFC 5280 §4.2.1.6, row N36).
    pub(crate) fn parse_exact(text: &str) -> Result<Self, FqdnFault> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(FqdnFault::Length(text.len()));
        }
        for label in text.split('.') {
            check_label(label, text)?;
        }
        let (_, last) = text.rsplit_once('.').ok_or_else(|| FqdnFault::Short(text.into()))?;
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FqdnFault::Address(text.into()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `domain` or lies below it, label by label.
    pub fn is_within(&self, domain: &Fqdn) -> bool {
        match self.0.strip_suffix(&domain.0) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

fn check_label(label: &str, whole: &str) -> Result<(), FqdnFault> {
    if label.is_empty() || label.len() > Fqdn::LABEL_BYTES_MAX {
        return Err(FqdnFault::Label(whole.into()));
    }
    let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !inner || label.starts_with('-') || label.ends_with('-') {
        return Err(FqdnFault::Character(whole.into()));
    }
    Ok(())
}

impl FromStr for Fqdn {
    type Err = FqdnFault;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl AsRef<str> for Fqdn {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Fqdn::parse(text).ok().as_ref().map(Fqdn::as_str), expected, "{text:?}");
    }

    #[test]
    fn case_and_a_final_dot_do_not_matter_to_people() {
        check("FE1.Contoso.Example", Some("fe1.contoso.example"));
        check("fe1.contoso.example.", Some("fe1.contoso.example"));
        check("xn--bcher-kva.example", Some("xn--bcher-kva.example"));
        check("1and1.example", Some("1and1.example"));
    }

    #[test]
    fn what_is_not_a_host_name_is_refused() {
        for text in [
            "",
            ".",
            "fe1",
            "fe1..example",
            ".fe1.example",
            "fe1.example..",
            "fe_1.contoso.example",
            "*.contoso.example",
            "-fe1.contoso.example",
            "fe1-.contoso.example",
            "bücher.example",
            "fe1.contoso.example:5061",
            "fe1.contoso.example/",
            " fe1.contoso.example",
            "fe1.contoso.example\0",
            "127.0.0.1",
            "fe1.1",
            "[::1]",
        ] {
            check(text, None);
        }
        check(&format!("{}.example", "a".repeat(63)), Some(&format!("{}.example", "a".repeat(63))));
        check(&format!("{}.example", "a".repeat(64)), None);
        check(&"a.".repeat(128), None);
    }

    #[test]
    fn a_certificate_has_no_final_dot() {
        assert!(Fqdn::parse_exact("fe1.contoso.example.").is_err());
    }

    #[test]
    fn within_is_by_label() {
        let domain = Fqdn::parse("contoso.example").unwrap();
        let within = |text: &str| Fqdn::parse(text).unwrap().is_within(&domain);
        assert!(within("contoso.example"));
        assert!(within("fe1.contoso.example"));
        assert!(!within("notcontoso.example"));
        assert!(!within("contoso.example.evil.test"));
        assert!(!within("example.test"));
    }
}
