//! The authority's end of the control channel: what a member lacks, every change from then on, and what is in force there.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use pki::Fqdn;
use store::{Members as _, Replacements as _, Report, RevocationListStore as _, Version};
use tokio::sync::mpsc;
use topology::Topology;
use web::{
    Answer,
    control::{Control, ControlFault, Held, Hello, InForce, ListInForce, Shown, Update},
};

use crate::{Authority, Fault, revoke::Holder};

/// How many users go into one line of the feed.
const USERS_PER_LINE: usize = 1000;
/// How many refusals of one member are kept: one a kind of document, and a few of kinds that a newer member has.
const REFUSED_MAX: usize = 8;
/// How much of the words of one.
const REFUSED_CHARS_MAX: usize = 1000;

fn fault(fault: Fault) -> ControlFault {
    match fault {
        Fault::NoSuchServer(name) => ControlFault::NotInTopology(name),
        Fault::Edit(fault) => ControlFault::Contradiction(fault.to_string()),
        fault @ Fault::NotItsAddress { .. } => ControlFault::Contradiction(fault.to_string()),
        fault => ControlFault::Unavailable(fault.to_string()),
    }
}

/// Row N30: an application is listed, but holds neither list nor directory.
fn check_member(topology: &Topology, peer: &Fqdn) -> Result<(), ControlFault> {
    if topology.is_member(peer) { Ok(()) } else { Err(ControlFault::NotInTopology(peer.clone())) }
}

/// Whether the store could have such numbers. Who claims others is told so, also where claims are not held against ours.
fn is_possible(in_force: &InForce) -> bool {
    let lists = in_force.lists.iter().map(|list| list.number);
    lists.chain([in_force.topology, in_force.bundle, in_force.users, in_force.cut]).all(|number| i64::try_from(number).is_ok())
}

impl Authority {
    pub(crate) async fn first(&self, peer: &Fqdn, held: &Held) -> Result<Vec<Update>, Fault> {
        let holdings = self.member.holdings();
        let newest = holdings.bundle().sequence;
        let mut first = self.bridges(held.bundle, newest).await?;
        if !first.is_empty() {
            // Before the last bundle: were this member to start again in between, it must find a topology that it believes.
            first.push(Update::Topology { document: holdings.topology_text().text.clone() });
        }
        if held.bundle < newest {
            first.push(Update::Bundle { document: holdings.bundle_text().text.clone() });
        }
        // Each on a line of its own: a line has room for one of the largest.
        first.extend(holdings.lists().iter().map(|list| Update::RevocationLists { lists: vec![list.as_der().to_vec()] }));
        // Also of the same version: it may be signed by somebody else by now.
        if held.topology < holdings.topology().version() || held.bundle < newest {
            first.push(Update::Topology { document: holdings.topology_text().text.clone() });
        }
        first.extend(lines(self.directory_of(holdings.topology(), peer).await?));
        if self.lacks_names(peer).await? {
            first.push(Update::Renew);
        }
        Ok(first)
    }

    /// The bundles that lead from the one held over every replacement of the CA since, each with the lists of its CAs: who signed
    /// the next is believed by those only.
    async fn bridges(&self, held: u64, newest: u64) -> Result<Vec<Update>, Fault> {
        let (mut updates, mut at) = (Vec::new(), held);
        // A member that holds nothing believes whom its join string names.
        while at > 0
            && let Some(bridge) = self.store.bridge_after(at).await?.filter(|bridge| bridge.sequence < newest)
        {
            at = bridge.sequence;
            let lists = self.lists_of(&bridge.signed).await?;
            updates.push(Update::Bundle { document: bridge.signed });
            updates.extend(lists.into_iter().map(|list| Update::RevocationLists { lists: vec![list] }));
        }
        Ok(updates)
    }

