//! What happened, for the metrics.

/// What was dropped or refused here, counted since the start. Each is an event that nobody is told of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Requests handed out for a decision.
    pub new_requests: u64,
    /// Requests sent on, each branch once.
    pub branches: u64,
    /// Requests that could not be told apart from others, answered 400.
    pub malformed_requests: u64,
    /// Responses whose CSeq could not be read.
    pub malformed_responses: u64,
    /// Responses whose top Via is not ours, whose MAC is wrong, or that came in on another flow.
    pub forged_responses: u64,
    /// Responses of ours to nothing that is still under way.
    pub stray_responses: u64,
    /// Provisional responses with unencrypted media, kept from the caller (row N26).
    pub unprotected_provisionals: u64,
    /// Answers with unencrypted media, hung up by us (row N26).
    pub unprotected_answers: u64,
    /// Answers that would take the dialog past us, hung up by us.
    pub detours: u64,
    /// Calls answered when nobody waited any more, hung up by us.
    pub late_answers: u64,
    /// Requests seen a second time on the same flow.
    pub repeated_requests: u64,
    /// ACKs that match nothing which waits for one.
    pub stray_acks: u64,
    /// CANCELs that match nothing.
    pub stray_cancels: u64,
    /// Requests refused because a table was full (503).
    pub refused_full: u64,
    /// Requests refused as loops (482, 483, 440).
    pub refused_loops: u64,
    /// Targets left out because a fork was too wide, or because too much waits for them.
    pub targets_left_out: u64,
    /// Messages dropped because nobody polled.
    pub outputs_dropped: u64,
}
