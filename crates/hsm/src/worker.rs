//! A thread that asks a token, so that nobody has to wait for one for ever: a call into a module cannot be broken off, and
//! one over a network may never come back.

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::TokenFault;

/// What a token is asked for waits here behind one that is being answered. More is refused: it will not answer.
const ASKED_MAX: usize = 1;

type Answer = Result<Vec<u8>, TokenFault>;

struct Ask {
    message: Vec<u8>,
    reply: SyncSender<Answer>,
}

/// The thread. It ends when this is dropped and the token has answered.
pub(crate) struct Worker {
    /// One asks at a time.
    asks: Mutex<SyncSender<Ask>>,
}

impl Worker {
    /// Starts a thread that answers by `work`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(work: impl FnMut(&[u8]) -> Answer + Send + 'static) -> Result<Self, TokenFault> {
        let (asks, asked) = sync_channel(ASKED_MAX);
        let thread = thread::Builder::new().name("token".into()).spawn(move || answer_all(&asked, work));
        thread.map_err(TokenFault::Thread)?;
        Ok(Self { asks: Mutex::new(asks) })
    }

    /// Asks, and waits so long at most.
    ///
    /// # Errors
    /// What the work gives; or it gives nothing in time, or still owes an earlier answer.
    pub(crate) fn ask(&self, message: &[u8], patience: Duration) -> Answer {
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = sync_channel(1);
        match asks.try_send(Ask { message: message.to_vec(), reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(TokenFault::Silent),
        }
        match answer.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(TokenFault::Silent),
        }
    }
}

fn answer_all(asked: &Receiver<Ask>, mut work: impl FnMut(&[u8]) -> Answer) {
    for Ask { message, reply } in asked {
        // Who has waited long enough does not want to know.
        let _ = reply.send(work(&message));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::mpsc::channel, time::Instant};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_asked_is_answered_in_turn() {
        let worker = Worker::start(|message| Ok([message, b"!"].concat())).unwrap();
        for round in 0u8..100 {
            assert_eq!(worker.ask(&[round], LATE).unwrap(), [round, b'!']);
        }
    }

    #[test]
    fn nobody_waits_for_a_token_that_hangs_and_it_may_come_back() {
        let (go, gone) = channel::<()>();
        let worker = Worker::start(move |message| {
            if message == b"hang" {
                let _ = gone.recv();
            }
            Ok(message.to_vec())
        })
        .unwrap();
        let began = Instant::now();
        assert!(matches!(worker.ask(b"hang", SOON), Err(TokenFault::Silent)));
        assert!(matches!(worker.ask(b"a", SOON), Err(TokenFault::Silent)));
        // It owes two answers by now: the next is not waited for.
        assert!(matches!(worker.ask(b"b", LATE), Err(TokenFault::Silent)));
        assert!(began.elapsed() < LATE);
        go.send(()).unwrap();
        while worker.ask(b"c", LATE).is_err() {
            assert!(began.elapsed() < LATE);
        }
        assert_eq!(worker.ask(b"d", LATE).unwrap(), b"d");
    }
}
