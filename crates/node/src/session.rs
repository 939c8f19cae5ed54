//! What is known of one open connection.

use std::{net::IpAddr, sync::Arc};

use pki::Fqdn;
use registrar::UserName;
use trust::Peer;

use crate::Arrival;

/// What the node knows of one open connection: who is at its other end, and which users proved themselves on it.
pub(crate) struct Session {
    pub(crate) peer: Peer,
    pub(crate) source: IpAddr,
    /// Our address that it reached.
    pub(crate) local: IpAddr,
    /// What the other end calls us, with a port: what it can find us by.
    pub(crate) reached_as: Arc<str>,
    /// The server at the other end, if it is one.
    pub(crate) server: Option<Arc<Fqdn>>,
    users: Vec<UserName>,
}

impl Session {
    /// How many users may share one connection: gateways and load generators carry hundreds.
    pub(crate) const USERS_MAX: usize = 1000;

    /// A connection just accepted; a user certificate signs its user in at once.
    pub(crate) fn new(peer: Peer, arrival: &Arrival, reached_as: Arc<str>) -> Self {
        let users = match &peer {
            Peer::Client { user: Some(user), .. } => vec![user.clone()],
            Peer::Client { user: None, .. } | Peer::TrustedServer { .. } => Vec::new(),
        };
        Self { peer, source: arrival.source, local: arrival.local.ip(), reached_as, server: None, users }
    }

    /// Whether this user's certificate was shown and believed.
    pub(crate) fn is_certified(&self, user: &UserName) -> bool {
        match &self.peer {
            Peer::Client { user: certified, .. } => certified.as_ref() == Some(user),
            Peer::TrustedServer { .. } => false,
        }
    }

    /// Whether this user proved himself here.
    pub(crate) fn is_signed_in(&self, user: &UserName) -> bool {
        self.users.contains(user)
    }

    /// Everybody who did.
    pub(crate) fn users(&self) -> &[UserName] {
        &self.users
    }

    /// Whether anybody did.
    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Notes a proof. `false` when the connection carries too many users already.
    pub(crate) fn sign_in(&mut self, user: UserName) -> bool {
        if self.is_signed_in(&user) {
            return true;
        }
        let room = self.users.len() < Self::USERS_MAX;
        if room {
            self.users.push(user);
        }
        room
    }
}
