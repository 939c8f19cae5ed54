//! The alphabet of the grammar (RFC 3261 §25.1): which byte may stand where, and cutting text at
//! separators that stand outside quotes. What the pieces mean is said elsewhere.
//!
//! All cuts are made at ASCII bytes, so a slice of valid UTF-8 stays valid UTF-8.

const TOKEN: u8 = 1;
const USER: u8 = 2;
const PASSWORD: u8 = 4;
const URI_PARAM: u8 = 8;
const URI_HEADER: u8 = 16;
const VALUE: u8 = 32;
const HOST: u8 = 64;
const BASE64: u8 = 128;

/// One row of bits a byte: the classes it belongs to.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        // Any visible character that ends nothing: what real devices put into a parameter's value.
        table[byte] = VALUE;
        byte += 1;
    }
    const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    mark(&mut table, ALNUM, TOKEN | USER | PASSWORD | URI_PARAM | URI_HEADER | HOST | BASE64);
    mark(&mut table, b"+/", BASE64);
    // "_" is in no host name by the grammar, but real names have it.
    mark(&mut table, b"-_", HOST);
    mark(&mut table, b"-.!%*_+`'~", TOKEN);
    // `mark`, and "%" of an escape, which is looked at on its own.
    mark(&mut table, b"-_.!~*'()%", USER | PASSWORD | URI_PARAM | URI_HEADER);
    // "#" must be escaped, but dial codes such as *72# come without it from real phones.
    mark(&mut table, b"&=+$,;?/#", USER);
    mark(&mut table, b"&=+$,", PASSWORD);
    mark(&mut table, b"[]/:&+$", URI_PARAM);
    mark(&mut table, b"[]/?:+$&=", URI_HEADER);
    clear(&mut table, b"\",;<>\\", VALUE);
    table
}

const fn mark(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
}

const fn clear(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] &= !class;
        at += 1;
    }
}

fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// A character of `token`.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// `token`: at least one character.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A character of a host name's label.
pub(crate) fn is_host_byte(byte: u8) -> bool {
    is(byte, HOST)
}

/// A digit of base64; padding is none.
pub(crate) fn is_base64_byte(byte: u8) -> bool {
    is(byte, BASE64)
}

/// White space inside a value; CR and LF stand there only as part of a fold.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The user part of a SIP URI.
pub(crate) fn is_user(text: &str) -> bool {
    !text.is_empty() && is_escaped_text(text, USER)
}

/// The password of a SIP URI.
pub(crate) fn is_password(text: &str) -> bool {
    is_escaped_text(text, PASSWORD)
}

/// The name or the value of a URI parameter.
pub(crate) fn is_uri_param(text: &str) -> bool {
    !text.is_empty() && is_escaped_text(text, URI_PARAM)
}

/// What stands behind the `?` of a SIP URI.
pub(crate) fn is_uri_headers(text: &str) -> bool {
    is_escaped_text(text, URI_HEADER)
}

/// The value of a header parameter: a quoted string, or visible characters that separate nothing.
pub(crate) fn is_param_value(text: &str) -> bool {
    match text.strip_prefix('"') {
        Some(rest) => end_of_quoted(rest).is_some_and(|end| end + 1 == rest.len()),
        None => !text.is_empty() && text.bytes().all(|b| is(b, VALUE)),
    }
}

/// Characters of one class, and two hexadecimal digits behind every `%`.
fn is_escaped_text(text: &str, class: u8) -> bool {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, &b)| is(b, class) && (b != b'%' || (hex(at + 1) && hex(at + 2))))
}

/// Index of the first `wanted`, an ASCII byte. A plain loop: what is searched is a few bytes long, and
/// over before `str::find` or a wide search has begun.
pub(crate) fn find(text: &str, wanted: u8) -> Option<usize> {
    text.bytes().position(|b| b == wanted)
}

/// What stands before and behind the first `separator`.
pub(crate) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    find(text, separator).map(|at| (&text[..at], &text[at + 1..]))
}

/// What stands before the first `mark`, and the rest from the mark on; all and nothing without one.
pub(crate) fn cut_before(text: &str, mark: u8) -> (&str, &str) {
    text.split_at(find(text, mark).unwrap_or(text.len()))
}

/// Without the white space around it. Only SIP's own: other alphabets' spaces are data.
pub(crate) fn trim(text: &str) -> &str {
    &text[inside(text.as_bytes())]
}

