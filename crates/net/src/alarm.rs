//! A timer for deadlines that move.

use std::{pin::Pin, time::Instant};

use tokio::time::{Sleep, sleep_until};

/// A timer that is set again only when it would ring too late: deadlines mostly move further away, and ringing early
/// costs less than setting it after every message.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Until `due`, or a little earlier; never when nothing is due.
    pub(crate) async fn wait(&mut self, due: Option<Instant>) {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return std::future::pending().await };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.is_elapsed() || due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().await;
    }
}
