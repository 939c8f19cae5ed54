//! What the tasks of all connections of one server have in common.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use registrar::Flow;
use tokio::sync::{mpsc, watch};
use trust::Policy;

use crate::{
    Limits,
    gate::{Dialler, Gate},
    meters::Meters,
    queues::ToCore,
    share::Share,
    verdicts::Verdicts,
    way::Kind,
};

/// What every connection of a server refers to.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) meters: Meters,
    pub(crate) verdicts: Verdicts,
    /// The ports that listen.
    pub(crate) gates: Vec<Arc<Gate>>,
    /// How other servers are called, if they are.
    pub(crate) dialler: Option<Arc<Dialler>>,
    clients: Share,
    servers: Share,
    dialled: Share,
    /// The same as in [`ToCore`].
    pub(crate) lost: mpsc::UnboundedSender<Flow>,
    /// Becomes true when the server ends.
    ending: watch::Receiver<bool>,
    next_flow: AtomicU64,
}

impl Shared {
    /// `limits` are those of the whole server.
    pub(crate) fn new(
        gates: Vec<Arc<Gate>>,
        dialler: Option<Dialler>,
        limits: Limits,
        to_core: ToCore,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let ToCore { clients, servers, lost } = to_core;
        Self {
            limits,
            meters: Meters::new(),
            verdicts: Verdicts::default(),
            gates,
            dialler: dialler.map(Arc::new),
            clients: Share::new(Kind::Clients, &limits, clients),
            dialled: Share::new(Kind::Dialled, &limits, servers.clone()),
            servers: Share::new(Kind::Servers, &limits, servers),
            lost,
            ending,
            next_flow: AtomicU64::new(1),
        }
    }

    /// The places of one kind of connections.
    pub(crate) fn share(&self, kind: Kind) -> &Share {
        match kind {
            Kind::Clients => &self.clients,
            Kind::Servers => &self.servers,
            Kind::Dialled => &self.dialled,
        }
    }

    /// The policies in force now, of each port and of the links we dial; mostly one and the same.
    pub(crate) fn policies(&self) -> Vec<Arc<Policy>> {
        let beliefs = self.gates.iter().map(|gate| gate.belief()).chain(self.dialler.iter().map(|dialler| dialler.belief()));
        beliefs.map(|belief| belief.policy()).collect()
    }

    /// Comes back when the server ends.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.clone();
        // Without a sender nobody can end the server any more, and nobody serves it: an end as well.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// A number no connection had before. Those with the highest bit are the core's, for what it dials.
    pub(crate) fn new_flow(&self) -> Flow {
        Flow(self.next_flow.fetch_add(1, Ordering::Relaxed))
    }
}
