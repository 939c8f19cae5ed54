//! From a Request-URI to where the request goes next.
//!
//! A name of our own is answered here; who is reached under it, and on which connection, is known
//! to `registrar`, and who may send the request at all to `node`. Start with [`destination`].

mod hop;

use pki::Fqdn;
use sip::{Host, Scheme, Status, Uri};
use topology::{Role, Topology};

pub use hop::{NextHop, front_ends};

/// What a Request-URI names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Something in a SIP domain of ours: its user part says who.
    Domain(Fqdn),
    /// A server or a pool of ours.
    Server(Fqdn),
    /// A trusted application: what its user part means is the application's own business.
    Application(Fqdn),
}

/// Why a request cannot go where its Request-URI says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unroutable {
    /// RFC 3261 §8.2.2.1. A telephone number or something else that is no SIP address.
    #[error("the scheme {0} leads to no user; write the address as sip:user@domain")]
    Scheme(String),
    /// Row N19. Somebody else's domain.
    #[error("{0} is no domain of this organisation, and it federates with nobody")]
    Foreign(String),
    /// An address is nobody's name.
    #[error("{0} is an IP address; write the user's domain instead")]
    Address(String),
}

impl Unroutable {
    /// What the sender is answered.
    pub const fn status(&self) -> Status {
        match self {
            Self::Scheme(_) => Status::UNSUPPORTED_URI_SCHEME,
            Self::Foreign(_) | Self::Address(_) => Status::FORBIDDEN,
        }
    }
}

/// What this Request-URI names, if it is ours. Port and parameters do not matter: the name does.
///
/// # Errors
/// It leads elsewhere, and we go nowhere else.
pub fn destination(topology: &Topology, uri: &Uri<'_>) -> Result<Destination, Unroutable> {
    let name = match uri.scheme {
        Scheme::Sip | Scheme::Sips => match uri.host {
            Host::Name(name) => name,
            Host::V4(_) | Host::V6(_) => return Err(Unroutable::Address(uri.host.to_string())),
        },
        Scheme::Tel => return Err(Unroutable::Scheme("tel".into())),
        Scheme::Other(scheme) => return Err(Unroutable::Scheme(scheme.into())),
    };
    match Fqdn::parse(name) {
        Ok(name) if topology.serves(&name) => Ok(Destination::Domain(name)),
        Ok(name) if topology.role_of(&name).contains(&Role::Application) => Ok(Destination::Application(name)),
        Ok(name) if topology.is_ours(&name) => Ok(Destination::Server(name)),
        Ok(_) | Err(_) => Err(Unroutable::Foreign(name.into())),
    }
}

/// Whether this URI is of a domain, a server or a pool of ours.
pub fn serves(topology: &Topology, uri: &Uri<'_>) -> bool {
    destination(topology, uri).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub(crate) const TOPOLOGY: &str = r#"
        version = 1
        organisation = "Contoso"
        domains = ["contoso.example", "contoso.test"]
        [[pool]]
        name = "pool.contoso.example"
        [[pool.server]]
        fqdn = "fe1.contoso.example"
        roles = ["authority", "front-end"]
        sip = "127.0.0.1:5061"
        servers = "127.0.0.1:5062"
        https = "127.0.0.1:8443"
        [[pool.server]]
        fqdn = "fe2.contoso.example"
        roles = ["front-end"]
        sip = "127.0.0.2:5061"
        servers = "127.0.0.2:5062"
        https = "127.0.0.2:8443"
        [[pool]]
        name = "later.contoso.example"
        [[pool.server]]
        fqdn = "fe3.contoso.example"
        roles = ["front-end"]
        expected = true
        [[pool]]
        name = "apps.contoso.example"
        [[pool.server]]
        fqdn = "app.contoso.example"
        roles = ["application"]
        servers = "127.0.0.4:5062"
    "#;

    fn topology() -> Topology {
        Topology::parse(TOPOLOGY).unwrap()
    }

    fn check(uri: &str, expected: Result<&str, u16>) {
        let found = destination(&topology(), &Uri::parse(uri).unwrap());
        assert_eq!(serves(&topology(), &Uri::parse(uri).unwrap()), expected.is_ok());
        let found = match found {
            Ok(Destination::Domain(name)) => Ok(format!("domain {name}")),
            Ok(Destination::Server(name)) => Ok(format!("server {name}")),
            Ok(Destination::Application(name)) => Ok(format!("application {name}")),
            Err(unroutable) => Err(unroutable.status()),
        };
        let status = |code| Status::new(code).unwrap();
        assert_eq!(found, expected.map(str::to_owned).map_err(status), "{uri}");
    }

    #[test]
    fn users_of_our_domains_are_ours() {
        check("sip:anna@contoso.example", Ok("domain contoso.example"));
        check("sips:anna@Contoso.TEST", Ok("domain contoso.test"));
        check("sip:anna@contoso.example:9999;transport=tcp;maddr=192.0.2.1?subject=x", Ok("domain contoso.example"));
        check("sip:anna@contoso.example.", Ok("domain contoso.example"));
        check("sip:contoso.example", Ok("domain contoso.example"));
    }

    #[test]
    fn our_servers_and_pools_are_ours() {
        check("sip:fe1.contoso.example", Ok("server fe1.contoso.example"));
        check("sip:anna@POOL.contoso.example", Ok("server pool.contoso.example"));
    }

    #[test]
    fn an_application_is_named_by_its_server() {
        check("sip:anything@app.contoso.example", Ok("application app.contoso.example"));
        check("sip:App.contoso.example", Ok("application app.contoso.example"));
        check("sip:anything@apps.contoso.example", Ok("server apps.contoso.example"));
    }

    #[test]
    fn n19_a_fresh_install_federates_with_nobody() {
        check("sip:bert@fabrikam.example", Err(403));
        check("sip:bert@sub.contoso.example", Err(403));
        check("sip:bert@contoso.example.evil.test", Err(403));
        check("sip:bert@notcontoso.example", Err(403));
        check("sip:bert@localhost", Err(403));
        check("sip:contoso.example@fabrikam.example", Err(403));
    }

    #[test]
    fn an_address_is_nobodys_name() {
        check("sip:anna@127.0.0.1", Err(403));
        check("sip:anna@[::1]:5061", Err(403));
    }

    #[test]
    fn only_sip_addresses_lead_to_users() {
        check("tel:+15551234", Err(416));
        check("mailto:anna@contoso.example", Err(416));
        check("urn:service:sos", Err(416));
    }
}