    /// The newest lists of the CAs that a bundle of ours names.
    async fn lists_of(&self, signed: &str) -> Result<Vec<Vec<u8>>, Fault> {
        let mut lists = Vec::new();
        for place in pki::Bundle::unchecked(signed).map(|bundle| bundle.lists).unwrap_or_default() {
            lists.extend(self.store.list(&place.issuer.to_string()).await?.map(|list| list.der));
        }
        Ok(lists)
    }

    /// Whether a server got other names while it was away, and has no certificate with them.
    async fn lacks_names(&self, peer: &Fqdn) -> Result<bool, Fault> {
        let standing = self.standing(&Holder::Server(peer.clone()), SystemTime::now()).await?;
        Ok(!standing.iter().any(|certificate| self.is_named_as_listed(certificate)))
    }

    async fn open_feed(&self, peer: &Fqdn, held: &Held) -> Result<mpsc::Receiver<Arc<Update>>, ControlFault> {
        // Nothing is published between what is gathered here and what is broadcast afterwards.
        let _change = self.changing.lock().await;
        check_member(self.member.holdings().topology(), peer)?;
        if self.is_recovering() {
            // What is held here is older than what it has.
            let first = if self.hub.expect(peer) { vec![Update::Show] } else { Vec::new() };
            return Ok(self.hub.open(peer, first));
        }
        let first = self.first(peer, held).await.map_err(fault)?;
        tracing::info!(server = %peer, topology = held.topology, bundle = held.bundle, "a member is on the line");
        Ok(self.hub.open(peer, first))
    }

    /// What was never told cannot be in force: a claim to it must not count when it is told later. It is no reason to hang up: an
    /// authority that was put back from a backup has members that are ahead of it.
    fn without_claims(&self, peer: &Fqdn, mut said: InForce) -> InForce {
        let (holdings, told) = (self.member.holdings(), self.member.in_force().borrow().clone());
        let known = |list: &ListInForce| told.lists.iter().any(|own| own.issuer == list.issuer && list.number <= own.number);
        let (lists, topology, bundle) = (said.lists.len(), said.topology, said.bundle);
        said.lists.retain(known);
        said.topology = Some(topology).filter(|version| *version <= holdings.topology().version()).unwrap_or_default();
        said.bundle = Some(bundle).filter(|sequence| *sequence <= holdings.bundle().sequence).unwrap_or_default();
        let is_true = (lists, topology, bundle) == (said.lists.len(), said.topology, said.bundle);
        if !is_true && self.pace.may_tell(peer, Instant::now()) {
            tracing::warn!(server = %peer, topology, bundle, "a server says that something is in force there which was never published");
        }
        said
    }

    async fn note(&self, peer: &Fqdn, in_force: InForce) -> Result<(), ControlFault> {
        check_member(self.member.holdings().topology(), peer)?;
        if !is_possible(&in_force) {
            return Err(ControlFault::Contradiction("there are no numbers as high as these".into()));
        }
        // An authority that was put back from a backup is behind, and learns so by what members say.
        let (is_behind, is_recovering) = (self.is_behind(&in_force), self.is_recovering());
        let mut in_force = if is_recovering { in_force } else { self.without_claims(peer, in_force) };
        shorten(&mut in_force);
        let now = SystemTime::now();
        self.hub.report(peer, in_force.clone(), now);
        if is_behind || is_recovering {
            self.hub.ask_to_show(peer);
        }
        // The same is said again with every heartbeat; and a hostile member says something else each time.
        let Some(before) = self.hub.take_news(peer) else { return Ok(()) };
        for refused in in_force.refused.iter().filter(|one| before.as_ref().is_none_or(|before| !before.refused.contains(one))) {
            tracing::warn!(server = %peer, document = refused.document, reason = refused.reason, "a member refused a document");
        }
        if let Err(error) = self.store.report(&self.report_of(peer, &in_force, now)).await {
            tracing::warn!(server = %peer, %error, "a member's report was not kept");
        }
        Ok(())
    }

