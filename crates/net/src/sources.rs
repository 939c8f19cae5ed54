//! How much of the server one source address may hold (row N38).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use registrar::Source;
use tokio::sync::Semaphore;

use crate::Limits;

/// Who holds how many connections.
#[derive(Debug)]
pub(crate) struct Sources {
    connections_max: usize,
    strangers_max: usize,
    per_source_max: usize,
    handshakes_per_source_max: usize,
    unfinished_bytes_max: usize,
    unfinished_bytes_per_source_max: usize,
    total: AtomicUsize,
    strangers: AtomicUsize,
    unfinished: AtomicUsize,
    table: Mutex<HashMap<Source, Arc<Taken>>>,
}

/// What the connections of one source have taken.
#[derive(Debug)]
struct Taken {
    connections: AtomicUsize,
    handshakes: Semaphore,
    unfinished: AtomicUsize,
}

/// Whether anything is known of where a connection comes from. It proves nothing; it says whose places are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whence {
    /// From an address at which the topology lists a server, or we called it.
    Listed,
    /// From anywhere else.
    Anywhere,
}

/// Which of the bounds was met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    Server,
    Source,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    sources: Arc<Sources>,
    source: Source,
    taken: Arc<Taken>,
    whence: Whence,
    /// Bytes of a message that is not whole yet, as far as they count.
    unfinished: usize,
}

impl Sources {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections_max,
            strangers_max: limits.strangers_max,
            per_source_max: limits.connections_per_source_max,
            handshakes_per_source_max: limits.handshakes_per_source_max,
            unfinished_bytes_max: limits.unfinished_bytes_max,
            unfinished_bytes_per_source_max: limits.unfinished_bytes_per_source_max,
            total: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            table: Mutex::default(),
        })
    }

    /// A place for a connection from `address`, if there is one.
    pub(crate) fn take_seat(self: &Arc<Self>, address: IpAddr, whence: Whence) -> Result<Seat, Full> {
        let source = Source::from(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let stranger = whence == Whence::Anywhere;
        let no_more = stranger && self.strangers.load(Ordering::Relaxed) >= self.strangers_max;
        if no_more || self.total.load(Ordering::Relaxed) >= self.connections_max {
            return Err(Full::Server);
        }
        let taken = table.entry(source).or_insert_with(|| {
            let handshakes = Semaphore::new(self.handshakes_per_source_max);
            Arc::new(Taken { connections: AtomicUsize::new(0), handshakes, unfinished: AtomicUsize::new(0) })
        });
        if taken.connections.load(Ordering::Relaxed) >= self.per_source_max {
            return Err(Full::Source);
        }
        taken.connections.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        self.strangers.fetch_add(usize::from(stranger), Ordering::Relaxed);
        Ok(Seat { sources: Arc::clone(self), source, taken: Arc::clone(taken), whence, unfinished: 0 })
    }
}

impl Seat {
    /// What a connection may hold of an unfinished message without being counted: an ordinary message in two segments.
    const UNCOUNTED_BYTES: usize = 8 * 1024;

    /// Notes that this connection holds so many bytes of a message that is not whole. `false` when its source, or all
    /// together, would hold more than they may: memory that a stranger fills before anybody could be asked who they are.
    pub(crate) fn hold_unfinished(&mut self, bytes: usize) -> bool {
        let counted = if bytes > Self::UNCOUNTED_BYTES { bytes } else { 0 };
        let before = std::mem::replace(&mut self.unfinished, counted);
        if counted == before {
            return true;
        }
        let add = |sum: &AtomicUsize| {
            sum.fetch_add(counted, Ordering::Relaxed);
            sum.fetch_sub(before, Ordering::Relaxed) - before
        };
        let (of_source, of_all) = (add(&self.taken.unfinished), add(&self.sources.unfinished));
        counted < before || (of_source <= self.sources.unfinished_bytes_per_source_max && of_all <= self.sources.unfinished_bytes_max)
    }

