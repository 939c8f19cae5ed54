//! The question that tells whether somebody is at the other end of a link: OPTIONS (RFC 3261 §11), and any answer will do.

use bytes::Bytes;
use pki::Fqdn;
use sip::Message;

/// An OPTIONS under way, known by its Call-ID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Probe(u64);

impl Probe {
    /// One that nobody can guess the answer to.
    pub(crate) const fn new(random: u64) -> Self {
        Self(random)
    }

    fn call_id(self) -> String {
        format!("{:016x}.link", self.0)
    }

    /// The request from us (`name:port`, as servers call us) to that server. It goes no further (Max-Forwards 0).
    pub(crate) fn request(self, from: &str, to: &Fqdn) -> Bytes {
        let (number, call_id) = (self.0, self.call_id());
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/TLS {from};branch=z9hG4bK{number:016x}\r\nMax-Forwards: 0\r\n\
             From: <sip:{from}>;tag={number:016x}\r\nTo: <sip:{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        .into()
    }

    /// Whether this message is the answer. A refusal is one as well: somebody is there.
    pub(crate) fn is_answered_by(self, message: &Message) -> bool {
        !message.is_request() && message.method() == "OPTIONS" && message.call_id().is_ok_and(|call_id| call_id == self.call_id())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sip::{Reply, Status};

    use super::*;

    fn request(number: u64) -> Message {
        Message::parse(Probe::new(number).request("fe1.contoso.example:5062", &"fe2.contoso.example".parse().unwrap())).unwrap()
    }

    fn check(probe: u64, answered: u64, status: Status, expected: bool) {
        let answer = Message::parse(Reply::to(&request(answered), status, "t").finish()).unwrap();
        assert_eq!(Probe::new(probe).is_answered_by(&answer), expected);
    }

    #[test]
    fn any_answer_to_it_will_do() {
        check(7, 7, Status::OK, true);
        check(7, 7, Status::METHOD_NOT_ALLOWED, true);
        check(7, 7, Status::TOO_MANY_HOPS, true);
    }

    #[test]
    fn the_answer_to_another_one_will_not() {
        check(7, 8, Status::OK, false);
        assert!(!Probe::new(7).is_answered_by(&request(7)));
    }

    #[test]
    fn the_question_is_a_whole_request() {
        request(7).validate().unwrap();
    }
}
