//! Nonces that the server need not remember: time, number and a keyed tag that binds both to a flow.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Flow;

/// Seconds (4), number (8), tag (15): 27 bytes are 36 characters without padding. A tag of 120 bits is
/// beyond guessing within the five minutes a nonce lives.
const NONCE_BYTES: usize = 27;
const CLAIM_BYTES: usize = 12;

/// What a nonce says once its tag was checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Nonce {
    /// When it was made, in seconds since the key was taken into use.
    pub(crate) made: u32,
    /// Which one it is; greater than that of every nonce made before it.
    pub(crate) number: u64,
}

impl Nonce {
    pub(crate) fn seal(self, key: &hmac::Key, flow: Flow) -> String {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..4].copy_from_slice(&self.made.to_be_bytes());
        bytes[4..CLAIM_BYTES].copy_from_slice(&self.number.to_be_bytes());
        let tag = tag(key, &bytes[..CLAIM_BYTES], flow);
        bytes[CLAIM_BYTES..].copy_from_slice(&tag.as_ref()[..NONCE_BYTES - CLAIM_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` unless we made exactly this text for exactly this flow.
    pub(crate) fn open(text: &str, key: &hmac::Key, flow: Flow) -> Option<Self> {
        let mut bytes = [0; NONCE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (claim, given) = bytes.split_at(CLAIM_BYTES);
        let tag = tag(key, claim, flow);
        let ours = verify_slices_are_equal(given, &tag.as_ref()[..NONCE_BYTES - CLAIM_BYTES]).is_ok();
        (length == NONCE_BYTES && ours).then_some(Self {
            made: u32::from_be_bytes(claim[..4].try_into().ok()?),
            number: u64::from_be_bytes(claim[4..].try_into().ok()?),
        })
    }
}

fn tag(key: &hmac::Key, claim: &[u8], flow: Flow) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(claim);
    context.update(&flow.0.to_be_bytes());
    context.sign()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(byte: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])
    }

    #[test]
    fn a_nonce_opens_for_its_own_key_and_flow_only() {
        let nonce = Nonce { made: 7, number: 9 };
        let text = nonce.seal(&key(1), Flow(3));
        assert_eq!(text.len(), 36);
        assert_eq!(Nonce::open(&text, &key(1), Flow(3)), Some(nonce));
        assert_eq!(Nonce::open(&text, &key(1), Flow(4)), None);
        assert_eq!(Nonce::open(&text, &key(2), Flow(3)), None);
    }

    #[test]
    fn a_nonce_changed_anywhere_does_not_open() {
        let text = Nonce { made: 7, number: 9 }.seal(&key(1), Flow(3));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Nonce::open(std::str::from_utf8(&changed).unwrap(), &key(1), Flow(3)), None, "at {at}");
        }
        for other in ["", "A", "not base64 at all!", &text[1..], &format!("{text}A"), &format!("{text}=="), &"A".repeat(4096)] {
            assert_eq!(Nonce::open(other, &key(1), Flow(3)), None, "{other}");
        }
    }
}
