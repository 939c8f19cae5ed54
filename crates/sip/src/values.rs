//! Small header values: read when asked, never stored.

use crate::{
    Fault, Name, Params, Reason,
    chars::{cut, cut_before, is_param_value, is_space, is_token, trim},
};

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
        let malformed = Reason::Malformed(Name::CSeq);
        let (digits, method) = text.split_at(text.bytes().position(is_space).ok_or(malformed)?);
        let method = trim(method);
        if !is_number(digits) || !is_token(method) {
            return Err(malformed);
        }
        match digits.parse::<u32>() {
            Ok(number) if number < 1 << 31 => Ok(Self { number, method }),
            _ => Err(Reason::OutOfRange(Name::CSeq)),
        }
    }
}

/// `application/sdp;charset=utf-8` (RFC 3261 §20.15). Type and subtype are compared without regard to case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MediaType<'m> {
    /// `application`, as it stood.
    pub kind: &'m str,
    /// `sdp`, as it stood.
    pub subtype: &'m str,
    /// `charset`, `boundary`, …
    pub params: Params<'m>,
}

impl<'m> MediaType<'m> {
    /// Reads a value; white space is allowed around the slash.
    #[must_use]
    pub fn parse(text: &'m str) -> Option<Self> {
        let (full, params) = cut_before(text, b';');
        let (kind, subtype) = cut(full, b'/')?;
        let (kind, subtype) = (trim(kind), trim(subtype));
        Some(Self { kind, subtype, params: Params::of_header(params)? }).filter(|_| is_token(kind) && is_token(subtype))
    }