    fn report_of(&self, peer: &Fqdn, in_force: &InForce, seen_at: SystemTime) -> Report {
        let holdings = self.member.holdings();
        let listeners = holdings.topology().server(peer).map(|server| server.listeners().by_key()).unwrap_or_default();
        Report {
            server: peer.clone(),
            topology: Some(Version(in_force.topology)).filter(|version| version.0 > 0),
            bundle: Some(in_force.bundle).filter(|sequence| *sequence > 0),
            lists: in_force.lists.iter().map(|list| (list.issuer.clone(), list.number)).collect(),
            software: self.hub.seen(peer).map(|seen| seen.version).unwrap_or_default(),
            listeners: listeners.into_iter().filter_map(|(key, address)| Some((key.to_owned(), address?))).collect(),
            seen_at,
        }
    }
}

/// What a member says is kept and shown, so there is an end to it.
fn shorten(said: &mut InForce) {
    said.refused.truncate(REFUSED_MAX);
    let refused = said.refused.iter_mut().flat_map(|one| [&mut one.document, &mut one.reason, &mut one.at]);
    for text in refused.chain([&mut said.serial, &mut said.not_after]) {
        *text = text.chars().take(REFUSED_CHARS_MAX).collect();
    }
}

/// A directory in lines that are not too long.
fn lines(update: Update) -> Vec<Update> {
    let Update::Users { revision, from_scratch, put, gone, .. } = update else { return vec![update] };
    let count = put.len().div_ceil(USERS_PER_LINE).max(1);
    let part = |at: usize| put.iter().skip(at * USERS_PER_LINE).take(USERS_PER_LINE).cloned().collect();
    let line = |at| Update::Users { revision, from_scratch, more: at + 1 < count, put: part(at), gone: gone.clone() };
    (0..count).map(line).collect()
}

impl Control for Authority {
    fn hello(self: Arc<Self>, peer: Fqdn, source: IpAddr, hello: Hello) -> Answer<'static, Result<(), ControlFault>> {
        let change = async move {
            check_member(self.member.holdings().topology(), &peer)?;
            self.welcome(&peer, source, &hello).await.map_err(fault)
        };
        web::to_the_end(change, || ControlFault::Unavailable("it broke off".into()))
    }

    fn expects(&self, peer: &Fqdn) -> bool {
        self.hub.was_expected(peer)
    }

    fn show(self: Arc<Self>, peer: Fqdn, shown: Shown) -> Answer<'static, Result<(), ControlFault>> {
        let change = async move {
            check_member(self.member.holdings().topology(), &peer)?;
            self.take_up(&peer, &shown).await.map_err(|error| {
                tracing::error!(server = %peer, %error, "what a member holds was not taken up");
                fault(error)
            })
        };
        web::to_the_end(change, || ControlFault::Unavailable("it broke off".into()))
    }

    fn feed<'a>(&'a self, peer: &'a Fqdn, held: Held) -> Answer<'a, Result<mpsc::Receiver<Arc<Update>>, ControlFault>> {
        Box::pin(async move { self.open_feed(peer, &held).await })
    }

    fn ack<'a>(&'a self, peer: &'a Fqdn, in_force: InForce) -> Answer<'a, Result<(), ControlFault>> {
        Box::pin(self.note(peer, in_force))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_directory_goes_in_several_lines_of_one_revision() {
        let user = |n: usize| web::control::UserRecord {
            name: format!("u{n}"),
            domain: "contoso.example".into(),
            pool: "p.contoso.example".into(),
            credential: None,
        };
        let whole = |count: usize| Update::Users {
            revision: 7,
            from_scratch: true,
            more: false,
            put: (0..count).map(user).collect(),
            gone: Vec::new(),
        };
        for (count, expected) in [(0, vec![false]), (1, vec![false]), (1000, vec![false]), (2001, vec![true, true, false])] {
            let more = |line: &Update| matches!(line, Update::Users { more: true, from_scratch: true, revision: 7, .. });
            assert_eq!(lines(whole(count)).iter().map(more).collect::<Vec<_>>(), expected, "{count}");
        }
    }
}
