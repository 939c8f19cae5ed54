//! The control channel: how members hear at once of a new topology, bundle, revocation list or user.
//!
//! A member opens HTTPS with its certificate to the authority, asks for the feed and keeps it: JSON lines,
//! one [`Update`] each, with a heartbeat in between. It says what it is by [`Hello`] and what is in force
//! by [`InForce`]. What the documents mean and whether they are believed is left to who reads them: each
//! carries its own signature, so the channel adds speed, not trust. [`Control`] is the authority's side,
//! [`ControlClient`] the member's.

mod client;
mod feeds;
mod records;
mod routes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pki::Fqdn;
use tokio::sync::mpsc;

pub use client::{ControlClient, ControlError, Feed, LINE_BYTES_MAX};
pub use records::{CredentialRecord, Held, Hello, InForce, ListInForce, MemberListeners, RefusedDocument, Shown, Update, UserRecord};
pub(crate) use routes::router;

use crate::Answer;

/// How often either side says that it is there.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// How long a side may be silent before it counts as gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(16);

const HELLO_PATH: &str = "/control/v1/hello";
const FEED_PATH: &str = "/control/v1/feed";
const ACK_PATH: &str = "/control/v1/ack";
const SHOW_PATH: &str = "/control/v1/holdings";

/// Why a member's request is not done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ControlFault {
    /// The topology no longer lists it; a moment ago it did.
    #[error("the topology lists no server named {0}")]
    NotInTopology(Fqdn),
    /// What it says contradicts the topology.
    #[error("{0}")]
    Contradiction(String),
    /// Our doing; the reason is for the log.
    #[error("the authority cannot do this now; look at its log")]
    Unavailable(String),
}

/// The authority's side. The peer is one that the handshake proved and the topology lists; nobody else
/// gets here (row N30).
pub trait Control: Send + Sync + 'static {
    /// A member says what it is, in a connection that comes from `source`. What that changes is carried through, though the member may be gone before the answer is.
    fn hello(self: Arc<Self>, peer: Fqdn, source: IpAddr, hello: Hello) -> Answer<'static, Result<(), ControlFault>>;

    /// All that the member lacks, given what it holds, and from then on every change. Bounded by the
    /// sender: who does not read fast enough is dropped (by dropping the sender) and comes again.
    fn feed<'a>(&'a self, peer: &'a Fqdn, held: Held) -> Answer<'a, Result<mpsc::Receiver<Arc<Update>>, ControlFault>>;

    /// A member says what is in force there; repeated as its heartbeat.
    fn ack<'a>(&'a self, peer: &'a Fqdn, in_force: InForce) -> Answer<'a, Result<(), ControlFault>>;

    /// Whether this member was asked to show what it holds ([`Update::Show`]) and has not yet; asking here uses that up, so
    /// nobody sends as much unasked, or twice.
    fn expects(&self, peer: &Fqdn) -> bool {
        let _ = peer;
        false
    }

    /// A member shows what it holds. Carried through, as a hello is.
    fn show(self: Arc<Self>, peer: Fqdn, shown: Shown) -> Answer<'static, Result<(), ControlFault>> {
        let _ = (peer, shown);
        Box::pin(async { Err(ControlFault::Contradiction("nothing was asked for".into())) })
    }
}
