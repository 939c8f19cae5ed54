//! What is open is judged again, and what no longer stands is cut (rows N5, N15).
//!
//! Whoever changes the policy says so by [`Handle::rejudge`]; the passing of time is watched here. The judging takes
//! place beside the core's task, whose messages do not wait for it; connections that enter the core's table meanwhile
//! are held against the policy in force when they enter (`core_task`), so that between the two nobody slips through.

use std::{
    collections::HashMap,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::available_parallelism,
};

use pki::CertificateDer;
use tokio::task::JoinSet;
use trust::{Decision, Policy};

use crate::{Core, Handle, facts::Facts, link::Link};

/// Into how many parts open connections are divided; one part is judged again in each turn of the watch, so that what
/// depends on the time alone, such as the age of a revocation list, is seen on every connection in as many turns.
const PARTS: u64 = 30;

/// What judging again came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rejudged {
    /// Open connections that showed a certificate and were judged.
    pub judged: usize,
    /// Those that did not stand and were cut.
    pub cut: usize,
}

impl<C: Core> Handle<C> {
    /// Asks `trust` again about every open connection that showed a certificate, by the policy in force now, and cuts
    /// those that no longer stand: they are told (`close_notify`), the core drops their bindings, a record says why. To be
    /// called after each change of the policy; when it returns, nobody whom the new policy refuses is connected.
    pub async fn rejudge(&self) -> Rejudged {
        self.rejudge_those(|_, _| true).await
    }

    async fn rejudge_those(&self, concerned: impl Fn(&Link, &Facts) -> bool + Send + 'static) -> Rejudged {
        let is_concerned = move |link: &Arc<Link>| link.facts().is_some_and(|facts| !facts.chain().is_empty() && concerned(link, facts));
        let links = self.ask(move |task, _| task.links().filter(|link| is_concerned(link)).cloned().collect::<Vec<_>>()).await;
        let links = links.unwrap_or_default();
        let judged = links.len();
        let fallen = judge_all(links).await;
        let cut = fallen.len();
        for (link, decision) in &fallen {
            if let (Some(facts), Some(decision)) = (link.facts(), decision) {
                self.shared().verdicts.note_cut(&facts.way, link.flow, decision.clone());
            }
        }
        if !fallen.is_empty() {
            self.ask(move |task, now| fallen.iter().for_each(|(link, decision)| task.cut(link, reason(decision.as_ref()), now))).await;
            tracing::warn!(judged, cut, "open connections judged again");
        }
        Rejudged { judged, cut }
    }
}

/// A connection that no longer stands, and why; `None` where judging it panicked.
type Fallen = (Arc<Link>, Option<Decision>);

fn reason(decision: Option<&Decision>) -> &'static str {
    decision.map_or("it could not be judged", |decision| decision.record.label)
}

/// Judges on every core of the machine: a chain of certificates costs a tenth of a millisecond.
async fn judge_all(links: Vec<Arc<Link>>) -> Vec<Fallen> {
    let groups = alike(links);
    let workers = available_parallelism().map_or(1, NonZero::get);
    let each = groups.len().div_ceil(workers).max(1);
    let mut groups = groups.into_iter().peekable();
    let mut tasks = JoinSet::new();
    while groups.peek().is_some() {
        let part: Vec<_> = groups.by_ref().take(each).collect();
        tasks.spawn_blocking(move || part.into_iter().flat_map(judge_group).collect::<Vec<Fallen>>());
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Connections about which the question is the same, together: a server's links show one certificate.
fn alike(links: Vec<Arc<Link>>) -> Vec<Vec<Arc<Link>>> {
    let mut by_chain: HashMap<Vec<CertificateDer<'static>>, Vec<Vec<Arc<Link>>>> = HashMap::new();
    for link in links {
        let Some(facts) = link.facts() else { continue };
        let groups = by_chain.entry(facts.chain().to_vec()).or_default();
        let same =
            |group: &&mut Vec<Arc<Link>>| group.first().and_then(|one| one.facts()).is_some_and(|one| one.way.asks_the_same(&facts.way));
        match groups.iter_mut().find(same) {
            Some(group) => group.push(link),
            None => groups.push(vec![link]),
        }
    }
    by_chain.into_values().flatten().collect()
}

/// Those of a group that do not stand: none, or all of them. Whom we cannot judge we do not believe.
fn judge_group(group: Vec<Arc<Link>>) -> Vec<Fallen> {
    fallen_of(group, |link| link.facts().map(|facts| facts.judge(&facts.way.policy())))
}

fn fallen_of<L>(group: Vec<L>, judge: impl Fn(&L) -> Option<Decision>) -> Vec<(L, Option<Decision>)> {
    let mut fallen = Vec::new();
    for link in group {
        match catch_unwind(AssertUnwindSafe(|| judge(&link))) {
            // The question is the same for the rest, and so is the answer.
            Ok(Some(decision)) if decision.verdict.is_ok() => return fallen,
            Ok(Some(decision)) => fallen.push((link, Some(decision))),
            // Nothing was shown on it.
            Ok(None) => {}
            Err(_) => {
                tracing::error!("judging an open connection panicked, so it is cut; report this as a fault of verbund");
                fallen.push((link, None));
            }
        }
    }
    fallen
}

/// Notices, without being told, that a certificate has ended or that another policy is in force.
pub(crate) async fn watch<C: Core>(handle: Handle<C>) {
    let shared = Arc::clone(handle.shared());
    let mut seen = shared.policies();
    for turn in 0.. {
        tokio::time::sleep(shared.limits.rejudge()).await;
        let current = shared.policies();
        if same(&seen, &current) {
            handle.rejudge_those(move |link, facts| facts.has_expired() || link.flow.0 % PARTS == turn % PARTS).await;
        } else {
            seen = current;
            handle.rejudge().await;
        }
    }
}

fn same(one: &[Arc<Policy>], other: &[Arc<Policy>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_we_cannot_judge_we_do_not_believe() {
        let fallen = fallen_of(vec!["one", "other"], |_| panic!("a fault of ours"));
        assert_eq!(
            fallen.iter().map(|(link, decision)| (*link, reason(decision.as_ref()))).collect::<Vec<_>>(),
            [("one", "it could not be judged"), ("other", "it could not be judged")]
        );
        assert!(fallen_of(vec!["showed nothing"], |_| None).is_empty());
    }
}
