//! What `net` counts, and the names under which it is read.

use metrics::{Counter, Gauge, counter, gauge};

/// Counters with their labels already looked up: counting a message is one addition.
pub(crate) struct Meters {
    pub(crate) connections: Gauge,
    handshakes: [Counter; HandshakeEnd::ALL.len()],
    received: Kinds,
    sent: Kinds,
    pub(crate) outbox_overflows: Counter,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HandshakeEnd {
    /// The TLS handshake is done; `trust` speaks next.
    Done,
    /// No TLS at all (row N12).
    ClearText,
    /// Took too long (row N38).
    Slow,
    /// The other side went away.
    Gone,
    /// No protocol version or suite in common (row N13), or nonsense.
    Protocol,
    /// The client's certificate was refused inside the handshake.
    Certificate,
    /// No place left in the server.
    ServerFull,
    /// No place left for this source.
    SourceFull,
}

impl HandshakeEnd {
    const ALL: [Self; 8] =
        [Self::Done, Self::ClearText, Self::Slow, Self::Gone, Self::Protocol, Self::Certificate, Self::ServerFull, Self::SourceFull];

    /// The label of the counter and the field of the event.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ClearText => "clear_text",
            Self::Slow => "slow",
            Self::Gone => "gone",
            Self::Protocol => "protocol",
            Self::Certificate => "certificate",
            Self::ServerFull => "server_full",
            Self::SourceFull => "source_full",
        }
    }
}

/// One counter for each kind of message.
struct Kinds {
    requests: [Counter; METHODS.len()],
    other: Counter,
    responses: Counter,
}

/// Methods counted by name; whatever a stranger invents is `other`.
const METHODS: [&str; 13] =
    ["REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "OPTIONS", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "PRACK", "UPDATE"];

impl Kinds {
    fn new(direction: &'static str) -> Self {
        let count = |kind: &'static str| counter!("verbund_sip_messages_total", "direction" => direction, "kind" => kind);
        Self { requests: METHODS.map(count), other: count("other"), responses: count("response") }
    }

    fn request(&self, method: &[u8]) -> &Counter {
        METHODS.iter().position(|known| known.as_bytes() == method).map_or(&self.other, |index| &self.requests[index])
    }
}

impl Meters {
    /// Looks the handles up; the recorder must be installed before.
    pub(crate) fn new() -> Self {
        Self {
            connections: gauge!("verbund_connections"),
            handshakes: HandshakeEnd::ALL.map(|end| counter!("verbund_handshakes_total", "result" => end.label())),
            received: Kinds::new("received"),
            sent: Kinds::new("sent"),
            outbox_overflows: counter!("verbund_outbox_overflows_total"),
        }
    }

    pub(crate) fn handshake(&self, end: HandshakeEnd) {
        if let Some(index) = HandshakeEnd::ALL.iter().position(|known| *known == end) {
            self.handshakes[index].increment(1);
        }
    }

    pub(crate) fn received(&self, message: &sip::Message) {
        if message.is_request() {
            self.received.request(message.method().as_bytes()).increment(1);
        } else {
            self.received.responses.increment(1);
        }
    }

    /// Counts bytes that this server wrote, one whole message.
    pub(crate) fn sent(&self, bytes: &[u8]) {
        if bytes.starts_with(b"SIP/2.0 ") {
            self.sent.responses.increment(1);
        } else {
            self.sent.request(bytes.split(|byte| *byte == b' ').next().unwrap_or_default()).increment(1);
        }
    }
}

/// How a call to a server ended, or began.
pub(crate) fn count_dial(result: &'static str) {
    counter!("verbund_dials_total", "result" => result).increment(1);
}

/// An open connection that was cut because its peer is no longer trusted.
pub(crate) fn count_cut(way: &'static str, reason: &'static str) {
    counter!("verbund_connections_cut_total", "listener" => way, "reason" => reason).increment(1);
}

/// One verdict of `trust`. Rare enough to look the counter up each time; `reason` is one of a fixed set of words.
pub(crate) fn count_verdict(listener: &'static str, verdict: &'static str, reason: &'static str) {
    counter!("verbund_trust_decisions_total", "listener" => listener, "verdict" => verdict, "reason" => reason).increment(1);
}
