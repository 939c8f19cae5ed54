use bytes::BytesMut;

use crate::{Fault, Limits, Message, Reason, scan::Scan};

/// What stands in a stream, one after the other.
#[derive(Debug)]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// CR LF CR LF: the other side asks whether we are there (RFC 5626 §3.5.1).
    Ping,
    /// CR LF between messages: the answer to a ping of ours, or padding.
    Pong,
}

/// Where one message ends in a byte stream (RFC 3261 §18.3: over a stream transport the
/// `Content-Length` header is what frames the body).
///
/// After a fault nothing in the stream can be trusted any more: the connection must be closed.
#[derive(Debug, Default)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    scan: Scan,
    /// The whole length of the message whose head is understood.
    pending: Option<(crate::scan::Head, usize)>,
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
        if self.pending.is_none() {
            if self.scan.is_fresh()
                && let Some(frame) = self.keep_alive()
            {
                return Ok(frame);
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let Some(head) = self.scan.advance(&self.buffer, &self.limits)? else { return Ok(None) };
            let end = usize::from(head.end);
            let body = head.content_length.ok_or(Fault::new(Reason::ContentLengthMissing, end))?;
            self.pending = Some((head, end + body as usize));
        }
        match self.pending.take() {
            Some((head, len)) if self.buffer.len() >= len => {
                let bytes = self.buffer.split_to(len).freeze();
                Ok(Some(Frame::Message(Message::assemble(bytes, head))))
            }
            pending => {
                self.pending = pending;
                Ok(None)
            }
        }
    }

    /// CR LF before a start line: `Some(None)` says that more input decides what it is.
    fn keep_alive(&mut self) -> Option<Option<Frame>> {
        match &self.buffer[..] {
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                let _ = self.buffer.split_to(4);
                Some(Some(Frame::Ping))
            }
            [b'\r'] | [b'\r', b'\n', b'\r'] => Some(None),
            [b'\r', b'\n', ..] => {
                let _ = self.buffer.split_to(2);
                Some(Some(Frame::Pong))
            }
            _ => None,
        }
    }
}
