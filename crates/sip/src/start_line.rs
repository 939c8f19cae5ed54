//! The first line of a message: a question or an answer (RFC 3261 §7.1, §7.2).

use crate::{Fault, Reason, Status, chars::is_token_byte, scan::narrow};

/// Where the parts of the first line stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// `method SP uri SP SIP/2.0`; the method begins at 0.
    Request { method_end: u16, uri_end: u16, version_ok: bool },
    /// `SIP/2.0 SP code SP reason`; the line's end bounds the reason.
    Response { status: Status, reason: u16, line_end: u16 },
}

impl Default for Start {
    fn default() -> Self {
        Self::Request { method_end: 0, uri_end: 0, version_ok: true }
    }
}

/// Reads the line, given without its CR LF.
pub(crate) fn read(line: &[u8]) -> Result<Start, Fault> {
    let is_answer = line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if is_answer { status_line(line) } else { request_line(line) }
}

/// `Method SP Request-URI SP SIP-Version` with exactly one space between (RFC 3261 §7.1).
fn request_line(line: &[u8]) -> Result<Start, Fault> {
    let method_end = line.iter().position(|&b| !is_token_byte(b)).unwrap_or(line.len());
    if method_end == 0 || line.get(method_end) != Some(&b' ') {
        return Err(Fault::new(Reason::StartLine, method_end));
    }
    let uri = method_end + 1;
    let uri_len = memchr::memchr(b' ', &line[uri..]).ok_or(Fault::new(Reason::StartLine, line.len()))?;
    let uri_end = uri + uri_len;
    if uri_len == 0 {
        return Err(Fault::new(Reason::StartLine, uri));
    }
    if line[uri] == b'<' {
        return Err(Fault::new(Reason::RequestUri, uri));
    }
    let version = &line[uri_end + 1..];
    let version_ok = version.eq_ignore_ascii_case(b"SIP/2.0");
    if !version_ok && !is_version(version) {
        return Err(Fault::new(Reason::StartLine, uri_end + 1));
    }
    Ok(Start::Request { method_end: narrow(method_end), uri_end: narrow(uri_end), version_ok })
}

/// `"SIP/" 1*DIGIT "." 1*DIGIT`.
fn is_version(text: &[u8]) -> bool {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let numbers = text.get(..4).filter(|start| start.eq_ignore_ascii_case(b"SIP/")).map(|_| &text[4..]);
    numbers.is_some_and(|n| n.iter().position(|b| *b == b'.').is_some_and(|dot| digits(&n[..dot]) && digits(&n[dot + 1..])))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 §7.2).
fn status_line(line: &[u8]) -> Result<Start, Fault> {
    let version = line.split(|b| *b == b' ').next().unwrap_or_default();
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        let reason = if is_version(version) { Reason::Version } else { Reason::StartLine };
        return Err(Fault::new(reason, 0));
    }
    let rest = line.get(8..).unwrap_or_default();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let code = rest[..digits].iter().try_fold(0_u16, |n, digit| n.checked_mul(10)?.checked_add(u16::from(digit - b'0')));
    let status = code.filter(|_| digits == 3).and_then(Status::new).ok_or(Fault::new(Reason::StatusCode, 8))?;
    if rest.get(3) != Some(&b' ') {
        return Err(Fault::new(Reason::StartLine, 11));
    }
    Ok(Start::Response { status, reason: 12, line_end: narrow(line.len()) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(line: &str, wanted: Result<&str, Reason>) {
        let told = read(line.as_bytes()).map_err(|fault| fault.reason).map(|start| match start {
            Start::Request { version_ok: true, .. } => "request".to_owned(),
            Start::Request { version_ok: false, .. } => "other version".to_owned(),
            Start::Response { status, .. } => status.code().to_string(),
        });
        assert_eq!(told, wanted.map(str::to_owned), "{line}");
    }

    #[test]
    fn a_request_line_has_three_parts_and_single_spaces() {
        check("INVITE sip:a@b SIP/2.0", Ok("request"));
        check("INVITE sip:a@b sip/2.0", Ok("request"));
        check("INVITE  sip:a@b SIP/2.0", Err(Reason::StartLine));
        check("INVITE sip:a@b  SIP/2.0", Err(Reason::StartLine));
        check("INVITE sip:a@b SIP/2.0 ", Err(Reason::StartLine));
        check("INVITE sip:a; lr SIP/2.0", Err(Reason::StartLine));
        check("INVITE sip:a@b", Err(Reason::StartLine));
        check("INVITE", Err(Reason::StartLine));
        check("", Err(Reason::StartLine));
        check(" INVITE sip:a@b SIP/2.0", Err(Reason::StartLine));
        check("IN@VITE sip:a@b SIP/2.0", Err(Reason::StartLine));
        check("INVITE <sip:a@b> SIP/2.0", Err(Reason::RequestUri));
        check("GET / HTTP/1.1", Err(Reason::StartLine));
    }

    #[test]
    fn another_version_is_told_from_nonsense() {
        check("INVITE sip:a@b SIP/3.0", Ok("other version"));
        check("INVITE sip:a@b SIP/2.00", Ok("other version"));
        check("INVITE sip:a@b SIP/2", Err(Reason::StartLine));
        check("INVITE sip:a@b SIP/2.", Err(Reason::StartLine));
        check("SIP/3.0 200 OK", Err(Reason::Version));
        check("SIP/x 200 OK", Err(Reason::StartLine));
    }

    #[test]
    fn a_status_is_three_digits_and_a_space() {
        check("SIP/2.0 200 OK", Ok("200"));
        check("SIP/2.0 100 ", Ok("100"));
        check("SIP/2.0 699 Ende \u{1f44b}", Ok("699"));
        check("SIP/2.0 100", Err(Reason::StartLine));
        check("SIP/2.0 099 x", Err(Reason::StatusCode));
        check("SIP/2.0 700 x", Err(Reason::StatusCode));
        check("SIP/2.0 20 OK", Err(Reason::StatusCode));
        check("SIP/2.0 65736 OK", Err(Reason::StatusCode));
        check("SIP/2.0 4294967496 OK", Err(Reason::StatusCode));
        check("SIP/2.0 +20 OK", Err(Reason::StatusCode));
        check("SIP/2.0  200 OK", Err(Reason::StatusCode));
        check("SIP/2.0", Err(Reason::StatusCode));
    }
}
