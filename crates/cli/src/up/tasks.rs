//! What runs besides the signalling core as long as the process does: none of it may end unseen.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// Tasks with their names.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.running.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits until one of them has ended, and says which and how. With none there is nothing to wait for: never.
    pub(super) async fn ended(&mut self) -> String {
        match self.running.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => format!("{} ended by itself", self.name_of(id)),
            Some(Err(error)) if error.is_panic() => format!("{} panicked", self.name_of(error.id())),
            Some(Err(error)) => format!("{} was ended", self.name_of(error.id())),
        }
    }

    fn name_of(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("a task")
    }

    /// Ends them where they are.
    pub(super) fn abort(&mut self) {
        self.running.abort_all();
    }

    /// Waits until all of them have ended.
    pub(super) async fn all(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("one that goes on", std::future::pending());
        tasks.spawn("renewal", async { panic!("a fault of ours") });
        assert_eq!(tasks.ended().await, "renewal panicked");
        tasks.spawn("upkeep", async {});
        assert_eq!(tasks.ended().await, "upkeep ended by itself");
        tasks.abort();
        assert_eq!(tasks.ended().await, "one that goes on was ended");
        tasks.all().await;
    }
}
