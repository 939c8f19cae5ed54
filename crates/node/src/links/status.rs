//! What can be seen of the links with other servers.

use std::time::Instant;

use pki::Fqdn;
use registrar::Flow;

/// One link with another server, or the wait for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkStatus {
    /// Who proved this name, or has to.
    pub server: Fqdn,
    /// The connection, if there is one or one is being made.
    pub flow: Option<Flow>,
    /// How far it is.
    pub state: LinkState,
    /// Whether we opened it.
    pub dialled: bool,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkState {
    /// Being opened, or open and not answered yet: in TLS 1.3 whoever calls is done before the other side has judged.
    Connecting,
    /// The other side answered; since then.
    Up(Instant),
    /// It failed, and is not tried again before then unless somebody needs it.
    Waiting(Instant),
}

impl LinkStatus {
    pub(super) fn of(server: &Fqdn, flow: Option<Flow>, state: LinkState, dialled: bool) -> Self {
        Self { server: server.clone(), flow, state, dialled }
    }
}
