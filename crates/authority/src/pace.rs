//! How much one member may ask for, by whatever protocol: what one of them asks for is paid for by all.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pki::Fqdn;
use web::Window;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Certificates and revocations that a member asks for in a minute: it needs one of them in three days.
const ASKED_PER_MINUTE_MAX: u32 = 60;
/// Certificates that a member gives up in a day though nobody else has their keys: each is an entry in a list that all carry.
pub(crate) const GIVEN_UP_PER_DAY_MAX: u32 = 8;
/// How often a member says in a day that it listens elsewhere: each move is a version of the topology, which is kept for good.
pub(crate) const MOVES_PER_DAY_MAX: u32 = 20;
/// How often the log says that a member asks for too much.
const TOLD_EVERY: Duration = Duration::from_hours(1);
/// Members that are counted at the same time; more than a topology lists.
const MEMBERS_MAX: usize = 16_384;

/// What each member asked for lately. It is forgotten when the authority ends, so that it bounds how fast something grows; how
/// large it may become is bounded by what is stored.
#[derive(Default)]
pub(crate) struct Paces(Mutex<HashMap<Fqdn, Pace>>);

struct Pace {
    asked: Window,
    given_up: Window,
    moved: Window,
    told: Window,
}

impl Pace {
    fn new(now: Instant) -> Self {
        let [asked, given_up, moved, told] = [Window::new(now); 4];
        Self { asked, given_up, moved, told }
    }
}

impl Paces {
    /// Counts a request for a certificate or a revocation; how long to wait when there were too many.
    pub(crate) fn ask(&self, member: &Fqdn, now: Instant) -> Result<(), Duration> {
        self.with(member, now, |pace| pace.asked.count(ASKED_PER_MINUTE_MAX, MINUTE, now))
    }

    /// Counts a certificate that its holder gives up; how long to wait when there were too many.
    pub(crate) fn give_up(&self, member: &Fqdn, now: Instant) -> Result<(), Duration> {
        self.with(member, now, |pace| pace.given_up.count(GIVEN_UP_PER_DAY_MAX, DAY, now))
    }

    /// Counts a move to other addresses; how long to wait when there were too many.
    pub(crate) fn move_on(&self, member: &Fqdn, now: Instant) -> Result<(), Duration> {
        self.with(member, now, |pace| pace.moved.count(MOVES_PER_DAY_MAX, DAY, now))
    }

    /// Whether the log may say now that this member asks for too much: it is not to grow by that either.
    pub(crate) fn may_tell(&self, member: &Fqdn, now: Instant) -> bool {
        self.with(member, now, |pace| pace.told.count(1, TOLD_EVERY, now)).is_ok()
    }

    fn with(&self, member: &Fqdn, now: Instant, count: impl FnOnce(&mut Pace) -> Result<(), Duration>) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MEMBERS_MAX && !all.contains_key(member) {
            all.retain(|_, pace| pace.given_up.lasts(DAY, now) || pace.moved.lasts(DAY, now));
            if all.len() >= MEMBERS_MAX {
                return Err(MINUTE);
            }
        }
        count(all.entry(member.clone()).or_insert_with(|| Pace::new(now)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn members() -> [Fqdn; 2] {
        ["fe1.a.test", "fe2.a.test"].map(|name| Fqdn::parse(name).unwrap())
    }

    /// So many are done, then none of this member and still some of others, until the span is over.
    fn check(max: u32, span: Duration, ask: impl Fn(&Paces, &Fqdn, Instant) -> Result<(), Duration>) {
        let (paces, [one, other], begin) = (Paces::default(), members(), Instant::now());
        assert!((0..max).all(|_| ask(&paces, &one, begin).is_ok()));
        assert_eq!(ask(&paces, &one, begin + MINUTE / 2), Err(span - MINUTE / 2));
        assert_eq!(ask(&paces, &other, begin), Ok(()));
        assert_eq!(ask(&paces, &one, begin + span), Ok(()));
    }

    #[test]
    fn a_member_asks_gives_up_and_moves_only_so_often() {
        check(ASKED_PER_MINUTE_MAX, MINUTE, Paces::ask);
        check(GIVEN_UP_PER_DAY_MAX, DAY, Paces::give_up);
        check(MOVES_PER_DAY_MAX, DAY, Paces::move_on);
    }
}
