//! The bounds of the rim, by name: connections, handshakes, bytes and waits (row N38).

use std::time::Duration;

use crate::way::Kind;

/// Everything a stranger can make grow or last, with its bound. The defaults carry an organisation behind one NAT
/// address; none of them can be switched off, only moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections in all. [`Server::on`](crate::Server::on) lowers it to what the process may open.
    pub connections_max: usize,
    /// Of these, kept for connections to the port for servers, if there is one: clients cannot take them.
    pub connections_for_servers_max: usize,
    /// Of those on the port for servers, how many may come from addresses at which the topology lists no server. Fewer than its
    /// handshakes, so that strangers who begin and never end leave handshakes to servers too.
    pub strangers_max: usize,
    /// Of these, kept for the links that we open to other servers, if we open any: nobody else can take them.
    pub links_dialled_max: usize,
    /// Connections from one source (an IPv4 address, an IPv6 /64); lowered so far that a part of all places stays free
    /// for others. Large offices behind one address need thousands.
    pub connections_per_source_max: usize,
    /// Handshakes under way in all; further ones wait, and waiting counts against their deadline.
    pub handshakes_max: usize,
    /// Handshakes under way from one source: a small part of all, so that a handful of addresses that begin and never end
    /// cannot hold every place. An office behind one address has its next phones in as fast as the first ones finish.
    pub handshakes_per_source_max: usize,
    /// Handshakes that may compute at the same time. What stands in the run queue is what messages of signed-in users
    /// wait behind, so a flood of handshakes costs others this many handshakes' time and no more.
    pub handshakes_computing_max: usize,
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake_seconds_max: u64,
    /// From a connection attempt to the TCP connection, for each address of the server that is called.
    pub connect_seconds_max: u64,
    /// From there to the end of the TLS handshake. Shorter than for those who come: servers are quick, and a server that is
    /// not there must be noticed while who waits for it can still be served by another.
    pub dial_handshake_seconds_max: u64,
    /// From the wish to call a server to its end, whatever addresses there are to try.
    pub dial_seconds_max: u64,
    /// Addresses of a server that are tried; what waits for the link meanwhile is bounded like any outbox.
    pub dial_addresses_max: usize,
    /// How long a certificate that has ended, or a change of policy that nobody told, can go unnoticed on an open
    /// connection.
    pub rejudge_seconds_max: u64,
    /// Handshake bytes not yet understood, held for one connection. A chain of four certificates is 16 KB at most.
    pub handshake_bytes_max: usize,
    /// From the first byte of a message to its last.
    pub message_seconds_max: u64,
    /// Bytes of messages begun and not finished, of all connections; a connection that would hold more is closed. Small
    /// messages do not count.
    pub unfinished_bytes_max: usize,
    /// The same for the connections of one source.
    pub unfinished_bytes_per_source_max: usize,
    /// Messages of one connection that the core has not worked off: a flooding sender waits for itself.
    pub messages_in_flight_max: u32,
    /// Messages of all connections waiting for the core.
    pub messages_queued_max: usize,
    /// Bytes waiting to be sent to one client; who reads more slowly than that is closed.
    pub outbox_bytes_max: usize,
    /// Bytes waiting to be sent to one server, also before the link with it is open: the users of a whole pool speak over it.
    pub link_outbox_bytes_max: usize,
    /// A connection that takes nothing of what waits for it for so long is closed.
    pub write_stall_seconds_max: u64,
    /// From our `close_notify` to the end of the socket: the other side's time to read our last words.
    pub closing_seconds_max: u64,
    /// An orderly shutdown ends after this, told or not.
    pub shutdown_seconds_max: u64,
    /// How large a SIP message may be.
    pub message: sip::Limits,
}

impl Limits {
    /// What a server starts with.
    pub const DEFAULT: Self = Self {
        connections_max: 40_000,
        connections_for_servers_max: 1_024,
        strangers_max: 256,
        links_dialled_max: 512,
        connections_per_source_max: 20_000,
        handshakes_max: 2_048,
        handshakes_per_source_max: 128,
        handshakes_computing_max: 8,
        handshake_seconds_max: 10,
        connect_seconds_max: 2,
        dial_handshake_seconds_max: 3,
        dial_seconds_max: 8,
        dial_addresses_max: 8,
        rejudge_seconds_max: 10,
        handshake_bytes_max: 32 * 1024,
        message_seconds_max: 30,
        unfinished_bytes_max: 256 * 1024 * 1024,
        unfinished_bytes_per_source_max: 32 * 1024 * 1024,
        messages_in_flight_max: 32,
        messages_queued_max: 512,
        outbox_bytes_max: 1024 * 1024,
        link_outbox_bytes_max: 16 * 1024 * 1024,
        write_stall_seconds_max: 30,
        closing_seconds_max: 2,
        shutdown_seconds_max: 5,
        message: sip::Limits::DEFAULT,
    };

    /// What one source leaves free for others, as a part of all connections.
    const OTHERS_PART: usize = 32;
    /// What server links, and those we dial, may each keep for themselves, as a part of all connections.
    const KEPT_PART: usize = 4;
    /// What strangers may take of the port for servers at most, as a part of its places.
    const STRANGERS_PART: usize = 4;
    /// What the other kinds get of what a kind of connections may take besides places, as a part of it.
    const SMALLER_PART: usize = 4;

