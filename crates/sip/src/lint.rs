//! What `verbund sip lint` asks: is this message accepted, and if not, where is the fault?
//!
//! The rules are the parser's and `validate`'s; here they get a place, an answer and notes.

use bytes::Bytes;

use crate::{Fault, Message, Name, Reason, Scheme, Status, sdp};

/// What the parser says about one raw message: the face of this crate for administrators.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// A server would act on it.
    Accepted(Accepted),
    /// A server would refuse or discard it.
    Rejected(Rejected),
}

/// A message that is read and understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// The method of a request; of a response, the one it answers.
    pub method: String,
    /// The Request-URI; empty for a response.
    pub request_uri: String,
    /// The status of a response.
    pub status: Option<Status>,
    /// What is worth knowing about it nevertheless.
    pub notes: Vec<Note>,
}

/// Something that is no fault of the message, but decides what becomes of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The fact, and what follows from it.
    pub text: String,
    /// The status a server answers because of it, where it is one.
    pub status: Option<Status>,
}

/// A message that breaks a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// The rule.
    pub reason: Reason,
    /// The byte at which it was noticed, from 0.
    pub at: usize,
    /// The line of that byte, from 1.
    pub line: usize,
    /// The column of that byte, from 1.
    pub column: usize,
    /// What a server answers; `None` for a response, which is discarded.
    pub status: Option<Status>,
}

/// Reads one raw message as from a file, and says what a server makes of it.
#[must_use]
pub fn lint(bytes: &[u8]) -> Verdict {
    // RFC 3261 §7.5: empty lines before the start line are ignored.
    let lead = bytes.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2;
    let text = Bytes::copy_from_slice(&bytes[lead..]);
    let read = Message::parse(text.clone()).and_then(|message| message.validate().map(|()| message));
    match read {
        Ok(message) => Verdict::Accepted(Accepted {
            method: message.method().to_owned(),
            request_uri: message.request_uri_text().to_owned(),
            status: message.status(),
            notes: notes(&message, lead, text.len() - message.as_bytes().len()),
        }),
        Err(fault) => Verdict::Rejected(Rejected::of(fault, bytes, lead)),
    }
}

