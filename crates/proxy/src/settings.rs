//! Who the proxy is, how long it waits, how much it holds.

use std::time::Duration;

use crate::MediaPolicy;

/// Who this proxy is and how far it lets things go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `sip.verbund.test:5061`: what our Via and Record-Route say.
    pub sent_by: String,
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
        Self { sent_by, realm: None, aliases: Vec::new(), media, timers: Timers::DEFAULT, limits: Limits::DEFAULT }
    }
}

/// The timers of RFC 3261 §17 that mean something over TLS, by their letters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timers {
    /// B: an INVITE without any response.
    pub invite: Duration,
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
    /// Requests under way that one flow sent. More are answered 503; a server link or a load generator
    /// carries many users, so it is not small.
    pub transactions_per_flow_max: usize,
    /// Bytes of the requests under way, everyone's together. More are answered 503.
    pub bytes_max: usize,
    /// Bytes of the requests under way that one flow sent. More are answered 503.
    pub bytes_per_flow_max: usize,
    /// Failures of our own that wait for an ACK from one flow. Beyond it they are sent and forgotten: a
    /// stranger who never acknowledges a 407 shall cost nothing.
    pub answers_per_flow_max: usize,
    /// Bytes of those answers, everyone's together. Beyond it they are sent and forgotten as well.
    pub answers_bytes_max: usize,
    /// Bytes of requests on their way to one flow that has said nothing to them yet. Less than what waits for a slow
    /// reader before it is cut off: otherwise whoever writes fast could cut off whom they write to. More are answered 503.
    pub unheard_bytes_per_flow_max: usize,
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

impl Limits {
    /// Room for ten thousand calls a second.
    pub const DEFAULT: Self = Self {
        transactions_max: 500_000,
        transactions_per_flow_max: 50_000,
        bytes_max: 1 << 30,
        bytes_per_flow_max: 64 << 20,
        answers_per_flow_max: 256,
        answers_bytes_max: 64 << 20,
        unheard_bytes_per_flow_max: 896 << 10,
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
