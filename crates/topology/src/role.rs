//! What a server is there for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a server is there for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds the CA and the list of servers; one in an organisation.
    Authority,
    /// Clients sign in here; messages and calls are routed here.
    FrontEnd,
    /// Proves who a user is and passes on to the home pool; home of nobody.
    Director,
    /// The only server that talks to the outside: remote users and partners. Holds no users.
    Edge,
    /// Carries encrypted media between those who cannot reach each other.
    MediaRelay,
    /// A SIP server of somebody else's making whose word we take (promise P6). No member: it gets
    /// a certificate, but neither the list nor the directory.
    Application,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 6] = [Self::Authority, Self::FrontEnd, Self::Director, Self::Edge, Self::MediaRelay, Self::Application];

    /// As the file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::FrontEnd => "front-end",
            Self::Director => "director",
            Self::Edge => "edge",
            Self::MediaRelay => "media-relay",
            Self::Application => "application",
        }
    }

    /// What it means, for the administrator.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Authority => "holds the CA and this list",
            Self::FrontEnd => "users have their home here and sign in",
            Self::Director => "checks who users are and passes on to their home pool",
            Self::Edge => "the only server that talks to the outside; holds no users",
            Self::MediaRelay => "carries encrypted media",
            Self::Application => "a SIP server of another maker whose word we take",
        }
    }

    /// Whether clients sign in at such a server, so that its certificate bears the SIP domains.
    pub const fn faces_clients(self) -> bool {
        match self {
            Self::FrontEnd | Self::Director => true,
            Self::Authority | Self::Edge | Self::MediaRelay | Self::Application => false,
        }
    }

    /// The listeners that such a server must have.
    pub(crate) const fn listener_needed(self, others: bool) -> Option<&'static str> {
        match self {
            Self::FrontEnd | Self::Director => Some("sip"),
            // Members fetch the list, the directory and their certificates there.
            Self::Authority if others => Some("https"),
            Self::Authority | Self::Edge | Self::MediaRelay | Self::Application => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
