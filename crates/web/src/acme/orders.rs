//! The orders that are under way: in memory only, few, and not for long. Whoever loses one asks again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::{CertificateDer, Fqdn};
use serde_json::Value;

use super::problem::{Kind, Problem};
use crate::enrolment::{AccountId, Fault};

/// How long an order lasts, and with it the way to fetch its certificate.
pub(super) const LIFETIME: Duration = Duration::from_mins(60);
/// Orders at the same time; one more is refused.
const ORDERS_MAX: usize = 8_192;
/// Orders of one account at the same time; one more drops the oldest.
const ORDERS_PER_ACCOUNT_MAX: usize = 16;

/// An order (RFC 8555 §7.1.3). Its authorizations are born valid: who may have which name is known from the
/// topology, so there is nothing left to challenge.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) account: AccountId,
    pub(super) names: Vec<Fqdn>,
    pub(super) made: SystemTime,
    /// The certificate that it replaces (RFC 9773 §5), as the client wrote it.
    pub(super) replaces: Option<String>,
    pub(super) state: State,
}

/// Where an order stands (RFC 8555 §7.1.6).
#[derive(Clone, Debug)]
pub(super) enum State {
    Ready,
    Processing,
    Valid(Certificate),
    Invalid(Value),
}

/// What was issued.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) chain_pem: String,
    pub(super) leaf: CertificateDer<'static>,
}

impl Order {
    pub(super) fn expires(&self) -> SystemTime {
        self.made + LIFETIME
    }

    pub(super) fn status(&self) -> &'static str {
        match &self.state {
            State::Ready => "ready",
            State::Processing => "processing",
            State::Valid(_) => "valid",
            State::Invalid(_) => "invalid",
        }
    }
}

/// All orders.
#[derive(Default)]
pub(super) struct Orders(Mutex<HashMap<String, Order>>);

impl Orders {
    /// Keeps a new order.
    pub(super) fn add(&self, account: AccountId, names: Vec<Fqdn>, replaces: Option<String>, now: SystemTime) -> Result<Order, Problem> {
        let id = pki::random::<16>().map_err(|error| Fault::Unavailable { reason: error.to_string() })?;
        let order = Order { id: URL_SAFE_NO_PAD.encode(id), account, names, made: now, replaces, state: State::Ready };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, order| now < order.expires());
        make_room(&mut all, &order.account);
        if all.len() >= ORDERS_MAX {
            return Err(Problem::rate_limited(LIFETIME / 60));
        }
        all.insert(order.id.clone(), order.clone());
        Ok(order)
    }

    /// An account's own order; another's is told apart from none.
    pub(super) fn one(&self, id: &str, account: &AccountId, now: SystemTime) -> Result<Order, Problem> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owned(all.get(id), account, now).cloned()
    }

    /// The names of an account's orders, the oldest first.
    pub(super) fn of_account(&self, account: &AccountId, now: SystemTime) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<_> = all.values().filter(|order| order.account == *account && now < order.expires()).collect();
        own.sort_by_key(|order| order.made);
        own.into_iter().map(|order| order.id.clone()).collect()
    }

    /// Takes an order that is ready into work. Only one request gets it, so one order makes one certificate.
    pub(super) fn begin(&self, id: &str, account: &AccountId, now: SystemTime) -> Result<Order, Problem> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owned(all.get(id), account, now)?;
        let order = all.get_mut(id).ok_or_else(Problem::no_order)?;
        match order.state {
            State::Ready => {
                order.state = State::Processing;
                Ok(order.clone())
            }
            State::Processing | State::Valid(_) | State::Invalid(_) => {
                Err(Problem::new(Kind::OrderNotReady, format!("the order is {}", order.status())))
            }
        }
    }

    /// Says what became of it.
    pub(super) fn end(&self, id: &str, state: State) -> Option<Order> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let order = all.get_mut(id)?;
        order.state = state;
        Some(order.clone())
    }
}

fn owned<'a>(order: Option<&'a Order>, account: &AccountId, now: SystemTime) -> Result<&'a Order, Problem> {
    let order = order.filter(|order| now < order.expires()).ok_or_else(Problem::no_order)?;
    if order.account == *account { Ok(order) } else { Err(Problem::unauthorized("this order is another account's")) }
}

/// An account that has too many loses its oldest.
fn make_room(all: &mut HashMap<String, Order>, account: &AccountId) {
    let mut own: Vec<_> = all.values().filter(|order| order.account == *account).map(|order| (order.made, order.id.clone())).collect();
    own.sort();
    for (_, id) in own.iter().take(own.len().saturating_sub(ORDERS_PER_ACCOUNT_MAX - 1)) {
        all.remove(id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn an_order_is_its_accounts_and_ends() {
        let orders = Orders::default();
        let order = orders.add(account("a"), vec![], None, now()).unwrap();
        assert!(orders.one(&order.id, &account("a"), now()).is_ok());
        assert!(orders.one(&order.id, &account("b"), now()).is_err());
        assert!(orders.one(&order.id, &account("a"), now() + LIFETIME).is_err());
        assert!(orders.one("x", &account("a"), now()).is_err());
    }

    #[test]
    fn one_order_is_worked_on_once() {
        let orders = Orders::default();
        let order = orders.add(account("a"), vec![], None, now()).unwrap();
        assert!(orders.begin(&order.id, &account("b"), now()).is_err());
        assert!(orders.begin(&order.id, &account("a"), now()).is_ok());
        assert!(orders.begin(&order.id, &account("a"), now()).is_err());
        orders.end(&order.id, State::Ready);
        assert!(orders.begin(&order.id, &account("a"), now()).is_ok());
    }

    #[test]
    fn an_account_has_few_orders_and_takes_nothing_from_others() {
        let orders = Orders::default();
        let kept = orders.add(account("b"), vec![], None, now()).unwrap();
        for second in 0..100 {
            orders.add(account("a"), vec![], None, now() + Duration::from_secs(second)).unwrap();
        }
        assert_eq!(orders.of_account(&account("a"), now()).len(), ORDERS_PER_ACCOUNT_MAX);
        assert_eq!(orders.of_account(&account("b"), now()), [kept.id]);
    }
}
