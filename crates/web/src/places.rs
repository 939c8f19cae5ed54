//! How many connections there are, in all and from each source or member.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use pki::Fqdn;
use registrar::Source;

use crate::Limits;

/// The places of one listener, by who takes them.
#[derive(Clone, Debug)]
pub(crate) struct Places<Who> {
    all_max: usize,
    each_max: usize,
    taken: Arc<Mutex<Taken<Who>>>,
}

#[derive(Debug)]
struct Taken<Who> {
    all: usize,
    each: HashMap<Who, usize>,
}

/// A place taken by one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<Who: Eq + Hash> {
    who: Who,
    taken: Arc<Mutex<Taken<Who>>>,
}

impl Places<Source> {
    /// For whoever comes. An IPv6 network is one source: its addresses are free to choose.
    pub(crate) fn of_sources(limits: &Limits) -> Self {
        Self::new(limits.connections_max, limits.connections_per_source_max)
    }

    /// For those who come from where a server of the organisation is to be found: strangers from elsewhere cannot take them.
    pub(crate) fn of_expected(limits: &Limits) -> Self {
        Self::new(limits.expected_connections_max, limits.connections_per_source_max)
    }
}

impl Places<Fqdn> {
    /// For those who proved to be members: strangers cannot take their places, nor can a shared address.
    pub(crate) fn of_members(limits: &Limits) -> Self {
        Self::new(limits.member_connections_max, limits.connections_per_member_max)
    }
}

impl<Who: Clone + Eq + Hash> Places<Who> {
    fn new(all_max: usize, each_max: usize) -> Self {
        Self { all_max, each_max, taken: Arc::new(Mutex::new(Taken { all: 0, each: HashMap::new() })) }
    }

    /// A place for a connection, `None` when there is no more.
    pub(crate) fn take(&self, who: Who) -> Option<Place<Who>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.each.get(&who).copied().unwrap_or(0);
        if taken.all >= self.all_max || here >= self.each_max {
            return None;
        }
        taken.all += 1;
        taken.each.insert(who.clone(), here + 1);
        Some(Place { who, taken: self.taken.clone() })
    }
}

impl<Who: Eq + Hash> Drop for Place<Who> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.each.get_mut(&self.who) {
            *here -= 1;
            if *here == 0 {
                taken.each.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from(address: &str) -> Source {
        address.parse::<std::net::IpAddr>().unwrap().into()
    }

    fn places(all: usize, each: usize) -> Places<Source> {
        Places::of_sources(&Limits { connections_max: all, connections_per_source_max: each, ..Limits::HTTPS })
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let (places, here, there) = (places(10, 2), from("127.0.0.1"), from("127.0.0.2"));
        let _held = [places.take(here).unwrap(), places.take(here).unwrap()];
        assert!(places.take(here).is_none());
        assert!(places.take(there).is_some());
    }

    #[test]
    fn n38_addresses_of_one_ipv6_network_are_one_source() {
        let places = places(10, 1);
        let _held = places.take(from("2001:db8::1")).unwrap();
        assert!(places.take(from("2001:db8::2")).is_none());
        assert!(places.take(from("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let places = places(2, 2);
        let _held = [places.take(from("127.0.0.1")).unwrap(), places.take(from("127.0.0.2")).unwrap()];
        assert!(places.take(from("127.0.0.3")).is_none());
    }

    #[test]
    fn a_place_given_back_is_free_and_leaves_nothing_behind() {
        let places = places(1, 1);
        for last in 0..100 {
            assert!(places.take(from(&format!("127.0.0.{last}"))).is_some());
        }
        assert!(places.taken.lock().unwrap().each.is_empty());
    }

    #[test]
    fn members_have_places_of_their_own() {
        let limits = Limits { member_connections_max: 3, connections_per_member_max: 2, ..Limits::HTTPS };
        let (places, fe1, fe2) = (Places::of_members(&limits), Fqdn::parse("fe1.a.test").unwrap(), Fqdn::parse("fe2.a.test").unwrap());
        let _held = [places.take(fe1.clone()).unwrap(), places.take(fe1.clone()).unwrap()];
        assert!(places.take(fe1).is_none());
        assert!(places.take(fe2).is_some());
    }
}
