//! A server from its socket to its orderly end, and the handle by which others speak to it while it runs.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use node::{Figures, Registration};
use registrar::{Credential, Flow, UserName};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use trust::DecisionRecord;

use crate::{
    BindError, Connection, Core, Limits,
    core::{CoreTask, Event},
    gate::Gate,
    listener,
    meters::Meters,
    open_files,
    shared::Shared,
    sources::Sources,
};

/// A SIP server that listens. Nothing is accepted before [`run`](Self::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    core: CoreTask,
    events: mpsc::Receiver<Event>,
    lost: mpsc::UnboundedReceiver<registrar::Flow>,
    handle: Handle,
}

impl Server {
    /// Takes the address. The metrics recorder must be installed before, or nothing is counted; a tokio runtime must be
    /// entered.
    ///
    /// # Errors
    /// The address cannot be had; see [`BindError`].
    pub fn bind(listen: SocketAddr, gate: Gate, limits: Limits, core: impl Core) -> Result<Self, BindError> {
        let listener = listener::listen(listen)?;
        Self::on(listener, gate, limits, core).map_err(|error| BindError::Other { address: listen, error })
    }

    /// On an address taken before, by [`listen`](crate::listen).
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn on(listener: std::net::TcpListener, gate: Gate, limits: Limits, core: impl Core) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let limits = limits.within(open_files::room_for(limits.connections_max));
        let (events_in, events) = mpsc::channel(limits.messages_queued_max);
        let (lost_in, lost) = mpsc::unbounded_channel();
        let (end, ending) = watch::channel(false);
        let shared = Arc::new(Shared {
            limits,
            gate,
            meters: Meters::new(),
            sources: Sources::new(&limits),
            handshakes: Semaphore::new(limits.handshakes_max),
            computing: Semaphore::new(limits.handshakes_computing_max),
            events: events_in,
            lost: lost_in,
            ending,
            next_flow: AtomicU64::new(1),
        });
        let core = CoreTask::new(Box::new(core), Arc::clone(&shared));
        let handle = Handle { shared, end: Arc::new(end) };
        Ok(Self { listener, address, core, events, lost, handle })
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What administers it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until [`Handle::shutdown`]; then every connection is told, for a bounded time.
    pub async fn run(self) {
        let shared = Arc::clone(&self.handle.shared);
        tracing::info!(address = %self.address, connections_max = shared.limits.connections_max, "accepting SIP over TLS");
        let accepting = tokio::spawn(listener::accept_all(self.listener, Arc::clone(&shared)));
        let mut core = tokio::spawn(self.core.run(self.events, self.lost));
        tokio::select! {
            () = shared.ended() => {
                // Stop accepting first: who comes now must not be told that we are there.
                accepting.abort();
                let _ = shared.events.send(Event::Shutdown).await;
                if timeout(shared.limits.shutdown(), &mut core).await.is_err() {
                    tracing::warn!("some connections did not end in time; they are cut");
                    core.abort();
                }
            }
            // Only a fault of ours ends the core by itself.
            _ = &mut core => tracing::error!("the signalling core ended"),
        }
        accepting.abort();
        tracing::info!(address = %self.address, "SIP over TLS ended");
    }
}

/// Administers a running server; clones speak to the same one. Questions to a server that has ended are answered
/// with nothing.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    end: Arc<watch::Sender<bool>>,
}

impl Handle {
    /// Asks the core's task; `None` when the server has ended.
    async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut CoreTask, Instant) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let ask = Box::new(move |core: &mut CoreTask, now: Instant| {
            // Nobody waits for the answer any more: then it is not needed.
            let _ = answer.send(ask(core, now));
        });
        self.shared.events.send(Event::Ask(ask)).await.ok()?;
        answered.await.ok()
    }

    /// A new user, or a new password of a known one, whose connections are cut. `false` when there is no room for
    /// another user or the server has ended.
    pub async fn put_user(&self, user: UserName, credential: Credential) -> bool {
        self.ask(move |core, now| core.core().put_user(user, credential, now)).await.unwrap_or(false)
    }

    /// The user is gone, and so are the bindings and connections. `false` when there was none.
    pub async fn remove_user(&self, user: UserName) -> bool {
        self.ask(move |core, now| core.core().remove_user(&user, now)).await.unwrap_or(false)
    }

    /// Who can be reached right now.
    pub async fn registrations(&self) -> Vec<Registration> {
        self.ask(|core, now| core.core().registrations(now)).await.unwrap_or_default()
    }

    /// Who proved who they are, and on which connection.
    pub async fn signed_in(&self) -> Vec<(Flow, UserName)> {
        self.ask(|core, _| core.core().signed_in()).await.unwrap_or_default()
    }

    /// What there is and what was done, for the metrics; `None` when the core has ended.
    pub async fn figures(&self) -> Option<Figures> {
        self.ask(|core, _| core.core().figures()).await
    }

    /// Every open connection, in the order in which they came.
    pub async fn connections(&self) -> Vec<Connection> {
        let links = self.ask(|core, _| core.links().cloned().collect::<Vec<_>>()).await.unwrap_or_default();
        let mut connections: Vec<Connection> = links.iter().map(|link| link.facts.connection(link.flow)).collect();
        connections.sort_unstable_by_key(|connection| connection.flow);
        connections
    }

    /// The verdicts of `trust`, newest first, at most `limit`.
    #[must_use]
    pub fn decisions(&self, limit: usize) -> Vec<DecisionRecord> {
        self.shared.gate.decisions(limit)
    }

    /// Begins the orderly end: no new connections, the open ones are told, [`Server::run`] returns. Returns at once.
    pub fn shutdown(&self) {
        self.end.send_replace(true);
    }
}
