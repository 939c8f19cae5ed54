//! The ways to `trust`: a [`Gate`] for each port that listens, a [`Dialler`] for the links that we open ourselves.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{ClientConfig, ServerConfig};
use trust::{
    Listener, LivePolicy, Policy,
    tls::{Clock, ServerIdentity, TlsFault, link_config, server_config},
};

use crate::server_name;

/// A port's way to `trust`: which kind of port it is, its TLS configuration, and the policy that it goes by.
pub struct Gate {
    pub(crate) listener: Listener,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) identity: Arc<ServerIdentity>,
    belief: Belief,
}

impl Gate {
    /// For a port of this kind. `identity` is what the server shows and `policy` what it believes; both may be replaced
    /// while it runs, and count from the next handshake on. What is open already is judged again by
    /// [`Handle::rejudge`](crate::Handle::rejudge).
    ///
    /// # Errors
    /// The TLS library lacks what is needed, or no SIP is spoken on such a port.
    pub fn new(listener: Listener, identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<Self, TlsFault> {
        match listener {
            Listener::Clients | Listener::Servers => {}
            Listener::Web => return Err(TlsFault::Library(rustls::Error::General("SIP is not spoken on the port for HTTPS".into()))),
        }
        let config = server_config(listener, Arc::clone(&identity), Arc::clone(&policy), Arc::clone(&clock))?;
        Ok(Self { listener, tls: server_name::overhear(&config), identity, belief: Belief { policy, clock } })
    }

    pub(crate) fn belief(&self) -> &Belief {
        &self.belief
    }
}

/// The way to `trust` of the links that this server opens to others.
pub struct Dialler {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) identity: Arc<ServerIdentity>,
    belief: Belief,
}

impl Dialler {
    /// Shows `identity` to the servers it calls, and believes them by `policy`; both as at a [`Gate`].
    ///
    /// # Errors
    /// The TLS library lacks what is needed.
    pub fn new(identity: Arc<ServerIdentity>, policy: Arc<LivePolicy>, clock: Clock) -> Result<Self, TlsFault> {
        let tls = link_config(Arc::clone(&identity), Arc::clone(&policy), Arc::clone(&clock))?;
        Ok(Self { tls, identity, belief: Belief { policy, clock } })
    }

    pub(crate) fn belief(&self) -> &Belief {
        &self.belief
    }
}

/// What a verdict goes by.
pub(crate) struct Belief {
    policy: Arc<LivePolicy>,
    clock: Clock,
}

impl Belief {
    /// The policy in force now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.current()
    }

    /// The same moment that handshakes go by. A clock that fails shows the end of time: nothing is valid then.
    pub(crate) fn now(&self) -> SystemTime {
        let since = self.clock.current_time().map_or(END_OF_TIME, |now| Duration::from_secs(now.as_secs()));
        SystemTime::UNIX_EPOCH + since
    }
}

/// Later than any certificate is valid (RFC 5280 §4.1.2.5: the year 9999), and still a moment that can be written.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);
