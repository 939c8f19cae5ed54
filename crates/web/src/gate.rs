//! Who may connect to HTTPS: asked of whoever holds the policy, after each handshake and whenever it changes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use pki::{CertificateDer, Fqdn};
use tokio::sync::watch;
use trust::tls::Outcome;
use trust::{Peer, Refusal};

/// The judge of the HTTPS port. Implemented by whoever holds the policy in force and keeps the records.
pub trait Gate: Send + Sync + 'static {
    /// Who is at the other end of a handshake that ended like this, and may he be there
    /// (`trust::tls::decide`)? The implementation keeps the record.
    ///
    /// # Errors
    /// He may not; the connection is closed.
    fn admit(&self, source: SocketAddr, outcome: Outcome<'_>) -> Result<Peer, Refusal>;

    /// The same of a connection that is open, after the policy changed (`trust::judge`).
    ///
    /// # Errors
    /// He may no longer be there; the connection is cut (rows N5, N15).
    fn still_admits(&self, source: SocketAddr, chain: &[CertificateDer<'_>]) -> Result<Peer, Refusal>;

    /// Whether a server of the organisation is to be found at this address. It proves nothing; who comes from there takes no place
    /// of strangers while it proves who it is.
    fn expects(&self, address: IpAddr) -> bool;

    /// A number that changes whenever the policy did: then every connection that showed a certificate is
    /// judged again.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Who sent a request: in the extensions of each request that came over HTTPS.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Who the gate says it is; `None` where there is no gate, and no certificate is asked for.
    pub(crate) peer: Option<Peer>,
    /// Where the connection comes from, on HTTPS.
    pub(crate) source: Option<IpAddr>,
    /// What holds the connection.
    pub(crate) ties: Arc<Ties>,
}

impl Caller {
    /// The server of the organisation that sent this, if one did. Nobody else is a member (row N30).
    pub(crate) fn member(&self) -> Option<&Fqdn> {
        match &self.peer {
            Some(Peer::TrustedServer { name, .. }) => Some(name),
            Some(Peer::Client { .. }) | None => None,
        }
    }

    /// The same, with the address that it comes from.
    pub(crate) fn member_at(&self) -> Option<(&Fqdn, IpAddr)> {
        self.member().zip(self.source)
    }
}

/// What holds a connection beyond its ordinary life (feeds), and what ends it at once.
#[derive(Debug)]
pub(crate) struct Ties {
    feeds: watch::Sender<usize>,
    ending: watch::Sender<bool>,
    cut: watch::Sender<bool>,
}

impl Ties {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { feeds: watch::Sender::new(0), ending: watch::Sender::new(false), cut: watch::Sender::new(false) })
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Tells what holds the connection that the server ends.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Done when the connection is to end at once.
    pub(crate) async fn until_cut(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Done as soon as nothing holds the connection.
    pub(crate) async fn until_free(&self) {
        let _ = self.feeds.subscribe().wait_for(|feeds| *feeds == 0).await;
    }

    /// Holds the connection until the tie is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Tie {
        self.feeds.send_modify(|feeds| *feeds += 1);
        Tie(Arc::clone(self))
    }
}

/// One hold on a connection.
#[derive(Debug)]
pub(crate) struct Tie(Arc<Ties>);

impl Tie {
    /// Cuts the connection that it holds.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Done when the server ends, and the tie is to be given up.
    pub(crate) async fn until_ending(&self) {
        let _ = self.0.ending.subscribe().wait_for(|ending| *ending).await;
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.0.feeds.send_modify(|feeds| *feeds = feeds.saturating_sub(1));
    }
}
