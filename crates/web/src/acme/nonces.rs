//! Nonces against replay (RFC 8555 §6.5): made without memory, remembered only when used.
//!
//! A nonce is a moment, a random number and a MAC over both. It counts for [`LIFETIME`] and once. What is
//! remembered are those that authentic requests used; when these are too many, the oldest nonces, used or
//! not, stop to count: a client that has one asks for another by itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::NoRandomness;

/// How long a nonce counts.
pub(super) const LIFETIME: Duration = Duration::from_mins(15);
/// How many used nonces are remembered.
const USED_MAX: usize = 65_536;

const MOMENT_BYTES: usize = 8;
const RANDOM_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const BODY_BYTES: usize = MOMENT_BYTES + RANDOM_BYTES;

/// Makes nonces and knows which of them count.
pub(super) struct Nonces {
    key: hmac::Key,
    used: Mutex<Used>,
    used_max: usize,
}

#[derive(Default)]
struct Used {
    /// By the second in which they were made.
    by_second: BTreeMap<u64, HashSet<[u8; RANDOM_BYTES]>>,
    count: usize,
    /// Nonces made before this second do not count.
    floor: u64,
}

/// A nonce that was read: ours, not too old, not known to be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Nonce {
    second: u64,
    random: [u8; RANDOM_BYTES],
}

impl Nonces {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).map_err(|_| NoRandomness)?;
        Ok(Self { key, used: Mutex::default(), used_max: USED_MAX })
    }

    /// A new one.
    pub(super) fn make(&self, now: SystemTime) -> Result<String, NoRandomness> {
        let mut bytes = [0; BODY_BYTES + TAG_BYTES];
        bytes[..MOMENT_BYTES].copy_from_slice(&second_of(now).to_be_bytes());
        bytes[MOMENT_BYTES..BODY_BYTES].copy_from_slice(&pki::random::<RANDOM_BYTES>()?);
        let tag = hmac::sign(&self.key, &bytes[..BODY_BYTES]);
        bytes[BODY_BYTES..].copy_from_slice(&tag.as_ref()[..TAG_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads one: `None` when it is not ours, too old, or used.
    pub(super) fn read(&self, text: &str, now: SystemTime) -> Option<Nonce> {
        let bytes: [u8; BODY_BYTES + TAG_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (body, tag) = bytes.split_at(BODY_BYTES);
        let ours = hmac::sign(&self.key, body);
        aws_lc_rs::constant_time::verify_slices_are_equal(&ours.as_ref()[..TAG_BYTES], tag).ok()?;
        let (second, random) = body.split_at(MOMENT_BYTES);
        let nonce = Nonce { second: u64::from_be_bytes(second.try_into().ok()?), random: random.try_into().ok()? };
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.counts(nonce, second_of(now)).then_some(nonce)
    }

    /// Uses one up; whether it still counted. Called when the request proved to be authentic, so strangers
    /// fill no memory.
    pub(super) fn consume(&self, nonce: Nonce, now: SystemTime) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = second_of(now);
        used.forget(now, self.used_max);
        if !used.counts(nonce, now) {
            return false;
        }
        used.by_second.entry(nonce.second).or_default().insert(nonce.random);
        used.count += 1;
        true
    }
}

impl Used {
    fn counts(&self, nonce: Nonce, now: u64) -> bool {
        let in_time = nonce.second >= self.floor && nonce.second.saturating_add(LIFETIME.as_secs()) > now && nonce.second <= now;
        in_time && !self.by_second.get(&nonce.second).is_some_and(|used| used.contains(&nonce.random))
    }

    /// Drops what does not count anyway, and more if there is no room.
    fn forget(&mut self, now: u64, max: usize) {
        let over = |second: u64| second.saturating_add(LIFETIME.as_secs()) <= now;
        while let Some(first) = self.by_second.first_entry().filter(|first| self.count >= max || over(*first.key())) {
            let (second, used) = first.remove_entry();
            self.count = self.count.saturating_sub(used.len());
            self.floor = self.floor.max(second.saturating_add(1));
        }
    }
}

fn second_of(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_nonce_counts_once() {
        let (nonces, now) = (Nonces::new().unwrap(), start());
        let text = nonces.make(now).unwrap();
        let nonce = nonces.read(&text, now).unwrap();
        assert!(nonces.consume(nonce, now));
        assert!(!nonces.consume(nonce, now) && nonces.read(&text, now).is_none());
    }

    #[test]
    fn a_nonce_ends() {
        let (nonces, now) = (Nonces::new().unwrap(), start());
        let text = nonces.make(now).unwrap();
        assert!(nonces.read(&text, now + LIFETIME - SECOND).is_some());
        assert!(nonces.read(&text, now + LIFETIME).is_none());
        assert!(nonces.read(&text, now - SECOND).is_none(), "made in the future");
    }

    #[test]
    fn a_forged_or_foreign_nonce_does_not_count() {
        let (nonces, now) = (Nonces::new().unwrap(), start());
        let foreign = Nonces::new().unwrap().make(now).unwrap();
        let mut forged = nonces.make(now).unwrap().into_bytes();
        forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
        for text in [&foreign, std::str::from_utf8(&forged).unwrap(), "", "AAAA", "!", &"A".repeat(4096)] {
            assert!(nonces.read(text, now).is_none(), "{text}");
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_does_not_come_back() {
        let nonces = Nonces { used_max: 10, ..Nonces::new().unwrap() };
        let first = nonces.read(&nonces.make(start()).unwrap(), start()).unwrap();
        assert!(nonces.consume(first, start()));
        for later in 1..100 {
            let now = start() + SECOND * later;
            let nonce = nonces.read(&nonces.make(now).unwrap(), now).unwrap();
            assert!(nonces.consume(nonce, now));
            assert!(nonces.used.lock().unwrap().count <= 10);
        }
        assert!(!nonces.consume(first, start() + SECOND * 100));
    }
}
