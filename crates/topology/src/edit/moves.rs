//! An administrator's edit of an older edition, when only servers that joined or moved came between.
//!
//! Servers say by themselves where they listen, and each time that is an edition. Whoever edits a file meanwhile must not have to
//! begin again because of it, or one server could keep everybody from publishing.

use pki::Fqdn;

use super::{Change, EditFault, read, set_listeners};
use crate::{Listeners, Topology};

/// The text `offered`, an edit of `base`, as the edition after `current`: with the addresses that servers gave themselves since
/// `base`. Where the edit itself says where such a server listens, or has put another one there, its word counts. `None` when
/// something else was changed between the two, which is for a person to look at.
///
/// # Errors
/// One of the texts is no topology, or is written in a way that our commands do not edit.
pub fn rebase(base: &str, offered: &str, current: &str) -> Result<Option<String>, EditFault> {
    let texts = [base, current];
    let [base, current, edit] = [base, current, offered].map(|text| Topology::parse(text).map_err(EditFault::Broken));
    let (base, current, edit) = (base?, current?, edit?);
    let Some(moved) = only_moves(&base, &current) else { return Ok(None) };
    let [before, after] = texts.map(|text| without_moves(text, &current, &moved));
    if before? != after? {
        return Ok(None);
    }
    let mut text = offered.to_owned();
    for name in moved {
        let listeners = merged(&name, [&base, &edit, &current]);
        match listeners.map(|listeners| set_listeners(&text, &name, &listeners, true)) {
            Some(Ok(changed)) => text = changed,
            // Taken out by the edit, or its address is another's by now: it says so again, and hears that.
            None | Some(Err(EditFault::Leaves(_))) => {}
            Some(Err(fault)) => return Err(fault),
        }
    }
    numbered_after(&text, &current).map(Some)
}

/// The servers that moved or joined, if that is all that came between.
fn only_moves(base: &Topology, current: &Topology) -> Option<Vec<Fqdn>> {
    let (mut moved, mut followed) = (Vec::new(), Topology { version: current.version, ..base.clone() });
    for server in followed.pools.iter_mut().flat_map(|pool| pool.servers_mut()) {
        let now = current.server(server.fqdn())?;
        if server.follow(now) {
            moved.push(server.fqdn().clone());
        }
    }
    (followed == *current).then_some(moved)
}

/// What is left of a text without its number and without what these servers say of themselves: remarks are somebody's words too.
fn without_moves(text: &str, current: &Topology, moved: &[Fqdn]) -> Result<String, EditFault> {
    let (_, places) = read(text)?;
    let mut change = Change::new(text, &places, current)?;
    for place in moved.iter().filter_map(|name| places.server(name)).map(|(_, place)| place) {
        for key in ["sip", "servers", "https", "expected"].into_iter().filter_map(|key| place.key(key)) {
            change.take_key(key.line.clone(), key.value.end);
        }
    }
    Ok(change.apply())
}

/// Where a server listens by the edit, if that says so, or else by now. Nobody moves `http`: that is the authority's.
fn merged(name: &Fqdn, [base, edit, current]: [&Topology; 3]) -> Option<Listeners> {
    let [base, edit, current] = [base, edit, current].map(|topology| topology.server(name).map(|server| *server.listeners()));
    let (base, edit, current) = (base?, edit?, current?);
    let is_edited = Listeners { http: None, ..base } != Listeners { http: None, ..edit };
    Some(if is_edited { edit } else { Listeners { http: edit.http, ..current } })
}

fn numbered_after(text: &str, current: &Topology) -> Result<String, EditFault> {
    let (_, places) = read(text)?;
    // A change raises the version of what it is made for.
    Change::new(text, &places, current)?.finish()
}
