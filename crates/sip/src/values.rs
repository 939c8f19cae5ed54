//! Typed views of header values: read when asked, never stored.

use crate::{Fault, Host, Name, Params, Reason, Uri, uri::host_port};

/// `"Name" <uri>;params` or `uri;params` (RFC 3261 §20.10: without brackets the parameters are the header's).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameAddr<'m> {
    /// The display name as it stood, quotes included; empty when there is none.
    pub display: &'m str,
    /// The URI.
    pub uri: Uri<'m>,
    /// The header's own parameters.
    pub params: Params<'m>,
}

impl<'m> NameAddr<'m> {
    /// Reads one value.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let text = trim(text);
        let Some(open) = find_outside_quotes(text, b'<') else {
            let (uri, params) = text.find(';').map_or((text, ""), |at| text.split_at(at));
            // Without brackets "?" and "," cannot belong to the URI (RFC 3261 §20).
            let plain = !uri.contains(['?', ',', '"', '>']);
            return Some(Self { display: "", uri: plain.then(|| Uri::parse(trim(uri))).flatten()?, params: Params::new(params) });
        };
        let display = trim(&text[..open]);
        if !is_display_name(display) {
            return None;
        }
        let inside = &text[open + 1..];
        let close = inside.find('>')?;
        let params = trim(&inside[close + 1..]);
        if !(params.is_empty() || params.starts_with(';')) {
            return None;
        }
        Some(Self { display, uri: Uri::parse(&inside[..close])?, params: Params::new(params) })
    }

    /// The dialog tag of From or To.
    #[must_use]
    pub fn tag(&self) -> Option<&'m str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// A quoted string, or tokens with white space between.
fn is_display_name(text: &str) -> bool {
    match text.strip_prefix('"') {
        Some(rest) => end_of_quoted(rest).is_some_and(|end| trim(&rest[end + 1..]).is_empty()),
        None => text.bytes().all(|b| crate::scan::is_token(b) || crate::scan::is_space(b)),
    }
}

/// One hop of the way that responses go back.
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
    /// Reads one value: `SIP / 2.0 / TLS host:port;params`, white space allowed around the slashes.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let text = trim(text);
        let (protocol, rest) = text.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let rest = trim(rest);
        let end = rest.bytes().position(crate::scan::is_space)?;
        let (transport, sent_by) = (&rest[..end], trim(&rest[end..]));
        if transport.is_empty() || !transport.bytes().all(crate::scan::is_token) {
            return None;
        }
        let (sent_by, params) = sent_by.find(';').map_or((sent_by, ""), |at| sent_by.split_at(at));
        let (host, port) = host_port(trim(sent_by))?;
        let well_formed = params.is_empty() || split_outside_quotes(&params[1..], b';').all(is_param);
        well_formed.then_some(Self { transport, host, port, params: Params::new(params) })
    }

    /// What identifies the transaction at the hop that wrote it.
    #[must_use]
    pub fn branch(&self) -> Option<&'m str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }
}

/// `name` or `name=value` with a token for a name.
fn is_param(text: &str) -> bool {
    let name = trim(text.split_once('=').map_or(text, |(name, _)| name));
    !name.is_empty() && name.bytes().all(crate::scan::is_token)
}

/// `number method`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CSeq<'m> {
    /// Less than 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method; case counts.
    pub method: &'m str,
}

impl<'m> CSeq<'m> {
    pub(crate) fn parse(text: &'m str) -> Result<Self, Reason> {
        let (digits, method) = text.split_once(|c: char| c.is_ascii_whitespace()).ok_or(Reason::Malformed(Name::CSeq))?;
        let method = trim(method);
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || method.is_empty()
            || !method.bytes().all(crate::scan::is_token)
        {
            return Err(Reason::Malformed(Name::CSeq));
        }
        match digits.parse::<u32>() {
            Ok(number) if number < 1 << 31 => Ok(Self { number, method }),
            _ => Err(Reason::OutOfRange(Name::CSeq)),
        }
    }
}

/// `Digest a=b, c="d"`: a challenge or what answers it (RFC 7616). Never log it.
#[derive(Clone, Copy)]
pub struct Credentials<'m> {
    /// `Digest`, as it stood.
    pub scheme: &'m str,
    rest: &'m str,
}

impl<'m> Credentials<'m> {
    /// Reads one value.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let (scheme, rest) = trim(text).split_once(|c: char| c.is_ascii_whitespace())?;
        (!scheme.is_empty() && scheme.bytes().all(crate::scan::is_token)).then_some(Self { scheme, rest })
    }

    /// A parameter's value, quotes taken off (escapes are left as they stand).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'m str> {
        split_outside_quotes(self.rest, b',').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            let value = trim(value);
            trim(key).eq_ignore_ascii_case(name).then(|| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
        })
    }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The number of a header like `Expires` or `Max-Forwards`, up to `max`.
pub(crate) fn number(name: Name, text: &str, max: u32, at: usize) -> Result<u32, Fault> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::new(Reason::Malformed(name), at));
    }
    text.parse().ok().filter(|n| *n <= max).ok_or(Fault::new(Reason::OutOfRange(name), at))
}

pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// Index of the quote that ends a quoted string whose inside begins at 0.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })
}

/// Where `wanted` first stands outside a quoted string.
pub(crate) fn find_outside_quotes(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|b| {
        if quoted {
            quoted = b != b'"' || escaped;
            escaped = b == b'\\' && !escaped;
            return false;
        }
        quoted = b == b'"';
        b == wanted
    })
}

/// Parts between `separator`s that stand outside quotes.
pub(crate) fn split_outside_quotes(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside_quotes(text, separator) {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                Some(&text[..at])
            }
            None => {
                rest = None;
                Some(text)
            }
        }
    })
}

/// The values of a comma list; commas in quotes or angle brackets do not count.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped, mut angled) = (false, false, false);
        let at = text.bytes().position(|b| {
            if quoted {
                quoted = b != b'"' || escaped;
                escaped = b == b'\\' && !escaped;
                return false;
            }
            match b {
                b'"' => quoted = true,
                b'<' => angled = true,
                b'>' => angled = false,
                b',' => return !angled,
                _ => {}
            }
            false
        });
        rest = at.map(|at| &text[at + 1..]);
        Some(trim(at.map_or(text, |at| &text[..at])))
    })
}
