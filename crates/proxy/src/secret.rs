//! Keys derived from one key, and randomness that is an argument.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The keys everything here is made with, derived from the one given at construction. It is not printed,
/// compared or kept.
pub(crate) struct Secret(hmac::Key);

impl Secret {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A key for one purpose only.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        bytes_of(&hmac::sign(&self.0, purpose.as_bytes())).into()
    }
}

fn bytes_of(tag: &hmac::Tag) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// Randomness that is an argument: HMAC over a counter, under a key that was random.
pub(crate) struct Generator {
    key: hmac::Key,
    block: u64,
    bytes: [u8; 32],
    used: usize,
}

impl Generator {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.derive("randomness").as_slice()), block: 0, bytes: [0; 32], used: 32 }
    }

    /// The next bytes, at most 32.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        if self.used + N > self.bytes.len() {
            self.bytes = bytes_of(&hmac::sign(&self.key, &self.block.to_be_bytes()));
            self.block += 1;
            self.used = 0;
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        out
    }
}
