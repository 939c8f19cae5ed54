use bytes::{BufMut, Bytes, BytesMut};

use crate::{Message, Name, Status, values};

/// A response to a request, made by this server (RFC 3261 §8.2.6).
///
/// Via, From, To, Call-ID and CSeq are the request's; for a dialog's first response a To tag is added.
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
        reply.out.put_slice(b"SIP/2.0 ");
        let code = status.code();
        reply.out.put_slice(&[b'0' + (code / 100) as u8, b'0' + (code / 10 % 10) as u8, b'0' + (code % 10) as u8, b' ']);
        reply.out.put_slice(phrase.as_bytes());
        reply.out.put_slice(b"\r\n");
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

    fn field(&mut self, name: &str, value: &[&str]) {
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b": ");
        for part in value {
            self.out.put_slice(part.as_bytes());
        }
        self.out.put_slice(b"\r\n");
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: Name, value: &str) -> Self {
        self.field(name.as_str(), &[value]);
        self
    }

    /// Copies every field of this name from the request (Record-Route into a 2xx, Path into a 200 to REGISTER).
    #[must_use]
    pub fn copy(mut self, name: Name) -> Self {
        let request = self.request;
        for value in request.all(name) {
            self.field(name.as_str(), &[value]);
        }
        self
    }

    /// The message, without a body.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.out.put_slice(b"Content-Length: 0\r\n\r\n");
        self.out.freeze()
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
    put(&["Via: ", invite.first(Name::Via).and_then(|text| values::list(text).next()).unwrap_or_default(), "\r\n"]);
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
