//! A byte stream becomes messages and keep-alives; where it cannot, it ends.

use bytes::BytesMut;

use crate::{Fault, Limits, Message, Reason, scan::Scan};

/// What stands in a stream, one after the other.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a message lives in its frame for a moment only; a box would be an allocation for each")]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// CR LF CR LF: the other side asks whether we are there (RFC 5626 §3.5.1). Answer with CR LF.
    Ping,
    /// CR LF between messages: the answer to a ping of ours, padding (RFC 3261 §7.5), or the first half
    /// of a ping whose second half is still on its way. Nothing is owed for it.
    Pong,
}

/// Where one message ends in a byte stream (RFC 3261 §18.3: over a stream transport the
/// `Content-Length` header is what frames the body).
///
/// After a fault nothing in the stream can be trusted any more: the connection must be closed. The
/// framer keeps to that, and answers with the same fault from then on.
#[derive(Debug, Default)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    scan: Scan,
    /// The last thing told was a CR LF that stood alone at the end of the input.
    half_ping: bool,
    fault: Option<Fault>,
}

impl Framer {
    /// An empty framer.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes what the connection gave.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where a connection may read to directly; what it adds counts as input.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How many bytes wait here for the rest of their message.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Nothing is half read: the connection is between messages.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Gives the memory of an empty buffer back: most connections are idle most of the time.
    pub fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next whole frame, if the input holds one.
    ///
    /// # Errors
    /// The stream cannot be framed any further: answer if the fault allows, and close it.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.next_frame().inspect_err(|fault| self.fault = Some(*fault))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        if self.scan.is_fresh()
            && let Some(frame) = self.keep_alive()
        {
            return Ok(frame);
        }
        let Some(head) = self.scan.advance(&self.buffer, &self.limits)? else { return Ok(None) };
        let head_end = usize::from(head.end);
        let body = head.content_length.ok_or(Fault::new(Reason::ContentLengthMissing, head_end))?;
        let length = head_end + body as usize;
        if self.buffer.len() < length {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(length).freeze();
        Ok(Some(Frame::Message(Message::assemble(bytes, self.scan.take()))))
    }

    /// Between messages: `Some(None)` says that only more input can tell what this is.
    ///
    /// A CR LF that ends the input is told at once, for it may be all that ever comes. Should the next
    /// bytes be a CR LF again, the two were a ping, and it must be answered however it was cut.
    fn keep_alive(&mut self) -> Option<Option<Frame>> {
        let (frame, length, half_ping) = match &self.buffer[..] {
            [] | [b'\r'] => return Some(None),
            [b'\r', b'\n', ..] if self.half_ping => (Frame::Ping, 2, false),
            [b'\r', b'\n'] => (Frame::Pong, 2, true),
            [b'\r', b'\n', b'\r'] => return Some(None),
            [b'\r', b'\n', b'\r', b'\n', ..] => (Frame::Ping, 4, false),
            [b'\r', b'\n', ..] => (Frame::Pong, 2, false),
            _ => {
                self.half_ping = false;
                return None;
            }
        };
        let _ = self.buffer.split_to(length);
        self.half_ping = half_ping;
        Some(Some(frame))
    }
}
