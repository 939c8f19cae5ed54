//! Why a change was not made.

use pki::Fqdn;

use crate::Faults;

/// Why a change was not made. The text stays as it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditFault {
    /// The text is no topology before the change.
    #[error("the topology has faults already, correct them first:\n{0}")]
    Broken(Faults),
    /// The text would be no topology after it. The places are those of the changed text.
    #[error("the change would leave a topology with faults:\n{0}")]
    Leaves(Faults),
    /// Lists in braces have no lines of their own to add to.
    #[error("pools or servers are written in braces ({{ … }}), which our commands do not edit; write them as [[pool]] and [[pool.server]]")]
    Inline,
    /// A name is one server.
    #[error("{0} is listed already; choose another name, or remove it first")]
    Listed(Fqdn),
    /// Nothing to change.
    #[error("the topology lists no server named {0}; see the list with `verbund topology show`")]
    NotListed(Fqdn),
    /// A server's name was given for a pool.
    #[error("{name} is a server and no pool{}", home.as_ref().map(|home| format!("; its pool is {home}")).unwrap_or_default())]
    NoPool {
        /// What was given.
        name: Fqdn,
        /// The pool of that server.
        home: Option<Fqdn>,
    },
    /// Without it there is neither CA nor list.
    #[error("{0} is the authority, which holds the CA and this list; give that role to another server first")]
    Authority(Fqdn),
    /// Nothing is higher.
    #[error("the version is the highest there can be; set a lower one in a new organisation")]
    LastVersion,
}
