//! The feeds that are read: one task each, which notices a reader that is gone or asleep.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use pki::Fqdn;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{HEARTBEAT_EVERY, SILENCE_MAX, Update};
use crate::gate::Tie;

/// Lines that wait for the connection to take them; the rest waits with the authority.
const LINES_MAX: usize = 4;

/// The feeds of all members.
#[derive(Clone)]
pub(super) struct Feeds {
    each_max: usize,
    /// How each member's feeds are told to end, the oldest first.
    ends: Arc<Mutex<HashMap<Fqdn, Ends>>>,
}

/// The feeds of one member: a number, and how it is told to end.
type Ends = VecDeque<(u64, oneshot::Sender<()>)>;

impl Feeds {
    pub(super) fn new(each_max: usize) -> Self {
        Self { each_max: each_max.max(1), ends: Arc::default() }
    }

    /// Starts a feed. A member that has too many loses its oldest: a connection that died without a word must
    /// not keep its server out. The connection is held as long as the feed goes on.
    pub(super) fn start(&self, peer: Fqdn, updates: mpsc::Receiver<Arc<Update>>, tie: Tie) -> FeedBody {
        let (lines, body) = mpsc::channel(LINES_MAX);
        let (end, ended) = oneshot::channel();
        let number = self.enter(&peer, end);
        let feeds = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                asleep = pump(updates, &lines) => if asleep { tie.cut() },
                () = tie.until_ending() => {}
                // The newest counts; this one is cut with its connection.
                _ = ended => tie.cut(),
            }
            feeds.leave(&peer, number);
        });
        FeedBody(body)
    }

    fn enter(&self, peer: &Fqdn, end: oneshot::Sender<()>) -> u64 {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = ends.entry(peer.clone()).or_default();
        let number = of_peer.back().map_or(0, |(number, _)| number + 1);
        of_peer.push_back((number, end));
        while of_peer.len() > self.each_max {
            if let Some((_, oldest)) = of_peer.pop_front() {
                let _ = oldest.send(());
            }
        }
        number
    }

    fn leave(&self, peer: &Fqdn, number: u64) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_peer) = ends.get_mut(peer) {
            of_peer.retain(|(other, _)| *other != number);
            if of_peer.is_empty() {
                ends.remove(peer);
            }
        }
    }
}

/// Writes each update as a line, and a heartbeat where there is none. Ends when the authority ends the feed or
/// the connection is gone; says whether the reader fell asleep.
async fn pump(mut updates: mpsc::Receiver<Arc<Update>>, lines: &mpsc::Sender<Bytes>) -> bool {
    let mut heartbeat = interval(HEARTBEAT_EVERY);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let update = tokio::select! {
            biased;
            update = updates.recv() => match update {
                Some(update) => update,
                None => return false,
            },
            _ = heartbeat.tick() => Arc::new(Update::Heartbeat),
            () = lines.closed() => return false,
        };
        match timeout(SILENCE_MAX, lines.send(line(&update))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_) => return true,
        }
    }
}

fn line(update: &Update) -> Bytes {
    // The records have no map with odd keys, which is all that could fail here.
    let mut line = serde_json::to_vec(update).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// The feed as the body of an answer.
pub(super) struct FeedBody(mpsc::Receiver<Bytes>);

impl HttpBody for FeedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
