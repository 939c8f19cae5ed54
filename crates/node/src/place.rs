use sip::{Host, Scheme, Uri};
use topology::Topology;

/// Where a Request-URI leads.
pub(crate) enum Place {
    Here,
    Foreign,
    UnroutableScheme,
}

pub(crate) fn place_of(topology: &Topology, uri: &Uri<'_>) -> Place {
    match (uri.scheme, uri.host) {
        (Scheme::Tel | Scheme::Other(_), _) => Place::UnroutableScheme,
        (Scheme::Sip | Scheme::Sips, Host::Name(name)) => match pki::Fqdn::parse(name.trim_end_matches('.')) {
            Ok(name) if topology.serves(&name) || topology.is_ours(&name) => Place::Here,
            Ok(_) | Err(_) => Place::Foreign,
        },
        (Scheme::Sip | Scheme::Sips, Host::V4(_) | Host::V6(_)) => Place::Foreign,
    }
}
