//! The bounds of links, by name.

use std::time::Duration;

/// How many links there are, how often they are looked at, and how soon they are tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkLimits {
    /// Connections with one server, whoever opened them. More are closed.
    pub links_per_server_max: usize,
    /// Servers to which a link is kept open although nobody needs it right now. In a larger organisation the others are
    /// dialled when they are needed.
    pub kept_servers_max: usize,
    /// A link on which nothing was heard for so long is asked whether somebody is there.
    pub check_after: Duration,
    /// How long the answer may take; then the link is dead.
    pub check_within: Duration,
    /// How long a link stays open once another one shows newer certificates: until then the other end has heard of that one.
    pub close_after: Duration,
    /// A link that is to be closed and carries a request yet is looked at again after this.
    pub look_again: Duration,
    /// The first wait after a failure; each further one doubles it.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// Who needs a server whose link failed longer ago than this need not wait for the next try.
    pub wait_when_needed: Duration,
}

impl LinkLimits {
    /// A dead server is noticed in 15 s: half of what a request waits for its answer.
    pub const DEFAULT: Self = Self {
        links_per_server_max: 4,
        kept_servers_max: 32,
        check_after: Duration::from_secs(10),
        check_within: Duration::from_secs(5),
        close_after: Duration::from_secs(3),
        look_again: Duration::from_millis(500),
        wait_min: Duration::from_secs(1),
        wait_max: Duration::from_secs(60),
        wait_when_needed: Duration::from_secs(1),
    };

    /// How long to wait after so many failures in a row: doubled each time, and somewhere between half of that and all of it,
    /// so that not everybody comes back at once.
    pub(super) fn wait(&self, failures: u32, random: u64) -> Duration {
        let doubled = self.wait_min.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.wait_max);
        doubled / 2 + doubled.mul_f64((random >> 11) as f64 / (1_u64 << 54) as f64)
    }
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failures: u32, shortest: u64, longest: u64) {
        let [least, most] = [0, u64::MAX].map(|random| LinkLimits::DEFAULT.wait(failures, random));
        assert_eq!(least, Duration::from_millis(shortest));
        assert!(most <= Duration::from_millis(longest) && most > Duration::from_millis(longest - 1), "{most:?}");
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_minute() {
        check(1, 500, 1000);
        check(2, 1000, 2000);
        check(5, 8000, 16_000);
        check(7, 30_000, 60_000);
        check(u32::MAX, 30_000, 60_000);
    }
}