impl Verdict {
    /// Whether a server would act on the message.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

impl Rejected {
    fn of(fault: Fault, bytes: &[u8], lead: usize) -> Self {
        let fault_here = Fault::new(fault.reason, fault.at + lead);
        let (line, column) = fault_here.place(bytes);
        let is_answer = bytes[lead..].get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
        Self { reason: fault.reason, at: fault_here.at, line, column, status: (!is_answer).then(|| fault.status()) }
    }
}

/// Collects what is worth knowing.
struct Notes(Vec<Note>);

impl Notes {
    fn say(&mut self, applies: bool, status: Option<Status>, text: impl FnOnce() -> String) {
        if applies {
            self.0.push(Note { text: text(), status });
        }
    }
}

fn notes(message: &Message, lead: usize, trail: usize) -> Vec<Note> {
    let mut notes = Notes(Vec::new());
    notes.say(lead > 0, None, || format!("{lead} bytes of empty lines before the message are ignored"));
    notes.say(trail > 0, None, || format!("{trail} bytes follow the message; over TLS they are the start of the next one"));
    note_transport(message, &mut notes);
    if message.is_request() {
        note_request(message, &mut notes);
    }
    if let Err(unprotected) = sdp::check(message) {
        notes.say(true, Some(Status::NOT_ACCEPTABLE_HERE), || format!("the media policy \"require\" does not let it pass: {unprotected}"));
    }
    notes.0
}

fn note_transport(message: &Message, notes: &mut Notes) {
    let no_length = message.first(Name::ContentLength).is_none();
    notes.say(no_length, Some(Status::BAD_REQUEST), || {
        "no Content-Length: over TLS nobody can tell where this message ends, and the connection is closed".to_owned()
    });
    let old = message.via().is_ok_and(|via| via.unique_branch().is_none());
    notes.say(old, None, || {
        "the topmost Via has no unique branch (RFC 3261 section 8.1.1.7); it is matched by the rules of RFC 2543".to_owned()
    });
    let untagged = message.from().is_ok_and(|from| from.tag().is_none());
    notes.say(untagged, None, || "From has no tag, as in RFC 2543".to_owned());
    let untyped = !message.body().is_empty() && message.first(Name::ContentType).is_none();
    notes.say(untyped, None, || "there is a body, but no Content-Type (RFC 3261 section 20.15)".to_owned());
}

fn note_request(message: &Message, notes: &mut Notes) {
    if let Ok(uri) = message.request_uri()
        && let Scheme::Other(scheme) = uri.scheme
    {
        notes.say(true, Some(Status::UNSUPPORTED_URI_SCHEME), || format!("a URI of the scheme \"{scheme}\" cannot be routed"));
    }
    let hops = message.max_forwards().unwrap_or(None);
    notes.say(hops.is_none(), None, || "Max-Forwards is missing, as in RFC 2543; a proxy adds it".to_owned());
    notes.say(hops == Some(0), Some(Status::TOO_MANY_HOPS), || "Max-Forwards is 0: a proxy does not pass it on".to_owned());
    let asked: Vec<&str> = message.list(Name::ProxyRequire).filter(|token| !token.is_empty()).collect();
    notes.say(!asked.is_empty(), Some(Status::BAD_EXTENSION), || format!("a proxy must understand: {}", asked.join(", ")));
    if message.method() == "REGISTER" {
        let not_sip = message.to().is_ok_and(|to| !to.uri.is_sip());
        notes.say(not_sip, Some(Status::BAD_REQUEST), || "a registrar wants a SIP URI in To".to_owned());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PLAIN: &str = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\nFrom: <sip:a@example.com>;tag=1\r\n\
        To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    fn accepted(text: &str) -> Accepted {
        match lint(text.as_bytes()) {
            Verdict::Accepted(accepted) => accepted,
            Verdict::Rejected(rejected) => panic!("{rejected:?}: {text}"),
        }
    }

    fn check_note(text: &str, status: Option<u16>, words: &str) {
        let notes = accepted(text).notes;
        let found = notes.iter().any(|note| note.status.map(Status::code) == status && note.text.contains(words));
        assert!(found, "{words}: {notes:?}");
    }

    #[test]
    fn a_plain_request_is_accepted_without_a_word() {
        let told = accepted(PLAIN);
        assert_eq!((told.method.as_str(), told.request_uri.as_str(), told.notes.len()), ("OPTIONS", "sip:b@example.com", 0));
    }

    #[test]
    fn what_is_worth_knowing_is_told() {
        check_note(&format!("\r\n{PLAIN}more"), None, "4 bytes follow the message");
        check_note(&format!("\r\n{PLAIN}"), None, "2 bytes of empty lines");
        check_note(&PLAIN.replace("sip:b@example.com SIP", "isbn:1 SIP"), Some(416), "isbn");
        check_note(&PLAIN.replace("70", "0"), Some(483), "Max-Forwards");
        check_note(&PLAIN.replace("Max-Forwards: 70\r\n", ""), None, "Max-Forwards is missing");
        check_note(&PLAIN.replace("Max-F", "Proxy-Require: x, y\r\nMax-F"), Some(420), "x, y");
        check_note(&PLAIN.replace(";branch=z9hG4bKx", ""), None, "branch");
        check_note(&PLAIN.replace(";tag=1", ""), None, "tag");
        check_note(&PLAIN.replace("Content-Length: 0\r\n", ""), Some(400), "Content-Length");
        let sdp = "Content-Type: application/sdp\r\n\r\nv=0\r\nm=audio 9 RTP/AVP 0\r\n";
        check_note(&PLAIN.replace("Content-Length: 0\r\n\r\n", sdp), Some(488), "encrypted");
    }

    #[test]
    fn a_rejection_names_the_place_and_the_answer() {
        let Verdict::Rejected(told) = lint(PLAIN.replace("CSeq: 1", "CSeq: x").as_bytes()) else { panic!("accepted") };
        assert_eq!((told.reason, told.line, told.column, told.status), (Reason::Malformed(Name::CSeq), 6, 7, Some(Status::BAD_REQUEST)));
        let Verdict::Rejected(told) = lint(PLAIN.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia").as_bytes()) else { panic!("accepted") };
        assert_eq!((told.line, told.status), (1, Some(Status::VERSION_NOT_SUPPORTED)));
    }

    #[test]
    fn a_broken_response_is_answered_with_nothing() {
        let response = PLAIN.replace("OPTIONS sip:b@example.com SIP/2.0", "SIP/2.0 200 OK").replace("Call-ID: 1\r\n", "");
        let Verdict::Rejected(told) = lint(response.as_bytes()) else { panic!("accepted") };
        assert_eq!((told.reason, told.status), (Reason::Missing(Name::CallId), None));
    }

    #[test]
    fn nothing_is_a_verdict_too() {
        for bytes in [&b""[..], b"\r\n", b"\r\n\r\n", b"\r", b"x", b"\xff\xff"] {
            assert!(!lint(bytes).is_accepted());
        }
    }
}