    /// Whether it is this type and subtype.
    #[must_use]
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.subtype.eq_ignore_ascii_case(subtype) && self.kind.eq_ignore_ascii_case(kind)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The number of a header like `Expires` or `Max-Forwards`, up to `max`.
pub(crate) fn number(name: Name, text: &str, max: u32, at: usize) -> Result<u32, Fault> {
    if !is_number(text) {
        return Err(Fault::new(Reason::Malformed(name), at));
    }
    text.parse().ok().filter(|n| *n <= max).ok_or(Fault::new(Reason::OutOfRange(name), at))
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` (RFC 3261 §25.1).
pub(crate) fn is_qvalue(text: &str) -> bool {
    let (whole, fraction) = cut(text, b'.').unwrap_or((text, ""));
    let digit = |b: u8| if whole == "1" { b == b'0' } else { b.is_ascii_digit() };
    matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(digit)
}

/// `rfc1123-date`, whose only zone is GMT (RFC 3261 §20.17).
pub(crate) fn is_date(text: &str) -> bool {
    const DAYS: [&[u8]; 7] = [b"Mon,", b"Tue,", b"Wed,", b"Thu,", b"Fri,", b"Sat,", b"Sun,"];
    const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let one_of = |names: &[&[u8]], text: &[u8]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    // Of one width, so that digits compare like the numbers they write.
    let within =
        |text: &[u8], min: &[u8], max: &[u8]| text.len() == max.len() && text.iter().all(u8::is_ascii_digit) && min <= text && text <= max;
    let mut parts = text.as_bytes().split(|b| is_space(*b)).filter(|part| !part.is_empty());
    let mut next = || parts.next().unwrap_or_default();
    let (weekday, day, month, year, time, zone) = (next(), next(), next(), next(), next(), next());
    let mut clock = time.split(|b| *b == b':');
    let mut next = || clock.next().unwrap_or_default();
    let (hour, minute, second) = (next(), next(), next());
    one_of(&DAYS, weekday)
        && within(day, b"01", b"31")
        && one_of(&MONTHS, month)
        && within(year, b"0000", b"9999")
        && within(hour, b"00", b"23")
        && within(minute, b"00", b"59")
        && within(second, b"00", b"60")
        && zone.eq_ignore_ascii_case(b"GMT")
        && clock.next().is_none()
        && parts.next().is_none()
}

/// `3DIGIT SP warn-agent SP quoted-string` (RFC 3261 §20.43).
pub(crate) fn is_warning(text: &str) -> bool {
    let mut parts = text.splitn(3, is_space_char);
    let mut next = || trim(parts.next().unwrap_or_default());
    let (code, agent, words) = (next(), next(), next());
    let is_agent = !agent.is_empty() && agent.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b'<' | b'>'));
    code.len() == 3 && is_number(code) && is_agent && words.starts_with('"') && is_param_value(words)
}

fn is_space_char(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// `delta-seconds [ comment ] *( SEMI retry-param )` (RFC 3261 §20.33): the seconds.
pub(crate) fn retry_after(text: &str, at: usize) -> Result<u32, Fault> {
    let (digits, rest) = text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = number(Name::RetryAfter, digits, u32::MAX, at)?;
    let params = after_comment(trim(rest)).and_then(Params::of_header);
    params.map(|_| seconds).ok_or(Fault::new(Reason::Malformed(Name::RetryAfter), at))
}

/// What follows a comment, which may hold comments; all of it when there is none.
fn after_comment(text: &str) -> Option<&str> {
    if !text.starts_with('(') {
        return Some(text);
    }
    let (mut depth, mut escaped) = (0_usize, false);
    let close = text.bytes().position(|b| {
        match b {
            _ if escaped => {}
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        escaped = b == b'\\' && !escaped;
        depth == 0
    });
    close.map(|at| &text[at + 1..])
}

/// `event-package *( "." event-template ) *( SEMI param )` (RFC 6665 §8.4).
pub(crate) fn is_event(text: &str) -> bool {
    let (package, params) = cut_before(text, b';');
    let package = trim(package);
    package.split('.').all(is_token) && Params::of_header(params).is_some()
}

/// `word [ "@" word ]` (RFC 3261 §25.1): visible characters without white space are all that matters here;
/// a comma would make one Call-ID two to readers that split lists.
pub(crate) fn is_call_id(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'@'));
    match cut(text, b'@') {
        Some((word, host)) => is_word(word) && is_word(host),
        None => is_word(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(is: impl Fn(&str) -> bool, yes: &[&str], no: &[&str]) {
        yes.iter().for_each(|text| assert!(is(text), "{text}"));
        no.iter().for_each(|text| assert!(!is(text), "{text}"));
    }

    #[test]
    fn cseq_is_a_number_below_2_to_the_31_and_a_method() {
        check(|t| CSeq::parse(t).is_ok(), &["1 INVITE", "0009\r\n  INVITE", "2147483647 X"], &[]);
        check(
            |t| CSeq::parse(t).is_ok(),
            &[],
            &["", "1", "INVITE", "-1 X", "+1 X", "2147483648 X", "1 X Y", "1 X@", "9292394834772304023312 X"],
        );
        assert_eq!(CSeq::parse("4294967297 X"), Err(Reason::OutOfRange(Name::CSeq)));
    }

    #[test]
    fn dates_are_in_gmt() {
        check(
            is_date,
            &["Sat, 13 Nov 2010 23:29:00 GMT", "sat,  13 nov 2010\r\n 23:29:60 gmt"],
            &[
                "",
                "Fri, 01 Jan 2010 16:00:00 EST",
                "Fri, 01 Jan 2010 16:00:00",
                "01 Jan 2010 16:00:00 GMT",
                "Fri, 32 Jan 2010 16:00:00 GMT",
                "Fri, 00 Jan 2010 16:00:00 GMT",
                "Fri, 1 Jan 2010 16:00:00 GMT",
                "Fri, 01 Jan 2010 24:00:00 GMT",
                "Fri, 01 Jan 2010 16:60:00 GMT",
                "Fri, 01 Jan 2010 16:00:00 GMT+1",
                "Fri, 01 Jan 2010 16:00:00 GMT x",
                "Fri, 01 Jan 2010 16:00:00:00 GMT",
                "Friday, 01-Jan-10 16:00:00 GMT",
            ],
        );
    }

    #[test]
    fn warnings_have_three_digits() {
        check(
            is_warning,
            &["399 verbund \"a, b\"", "307 isi.edu:5060  \"x\""],
            &["1812 overture \"x\"", "39 a \"x\"", "399 a x", "399 \"x\"", "399 a \"x"],
        );
    }

    #[test]
    fn retry_after_is_seconds_a_comment_and_parameters() {
        check(|t| retry_after(t, 0).is_ok(), &["5", "18000;duration=3600", "120 (I'm (in) a \\) meeting)", "1 (a) ;b"], &[]);
        check(|t| retry_after(t, 0).is_ok(), &[], &["", "x", "-5", "949302838503028349304023988", "5 x", "5 (a", "5 (a))", "5;"]);
    }

    #[test]
    fn q_is_from_0_to_1_with_three_digits() {
        check(is_qvalue, &["0", "1", "0.5", "0.333", "1.000", "0.", "1."], &["", "2", "1.1", "0.1234", "-0", ".5", "0,5", "00", "1e0"]);
    }

    #[test]
    fn media_types_are_read_with_white_space_and_parameters() {
        let sdp = MediaType::parse("Application / SDP ; charset=\"utf-8\"").unwrap();
        assert!(sdp.is("application", "sdp") && !sdp.is("application", "sdpx"));
        assert_eq!(sdp.params.value("charset"), Some("utf-8"));
        check(
            |t| MediaType::parse(t).is_some(),
            &["a/b", "text/plain;x=y"],
            &["", "text", "/", "a/", "a/b;", "a/b c", "a/b, c/d", "a/b;x=\"y"],
        );
    }

    #[test]
    fn events_are_packages_with_templates() {
        check(is_event, &["presence", "presence.winfo;id=1"], &["", "a b", "presence.", "presence;", ";id=1"]);
    }

    #[test]
    fn call_ids_are_one_visible_word_or_two() {
        check(
            is_call_id,
            &["a", "a@b", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"],
            &["", "a b", "a@", "@b", "a@b@c", "a,b", "a;b", "é"],
        );
    }
}
