//! The value of Via: one hop of the way back.

use crate::{
    Host, Params,
    chars::{cut, cut_before, is_space, is_token, trim},
    host::host_port,
};

/// One hop of the way that responses go back (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via<'m> {
    /// `TLS`, `TCP`, … as it stood.
    pub transport: &'m str,
    /// Who sent the request.
    pub host: Host<'m>,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, …
    pub params: Params<'m>,
}

impl<'m> Via<'m> {
    /// What a branch begins with that is unique among all requests (RFC 3261 §8.1.1.7).
    pub const MAGIC_COOKIE: &'static str = "z9hG4bK";

    /// Reads one value: `SIP / 2.0 / TLS host:port;params`, white space allowed around the marks.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let (protocol, rest) = cut(trim(text), b'/')?;
        let (version, rest) = cut(rest, b'/')?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let rest = trim(rest);
        let (transport, rest) = rest.split_at(rest.bytes().position(is_space)?);
        let (sent_by, params) = cut_before(rest, b';');
        let (host, port) = host_port(trim(sent_by))?;
        let params = Params::of_header(params)?;
        let via = Self { transport, host, port, params };
        // Two branches would be two transactions to two readers.
        Some(via).filter(|_| is_token(transport) && !params.has_twice("branch"))
    }

    /// What identifies the transaction at the hop that wrote it.
    #[must_use]
    pub fn branch(&self) -> Option<&'m str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch, if it is unique as RFC 3261 wants it: the cookie and something behind it.
    #[must_use]
    pub fn unique_branch(&self) -> Option<&'m str> {
        let has_cookie = |branch: &&str| branch.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(Self::MAGIC_COOKIE));
        self.branch().filter(has_cookie).filter(|branch| branch.len() > Self::MAGIC_COOKIE.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_read_whatever_the_white_space() {
        for text in ["SIP/2.0/TLS h:5061;branch=z9hG4bKx;rport", "sip / 2.0\r\n / TLS\t h : 5061 ; branch\r\n =  z9hG4bKx ; rport"] {
            let via = Via::parse(text).unwrap();
            assert_eq!((via.transport, via.port, via.branch()), ("TLS", Some(5061), Some("z9hG4bKx")), "{text}");
            assert!(via.host.is_name("h") && via.params.has("rport"));
        }
    }

    #[test]
    fn what_is_no_hop() {
        for text in ["", "SIP/2.0/TLS", "SIP/2.0/TLS ", "SIP/2.0 h", "SIP/7.0/TLS h", "HTTP/2.0/TLS h", "SIP/2.0/TLS h;", "SIP/2.0/TLS h;;"]
        {
            assert!(Via::parse(text).is_none(), "{text}");
        }
        for text in
            ["SIP/2.0/T@S h", "SIP/2.0/TLS h k", "SIP/2.0/TLS h;branch=1;Branch=2", "SIP/2.0/TLS h:x", "SIP/2.0/TLS h,", "SIP/2.0/TLS h;=x"]
        {
            assert!(Via::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_the_cookie_and_more_makes_a_branch_unique() {
        let unique = |branch: &str| Via::parse(&format!("SIP/2.0/TLS h;branch={branch}")).unwrap().unique_branch().is_some();
        assert!(unique("z9hG4bK1") && unique("Z9HG4BK1"));
        assert!(!unique("z9hG4bK") && !unique("390skdjuw") && !unique("z9hG4b"));
    }
}
