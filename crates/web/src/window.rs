//! How often something was asked for in a span of time.

use std::time::{Duration, Instant};

/// A span that is counted in: it begins anew with the first that comes after its end.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    /// One that begins now.
    pub fn new(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// There were `max` in this span: how long to wait until it is over.
    pub fn count(&mut self, max: u32, span: Duration, now: Instant) -> Result<(), Duration> {
        if !self.lasts(span, now) {
            *self = Self::new(now);
        }
        if self.count >= max {
            return Err((self.since + span).saturating_duration_since(now));
        }
        self.count += 1;
        Ok(())
    }

    /// Whether the span is not over yet.
    pub fn lasts(&self, span: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < span
    }
}
