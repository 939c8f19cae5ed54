//! Where this server stands in the topology: its roles, its pool, who shares it, who serves the users of others. Read anew with
//! each topology.

use std::{collections::HashMap, sync::Arc};

use pki::Fqdn;
use topology::{Role, Topology};

/// What the topology says of this server itself.
pub(crate) struct Place {
    pub(crate) name: Arc<Fqdn>,
    /// The pool it belongs to; `None` when it is not listed (any more).
    pub(crate) pool: Option<Fqdn>,
    roles: Vec<Role>,
    /// The other front ends of its pool.
    pub(crate) mates: Vec<Arc<Fqdn>>,
    /// The front ends of each pool.
    pub(crate) homes: HashMap<Fqdn, Vec<Arc<Fqdn>>>,
}

impl Place {
    pub(crate) fn new(topology: &Topology, name: &Fqdn) -> Self {
        let pool = topology.pool_of(name).map(|pool| pool.name().clone());
        let front_ends = |pool: &Fqdn| locate::front_ends(topology, pool).map(|server| Arc::new(server.fqdn().clone())).collect();
        let homes = topology.pools().iter().map(|pool| (pool.name().clone(), front_ends(pool.name())));
        let homes: HashMap<Fqdn, Vec<Arc<Fqdn>>> = homes.collect();
        let mates = pool.as_ref().and_then(|pool| homes.get(pool)).into_iter().flatten();
        let mates = mates.filter(|mate| ***mate != *name).cloned().collect();
        Self { name: Arc::new(name.clone()), roles: topology.role_of(name).to_vec(), pool, mates, homes }
    }

    /// Whether users have their home here.
    pub(crate) fn is_front_end(&self) -> bool {
        self.roles.contains(&Role::FrontEnd)
    }

    /// Whether requests of users are routed here, so that links are worth keeping.
    pub(crate) fn routes(&self) -> bool {
        self.roles.iter().any(|role| routes(*role))
    }

    /// Whether this name means this server, or the pool that it answers for.
    pub(crate) fn is_named(&self, name: &Fqdn) -> bool {
        *self.name == *name || self.pool.as_ref() == Some(name)
    }

    /// Whether it is a front end of the same pool.
    pub(crate) fn is_mate(&self, name: &Fqdn) -> bool {
        self.mates.iter().any(|mate| **mate == *name)
    }
}

/// Whether a server with this role has requests to route for users all the time.
pub(crate) const fn routes(role: Role) -> bool {
    match role {
        Role::FrontEnd | Role::Director => true,
        Role::Authority | Role::Edge | Role::MediaRelay | Role::Application => false,
    }
}
