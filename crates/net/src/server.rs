//! A server from its sockets to its orderly end.

use std::{io, net::SocketAddr, sync::Arc};

use node::Node;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use crate::{
    BindError, Core, Handle, Limits,
    core_task::CoreTask,
    gate::{Dialler, Gate},
    listener, open_files,
    queues::Inbox,
    rejudge,
    shared::Shared,
    way::{Kind, Way},
};

/// A SIP server that listens. Nothing is accepted before [`run`](Self::run).
pub struct Server<C = Node> {
    ports: Vec<(TcpListener, Arc<Gate>)>,
    addresses: Vec<SocketAddr>,
    core: CoreTask<C>,
    inbox: Inbox<C>,
    handle: Handle<C>,
}

impl<C: Core> Server<C> {
    /// Takes one address and calls nobody. The metrics recorder must be installed before, or nothing is counted; a
    /// tokio runtime must be entered.
    ///
    /// # Errors
    /// The address cannot be had; see [`BindError`].
    pub fn bind(listen: SocketAddr, gate: Gate, limits: Limits, core: C) -> Result<Self, BindError> {
        let listener = listener::listen(listen)?;
        Self::on(vec![(listener, gate)], None, limits, core).map_err(|error| BindError::Other { address: listen, error })
    }

    /// On addresses taken before, by [`listen`](crate::listen), each with its own kind of port; and with a way to call
    /// other servers, if it shall. One core serves them all; no kind of connections can take the places of another.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub fn on(ports: Vec<(std::net::TcpListener, Gate)>, dialler: Option<Dialler>, limits: Limits, core: C) -> io::Result<Self> {
        let ports: Vec<(TcpListener, Arc<Gate>)> = ports.into_iter().map(open).collect::<io::Result<_>>()?;
        let addresses = ports.iter().map(|(listener, _)| listener.local_addr()).collect::<io::Result<_>>()?;
        let gates: Vec<Arc<Gate>> = ports.iter().map(|(_, gate)| Arc::clone(gate)).collect();
        let kinds = gates.iter().map(|gate| Way::Accepted(Arc::clone(gate)).kind()).chain(dialler.iter().map(|_| Kind::Dialled));
        let limits = limits.within(open_files::room_for(limits.connections_max), &kinds.collect::<Vec<_>>());
        let (to_core, asks, inbox) = Inbox::new(&limits);
        let (end, ending) = watch::channel(false);
        let shared = Arc::new(Shared::new(gates, dialler, limits, to_core, ending));
        let core = CoreTask::new(core, Arc::clone(&shared));
        Ok(Self { ports, addresses, core, inbox, handle: Handle::new(shared, asks, end) })
    }

    /// Where it listens first; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where it listens, in the order in which the ports were given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What administers it.
    #[must_use]
    pub fn handle(&self) -> Handle<C> {
        self.handle.clone()
    }

    /// Serves until [`Handle::shutdown`]; then every connection is told, for a bounded time.
    pub async fn run(self) {
        let shared = Arc::clone(self.handle.shared());
        let mut tasks = JoinSet::new();
        for (listener, gate) in self.ports {
            let (address, port, connections_max) = (listener.local_addr().ok(), gate.listener.as_str(), shared.limits.connections_max);
            tracing::info!(?address, port, connections_max, "accepting SIP over TLS");
            tasks.spawn(listener::accept_all(listener, gate, Arc::clone(&shared)));
        }
        tasks.spawn(rejudge::watch(self.handle.clone()));
        let mut core = tokio::spawn(self.core.run(self.inbox));
        tokio::select! {
            // Looked at first: at a shutdown the listeners end too, and that is no fault.
            biased;
            () = shared.ended() => {
                // Stop accepting first: who comes now must not be told that we are there.
                tasks.shutdown().await;
                self.handle.tell_core_to_end().await;
                if timeout(shared.limits.shutdown(), &mut core).await.is_err() {
                    tracing::warn!("some connections did not end in time; they are cut");
                    core.abort();
                }
            }
            // Only a fault of ours ends the core by itself, or a listener, or what watches whether connections still stand. None of
            // them can be done without: whoever runs us has to see that it is over.
            _ = &mut core => tracing::error!("the signalling core ended"),
            ended = tasks.join_next() => {
                tracing::error!(?ended, "a listener or the watch over open connections ended");
                core.abort();
            }
        }
        tracing::info!(addresses = ?self.addresses, "SIP over TLS ended");
    }
}

fn open((listener, gate): (std::net::TcpListener, Gate)) -> io::Result<(TcpListener, Arc<Gate>)> {
    listener.set_nonblocking(true)?;
    Ok((TcpListener::from_std(listener)?, Arc::new(gate)))
}
