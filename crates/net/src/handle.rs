//! The handle by which others speak to a server while it runs.

use std::{sync::Arc, time::Instant};

use node::{Figures, Node, Registration};
use registrar::{Credential, Flow, UserName};
use tokio::sync::{mpsc, oneshot, watch};
use trust::DecisionRecord;

use crate::{Connection, Core, core::Ask, core_task::CoreTask, link::Link, shared::Shared};

/// Administers a running server; clones speak to the same one. Questions to a server that has ended are answered
/// with nothing.
pub struct Handle<C = Node> {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask<C>>,
    end: Arc<watch::Sender<bool>>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), asks: self.asks.clone(), end: Arc::clone(&self.end) }
    }
}

impl<C: Core> Handle<C> {
    pub(crate) fn new(shared: Arc<Shared>, asks: mpsc::Sender<Ask<C>>, end: watch::Sender<bool>) -> Self {
        Self { shared, asks, end: Arc::new(end) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Asks the core's task; `None` when the server has ended.
    pub(crate) async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut CoreTask<C>, Instant) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let ask = Box::new(move |core: &mut CoreTask<C>, now: Instant| {
            // Nobody waits for the answer any more: then it is not needed.
            let _ = answer.send(ask(core, now));
        });
        self.asks.send(ask).await.ok()?;
        answered.await.ok()
    }

    /// Asks the core something, or tells it something; what it then wants done is done at once. `None` when the server
    /// has ended. Everybody's messages wait meanwhile, so it must be quick.
    pub async fn with<T: Send + 'static>(&self, ask: impl FnOnce(&mut C, Instant) -> T + Send + 'static) -> Option<T> {
        self.ask(move |task, now| ask(task.core(), now)).await
    }

    /// Every open connection, in the order in which they came; those that this server opened come last.
    pub async fn connections(&self) -> Vec<Connection> {
        let links = self.ask(|task, _| task.links().cloned().collect::<Vec<Arc<Link>>>()).await.unwrap_or_default();
        let mut connections: Vec<Connection> = links.iter().filter_map(|link| Some(link.facts()?.connection(link.flow))).collect();
        connections.sort_unstable_by_key(|connection| connection.flow);
        connections
    }

    /// The verdicts of `trust`, newest first, at most so many that said yes and so many that said no.
    #[must_use]
    pub fn decisions(&self, of_each: usize) -> Vec<DecisionRecord> {
        self.shared.verdicts.newest(of_each)
    }

    pub(crate) async fn tell_core_to_end(&self) {
        self.ask(CoreTask::shut_down).await;
    }

    /// Begins the orderly end: no new connections, the open ones are told, [`Server::run`](crate::Server::run) returns.
    /// Returns at once.
    pub fn shutdown(&self) {
        self.end.send_replace(true);
    }
}

impl Handle {
    /// A new user, or a new password of a known one, whose connections are cut. `false` when there is no room for
    /// another user or the server has ended.
    pub async fn put_user(&self, user: UserName, credential: Credential) -> bool {
        self.with(move |node, now| node.put_user(user, credential, now)).await.unwrap_or(false)
    }

    /// The user is gone, and so are the bindings and connections. `false` when there was none.
    pub async fn remove_user(&self, user: UserName) -> bool {
        self.with(move |node, now| node.remove_user(&user, now)).await.unwrap_or(false)
    }

    /// Who can be reached right now.
    pub async fn registrations(&self) -> Vec<Registration> {
        self.with(|node, now| node.registrations(now)).await.unwrap_or_default()
    }

    /// Who proved who they are, and on which connection.
    pub async fn signed_in(&self) -> Vec<(Flow, UserName)> {
        self.with(|node, _| node.signed_in()).await.unwrap_or_default()
    }

    /// What there is and what was done, for the metrics; `None` when the core has ended.
    pub async fn figures(&self) -> Option<Figures> {
        self.with(|node, _| node.figures()).await
    }
}
