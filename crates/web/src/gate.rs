//! Who may connect to HTTPS: asked of whoever holds the policy, after each handshake and whenever it changes.

use std::net::SocketAddr;

use tokio::sync::watch;
use trust::tls::Outcome;
use trust::{Peer, Refusal};

/// The judge of the HTTPS port. Implemented by whoever holds the policy in force
/// (`trust::tls::decide` with `Listener::Web`) and keeps the records.
pub trait Gate: Send + Sync + 'static {
    /// Who is at the other end of a handshake that ended like this, and may he be there? The record of it
    /// is kept by the implementation.
    fn judge(&self, source: SocketAddr, outcome: Outcome<'_>) -> Result<Peer, Refusal>;

    /// A number that changes whenever the policy did: then every connection that showed a certificate is
    /// judged again, and cut when it no longer stands (rows N5, N15).
    fn changed(&self) -> watch::Receiver<u64>;
}
