//! How often an account may ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Window, enrolment::AccountId};

/// Requests of one account in one [`SPAN`]; an enrolment takes about eight.
const REQUESTS_MAX: u32 = 240;
/// The span that is counted in.
const SPAN: Duration = Duration::from_mins(1);
/// Orders of one account in one [`ORDERS_SPAN`]; a member renews twice a week.
const ORDERS_MAX: u32 = 60;
const ORDERS_SPAN: Duration = Duration::from_mins(60);
/// Accounts that are counted at the same time. Only who proved to hold an account's key is.
const ACCOUNTS_MAX: usize = 16_384;

/// What each account asked for lately.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<AccountId, Asked>>);

struct Asked {
    requests: Window,
    orders: Window,
}

impl Pace {
    /// Counts a request; how long to wait when there were too many.
    pub(super) fn request(&self, account: &AccountId, now: Instant) -> Result<(), Duration> {
        self.with(account, now, |asked| asked.requests.count(REQUESTS_MAX, SPAN, now))
    }

    /// Counts an order; how long to wait when there were too many.
    pub(super) fn order(&self, account: &AccountId, now: Instant) -> Result<(), Duration> {
        self.with(account, now, |asked| asked.orders.count(ORDERS_MAX, ORDERS_SPAN, now))
    }

    fn with<T>(&self, account: &AccountId, now: Instant, count: impl FnOnce(&mut Asked) -> Result<T, Duration>) -> Result<T, Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ACCOUNTS_MAX && !all.contains_key(account) {
            all.retain(|_, asked| asked.orders.lasts(ORDERS_SPAN, now));
            if all.len() >= ACCOUNTS_MAX {
                return Err(SPAN);
            }
        }
        count(all.entry(account.clone()).or_insert_with(|| Asked { requests: Window::new(now), orders: Window::new(now) }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_pace_and_others_theirs() {
        let (pace, now) = (Pace::default(), Instant::now());
        let [one, two] = ["one", "two"].map(|id| AccountId::parse(id).unwrap());
        assert!((0..REQUESTS_MAX).all(|_| pace.request(&one, now).is_ok()));
        assert_eq!(pace.request(&one, now), Err(SPAN));
        assert!(pace.request(&two, now).is_ok());
        assert!(pace.request(&one, now + SPAN).is_ok());
    }

    #[test]
    fn orders_are_counted_apart() {
        let (pace, now) = (Pace::default(), Instant::now());
        let one = AccountId::parse("one").unwrap();
        assert!((0..ORDERS_MAX).all(|_| pace.order(&one, now).is_ok()));
        assert_eq!(pace.order(&one, now + SPAN), Err(ORDERS_SPAN - SPAN));
        assert!(pace.request(&one, now).is_ok());
    }
}
