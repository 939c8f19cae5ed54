//! Where a request goes next, and which servers serve the users of a pool.

use std::sync::Arc;

use pki::Fqdn;
use registrar::Flow;
use topology::{Role, Server, Topology};

/// Where a request goes next. Both are connections whose other end was judged; an address is never enough.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NextHop {
    /// Down the connection that a client opened and was judged on. We never dial a client.
    Flow(Flow),
    /// Over a link with a server of the organisation.
    Server {
        /// The name that its certificate proved, or must prove before anything is sent.
        name: Arc<Fqdn>,
        /// One of the links with it; while it is being opened, what is sent waits.
        flow: Flow,
    },
}

impl NextHop {
    /// The connection.
    pub const fn flow(&self) -> Flow {
        match self {
            Self::Flow(flow) | Self::Server { flow, .. } => *flow,
        }
    }
}

/// The servers that users of this pool have their home on and that other servers can reach, in the order of the list. Any of
/// them will do (RFC 3263 §4: the servers of one name are equal).
pub fn front_ends<'t>(topology: &'t Topology, pool: &Fqdn) -> impl Iterator<Item = &'t Server> {
    let servers = topology.pool(pool).map(|pool| pool.servers()).unwrap_or_default();
    servers.iter().filter(|server| server.has(Role::FrontEnd) && server.server_address().is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(pool: &str, expected: &[&str]) {
        let topology = Topology::parse(crate::tests::TOPOLOGY).unwrap();
        let found: Vec<&str> = front_ends(&topology, &pool.parse().unwrap()).map(|server| server.fqdn().as_str()).collect();
        assert_eq!(found, expected, "{pool}");
    }

    #[test]
    fn a_pool_is_served_by_its_front_ends() {
        check("pool.contoso.example", &["fe1.contoso.example", "fe2.contoso.example"]);
    }

    #[test]
    fn a_server_that_has_not_joined_serves_nobody_yet() {
        check("later.contoso.example", &[]);
    }

    #[test]
    fn what_is_no_pool_has_no_servers() {
        check("fe1.contoso.example", &[]);
        check("elsewhere.example", &[]);
    }

    #[test]
    fn other_roles_are_home_of_nobody() {
        check("apps.contoso.example", &[]);
    }
}
