//! The line to the authority: called, kept, and called again.
//!
//! While it is there every change arrives within moments and is acknowledged when it is in force. While it is not, the server
//! goes on with what it holds (storage rule: authority down harms nobody for as long as lists and certificates last).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use topology::Role;
use web::{
    client::Target,
    control::{ControlClient, ControlError, HEARTBEAT_EVERY, Hello, InForce, MemberListeners, Update},
};

use crate::{
    Member,
    holdings::Refused,
    refresh::{is_stale, refresh},
};

/// How long to wait before the authority is called again: at first, and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// What this server says of itself to the authority.
#[derive(Clone, Debug)]
pub struct About {
    /// Where it listens.
    pub listeners: MemberListeners,
    /// Where the authority was when this server joined: used while the topology has no better address.
    pub authority: SocketAddr,
}

/// Keeps the line to the authority.
pub struct Agent {
    member: Arc<Member>,
    about: About,
    /// Shows this server's certificate and believes the listed authority only.
    tls: Arc<ClientConfig>,
    /// Told when the authority wants our certificate renewed.
    renew: mpsc::Sender<()>,
    shown: Box<dyn Fn() -> (String, String) + Send + Sync>,
}

/// Why a call ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("what it sent was refused: {0}")]
    Refused(#[from] Refused),
}

impl Agent {
    /// An agent that calls with `tls`; `shown` gives serial number and end of the certificate that the server shows.
    pub fn new(
        member: Arc<Member>,
        about: About,
        tls: Arc<ClientConfig>,
        renew: mpsc::Sender<()>,
        shown: impl Fn() -> (String, String) + Send + Sync + 'static,
    ) -> Self {
        Self { member, about, tls, renew, shown: Box::new(shown) }
    }

    /// Calls until the task is ended; never gives up.
    pub async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let began = tokio::time::Instant::now();
            let ended = match self.call().await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            metrics::gauge!("verbund_authority_connected").set(0.0);
            if began.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            tracing::warn!(server = %self.member.name(), reason = %ended, again_in = ?backoff, "no line to the authority; what is held stays in force");
            sleep(jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Where the authority is by the topology in force, else where it was.
    fn target(&self) -> Target {
        let holdings = self.member.holdings();
        let authority = holdings.topology().authority();
        debug_assert!(authority.has(Role::Authority));
        let address = authority.listeners().https.unwrap_or(self.about.authority);
        Target { address, name: authority.fqdn().clone(), port: address.port(), tls: Arc::clone(&self.tls) }
    }

    async fn call(&self) -> Result<std::convert::Infallible, Ended> {
        let now = SystemTime::now();
        if is_stale(&self.member.holdings(), now)
            && let Err(fault) = refresh(&self.member, self.target(), now).await
        {
            // Whether the call can succeed all the same is for the time of grace to say.
            tracing::error!(server = %self.member.name(), %fault, "stale revocation lists were not replaced");
        }
        let client = ControlClient::connect(self.target()).await?;
        client.hello(&Hello { version: env!("CARGO_PKG_VERSION").to_owned(), listeners: self.about.listeners }).await?;
        let mut feed = client.feed(&self.member.begin_feed().await).await?;
        metrics::gauge!("verbund_authority_connected").set(1.0);
        tracing::info!(server = %self.member.name(), "the line to the authority is there");
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                update = feed.next() => self.take(&update?).await,
                _ = heartbeat.tick() => {}
            }
            client.ack(&self.report()).await?;
        }
    }

    /// What is refused is told with the next report; the line stays, for the next document may be better.
    async fn take(&self, update: &Update) {
        match self.member.take(update, SystemTime::now()).await {
            Ok(taken) if taken.changed.renew => {
                // A renewal that is wanted already needs no second word.
                let _ = self.renew.try_send(());
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn report(&self) -> InForce {
        let (serial, not_after) = (self.shown)();
        InForce { serial, not_after, ..self.member.in_force().borrow().clone() }
    }
}

/// Up to a quarter more, so that a hundred members do not call at the same moment.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    let [byte] = pki::random::<1>().unwrap_or_default();
    wait + wait * u32::from(byte) / 1024
}
