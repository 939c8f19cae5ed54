//! Requests that we write ourselves: CANCEL, ACK for a failure, ACK and BYE for an answer that must not be.

use bytes::{BufMut, Bytes, BytesMut};
use sip::{Message, Name};

/// A request of our own about a branch: CANCEL (RFC 3261 §9.1) or the ACK for a failure (§17.1.1.3).
pub(crate) struct HopRequest<'a> {
    pub(crate) method: &'a str,
    /// The INVITE as the caller sent it.
    pub(crate) invite: &'a Message,
    /// The Request-URI the branch was sent with.
    pub(crate) uri: &'a str,
    /// Our Via on that branch.
    pub(crate) via: &'a str,
    /// The To of the response, for an ACK.
    pub(crate) to: Option<&'a str>,
    /// The Route values the branch was sent with.
    pub(crate) routes: &'a [&'a str],
    pub(crate) reason: Option<&'a str>,
}

impl HopRequest<'_> {
    pub(crate) fn write(self) -> Bytes {
        let invite = self.invite;
        let mut out = BytesMut::with_capacity(512);
        let number = invite.first(Name::CSeq).and_then(|text| text.split_ascii_whitespace().next()).unwrap_or_default();
        put(&mut out, &[self.method, " ", self.uri, " SIP/2.0\r\nVia: ", self.via]);
        put(&mut out, &["\r\nFrom: ", invite.first(Name::From).unwrap_or_default()]);
        put(&mut out, &["\r\nTo: ", self.to.or(invite.first(Name::To)).unwrap_or_default()]);
        put(&mut out, &["\r\nCall-ID: ", invite.first(Name::CallId).unwrap_or_default()]);
        put(&mut out, &["\r\nCSeq: ", number, " ", self.method, "\r\nMax-Forwards: 70\r\n"]);
        for route in self.routes {
            put(&mut out, &["Route: ", route, "\r\n"]);
        }
        if let Some(reason) = self.reason {
            put(&mut out, &["Reason: ", reason, "\r\n"]);
        }
        put(&mut out, &["Content-Length: 0\r\n\r\n"]);
        out.freeze()
    }
}

/// ACK or BYE for a call that was answered but must not be: written from the 2xx alone, as the caller's
/// side of the dialog would (RFC 3261 §12.2.1.1). `before_us` counts the Record-Route values between us and
/// the callee.
pub(crate) fn in_dialog(method: &str, answer: &Message, number: u32, via: &str, reason: Option<&str>, before_us: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    let contact = answer.addresses(Name::Contact).find_map(Result::ok);
    let to = answer.to().ok();
    let uri = contact.as_ref().map(|c| c.uri.text).or(to.as_ref().map(|to| to.uri.text)).unwrap_or_default();
    put(&mut out, &[method, " ", uri, " SIP/2.0\r\nVia: ", via]);
    for name in [Name::From, Name::To, Name::CallId] {
        put(&mut out, &["\r\n", name.as_str(), ": ", answer.first(name).unwrap_or_default()]);
    }
    put(&mut out, &["\r\nCSeq: ", &number.to_string(), " ", method, "\r\nMax-Forwards: 70\r\n"]);
    let mut routes: Vec<&str> = answer.list(Name::RecordRoute).take(before_us).collect();
    while let Some(route) = routes.pop() {
        put(&mut out, &["Route: ", route, "\r\n"]);
    }
    if let Some(reason) = reason {
        put(&mut out, &["Reason: ", reason, "\r\n"]);
    }
    put(&mut out, &["Content-Length: 0\r\n\r\n"]);
    out.freeze()
}

fn put(out: &mut BytesMut, parts: &[&str]) {
    parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
}
