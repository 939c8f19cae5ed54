//! The bounds of the rim, by name: connections, handshakes, bytes and waits (row N38).

use std::time::Duration;

/// Everything a stranger can make grow or last, with its bound. The defaults carry an organisation behind one NAT
/// address; none of them can be switched off, only moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections in all. [`Server::bind`](crate::Server::bind) lowers it to what the process may open.
    pub connections_max: usize,
    /// Connections from one source (an IPv4 address, an IPv6 /64); lowered so far that a part of all places stays free
    /// for others. Large offices behind one address need thousands.
    pub connections_per_source_max: usize,
    /// Handshakes under way in all; further ones wait, and waiting counts against their deadline.
    pub handshakes_max: usize,
    /// Handshakes under way from one source: a part of all, so that one address cannot hold every place.
    pub handshakes_per_source_max: usize,
    /// Handshakes that may compute at the same time. What stands in the run queue is what messages of signed-in users
    /// wait behind, so a flood of handshakes costs others this many handshakes' time and no more.
    pub handshakes_computing_max: usize,
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake_seconds_max: u64,
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
    /// Bytes waiting to be sent to one connection; who reads more slowly than that is closed.
    pub outbox_bytes_max: usize,
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
        connections_per_source_max: 20_000,
        handshakes_max: 2_048,
        handshakes_per_source_max: 1_024,
        handshakes_computing_max: 8,
        handshake_seconds_max: 10,
        handshake_bytes_max: 32 * 1024,
        message_seconds_max: 30,
        unfinished_bytes_max: 256 * 1024 * 1024,
        unfinished_bytes_per_source_max: 32 * 1024 * 1024,
        messages_in_flight_max: 32,
        messages_queued_max: 512,
        outbox_bytes_max: 1024 * 1024,
        write_stall_seconds_max: 30,
        closing_seconds_max: 2,
        shutdown_seconds_max: 5,
        message: sip::Limits::DEFAULT,
    };

    /// What one source leaves free for others, as a part of all connections.
    const OTHERS_PART: usize = 32;

    /// The same with at most so many connections; one source still cannot take them all.
    pub(crate) fn within(self, connections_max: usize) -> Self {
        let for_others = (connections_max / Self::OTHERS_PART).max(1);
        let per_source = connections_max.saturating_sub(for_others).max(1);
        Self { connections_max, connections_per_source_max: self.connections_per_source_max.min(per_source), ..self }
    }

    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds_max)
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
        let limits = Limits::DEFAULT.within(room);
        assert_eq!((limits.connections_max, limits.connections_per_source_max), (room, per_source));
    }

    #[test]
    fn one_source_never_gets_every_place_however_few_there_are() {
        check(40_000, 20_000);
        check(19_744, 19_127);
        check(768, 744);
        check(2, 1);
    }
}
