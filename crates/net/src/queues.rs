//! The ways into the core's task.
//!
//! What happens on server links waits apart from what happens on clients' connections, and so do questions from outside:
//! a flood of the one kind costs the others at most one batch of it a turn.

use registrar::Flow;
use tokio::sync::mpsc;

use crate::{
    Limits,
    core::{Ask, Event},
};

/// Events of each kind worked off in one turn; what they cause goes out before the next.
const BATCH: usize = 64;
/// Questions from outside that wait for their turn; whoever asks more waits to ask.
const ASKS_QUEUED_MAX: usize = 64;

/// What connections put their events into.
pub(crate) struct ToCore {
    /// Of clients, in order.
    pub(crate) clients: mpsc::Sender<Event>,
    /// Of servers, in order.
    pub(crate) servers: mpsc::Sender<Event>,
    /// Flows whose task ended without a farewell; one each at most, so the queue is bounded by the connections.
    pub(crate) lost: mpsc::UnboundedSender<Flow>,
}

/// The core's ends of them, and what was taken out of them for this turn.
pub(crate) struct Inbox<C> {
    clients: Queue,
    servers: Queue,
    asks: mpsc::Receiver<Ask<C>>,
    asked: Option<Ask<C>>,
    lost: mpsc::UnboundedReceiver<Flow>,
    gone: Option<Flow>,
}

/// What one turn is about. Passed on at once, so its size does not matter.
#[expect(clippy::large_enum_variant)]
pub(crate) enum Item<C> {
    Event(Event),
    Ask(Ask<C>),
}

struct Queue {
    events: mpsc::Receiver<Event>,
    batch: Vec<Event>,
}

impl Queue {
    fn new(events: mpsc::Receiver<Event>) -> Self {
        Self { events, batch: Vec::with_capacity(BATCH) }
    }

    async fn wait(&mut self) {
        self.events.recv_many(&mut self.batch, BATCH).await;
    }

    /// Takes what waits, up to `most`.
    fn fill(&mut self, most: usize) {
        while self.batch.len() < most
            && let Ok(event) = self.events.try_recv()
        {
            self.batch.push(event);
        }
    }
}

impl<C> Inbox<C> {
    /// The queues of a server, with their bounds.
    pub(crate) fn new(limits: &Limits) -> (ToCore, mpsc::Sender<Ask<C>>, Self) {
        let (clients_in, clients) = mpsc::channel(limits.messages_queued_max);
        let (servers_in, servers) = mpsc::channel(limits.messages_queued_max);
        let (asks_in, asks) = mpsc::channel(ASKS_QUEUED_MAX);
        let (lost_in, lost) = mpsc::unbounded_channel();
        let (clients, servers) = (Queue::new(clients), Queue::new(servers));
        let inbox = Self { clients, servers, asks, asked: None, lost, gone: None };
        (ToCore { clients: clients_in, servers: servers_in, lost: lost_in }, asks_in, inbox)
    }

    /// Waits until something is there, or until `alarm` is done, and takes this turn's share of each kind.
    pub(crate) async fn next(&mut self, alarm: impl Future<Output = ()>) -> impl Iterator<Item = Item<C>> {
        tokio::select! {
            () = self.servers.wait() => {}
            () = self.clients.wait() => {}
            Some(ask) = self.asks.recv() => self.asked = Some(ask),
            Some(flow) = self.lost.recv() => self.gone = Some(flow),
            () = alarm => {}
        }
        for queue in [&mut self.servers, &mut self.clients] {
            // What a connection said before it was lost stands in its queue and comes first.
            queue.fill(if self.gone.is_some() { queue.events.max_capacity() } else { BATCH });
        }
        let events = self.servers.batch.drain(..).chain(self.clients.batch.drain(..));
        let gone = self.gone.take().map(|flow| Event::Closed { flow });
        self.asked.take().map(Item::Ask).into_iter().chain(events.chain(gone).map(Item::Event))
    }
}
