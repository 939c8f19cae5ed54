//! Guessing passwords is slow: per user, per source, and for each user apart at the places they sign in from.
//!
//! Three rules, each against another attacker:
//! * a *source* may be wrong a few times, then waits: one machine trying many names or words;
//! * a *user* may be guessed at a few times from anywhere, then strangers wait: many machines, one name;
//! * a source where that user signed in lately is judged by its own guesses only, and a source without a
//!   recent wrong guess has one try: so nobody can lock a user out by guessing at them.
//!
//! Names that do not exist are counted like those that do, so waiting tells nothing about them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::UserName;

/// Where somebody comes from, as far as limits go: an IPv4 address, or an IPv6 network of 64 bits, which is what one
/// subscriber holds and would otherwise be 2^64 somebodies.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) if v6.is_loopback() => Self(v6.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => Self(v4),
        }
    }
}

impl Source {
    pub(crate) fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

/// How often one may be wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ThrottleLimits {
    /// Wrong guesses at one user, from all sources together, before strangers wait.
    pub user_guesses_max: u32,
    /// One more guess at a user every …
    pub user_guess_every: Duration,
    /// Wrong guesses from one source, at all users together, before it waits.
    pub source_guesses_max: u32,
    /// One more guess from a source every …
    pub source_guess_every: Duration,
    /// Wrong guesses at a user from a source where that user signed in lately.
    pub known_guesses_max: u32,
    /// One more such guess every …
    pub known_guess_every: Duration,
    /// A source without a wrong guess for so long has one try at a user whom strangers guess at.
    pub first_try_every: Duration,
    /// For how long a source where a user signed in is known.
    pub known_for: Duration,
    /// How many sources are known of one user; the oldest is forgotten.
    pub known_sources_per_user_max: usize,
    /// Rows of each table. When full, whoever owes least is forgotten first, so that filling a table
    /// does not wipe out a heavier debt.
    pub rows_max: usize,
}

impl ThrottleLimits {
    /// A person who mistypes notices nothing; a machine has about 14,000 tries a day from one source.
    pub const DEFAULT: Self = Self {
        user_guesses_max: 20,
        user_guess_every: Duration::from_secs(30),
        source_guesses_max: 20,
        source_guess_every: Duration::from_secs(6),
        known_guesses_max: 10,
        known_guess_every: Duration::from_secs(30),
        first_try_every: Duration::from_secs(3600),
        known_for: Duration::from_secs(7 * 24 * 3600),
        known_sources_per_user_max: 8,
        rows_max: 65_536,
    };
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Debts by key: each wrong guess costs one interval of waiting, paid back by time alone. Success pays
/// nothing back, or an attacker with an account of their own could wash their source clean.
struct Debts<K> {
    free_at: HashMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
    guesses_max: u32,
    every: Duration,
    rows_max: usize,
}

impl<K: Clone + Eq + Hash + Ord> Debts<K> {
    fn new(guesses_max: u32, every: Duration, rows_max: usize) -> Self {
        Self { free_at: HashMap::new(), by_time: BTreeSet::new(), guesses_max: guesses_max.max(1), every, rows_max: rows_max.max(1) }
    }

    /// How long this key has to wait for its next guess; zero when it need not.
    fn wait(&self, key: &K, now: Instant) -> Duration {
        let debt = self.free_at.get(key).map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now));
        debt.saturating_sub(self.every * (self.guesses_max - 1))
    }

    fn add(&mut self, key: K, now: Instant) {
        while self.by_time.first().is_some_and(|(free_at, _)| *free_at <= now) {
            self.forget_least();
        }
        let before = self.free_at.get(&key).copied();
        match before {
            Some(free_at) => drop(self.by_time.remove(&(free_at, key.clone()))),
            None if self.free_at.len() >= self.rows_max => self.forget_least(),
            None => {}
        }
        let debt = before.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now)) + self.every;
        let free_at = now + debt.min(self.every * self.guesses_max);
        self.by_time.insert((free_at, key.clone()));
        self.free_at.insert(key, free_at);
    }

    fn forget_least(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.free_at.remove(&key);
        }
    }
}

/// The tables behind the three rules.
pub(crate) struct Throttle {
    users: Debts<UserName>,
    sources: Debts<Source>,
    first_tries: Debts<Source>,
    known: Debts<(UserName, Source)>,
    signed_in: HashMap<UserName, Vec<(Source, Instant)>>,
    limits: ThrottleLimits,
}

impl Throttle {
    pub(crate) fn new(limits: ThrottleLimits) -> Self {
        Self {
            users: Debts::new(limits.user_guesses_max, limits.user_guess_every, limits.rows_max),
            sources: Debts::new(limits.source_guesses_max, limits.source_guess_every, limits.rows_max),
            first_tries: Debts::new(1, limits.first_try_every, limits.rows_max),
            known: Debts::new(limits.known_guesses_max, limits.known_guess_every, limits.rows_max),
            signed_in: HashMap::new(),
            limits,
        }
    }

    /// How long this source has to wait before it may try to be this user; zero when it need not.
    /// `None` stands for a name that no user can have.
    pub(crate) fn wait(&self, user: Option<&UserName>, source: Source, now: Instant) -> Duration {
        if let Some(user) = user.filter(|user| self.knows(user, source, now)) {
            return self.known.wait(&(user.clone(), source), now);
        }
        let source_wait = self.sources.wait(&source, now);
        let user_wait = user.map_or(Duration::ZERO, |user| self.users.wait(user, now));
        source_wait.max(user_wait.min(self.first_tries.wait(&source, now)))
    }

    /// The guess was wrong.
    pub(crate) fn handle_wrong(&mut self, user: Option<UserName>, source: Source, now: Instant) {
        if let Some(user) = user {
            if self.knows(&user, source, now) {
                return self.known.add((user, source), now);
            }
            self.users.add(user, now);
        }
        self.sources.add(source, now);
        self.first_tries.add(source, now);
    }

    /// The user signed in from there.
    pub(crate) fn handle_right(&mut self, user: &UserName, source: Source, now: Instant) {
        let until = now + self.limits.known_for;
        let Some(sources) = self.signed_in.get_mut(user) else {
            self.signed_in.insert(user.clone(), vec![(source, until)]);
            return;
        };
        if let Some(row) = sources.iter_mut().find(|row| row.0 == source) {
            row.1 = until;
            return;
        }
        sources.retain(|row| now < row.1);
        if sources.len() >= self.limits.known_sources_per_user_max.max(1) {
            let oldest = sources.iter().enumerate().min_by_key(|(_, row)| row.1).map_or(0, |(at, _)| at);
            sources.swap_remove(oldest);
        }
        sources.push((source, until));
    }

    /// The user is no more, or has a new password: where the old one was used is no longer known.
    pub(crate) fn forget(&mut self, user: &UserName) {
        self.signed_in.remove(user);
    }

    fn knows(&self, user: &UserName, source: Source, now: Instant) -> bool {
        self.signed_in.get(user).is_some_and(|rows| rows.iter().any(|row| row.0 == source && now < row.1))
    }
}
