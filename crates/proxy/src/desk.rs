//! What everything in this crate writes with: names, keys, randomness, the queue to the flows.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use locate::NextHop;

use crate::{
    Counters, Flow, Settings, Wanted,
    branch::{BranchId, Branches},
    key::Seed,
    secret::{Generator, Secret},
    token::{Names, Tokens},
};

/// What everything here writes with: our names, our keys, the queue to the flows, and the counters.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) branches: Branches,
    pub(crate) tokens: Tokens,
    pub(crate) seed: Seed,
    pub(crate) random: Generator,
    pub(crate) counters: Counters,
    /// Reused for the values of new headers.
    pub(crate) scratch: String,
    queue: VecDeque<(Flow, Bytes)>,
    /// Requests that look for another server.
    pub(crate) wanted: VecDeque<Wanted>,
    numbers: u64,
}

impl Desk {
    pub(crate) fn new(settings: Settings, key: &[u8; 32], now: Instant) -> Self {
        let secret = Secret::new(key);
        let mut random = Generator::new(&secret);
        Self {
            names: Names::new(&settings),
            branches: Branches::new(&secret),
            tokens: Tokens::new(&secret, now, settings.timers.token_age_max),
            seed: Seed::new(&secret),
            counters: Counters::default(),
            scratch: String::new(),
            queue: VecDeque::new(),
            wanted: VecDeque::new(),
            // Phones see these numbers; they shall not read from them how long we run. 48 bits leave room to count.
            numbers: u64::from_be_bytes(random.take()) >> 16,
            random,
            settings,
        }
    }

    /// A number no context had before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        if self.queue.len() < self.settings.limits.outputs_max {
            self.queue.push_back((flow, bytes));
        } else {
            self.counters.outputs_dropped += 1;
        }
    }

    pub(crate) fn poll(&mut self) -> Option<(Flow, Bytes)> {
        self.queue.pop_front()
    }

    /// The To tag of our own responses within a context: always the same one (RFC 3261 §8.2.6.2).
    pub(crate) fn tag_of(&self, context: u64) -> String {
        let mut digits = [0; 20];
        format!("{:016x}", self.seed.hash(["to tag", number_text(context, &mut digits)]))
    }

    /// What whoever is there calls us.
    pub(crate) fn sent_by(&self, hop: &NextHop) -> &str {
        match hop {
            NextHop::Flow(_) => &self.settings.sent_by,
            NextHop::Server { .. } => &self.settings.sent_by_to_servers,
        }
    }

    /// Writes `SIP/2.0/TLS host:port;branch=…` for a request that goes there.
    pub(crate) fn write_via(&self, id: BranchId, hop: &NextHop, out: &mut String) {
        out.push_str("SIP/2.0/TLS ");
        out.push_str(self.sent_by(hop));
        out.push_str(";branch=");
        self.branches.write(id, hop.flow(), out);
    }
}

/// Decimal digits without an allocation.
pub(crate) fn number_text(number: u64, digits: &mut [u8; 20]) -> &str {
    let (mut rest, mut at) = (number, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return std::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}
