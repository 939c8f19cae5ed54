//! Answers that were signed and are kept, so that a flood of questions costs no signature each.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use crate::ANSWER_VALIDITY;

/// How many answers are kept at a time; each has about a kilobyte. There is no room for more until some are too old.
pub const ANSWERS_KEPT_MAX: usize = 4096;
/// How long an answer is given out: whoever gets it last has half of its life left.
const GIVEN_OUT_FOR: Duration = Duration::from_secs(ANSWER_VALIDITY.as_secs() / 2);

/// The answers that are kept, by [`Question::key`](crate::Question::key).
///
/// None of them outlives a change of what is known: whoever looks something up asks for the [`era`](Self::era) before,
/// whoever changes something calls [`forget`](Self::forget) after. What was looked up in an era that has ended is not kept.
#[derive(Debug, Default)]
pub struct Kept {
    answers: HashMap<Vec<u8>, Answer>,
    era: u64,
}

#[derive(Debug)]
struct Answer {
    der: Vec<u8>,
    until: SystemTime,
}

impl Kept {
    /// The answer to this question, while it is to be given out.
    pub fn get(&self, key: &[u8], now: SystemTime) -> Option<&[u8]> {
        self.answers.get(key).filter(|answer| now < answer.until).map(|answer| answer.der.as_slice())
    }

    /// A number that changes whenever something is revoked.
    pub fn era(&self) -> u64 {
        self.era
    }

    /// Keeps an answer that was signed at `now` by what was known in this era, if there is room.
    pub fn put(&mut self, key: Vec<u8>, der: Vec<u8>, era: u64, now: SystemTime) {
        if era != self.era {
            return;
        }
        if self.answers.len() >= ANSWERS_KEPT_MAX && !self.answers.contains_key(&key) {
            self.answers.retain(|_, answer| now < answer.until);
        }
        if self.answers.len() < ANSWERS_KEPT_MAX || self.answers.contains_key(&key) {
            self.answers.insert(key, Answer { der, until: now + GIVEN_OUT_FOR });
        }
    }

    /// Something was revoked: what is asked from now on is answered anew.
    pub fn forget(&mut self) {
        self.answers.clear();
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn an_answer_is_given_out_for_half_of_its_life() {
        let mut kept = Kept::default();
        kept.put(vec![1], vec![2], kept.era(), NOW);
        assert_eq!(kept.get(&[1], NOW + ANSWER_VALIDITY / 2 - Duration::from_secs(1)), Some(&[2][..]));
        assert_eq!(kept.get(&[1], NOW + ANSWER_VALIDITY / 2), None);
        assert_eq!(kept.get(&[2], NOW), None);
    }

    #[test]
    fn what_was_looked_up_before_a_revocation_is_not_kept_after_it() {
        let mut kept = Kept::default();
        let before = kept.era();
        kept.put(vec![1], vec![2], before, NOW);
        kept.forget();
        assert_eq!(kept.get(&[1], NOW), None);
        // Its lookup was overtaken.
        kept.put(vec![1], vec![2], before, NOW);
        assert_eq!(kept.get(&[1], NOW), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut kept = Kept::default();
        let key = |number: usize| number.to_be_bytes().to_vec();
        for number in 0..=ANSWERS_KEPT_MAX {
            kept.put(key(number), vec![], 0, NOW);
        }
        assert_eq!((kept.answers.len(), kept.get(&key(ANSWERS_KEPT_MAX), NOW)), (ANSWERS_KEPT_MAX, None));
        // One that is there is replaced, and old ones make room.
        kept.put(key(0), vec![1], 0, NOW + GIVEN_OUT_FOR / 2);
        assert_eq!(kept.get(&key(0), NOW + GIVEN_OUT_FOR), Some(&[1][..]));
        kept.put(key(ANSWERS_KEPT_MAX), vec![], 0, NOW + GIVEN_OUT_FOR);
        assert_eq!(kept.answers.len(), 2);
    }
}
