//! What the core has done, for the metrics.

/// What the node itself has done since it started (sign-ins are counted by `registrar`); every field only grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Requests let through to a device.
    pub forwarded: u64,
    /// Requests answered by the server itself with success.
    pub answered: u64,
    /// Requests refused with 4xx to 6xx, challenges not counted.
    pub refused: u64,
    /// 401 and 407 sent.
    pub challenged: u64,
    /// Requests of servers refused because of what they said or who said it (row N16).
    pub unvouched: u64,
    /// Messages that were dropped without an answer: broken responses, ACKs that lead nowhere.
    pub dropped: u64,
    /// Requests refused because their media would have been readable (row N26).
    pub media_refused: u64,
}

/// What there is and what was done, of the core and everything it drives: for the metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Bindings right now.
    pub registrations: usize,
    /// The core's own counters.
    pub node: Counters,
    /// Sign-ins, by how they ended.
    pub sign_in: registrar::ChallengerCounters,
    /// What the transaction layer dropped and refused.
    pub proxy: proxy::Counters,
}
