//! Who the proxy is, how long it waits, how much it holds.

use std::time::Duration;

use crate::MediaPolicy;

/// Who this proxy is and how far it lets things go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `sip.verbund.test:5061`: what our Via and Record-Route say.
    pub sent_by: String,
    /// The same for other servers: their port is another one (row N11).
    pub sent_by_to_servers: String,
    /// Our digest realm: credentials for it go no further. `None`: no credentials go further at all.
    pub realm: Option<String>,
    /// Other names, `host` or `host:port`, that mean us in a Route: the SIP domain. Addresses always do.
    pub aliases: Vec<String>,
    /// Whether descriptions of unencrypted media may pass (P3, row N26).
    pub media: MediaPolicy,
    /// How long things may take.
    pub timers: Timers,
    /// How much there may be.
    pub limits: Limits,
}

impl Settings {
    /// Default timers and limits, no aliases, no realm.
    #[must_use]
    pub fn new(sent_by: String, media: MediaPolicy) -> Self {
        let sent_by_to_servers = sent_by.clone();
        Self { sent_by, sent_by_to_servers, realm: None, aliases: Vec::new(), media, timers: Timers::DEFAULT, limits: Limits::DEFAULT }
    }
}

/// The timers of RFC 3261 §17 that mean something over TLS, by their letters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timers {
    /// B: an INVITE without any response.
    pub invite: Duration,
    /// The same towards a server when another one would do: it answers 100 at once, or it is not there.
    pub server: Duration,
    /// F: another request without a final response. A little shorter than the caller's own 32 s, so that
    /// our answer still finds somebody waiting (RFC 4320 tells why a later one is worse than none).
    pub non_invite: Duration,
    /// C: an INVITE that rings. More than 3 minutes (RFC 3261 §16.6 step 11).
    pub ringing: Duration,
    /// H: a failure that waits for its ACK.
    pub acknowledge: Duration,
    /// L and M: how long more 2xx are let through after the first (RFC 6026 §8.7).
    pub accepted: Duration,
    /// How long a cancelled branch may take to end (RFC 3261 §9.1).
    pub cancelled: Duration,
    /// How long a Record-Route token stands for its dialog.
    pub token_age_max: Duration,
}

impl Timers {
    /// The standard's, with T1 = 500 ms.
    pub const DEFAULT: Self = Self {
        invite: Duration::from_secs(32),
        server: Duration::from_secs(8),
        non_invite: Duration::from_secs(30),
        ringing: Duration::from_secs(190),
        acknowledge: Duration::from_secs(32),
        accepted: Duration::from_secs(32),
        cancelled: Duration::from_secs(32),
        token_age_max: Duration::from_secs(7 * 24 * 3600),
    };
}

impl Default for Timers {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What peers can make grow, and how far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests under way at one time, everyone's together. More are answered 503.
    pub transactions_max: usize,
    /// Bytes of the requests under way, everyone's together. More are answered 503.
    pub bytes_max: usize,
    /// What a client's connection may take of all this. A gateway or a load generator carries many users, so it is not small.
    pub client: FlowLimits,
    /// What one link with a server may take: the users of a whole pool speak over it, and four such links at full stretch
    /// still leave room for everybody else.
    pub link: FlowLimits,
    /// Bytes of failures of our own that wait for an ACK, everyone's together. Beyond it they are sent and forgotten.
    pub answers_bytes_max: usize,
    /// An ACK for a 2xx, which nothing is ever heard of. Larger ones are dropped.
    pub ack_bytes_max: usize,
    /// Bytes of provisional responses and of repeated answers that one request may bring its caller, the last not counted.
    pub told_bytes_max: usize,
    /// Devices one request is sent to. At most 255; the ones with the lowest q are left out.
    pub branches_max: usize,
    /// Messages that wait to be polled. What comes beyond is dropped and counted.
    pub outputs_max: usize,
    /// Max-Breadth of a request that names none (RFC 5393 §5.3.3).
    pub breadth_max: u32,
    /// Challenges kept of the devices of one fork (RFC 3261 §16.7 step 7).
    pub challenges_max: usize,
}

/// What one connection can make grow, and how far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowLimits {
    /// Requests under way that it sent. More are answered 503.
    pub transactions_max: usize,
    /// Bytes of the requests under way that it sent. More are answered 503.
    pub bytes_max: usize,
    /// Failures of our own that wait for an ACK from it. Beyond it they are sent and forgotten: a stranger who never
    /// acknowledges a 407 shall cost nothing.
    pub answers_max: usize,
    /// Bytes of requests on their way to it that it has said nothing to yet. Less than what waits for a slow reader before it
    /// is cut off: otherwise whoever writes fast could cut off whom they write to. More are answered 503.
    pub unheard_bytes_max: usize,
}

impl FlowLimits {
    /// A client's.
    pub const CLIENT: Self = Self { transactions_max: 50_000, bytes_max: 64 << 20, answers_max: 256, unheard_bytes_max: 896 << 10 };
    /// A server's. Half a second of the largest burst of a pool waits for it.
    pub const LINK: Self = Self { transactions_max: 100_000, bytes_max: 192 << 20, answers_max: 8192, unheard_bytes_max: 14 << 20 };
}

impl Limits {
    /// Room for ten thousand calls a second.
    pub const DEFAULT: Self = Self {
        transactions_max: 500_000,
        bytes_max: 1 << 30,
        client: FlowLimits::CLIENT,
        link: FlowLimits::LINK,
        answers_bytes_max: 64 << 20,
        ack_bytes_max: 16 << 10,
        told_bytes_max: 128 << 10,
        branches_max: 60,
        outputs_max: 1_000_000,
        breadth_max: 60,
        challenges_max: 16,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