    /// The handshakes that this connection's source may have under way.
    pub(crate) fn handshakes(&self) -> &Semaphore {
        &self.taken.handshakes
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hold_unfinished(0);
        let mut table = self.sources.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.sources.total.fetch_sub(1, Ordering::Relaxed);
        self.sources.strangers.fetch_sub(usize::from(self.whence == Whence::Anywhere), Ordering::Relaxed);
        if self.taken.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            table.remove(&self.source);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sources(connections_max: usize, connections_per_source_max: usize) -> Arc<Sources> {
        Sources::new(&Limits { connections_max, connections_per_source_max, ..Limits::DEFAULT })
    }

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn one_source_cannot_take_every_place() {
        let sources = sources(10, 2);
        let _seats = [
            sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap(),
            sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap(),
        ];
        assert_eq!(sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap_err(), Full::Source);
        assert!(sources.take_seat(from("192.0.2.2"), Whence::Anywhere).is_ok());
    }

    #[test]
    fn the_server_has_a_bound_of_its_own() {
        let sources = sources(1, 10);
        let _seat = sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap();
        assert_eq!(sources.take_seat(from("192.0.2.2"), Whence::Anywhere).unwrap_err(), Full::Server);
    }

    #[test]
    fn n38_strangers_leave_places_to_those_who_are_expected() {
        let sources = Sources::new(&Limits { connections_max: 4, strangers_max: 2, connections_per_source_max: 4, ..Limits::DEFAULT });
        let strangers = ["192.0.2.1", "192.0.2.2"].map(|address| sources.take_seat(from(address), Whence::Anywhere).unwrap());
        assert_eq!(sources.take_seat(from("192.0.2.3"), Whence::Anywhere).unwrap_err(), Full::Server);
        let _listed = ["198.51.100.1"; 2].map(|address| sources.take_seat(from(address), Whence::Listed).unwrap());
        assert_eq!(sources.take_seat(from("198.51.100.1"), Whence::Listed).unwrap_err(), Full::Server);
        drop(strangers);
        assert!(sources.take_seat(from("192.0.2.3"), Whence::Anywhere).is_ok());
    }

    #[test]
    fn a_place_given_back_can_be_taken_again_and_leaves_nothing_behind() {
        let sources = sources(1, 1);
        for _ in 0..3 {
            drop(sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap());
        }
        assert!(sources.table.lock().unwrap().is_empty());
    }

    #[test]
    fn n38_unfinished_messages_are_bounded_for_a_source_and_for_all() {
        let limits = Limits { unfinished_bytes_max: 100_000, unfinished_bytes_per_source_max: 60_000, ..Limits::DEFAULT };
        let sources = Sources::new(&limits);
        let seat = |address| sources.take_seat(from(address), Whence::Anywhere).unwrap();
        let (mut first, mut second, mut other) = (seat("192.0.2.1"), seat("192.0.2.1"), seat("192.0.2.2"));
        assert!(first.hold_unfinished(40_000));
        assert!(!second.hold_unfinished(40_000), "its source has enough");
        assert!(second.hold_unfinished(8_000), "an ordinary message always has room");
        assert!(other.hold_unfinished(50_000));
        assert!(first.hold_unfinished(50_000) && !seat("192.0.2.3").hold_unfinished(20_000), "all together have enough");
        drop((first, second, other));
        assert_eq!(sources.unfinished.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let sources = sources(10, 1);
        let _seat = sources.take_seat(from("2001:db8::1"), Whence::Anywhere).unwrap();
        assert_eq!(sources.take_seat(from("2001:db8::ffff:1"), Whence::Anywhere).unwrap_err(), Full::Source);
        assert!(sources.take_seat(from("2001:db8:0:1::1"), Whence::Anywhere).is_ok());
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_same_source() {
        let sources = sources(10, 1);
        let _seat = sources.take_seat(from("::ffff:192.0.2.1"), Whence::Anywhere).unwrap();
        assert_eq!(sources.take_seat(from("192.0.2.1"), Whence::Anywhere).unwrap_err(), Full::Source);
        assert!(sources.take_seat(from("::ffff:192.0.2.2"), Whence::Anywhere).is_ok());
    }
}
