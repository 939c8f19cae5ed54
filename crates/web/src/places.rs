//! How many connections there are, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Limits;

/// The places of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all_max: usize,
    each_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// A place taken by one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        let taken = Arc::default();
        Self { all_max: limits.connections_max, each_max: limits.connections_per_address_max, taken }
    }

    /// A place for a connection from `address`, `None` when there is no more.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.each.get(&address).copied().unwrap_or(0);
        if taken.all >= self.all_max || here >= self.each_max {
            return None;
        }
        taken.all += 1;
        taken.each.insert(address, here + 1);
        Some(Place { address, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.each.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.each.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn places(all: usize, each: usize) -> Places {
        Places::new(&Limits { connections_max: all, connections_per_address_max: each, ..Limits::HTTPS })
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let (places, here, there) = (places(10, 2), [127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let _held = [places.take(here).unwrap(), places.take(here).unwrap()];
        assert!(places.take(here).is_none());
        assert!(places.take(there).is_some());
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let places = places(2, 2);
        let _held = [places.take([127, 0, 0, 1].into()).unwrap(), places.take([127, 0, 0, 2].into()).unwrap()];
        assert!(places.take([127, 0, 0, 3].into()).is_none());
    }

    #[test]
    fn a_place_given_back_is_free_and_leaves_nothing_behind() {
        let places = places(1, 1);
        for last in 0..100 {
            assert!(places.take([127, 0, 0, last].into()).is_some());
        }
        assert!(places.taken.lock().unwrap().each.is_empty());
    }
}
