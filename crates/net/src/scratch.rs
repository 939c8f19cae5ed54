//! The buffers that all connections of a thread share, so that an idle connection holds none.

use std::cell::RefCell;

use sip::Framer;

/// What is read from a socket in one go.
pub(crate) const READ_BYTES: usize = 32 * 1024;
/// Plaintext that goes out in one run; the rest follows in the next.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;

/// Working space of the thread; nothing in it outlives one poll.
pub(crate) struct Scratch {
    /// What was held of the connection's ciphertext, then what was read now.
    pub(crate) input: Vec<u8>,
    /// Plaintext on its way out, joined so that it needs few records.
    pub(crate) plain: Vec<u8>,
    /// Ciphertext on its way out.
    pub(crate) output: Output,
    /// An empty framer for whoever receives next.
    pub(crate) framer: Option<Box<Framer>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; READ_BYTES],
        plain: Vec::with_capacity(READ_BYTES),
        output: Output { bytes: vec![0; READ_BYTES], filled: 0 },
        framer: None,
    });
}

/// Lends the thread's buffers. Must not be nested, and is not: no poll of a connection polls another.
pub(crate) fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.output.filled = 0;
        scratch.plain.clear();
        work(scratch)
    })
}

/// A buffer that is written to from the front; what lies behind the filled part is never cleared.
pub(crate) struct Output {
    bytes: Vec<u8>,
    filled: usize,
}

impl Output {
    /// At least `len` bytes behind what is filled.
    pub(crate) fn spare(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < self.filled + len {
            self.bytes.resize(self.filled + len, 0);
        }
        &mut self.bytes[self.filled..]
    }

    pub(crate) fn advance(&mut self, len: usize) {
        self.filled += len;
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}
