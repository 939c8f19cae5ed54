//! Messages of our own: responses, the ACK of a failure, CANCEL. Changing somebody else's message is `rewrite`'s.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Message, Name, Status, chars::is_token};

/// A response to a request, made by this server (RFC 3261 §8.2.6).
///
/// Via, From, To, Call-ID and CSeq are the request's; for a dialog's first response a To tag is added.
/// No value can add a line of its own: CR and LF inside it become spaces, unless they are a fold.
pub struct Reply<'m> {
    request: &'m Message,
    out: BytesMut,
}

impl<'m> Reply<'m> {
    /// The response without further headers. `to_tag` is added unless To has one or the status is 100.
    #[must_use]
    pub fn to(request: &'m Message, status: Status, to_tag: &str) -> Self {
        Self::with_phrase(request, status, status.phrase(), to_tag)
    }

    /// With words of ours instead of the standard's.
    #[must_use]
    pub fn with_phrase(request: &'m Message, status: Status, phrase: &str, to_tag: &str) -> Self {
        let mut reply = Self { request, out: BytesMut::with_capacity(512) };
        reply.status_line(status, phrase);
        for field in request.fields() {
            match field.name {
                Name::Via | Name::From | Name::CallId | Name::CSeq => reply.field(field.name.as_str(), &[field.value]),
                // RFC 3261 §8.2.6.1: a 100 carries the Timestamp.
                Name::Timestamp if status == Status::TRYING => reply.field(field.name.as_str(), &[field.value]),
                Name::To => {
                    let tagged = status == Status::TRYING || to_tag.is_empty() || request.to().is_ok_and(|to| to.tag().is_some());
                    let (mark, tag) = if tagged { ("", "") } else { (";tag=", to_tag) };
                    reply.field("To", &[field.value, mark, tag]);
                }
                _ => {}
            }
        }
        reply
    }

    fn status_line(&mut self, status: Status, phrase: &str) {
        let code = status.code();
        let digit = |n: u16| b'0' + (n % 10) as u8;
        self.out.put_slice(b"SIP/2.0 ");
        self.out.put_slice(&[digit(code / 100), digit(code / 10), digit(code), b' ']);
        // The first line cannot be folded, so no CR or LF may stay.
        phrase.bytes().for_each(|byte| self.out.put_u8(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.put_slice(b"\r\n");
    }

    fn field(&mut self, name: &str, value: &[&str]) {
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b": ");
        for part in value {
            put_value(&mut self.out, part);
        }
        self.out.put_slice(b"\r\n");
    }

    /// Adds a header. [`Name::Other`] has no spelling and is left out; see [`header_named`](Self::header_named).
    #[must_use]
    pub fn header(self, name: Name, value: &str) -> Self {
        self.header_named(name.as_str(), value)
    }

    /// Adds a header of any name. A name that is not a token is left out, and so is `Content-Length`,
    /// which [`finish`](Self::finish) writes.
    #[must_use]
    pub fn header_named(mut self, name: &str, value: &str) -> Self {
        // "?" is what Name::Other calls itself, and no token.
        if is_token(name) && Name::of(name) != Name::ContentLength {
            self.field(name, &[value]);
        }
        self
    }

    /// Copies every field of this name from the request (Record-Route into a 2xx, Path into a 200 to REGISTER).
    #[must_use]
    pub fn copy(mut self, name: Name) -> Self {
        let request = self.request;
        for field in request.fields().filter(|field| field.name == name && name != Name::ContentLength) {
            let long = if name == Name::Other { field.raw_name } else { name.as_str() };
            self.field(long, &[field.value]);
        }
        self
    }

    /// The message, without a body.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.out.put_slice(b"Content-Length: 0\r\n\r\n");
        self.out.freeze()
    }

    /// The message, with a body of this type.
    #[must_use]
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Bytes {
        self.field(Name::ContentType.as_str(), &[content_type]);
        self.field(Name::ContentLength.as_str(), &[&body.len().to_string()]);
        self.out.put_slice(b"\r\n");
        self.out.put_slice(body);
        self.out.freeze()
    }
}

/// Writes a header value. A CR or LF that is no part of a fold becomes a space, for with it a value could
/// end its line and begin one of its own (header injection).
pub(crate) fn put_value(out: &mut impl BufMut, value: &str) {
    let bytes = value.as_bytes();
    if memchr::memchr2(b'\r', b'\n', bytes).is_none() {
        return out.put_slice(bytes);
    }
    let mut rest = bytes;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.put_slice(&rest[..at]);
        let fold = fold_length(&rest[at..]);
        if fold == 0 {
            out.put_u8(b' ');
        }
        out.put_slice(&rest[at..at + fold]);
        rest = &rest[at + fold.max(1)..];
    }
    out.put_slice(rest);
}

/// Length of the fold that begins here: CR LF, white space, and something behind it on the same line.
fn fold_length(text: &[u8]) -> usize {
    let Some(line) = text.strip_prefix(b"\r\n") else { return 0 };
    let spaces = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let holds_something = line.get(spaces).is_some_and(|b| !matches!(b, b'\r' | b'\n'));
    if spaces > 0 && holds_something { 2 + spaces } else { 0 }
}

/// Writes a Request-URI. What could end it or the line is escaped.
pub(crate) fn put_uri(out: &mut impl BufMut, uri: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in uri.bytes() {
        match byte {
            b'<' | b'>' | b'"' | 0..=b' ' | 0x7f.. => {
                out.put_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.put_u8(byte),
        }
    }
}

/// The ACK for a failure response, which the transaction layer owes its neighbour (RFC 3261 §17.1.1.3).
/// `invite` is the INVITE as it was sent on this branch.
#[must_use]
pub fn ack_for_failure(invite: &Message, response: &Message) -> Bytes {
    hop_request("ACK", invite, response.first(Name::To))
}

/// The CANCEL for a request, sent to the same hop (RFC 3261 §9.1). `invite` is the request as it was sent.
#[must_use]
pub fn cancel(invite: &Message) -> Bytes {
    hop_request("CANCEL", invite, invite.first(Name::To))
}

fn hop_request(method: &str, invite: &Message, to: Option<&str>) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    put(&[method, " ", invite.request_uri_text(), " SIP/2.0\r\n"]);
    put(&["Via: ", invite.list(Name::Via).next().unwrap_or_default(), "\r\n"]);
    put(&["From: ", invite.first(Name::From).unwrap_or_default(), "\r\n"]);
    put(&["To: ", to.unwrap_or_default(), "\r\n"]);
    put(&["Call-ID: ", invite.first(Name::CallId).unwrap_or_default(), "\r\n"]);
    let number = invite.first(Name::CSeq).and_then(|text| text.split_ascii_whitespace().next()).unwrap_or_default();
    put(&["CSeq: ", number, " ", method, "\r\nMax-Forwards: 70\r\n"]);
    for route in invite.all(Name::Route) {
        put(&["Route: ", route, "\r\n"]);
    }
    put(&["Content-Length: 0\r\n\r\n"]);
    out.freeze()
}