    /// The same with at most so many connections, of which only `kinds` keep any for themselves.
    pub(crate) fn within(self, connections_max: usize, kinds: &[Kind]) -> Self {
        let kept = |kind, wanted: usize| if kinds.contains(&kind) { wanted.min((connections_max / Self::KEPT_PART).max(1)) } else { 0 };
        Self {
            connections_max,
            connections_for_servers_max: kept(Kind::Servers, self.connections_for_servers_max),
            links_dialled_max: kept(Kind::Dialled, self.links_dialled_max),
            ..self
        }
    }

    /// The bounds of one kind of connections. One source cannot take every place of a kind; among those that we dial
    /// there are no strangers.
    pub(crate) fn of(self, kind: Kind) -> Self {
        let smaller = Self {
            handshakes_max: (self.handshakes_max / Self::SMALLER_PART).max(1),
            handshakes_per_source_max: (self.handshakes_per_source_max / Self::SMALLER_PART).max(1),
            handshakes_computing_max: (self.handshakes_computing_max / Self::SMALLER_PART).max(1),
            unfinished_bytes_max: self.unfinished_bytes_max / Self::SMALLER_PART,
            ..self
        };
        match kind {
            Kind::Clients => {
                let kept = self.connections_for_servers_max + self.links_dialled_max;
                // Everybody is a stranger there.
                let places = self.connections_max.saturating_sub(kept);
                Self { strangers_max: places, ..self }.with_connections(places)
            }
            Kind::Servers => {
                let places = self.connections_for_servers_max;
                let strangers_max = self.strangers_max.min((places / Self::STRANGERS_PART).max(1));
                Self { strangers_max, ..smaller }.with_connections(places)
            }
            Kind::Dialled => Self {
                connections_max: self.links_dialled_max,
                connections_per_source_max: self.links_dialled_max,
                handshakes_per_source_max: smaller.handshakes_max,
                ..smaller
            },
        }
    }

    fn with_connections(self, connections_max: usize) -> Self {
        let for_others = (connections_max / Self::OTHERS_PART).max(1);
        let per_source = connections_max.saturating_sub(for_others).max(1);
        Self { connections_max, connections_per_source_max: self.connections_per_source_max.min(per_source), ..self }
    }

    /// What may wait to be sent to one connection of this kind.
    pub(crate) fn outbox(&self, kind: Kind) -> usize {
        match kind {
            Kind::Clients => self.outbox_bytes_max,
            Kind::Servers | Kind::Dialled => self.link_outbox_bytes_max,
        }
    }

    /// What a TLS handshake on a connection of this kind may take.
    pub(crate) fn handshake(&self, kind: Kind) -> Duration {
        Duration::from_secs(match kind {
            Kind::Clients | Kind::Servers => self.handshake_seconds_max,
            Kind::Dialled => self.dial_handshake_seconds_max,
        })
    }

    pub(crate) fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_seconds_max)
    }

    pub(crate) fn dial(&self) -> Duration {
        Duration::from_secs(self.dial_seconds_max)
    }

    pub(crate) fn rejudge(&self) -> Duration {
        Duration::from_secs(self.rejudge_seconds_max)
    }

    pub(crate) fn message_time(&self) -> Duration {
        Duration::from_secs(self.message_seconds_max)
    }

    pub(crate) fn write_stall(&self) -> Duration {
        Duration::from_secs(self.write_stall_seconds_max)
    }

    pub(crate) fn closing(&self) -> Duration {
        Duration::from_secs(self.closing_seconds_max)
    }

    pub(crate) fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds_max)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that may hold so many connections gives one source so many.
    fn check(room: usize, per_source: usize) {
        let limits = Limits::DEFAULT.within(room, &[Kind::Clients]).of(Kind::Clients);
        assert_eq!((limits.connections_max, limits.connections_per_source_max), (room, per_source));
    }

    #[test]
    fn one_source_never_gets_every_place_however_few_there_are() {
        check(40_000, 20_000);
        check(19_744, 19_127);
        check(768, 744);
        check(2, 1);
    }

    /// In a process that may hold so many connections, each kind has so many places.
    fn check_shares(room: usize, expected: [usize; 3]) {
        let limits = Limits::DEFAULT.within(room, &[Kind::Clients, Kind::Servers, Kind::Dialled]);
        let shares = [Kind::Clients, Kind::Servers, Kind::Dialled].map(|kind| limits.of(kind).connections_max);
        assert_eq!((shares, shares.iter().sum()), (expected, room));
    }

    #[test]
    fn n38_a_handful_of_sources_cannot_hold_every_handshake() {
        for kind in [Kind::Clients, Kind::Servers] {
            let limits = Limits::DEFAULT.of(kind);
            assert!(16 * limits.handshakes_per_source_max <= limits.handshakes_max);
        }
        let servers = Limits::DEFAULT.of(Kind::Servers);
        assert!(servers.strangers_max < servers.handshakes_max);
    }

    #[test]
    fn server_links_keep_places_that_clients_cannot_take() {
        check_shares(40_000, [38_464, 1_024, 512]);
        check_shares(768, [384, 192, 192]);
    }

    #[test]
    fn who_we_call_is_no_stranger_and_may_take_every_place_of_the_links() {
        let limits = Limits::DEFAULT.within(40_000, &[Kind::Dialled]).of(Kind::Dialled);
        assert_eq!(limits.connections_per_source_max, limits.connections_max);
    }
}
