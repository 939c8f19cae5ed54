//! However a stream is cut, the same messages come out of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Frame, Framer, Limits};

/// The messages of the stream, and whether it ended in a fault.
fn frames(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<sip::Fault>) {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut messages = Vec::new();
    for piece in pieces {
        framer.handle_input(piece);
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => messages.push(message.as_bytes().to_vec()),
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let (front, back) = stream.split_at(stream.len() * usize::from(*cut) / 256);
    assert_eq!(frames(&[stream]), frames(&[front, back]));
});
