//! The line to the authority: called, kept, and called again.
//!
//! While it is there every change arrives within moments and is acknowledged when it is in force. While it is not, the server
//! goes on with what it holds (storage rule: authority down harms nobody for as long as lists and certificates last).
//!
//! Who was revoked hears nothing over the line any more, for it is cut first. So the lists are looked at as soon as the line is lost,
//! and a server that finds itself on one serves nobody until it has another certificate (row N5).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pki::Fqdn;
use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use topology::Role;
use trust::{Refusal, tls::ServerIdentity};
use web::{
    client::Target,
    control::{ControlClient, ControlError, HEARTBEAT_EVERY, Hello, MemberListeners, Shown, Update},
};

use crate::{
    Holdings, Member, catch_up,
    way_back::{self, WayBack},
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
    /// What this server shows.
    identity: Arc<ServerIdentity>,
    /// How many calls in a row came to nothing: each further one goes to the next address.
    failed: usize,
    /// When to ask for what the line does not bring; `None` while it is there.
    ask_at: Option<Instant>,
}

/// Why a call ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("it is not believed any more: {0}")]
    Disbelieved(#[from] Box<Refusal>),
    #[error("{0} is the authority no longer")]
    Other(Fqdn),
}

impl Agent {
    /// An agent that calls with `tls`, of a server that shows `identity`.
    pub const fn new(
        member: Arc<Member>,
        about: About,
        tls: Arc<ClientConfig>,
        renew: mpsc::Sender<()>,
        identity: Arc<ServerIdentity>,
    ) -> Self {
        Self { member, about, tls, renew, identity, failed: 0, ask_at: None }
    }

    /// Calls until the task is ended; never gives up.
    pub async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        self.catch_up().await;
        loop {
            let began = Instant::now();
            let ended = match self.call().await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            metrics::gauge!("verbund_authority_connected").set(0.0);
            if began.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            self.failed = self.failed.wrapping_add(1);
            // What cut us off acts a moment before it is shown to all, so in the beginning it is asked for with every call.
            let is_news = backoff < BACKOFF_MAX;
            self.ask_at = self.ask_at.filter(|_| !is_news).or(Some(began));
            tracing::warn!(server = %self.member.name(), reason = %ended, again_in = ?backoff, "no line to the authority; what is held stays in force");
            self.catch_up().await;
            self.look_for_the_way_back().await;
            sleep(jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// The authority may be somebody whom this server does not believe any more, or the other way round.
    async fn look_for_the_way_back(&self) {
        match way_back::find(&self.member, &self.target()).await {
            Ok(WayBack::Found { others: true }) => {
                tracing::info!(server = %self.member.name(), "the CA was replaced while this server was away; it has followed");
                // Our certificate is of the CA of before. If a renewal is wanted already, that is enough.
                let _ = self.renew.try_send(());
            }
            Ok(WayBack::Broken(reason)) => tracing::error!(
                server = %self.member.name(), %reason,
                "the authority's trust bundle does not follow from the one held: if its CA was replaced while this server was away,                  remove this server there (verbund topology remove), add it again, and join anew with an empty --data; if it was not,                  somebody else answers at its address"
            ),
            // It is not there, and that was told.
            Ok(WayBack::None | WayBack::Found { others: false }) | Err(_) => {}
        }
    }

    /// Asks for lists and bundle where the line does not bring them: as soon as it is lost and from time to time, so that what was
    /// revoked is known here though the authority does not take us; and before each call when a list or the bundle has run out, for without
    /// them the authority cannot be believed.
    async fn catch_up(&mut self) {
        let holdings = self.member.holdings();
        let is_due = self.ask_at.is_some_and(|at| at <= Instant::now());
        if is_due || holdings.is_stale(SystemTime::now()) {
            self.ask(&holdings).await;
        }
        self.look_at_ourselves().await;
    }

    async fn ask(&mut self, holdings: &Holdings) {
        self.ask_at = Some(Instant::now() + jittered(catch_up::refresh(holdings)));
        if let Err(error) = catch_up::catch_up(&self.member, self.about.authority).await {
            tracing::debug!(server = %self.member.name(), %error, "nothing could be fetched from the authority");
        }
    }

    /// Where the authority is by the topology in force, and by turns where it was when this server joined.
    fn target(&self) -> Target {
        let holdings = self.member.holdings();
        let authority = holdings.topology().authority();
        debug_assert!(authority.has(Role::Authority));
        let addresses = catch_up::authority_addresses(&holdings, self.about.authority);
        let address = addresses.get(self.failed % addresses.len()).copied().unwrap_or(self.about.authority);
        Target { address, name: authority.fqdn().clone(), port: address.port(), tls: Arc::clone(&self.tls) }
    }

    async fn call(&mut self) -> Result<std::convert::Infallible, Ended> {
        let mut epoch = self.member.epoch();
        let client = ControlClient::connect(self.target()).await?;
        client.hello(&Hello { version: env!("CARGO_PKG_VERSION").to_owned(), listeners: self.about.listeners }).await?;
        let mut feed = client.feed(&self.member.begin_feed().await).await?;
        metrics::gauge!("verbund_authority_connected").set(1.0);
        tracing::info!(server = %self.member.name(), "the line to the authority is there");
        (self.failed, self.ask_at) = (0, None);
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = self.member.shown_certificate();
        loop {
            let time_has_passed = tokio::select! {
                update = feed.next() => {
                    match update? {
                        Update::Show => self.show(&client).await?,
                        update => self.take(&update).await,
                    }
                    false
                }
                Ok(()) = epoch.changed() => true,
                // The authority may wait for nothing else.
                Ok(()) = shown.changed() => true,
                _ = heartbeat.tick() => true,
            };
            if time_has_passed || epoch.has_changed().unwrap_or(true) {
                epoch.mark_unchanged();
                self.judge(&client)?;
            }
            client.ack(&self.member.report().await).await?;
        }
    }

    /// Rows N5, N15, N31: the authority's end of the line is judged like every open connection, by what is believed now.
    fn judge(&self, client: &ControlClient) -> Result<(), Ended> {
        let (called, address) = client.called();
        if self.member.holdings().topology().authority().fqdn() != called {
            return Err(Ended::Other(called.clone()));
        }
        self.member.judge(called, address, client.chain(), SystemTime::now()).map_err(Box::new)?;
        Ok(())
    }

    /// What is refused is told with the next report; the line stays, for the next document may be better.
    async fn take(&self, update: &Update) {
        let Ok(taken) = self.member.take(update, SystemTime::now()).await else { return };
        if taken.changed.renew {
            // A renewal that is wanted already needs no second word.
            let _ = self.renew.try_send(());
        }
        if taken.changed.trust {
            self.look_at_ourselves().await;
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
            certificates: self.identity.chain().into_iter().take(1).map(|der| der.to_vec()).collect(),
        };
        client.show(&shown).await
    }

    /// A phone knows no lists, and believes a revoked server for as long as its certificate lasts. So such a server sends
    /// everybody away by itself and lets nobody in, until it shows another certificate; it gets one if only this one was taken back.
    async fn look_at_ourselves(&self) {
        let chain = self.identity.chain();
        let Some(refusal) = self.member.revoked(&chain, SystemTime::now()) else { return };
        tracing::error!(server = %self.member.name(), %refusal, "this server was revoked and serves nobody until it has another certificate");
        self.identity.withdraw(&chain);
        self.member.send_everybody_away("this server's certificate was revoked").await;
    }
}

/// Up to a quarter more, so that a hundred members do not call at the same moment.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    let [byte] = pki::random::<1>().unwrap_or_default();
    wait + wait * u32::from(byte) / 1024
}
