//! The value of From, To, Contact, Route and their kin: a display name, a URI, parameters.

use crate::{
    Params, Uri,
    chars::{cut, cut_before, end_of_quoted, find_outside_quotes, is_space, is_token_byte, trim},
};

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
    /// Reads one value; `None` when name, URI or parameters break the grammar.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let text = trim(text);
        match find_outside_quotes(text, b'<') {
            Some(bracket) => Self::parse_at(text, bracket),
            None => Self::parse_plain(text),
        }
    }

    /// Reads one value of a header that allows the form with brackets only: Route, Record-Route, Path.
    #[must_use]
    pub fn parse_bracketed(text: &'m str) -> Option<Self> {
        let text = trim(text);
        Self::parse_at(text, find_outside_quotes(text, b'<')?)
    }

    fn parse_at(text: &'m str, bracket: usize) -> Option<Self> {
        let display = trim(&text[..bracket]);
        let (uri, params) = cut(&text[bracket + 1..], b'>')?;
        let uri = Uri::parse(uri)?;
        Some(Self { display, uri, params: Params::of_header(params)? }).filter(|_| is_display_name(display))
    }

    /// Without brackets "?", "," and ";" cannot belong to the URI (RFC 3261 §20).
    fn parse_plain(text: &'m str) -> Option<Self> {
        let (uri, params) = cut_before(text, b';');
        let uri = Some(trim(uri)).filter(|uri| !uri.bytes().any(|b| matches!(b, b'?' | b',')))?;
        Some(Self { display: "", uri: Uri::parse(uri)?, params: Params::of_header(params)? })
    }

    /// The dialog tag of From or To.
    #[must_use]
    pub fn tag(&self) -> Option<&'m str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// A quoted string, or tokens with white space between. Letters of other alphabets must stand in quotes
/// too, but phones leave them out, and nothing can be misread for it.
fn is_display_name(text: &str) -> bool {
    match text.strip_prefix('"') {
        Some(rest) => end_of_quoted(rest).is_some_and(|end| end + 1 == rest.len()),
        None => text.bytes().all(|b| is_token_byte(b) || is_space(b) || !b.is_ascii()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Option<(&str, &str, &str)>) {
        let told = NameAddr::parse(text).map(|a| (a.display, a.uri.text, a.params.as_str()));
        assert_eq!(told, wanted, "{text}");
    }

    #[test]
    fn the_forms_of_an_address() {
        check("sip:a@b", Some(("", "sip:a@b", "")));
        check("sip:a@b;tag=1", Some(("", "sip:a@b", ";tag=1")));
        check("<sip:a@b;lr>;tag=1", Some(("", "sip:a@b;lr", ";tag=1")));
        check("caller<sip:a@b>", Some(("caller", "sip:a@b", "")));
        check("Mr. J Doe <sip:a@b> ; tag = 1", Some(("Mr. J Doe", "sip:a@b", "; tag = 1")));
        check("\"a, <b>; \\\"c\" <sip:a@b>", Some(("\"a, <b>; \\\"c\"", "sip:a@b", "")));
        check("Jörg <sip:a@b>", Some(("Jörg", "sip:a@b", "")));
        check("<sip:a@b?Route=%3Csip:c%3E>;q=0.5", Some(("", "sip:a@b?Route=%3Csip:c%3E", ";q=0.5")));
        check("<sip:a@b>;+sip.instance=\"<urn:uuid:1>\";reg-id=1", Some(("", "sip:a@b", ";+sip.instance=\"<urn:uuid:1>\";reg-id=1")));
    }

    #[test]
    fn what_is_no_address() {
        for text in
            ["", "<>", "<sip:a@b", "sip:a@b>", "\"a <sip:a@b>", "\"a\" b <sip:a@b>", "Bell, A <sip:a@b>", "< sip:a@b >", "<sip:a@b >"]
        {
            check(text, None);
        }
        for text in
            ["sip:a@b?x=y", "<sip:a@b>;", "<sip:a@b>;;", "<sip:a@b>x", "<sip:a@b>;a b", "<sip:a@b>;x=\"y", "<sip:a@b>,<sip:c@d>", "*"]
        {
            check(text, None);
        }
    }

    #[test]
    fn some_headers_need_the_brackets() {
        assert!(NameAddr::parse_bracketed("sip:a@b").is_none());
        assert!(NameAddr::parse_bracketed("<sip:a@b;lr>").is_some());
    }
}
