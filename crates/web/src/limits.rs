//! What a stranger may make us keep, and for how long. All of it is small: the answers are.

use std::time::Duration;

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; one more is closed at once.
    pub connections_max: usize,
    /// Of these, how many from one source (an IPv4 address, an IPv6 /64).
    pub connections_per_source_max: usize,
    /// Connections from addresses at which the topology lists a server, until they have proved to be one; not counted among the
    /// others.
    pub expected_connections_max: usize,
    /// Connections of servers of the organisation, once they have proved it; not counted among the others.
    pub member_connections_max: usize,
    /// Of these, how many of one member.
    pub connections_per_member_max: usize,
    /// How many feeds one member reads; one more ends the oldest.
    pub feeds_per_member_max: usize,
    /// How long a TLS handshake may take.
    pub handshake_deadline: Duration,
    /// How long the head of a request may take, from the first moment we could read it.
    pub head_deadline: Duration,
    /// The longest head of a request; HTTP/1.1 reads it into one buffer of this size.
    pub head_bytes_max: usize,
    /// How many header fields a request has.
    pub head_fields_max: usize,
    /// The longest body of a request, where one is wanted at all and nothing else is said.
    pub body_bytes_max: usize,
    /// How long a request may take from the end of its head to the beginning of the answer.
    pub request_deadline: Duration,
    /// How many requests run on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long a connection lasts, whatever it does: also who reads slowly ends. Only a member's feed lasts longer.
    pub connection_lifetime_max: Duration,
    /// How long a connection has to finish after it was told to.
    pub closing_deadline: Duration,
}

impl Limits {
    /// For the HTTPS port, which anyone reaches.
    pub const HTTPS: Self = Self {
        connections_max: 512,
        connections_per_source_max: 64,
        expected_connections_max: 256,
        member_connections_max: 4096,
        connections_per_member_max: 8,
        feeds_per_member_max: 2,
        handshake_deadline: Duration::from_secs(10),
        head_deadline: Duration::from_secs(10),
        head_bytes_max: 16 * 1024,
        head_fields_max: 64,
        body_bytes_max: 4 * 1024,
        request_deadline: Duration::from_secs(10),
        streams_max: 16,
        connection_lifetime_max: Duration::from_secs(120),
        closing_deadline: Duration::from_secs(3),
    };

    /// For the HTTP port, which shows signed public data to anyone.
    pub const PUBLIC_HTTP: Self = Self {
        connections_max: 256,
        connections_per_source_max: 32,
        head_bytes_max: 8 * 1024,
        head_fields_max: 32,
        connection_lifetime_max: Duration::from_secs(30),
        ..Self::HTTPS
    };

    /// For the admin socket, which only the owner reaches.
    pub const ADMIN: Self = Self { connections_max: 64, ..Self::HTTPS };
}
