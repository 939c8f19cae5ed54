//! Which nonce counts were used already (RFC 7616 §3.4: `nc` exists so that a replay can be seen).

use std::collections::BTreeMap;

use crate::nonce::Nonce;

/// How far behind the highest count a request may arrive: requests pipelined by several transactions
/// of one client may overtake each other before they are written.
const WINDOW: u32 = 64;

/// Nonces in use. Numbers grow with time, so the smallest number is the oldest nonce, and everything
/// below a floor counts as used: forgetting never makes a replay possible.
pub(crate) struct Replays {
    windows: BTreeMap<u64, Window>,
    floor: u64,
    windows_max: usize,
}

#[derive(Clone, Copy)]
struct Window {
    made: u32,
    highest: u32,
    /// Bit n: the count `highest - n` was used.
    used: u64,
}

impl Window {
    /// Whether `count` was not used before; notes it.
    fn admit(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            self.used = if step < WINDOW { self.used << step | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        let fresh = back < WINDOW && self.used & 1 << back == 0;
        if fresh {
            self.used |= 1 << back;
        }
        fresh
    }
}

impl Replays {
    pub(crate) fn new(windows_max: usize) -> Self {
        Self { windows: BTreeMap::new(), floor: 0, windows_max: windows_max.max(1) }
    }

    /// Whether this is the first use of `count` with this nonce; notes it. Nonces made before `oldest`
    /// (seconds) are over and make room. When there is still none, the oldest nonce in use goes, and its
    /// client is challenged once more: a nuisance that only users who signed in can cause.
    pub(crate) fn admit(&mut self, nonce: Nonce, count: u32, oldest: u32) -> bool {
        self.forget(oldest);
        if nonce.number < self.floor {
            return false;
        }
        if let Some(window) = self.windows.get_mut(&nonce.number) {
            return window.admit(count);
        }
        if self.windows.len() >= self.windows_max {
            self.drop_oldest();
            if nonce.number < self.floor {
                return false;
            }
        }
        self.windows.insert(nonce.number, Window { made: nonce.made, highest: count, used: 1 });
        true
    }

    fn forget(&mut self, oldest: u32) {
        while self.windows.first_key_value().is_some_and(|(_, window)| window.made < oldest) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((number, _)) = self.windows.pop_first() {
            self.floor = number + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn nonce(number: u64) -> Nonce {
        Nonce { made: 0, number }
    }

    #[test]
    fn a_count_is_good_once() {
        let mut replays = Replays::new(4);
        assert!(replays.admit(nonce(1), 1, 0));
        assert!(!replays.admit(nonce(1), 1, 0));
        assert!(replays.admit(nonce(1), 2, 0));
        assert!(replays.admit(nonce(2), 1, 0), "each nonce counts for itself");
    }

    #[test]
    fn requests_may_overtake_each_other_within_the_window() {
        let mut replays = Replays::new(4);
        assert!(replays.admit(nonce(1), 100, 0));
        assert!(replays.admit(nonce(1), 37, 0));
        assert!(!replays.admit(nonce(1), 37, 0));
        assert!(!replays.admit(nonce(1), 36, 0), "too far behind to know");
        assert!(replays.admit(nonce(1), u32::MAX, 0));
        assert!(!replays.admit(nonce(1), u32::MAX, 0));
    }

    #[test]
    fn a_forgotten_nonce_is_used_up_not_new() {
        let mut replays = Replays::new(2);
        for number in 1..=3 {
            assert!(replays.admit(nonce(number), 1, 0));
        }
        assert!(!replays.admit(nonce(1), 1, 0));
        assert!(!replays.admit(nonce(1), 2, 0));
        assert!(!replays.admit(nonce(2), 1, 0), "still in use, and still not fresh");
        assert!(replays.admit(nonce(2), 2, 0));
        assert_eq!(replays.windows.len(), 2);
    }

    #[test]
    fn an_expired_nonce_makes_room() {
        let mut replays = Replays::new(1);
        assert!(replays.admit(Nonce { made: 1, number: 1 }, 1, 0));
        assert!(replays.admit(Nonce { made: 9, number: 5 }, 1, 5));
        assert!(!replays.admit(Nonce { made: 9, number: 1 }, 1, 5));
    }

    proptest! {
        /// Against a set that remembers everything: nothing is admitted twice, and what is new and
        /// not too old is admitted.
        #[test]
        fn the_window_agrees_with_a_perfect_memory(counts in prop::collection::vec(prop_oneof![1u32..200, 1u32..=u32::MAX], 1..200)) {
            let mut replays = Replays::new(4);
            let mut seen = BTreeSet::new();
            for count in counts {
                let highest = seen.last().copied().unwrap_or(0);
                let known = count > highest || highest - count < WINDOW;
                prop_assert_eq!(replays.admit(nonce(1), count, 0), known && !seen.contains(&count));
                if known {
                    seen.insert(count);
                }
            }
        }

        #[test]
        fn no_pair_of_nonce_and_count_is_admitted_twice_however_small_the_memory(
            uses in prop::collection::vec((0u64..8, 1u32..8), 1..200), windows_max in 1usize..6
        ) {
            let mut replays = Replays::new(windows_max);
            let mut admitted = BTreeSet::new();
            for (number, count) in uses {
                if replays.admit(nonce(number), count, 0) {
                    prop_assert!(admitted.insert((number, count)));
                }
                prop_assert!(replays.windows.len() <= windows_max);
            }
        }
    }
}
