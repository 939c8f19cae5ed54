//! The node's own answers, as values: decided first, written later.

use bytes::Bytes;
use sip::{Message, Name, Reply, Status};

/// A final response the server gives itself. What the other side is told says less than what is logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    headers: Vec<(Name, String)>,
}

impl Answer {
    pub(crate) fn new(status: Status) -> Self {
        Self { status, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A refusal whose reason the phone's owner may read (RFC 3261 §20.43, code 399: miscellaneous).
    pub(crate) fn warned(status: Status, server: &str, text: impl std::fmt::Display) -> Self {
        let text = text.to_string().replace(['"', '\\'], "'");
        Self::new(status).with(Name::Warning, format!("399 {server} \"{text}\""))
    }

    pub(crate) fn write(&self, request: &Message, to_tag: &str) -> Bytes {
        let reply = Reply::to(request, self.status, to_tag);
        self.headers.iter().fold(reply, |reply, (name, value)| reply.header(*name, value)).finish()
    }
}
