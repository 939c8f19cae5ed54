//! The last word to someone whose bytes cannot be framed.

use bytes::{BufMut, Bytes, BytesMut};
use sip::{Fault, Message, Name, Reply};

/// Tells our failure responses' To from others' (RFC 3261 §8.2.6.2); no dialog hangs on it.
const TO_TAG: &str = "unframed";

/// A response to the request that `unread` begins with, if enough of it can be read to address one. After it the
/// connection ends.
///
/// Nothing behind the head is looked at: where the body ends is exactly what is unknown.
pub(crate) fn answer(unread: &[u8], fault: &Fault) -> Option<Bytes> {
    let request = addressable_part(unread)?;
    let answerable = request.is_request() && request.method() != "ACK" && is_readable(&request);
    answerable.then(|| Reply::with_phrase(&request, fault.status(), &fault.reason.to_string(), TO_TAG).finish())
}

/// The first line and the whole header lines that a response repeats, as a message of their own. A folded one among
/// them makes it none: guessing is what a framing fault forbids.
fn addressable_part(unread: &[u8]) -> Option<Message> {
    let mut lines = whole_lines(unread);
    let mut part = BytesMut::with_capacity(512);
    put_line(&mut part, lines.next()?);
    let mut repeated = false;
    for line in lines.take_while(|line| !line.is_empty()) {
        let is_fold = line.starts_with(b" ") || line.starts_with(b"\t");
        if is_fold && repeated {
            return None;
        }
        repeated = !is_fold && is_repeated(line);
        if repeated {
            put_line(&mut part, line);
        }
    }
    part.put_slice(b"Content-Length: 0\r\n\r\n");
    Message::parse(part.freeze()).ok()
}

fn put_line(part: &mut BytesMut, line: &[u8]) {
    part.put_slice(line);
    part.put_slice(b"\r\n");
}

/// Lines that end with CR LF; a line cut off by the end of the input is none.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, after) = rest.split_at(end);
        rest = &after[2..];
        Some(line)
    })
}

/// Whether a response repeats this line (RFC 3261 §8.2.6.2).
fn is_repeated(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let name = std::str::from_utf8(name.trim_ascii_end()).map_or(Name::Other, Name::of);
    matches!(name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq)
}

fn is_readable(request: &Message) -> bool {
    let addressed = request.via().is_ok() && request.from().is_ok() && request.to().is_ok();
    addressed && request.call_id().is_ok() && request.cseq().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sip::{Frame, Framer};

    const HEAD: &str = "Via: SIP/2.0/TLS a.test;branch=z9hG4bKx\r\nFrom: <sip:a@a.test>;tag=1\r\nTo: <sip:b@a.test>\r\nCall-ID: c\r\n";

    /// Frames `text`, which must fault, and gives the first line of the answer.
    fn check(text: &str, expected: Option<&str>) {
        let mut framer = Framer::default();
        framer.handle_input(text.as_bytes());
        let fault = framer.poll_frame().map(|frame| frame.is_some_and(|frame| matches!(frame, Frame::Message(_)))).unwrap_err();
        let answer = answer(framer.buffer_mut(), &fault);
        let first = answer.as_ref().map(|bytes| std::str::from_utf8(bytes).unwrap().lines().next().unwrap());
        assert_eq!(first.map(|line| &line[..11]), expected, "{text}");
        if let Some(answer) = answer {
            let answer = Message::parse(answer).unwrap();
            answer.validate().unwrap();
            assert_eq!(answer.call_id().unwrap(), "c");
        }
    }

    #[test]
    fn a_request_without_content_length_is_told_so() {
        check(&format!("OPTIONS sip:a.test SIP/2.0\r\n{HEAD}CSeq: 1 OPTIONS\r\n\r\n"), Some("SIP/2.0 400"));
    }

    #[test]
    fn a_request_with_a_doubled_content_length_is_told_so() {
        let head = format!("OPTIONS sip:a.test SIP/2.0\r\n{HEAD}CSeq: 1 OPTIONS\r\n");
        check(&format!("{head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"), Some("SIP/2.0 400"));
    }

    #[test]
    fn an_oversized_body_is_told_so() {
        let head = format!("MESSAGE sip:a.test SIP/2.0\r\n{HEAD}CSeq: 1 MESSAGE\r\n");
        check(&format!("{head}Content-Length: 99999999\r\n\r\n"), Some("SIP/2.0 513"));
    }

    #[test]
    fn a_fault_before_the_addressing_headers_gets_no_answer() {
        check(&format!("OPTIONS sip:a.test SIP/2.0\r\nno colon\r\n{HEAD}"), None);
    }

    #[test]
    fn a_response_or_an_ack_is_never_answered() {
        check(&format!("SIP/2.0 200 OK\r\n{HEAD}CSeq: 1 INVITE\r\n\r\n"), None);
        check(&format!("ACK sip:a.test SIP/2.0\r\n{HEAD}CSeq: 1 ACK\r\n\r\n"), None);
    }

    #[test]
    fn folded_addressing_headers_are_not_guessed_at() {
        check(&format!("OPTIONS sip:a.test SIP/2.0\r\n{HEAD} ;x\r\nCSeq: 1 OPTIONS\r\n\r\n"), None);
    }

    #[test]
    fn noise_is_not_answered() {
        check("\u{1}\u{2}\u{3}\r\n\r\n", None);
    }
}