/// [`trim`] for text that need not be UTF-8.
pub(crate) fn trim_bytes(text: &[u8]) -> &[u8] {
    &text[inside(text)]
}

fn inside(text: &[u8]) -> std::ops::Range<usize> {
    let start = text.iter().position(|b| !is_space(*b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_space(*b)).map_or(start, |last| last + 1);
    start..end
}

/// Index of the quote that ends a quoted string whose inside begins at 0.
pub(crate) fn end_of_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        // What an escape stands before is text, whatever it is.
        at += 2;
    }
}

/// What is inside the quotes, escapes left as they stand; the text itself when it has no quotes.
pub(crate) fn without_quotes(text: &str) -> &str {
    text.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(text)
}

/// `quoted-pair`s resolved: `\"` becomes `"`. Borrowed when there is none.
pub(crate) fn unescape_quoted(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    out.into()
}

/// One past the quoted string whose opening quote stands at `quote`; `None` when it never ends.
fn after_quoted(text: &str, quote: usize) -> Option<usize> {
    end_of_quoted(&text[quote + 1..]).map(|end| quote + end + 2)
}

/// Where `wanted` first stands outside a quoted string.
pub(crate) fn find_outside_quotes(text: &str, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(wanted, b'"', &bytes[at..])?;
        if bytes[at] == wanted {
            return Some(at);
        }
        at = after_quoted(text, at)?;
    }
}

/// Parts between `separator`s that stand outside quotes.
pub(crate) fn split_outside_quotes(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = find_outside_quotes(text, separator);
        rest = at.map(|at| &text[at + 1..]);
        Some(at.map_or(text, |at| &text[..at]))
    })
}

/// The values of a comma list; commas in quotes or angle brackets do not count. An empty header has
/// no values; an empty place between two commas is a value that no grammar accepts.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !trim(text).is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let at = find_comma(text);
        rest = at.map(|at| &text[at + 1..]);
        Some(trim(at.map_or(text, |at| &text[..at])))
    })
}

fn find_comma(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr3(b',', b'"', b'<', &bytes[at..])?;
        at = match bytes[at] {
            b',' => return Some(at),
            b'"' => after_quoted(text, at)?,
            _ => at + 1 + find_outside_quotes(&text[at + 1..], b'>')?,
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check_list(text: &str, wanted: &[&str]) {
        assert_eq!(list(text).collect::<Vec<_>>(), wanted, "{text}");
    }

    #[test]
    fn commas_cut_a_list_only_where_they_separate() {
        check_list("a, b", &["a", "b"]);
        check_list("\"a, b\" <sip:x,y@z>, <sip:q>", &["\"a, b\" <sip:x,y@z>", "<sip:q>"]);
        check_list("\"\\\", \" <sip:a>", &["\"\\\", \" <sip:a>"]);
        check_list("a\r\n , b", &["a", "b"]);
    }

    #[test]
    fn an_empty_header_has_no_values_but_an_empty_place_shows() {
        check_list(" \t", &[]);
        check_list("", &[]);
        check_list("a,,b,", &["a", "", "b", ""]);
    }

    #[test]
    fn unbalanced_quotes_swallow_the_rest_instead_of_inventing_values() {
        check_list("\"a, b", &["\"a, b"]);
        check_list("<a, b", &["<a, b"]);
    }

    #[test]
    fn white_space_of_other_alphabets_is_data() {
        assert_eq!(trim("\u{a0}x\u{3000} "), "\u{a0}x\u{3000}");
    }

    #[test]
    fn every_class_has_its_no() {
        assert!(is_token("a-.!%*_+`'~9") && !is_token("") && !is_token("a b") && !is_token("a@b") && !is_token("é"));
        assert!(is_user("a%41;x=/?") && !is_user("") && !is_user("a%4") && !is_user("a b") && !is_user("ä") && !is_user("a\0"));
        assert!(is_param_value("\"a\\\"b\"") && !is_param_value("\"a") && !is_param_value("\"a\"b") && !is_param_value("a\"b"));
        assert!(is_param_value("[2001:db8::1]") && !is_param_value("") && !is_param_value("a b") && !is_param_value("a<b"));
    }

    #[test]
    fn quoted_pairs_resolve_once() {
        assert_eq!(unescape_quoted(r#"a\"b\\"#), r#"a"b\"#);
        assert_eq!(unescape_quoted("plain"), "plain");
    }
}
