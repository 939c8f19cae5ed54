//! Who asked for a change: the audit log writes it beside what was done.

use std::fmt;

use pki::Fqdn;

/// Who asked for a change. That they may was decided before; here it is only remembered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Actor {
    /// The server itself: a first start, a renewal, a list signed again.
    #[default]
    Server,
    /// A person with the right to administrate, as the door they came through names them.
    Administrator(String),
    /// Another server, known by its certificate, its ticket or its account.
    Member(Fqdn),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Administrator(name) => write!(f, "administrator {name}"),
            Self::Member(name) => write!(f, "member {name}"),
        }
    }
}
