//! Who is on the line: the feeds to members, what they say is in force, and waiting for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use pki::Fqdn;
use tokio::{
    sync::{mpsc, watch},
    time::timeout_at,
};
use web::control::{Hello, InForce, SILENCE_MAX, Update};

/// How many changes wait for one member that does not read; then its feed ends, and it comes again.
const UPDATES_WAITING_MAX: usize = 1024;
/// How long a member that said it listens elsewhere stays there, for all that others hear: each move is a version of the topology.
const MOVE_PAUSE: Duration = Duration::from_secs(30);
/// How often a member is asked at most to show what it holds: that is large, and takes a while to check.
const SHOW_PAUSE: Duration = Duration::from_secs(30);
/// The same for one that does it again and again: the pause doubles up to this, and is short again after a rest of twice as long.
const MOVE_PAUSE_MAX: Duration = Duration::from_hours(1);
/// How often what one member reports is written to disk and to the log, once it has said more than [`NOTES_AT_ONCE`].
const NOTE_PAUSE: Duration = Duration::from_secs(10);
/// How many different reports of one member are written as they come.
const NOTES_AT_ONCE: u32 = 16;

/// What is known of a member.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) in_force: InForce,
    pub(crate) at: SystemTime,
    pub(crate) version: String,
    heard: Instant,
    moved: Option<Instant>,
    move_pause: Duration,
    /// When it was asked to show what it holds, and whether it still may.
    asked: Option<Instant>,
    expected: bool,
    /// The report that was written last.
    noted: Option<InForce>,
    notes_left: u32,
    noted_at: Instant,
}

impl Seen {
    fn new(now: SystemTime) -> Self {
        Self {
            in_force: InForce::default(),
            at: now,
            version: String::new(),
            heard: Instant::now(),
            moved: None,
            move_pause: MOVE_PAUSE,
            asked: None,
            expected: false,
            noted: None,
            notes_left: NOTES_AT_ONCE,
            noted_at: Instant::now(),
        }
    }

    fn may_move(&mut self, now: Instant) -> bool {
        let rest = self.moved.map(|moved| now.saturating_duration_since(moved));
        if rest.is_some_and(|rest| rest < self.move_pause) {
            return false;
        }
        let is_again = rest.is_some_and(|rest| rest < 2 * MOVE_PAUSE_MAX);
        self.move_pause = if is_again { (self.move_pause * 2).min(MOVE_PAUSE_MAX) } else { MOVE_PAUSE };
        self.moved = Some(now);
        true
    }

    /// Whether its newest report is news and may be written now; gives the one that was written before. What may not yet is
    /// written when it is said again.
    fn take_news(&mut self, now: Instant) -> Option<Option<InForce>> {
        if self.noted.as_ref() == Some(&self.in_force) {
            return None;
        }
        let earned = now.saturating_duration_since(self.noted_at).as_secs() / NOTE_PAUSE.as_secs();
        if earned > 0 {
            self.notes_left = self.notes_left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(NOTES_AT_ONCE);
            self.noted_at = now;
        }
        self.notes_left = self.notes_left.checked_sub(1)?;
        Some(self.noted.replace(self.in_force.clone()))
    }

    /// Whether it is on the line.
    pub(crate) fn is_here(&self) -> bool {
        self.heard.elapsed() < SILENCE_MAX
    }
}

#[derive(Default)]
struct State {
    /// One feed a member: a newer one takes the place of the one before.
    feeds: HashMap<Fqdn, mpsc::Sender<Arc<Update>>>,
    seen: HashMap<Fqdn, Seen>,
}

/// The lines to members.
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Rings with every report.
    reports: watch::Sender<u64>,
}

