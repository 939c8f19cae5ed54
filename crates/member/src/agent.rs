//! The line to the authority: called, kept, and called again.
//!
//! While it is there every change arrives within moments and is acknowledged when it is in force. While it is not, the server
//! goes on with what it holds (storage rule: authority down harms nobody for as long as lists and certificates last).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::CertificateDer;
use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use topology::Role;
use web::{
    admin::rfc3339,
    client::Target,
    control::{ControlClient, ControlError, HEARTBEAT_EVERY, Hello, InForce, MemberListeners, Shown, Update},
};

use crate::{Member, holdings::Refused};

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
    /// The certificate that is shown at this moment.
    certificate: Box<dyn Fn() -> Option<CertificateDer<'static>> + Send + Sync>,
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
    /// An agent that calls with `tls`; `certificate` gives that which the server shows.
    pub fn new(
        member: Arc<Member>,
        about: About,
        tls: Arc<ClientConfig>,
        renew: mpsc::Sender<()>,
        certificate: impl Fn() -> Option<CertificateDer<'static>> + Send + Sync + 'static,
    ) -> Self {
        Self { member, about, tls, renew, certificate: Box::new(certificate) }
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
        let client = ControlClient::connect(self.target()).await?;
        client.hello(&Hello { version: env!("CARGO_PKG_VERSION").to_owned(), listeners: self.about.listeners }).await?;
        let mut feed = client.feed(&self.member.begin_feed().await).await?;
        metrics::gauge!("verbund_authority_connected").set(1.0);
        tracing::info!(server = %self.member.name(), "the line to the authority is there");
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                update = feed.next() => match update? {
                    Update::Show => self.show(&client).await?,
                    update => self.take(&update).await,
                },
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

    /// The authority has forgotten something, and what is held here proves it. All of it bears signatures; nothing of it is secret.
    async fn show(&self, client: &ControlClient) -> Result<(), ControlError> {
        let holdings = self.member.holdings();
        tracing::warn!(server = %self.member.name(), topology = holdings.topology().version(), "the authority asks what is held here, and is shown it");
        let shown = Shown {
            topology: holdings.topology_text().text.clone(),
            bundle: holdings.bundle_text().text.clone(),
            lists: holdings.lists().iter().map(|list| list.as_der().to_vec()).collect(),
            certificates: (self.certificate)().into_iter().map(|der| der.to_vec()).collect(),
        };
        client.show(&shown).await
    }

    fn report(&self) -> InForce {
        let facts = (self.certificate)().as_ref().and_then(pki::facts);
        let (serial, not_after) = facts.map(|facts| (facts.serial.to_string(), rfc3339(facts.not_after))).unwrap_or_default();
        InForce { serial, not_after, ..self.member.in_force().borrow().clone() }
    }
}

/// Up to a quarter more, so that a hundred members do not call at the same moment.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let [byte] = pki::random::<1>().unwrap_or_default();
    wait + wait * u32::from(byte) / 1024
}