/// What became of waiting for members.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Waited {
    pub(crate) acknowledged: usize,
    pub(crate) missing: Vec<Fqdn>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), reports: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member asks for the feed; `first` is what it lacks. What is broadcast from now on follows without a gap, if the
    /// caller keeps others from publishing meanwhile.
    pub(crate) fn open(&self, member: &Fqdn, first: Vec<Update>) -> mpsc::Receiver<Arc<Update>> {
        let (sender, receiver) = mpsc::channel(UPDATES_WAITING_MAX.max(first.len() + 1));
        for update in first {
            // The channel was made large enough.
            let _ = sender.try_send(Arc::new(update));
        }
        self.state().feeds.insert(member.clone(), sender);
        receiver
    }

    /// Tells every member on the line.
    pub(crate) fn broadcast(&self, update: Update) {
        let update = Arc::new(update);
        self.tell(|_| Some(Arc::clone(&update)));
    }

    /// Tells each member its own.
    pub(crate) fn tell(&self, update: impl Fn(&Fqdn) -> Option<Arc<Update>>) {
        self.state().feeds.retain(|member, feed| match update(member) {
            None => !feed.is_closed(),
            // Who reads too slowly, or has gone, begins anew.
            Some(update) => feed.try_send(update).is_ok(),
        });
    }

    /// Ends the feed of a server that is no member any more.
    pub(crate) fn close(&self, member: &Fqdn) {
        let mut state = self.state();
        state.feeds.remove(member);
        state.seen.remove(member);
    }

    /// Who reads its feed.
    pub(crate) fn on_the_line(&self) -> Vec<Fqdn> {
        self.state().feeds.keys().cloned().collect()
    }

    /// Ends a feed: the member comes again, says what it is, and hears everything that it lacks.
    pub(crate) fn end_feed(&self, member: &Fqdn) {
        self.state().feeds.remove(member);
    }

    /// Asks a member to show what it holds, unless it was asked a moment ago.
    pub(crate) fn ask_to_show(&self, member: &Fqdn) {
        if self.expect(member) {
            self.tell(|name| (name == member).then(|| Arc::new(Update::Show)));
        }
    }

    /// From now on this member is expected to show what it holds; says no if it was asked a moment ago.
    pub(crate) fn expect(&self, member: &Fqdn) -> bool {
        let mut state = self.state();
        let Some(seen) = state.seen.get_mut(member) else { return false };
        let may = seen.asked.is_none_or(|asked| asked.elapsed() >= SHOW_PAUSE);
        if may {
            (seen.asked, seen.expected) = (Some(Instant::now()), true);
        }
        may
    }

    /// Whether it was asked and has not shown yet. Asking uses that up.
    pub(crate) fn was_expected(&self, member: &Fqdn) -> bool {
        self.state().seen.get_mut(member).is_some_and(|seen| std::mem::take(&mut seen.expected))
    }

    /// A member said what it is.
    pub(crate) fn hello(&self, member: &Fqdn, hello: &Hello, now: SystemTime) {
        self.note(member, now, |seen| seen.version.clone_from(&hello.version));
    }

    /// Whether a member that has said hello may say now that it listens elsewhere; from then on it may not for a while.
    pub(crate) fn may_move(&self, member: &Fqdn) -> bool {
        let mut state = self.state();
        let Some(seen) = state.seen.get_mut(member) else { return false };
        seen.may_move(Instant::now())
    }

    /// See [`Seen::take_news`].
    pub(crate) fn take_news(&self, member: &Fqdn) -> Option<Option<InForce>> {
        self.state().seen.get_mut(member)?.take_news(Instant::now())
    }

    /// A member said what is in force there.
    pub(crate) fn report(&self, member: &Fqdn, in_force: InForce, now: SystemTime) {
        self.note(member, now, |seen| seen.in_force = in_force);
        self.reports.send_modify(|count| *count += 1);
    }

    fn note(&self, member: &Fqdn, now: SystemTime, change: impl FnOnce(&mut Seen)) {
        let mut state = self.state();
        let seen = state.seen.entry(member.clone()).or_insert_with(|| Seen::new(now));
        (seen.at, seen.heard) = (now, Instant::now());
        change(seen);
    }

    /// Rings with every report.
    pub(crate) fn reports(&self) -> watch::Receiver<u64> {
        self.reports.subscribe()
    }

    /// What is known of a member.
    pub(crate) fn seen(&self, member: &Fqdn) -> Option<Seen> {
        self.state().seen.get(member).cloned()
    }

    /// Waits until all of `members` say that it is in force, at most so long.
    pub(crate) async fn wait(&self, members: &[Fqdn], patience: Duration, is_in_force: impl Fn(&InForce) -> bool) -> Waited {
        let deadline = tokio::time::Instant::now() + patience;
        let mut reports = self.reports.subscribe();
        loop {
            let waited = self.look(members, &is_in_force);
            if waited.missing.is_empty() || timeout_at(deadline, reports.changed()).await.is_err() {
                return waited;
            }
        }
    }

    fn look(&self, members: &[Fqdn], is_in_force: &impl Fn(&InForce) -> bool) -> Waited {
        let state = self.state();
        let has = |member: &&Fqdn| state.seen.get(*member).is_some_and(|seen| is_in_force(&seen.in_force));
        let (done, missing): (Vec<&Fqdn>, Vec<&Fqdn>) = members.iter().partition(has);
        Waited { acknowledged: done.len(), missing: missing.into_iter().cloned().collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> Fqdn {
        Fqdn::parse(text).unwrap()
    }

    fn version(topology: u64) -> InForce {
        InForce { topology, ..InForce::default() }
    }

    #[tokio::test]
    async fn a_member_hears_what_it_lacks_and_then_every_change() {
        let hub = Hub::new();
        let mut feed = hub.open(&name("fe1.a.test"), vec![Update::Renew]);
        hub.broadcast(Update::Heartbeat);
        assert_eq!(*feed.recv().await.unwrap(), Update::Renew);
        assert_eq!(*feed.recv().await.unwrap(), Update::Heartbeat);
        hub.close(&name("fe1.a.test"));
        assert!(feed.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_does_not_read_is_dropped_and_harms_nobody() {
        let hub = Hub::new();
        let mut slow = hub.open(&name("fe1.a.test"), Vec::new());
        for _ in 0..=UPDATES_WAITING_MAX {
            hub.broadcast(Update::Heartbeat);
        }
        for _ in 0..UPDATES_WAITING_MAX {
            assert!(slow.recv().await.is_some());
        }
        assert!(slow.recv().await.is_none());
    }

    #[test]
    fn who_moves_again_and_again_waits_longer_each_time() {
        let (mut seen, start) = (Seen::new(SystemTime::UNIX_EPOCH), Instant::now());
        let moves = (0..24 * 60 * 60 / 5).filter(|tick| seen.may_move(start + Duration::from_secs(5 * tick))).count();
        assert!(moves < 35, "{moves} versions of the topology in a day");
        let rested = start + Duration::from_hours(48);
        assert!(seen.may_move(rested) && !seen.may_move(rested + MOVE_PAUSE / 2) && seen.may_move(rested + MOVE_PAUSE));
    }

    #[test]
    fn who_says_something_else_all_the_time_fills_neither_disk_nor_log_and_the_last_word_is_kept() {
        let (mut seen, start) = (Seen::new(SystemTime::UNIX_EPOCH), Instant::now());
        let mut written = 0;
        for tick in 0..10_000_u64 {
            seen.in_force = version(tick);
            written += u32::from(seen.take_news(start + Duration::from_millis(10 * tick)).is_some());
        }
        assert!(written < NOTES_AT_ONCE + 15, "{written} in 100 s");
        let later = start + Duration::from_mins(10);
        assert!(seen.take_news(later).is_some(), "what was not written yet is written when it is said again");
        assert_eq!((seen.noted.clone(), seen.take_news(later)), (Some(version(9999)), None));
    }

    #[tokio::test]
    async fn waiting_ends_when_everybody_has_it_or_patience_does() {
        let hub = Arc::new(Hub::new());
        let members = [name("fe1.a.test"), name("fe2.a.test")];
        hub.report(&members[0], version(2), SystemTime::UNIX_EPOCH);
        let waited = hub.wait(&members, Duration::from_millis(1), |in_force| in_force.topology >= 2).await;
        assert_eq!(waited, Waited { acknowledged: 1, missing: vec![members[1].clone()] });
        let waiting = tokio::spawn({
            let (hub, members) = (Arc::clone(&hub), members.clone());
            async move { hub.wait(&members, Duration::from_secs(60), |in_force| in_force.topology >= 2).await }
        });
        hub.report(&members[1], version(2), SystemTime::UNIX_EPOCH);
        assert_eq!(waiting.await.unwrap(), Waited { acknowledged: 2, missing: Vec::new() });
    }
}
