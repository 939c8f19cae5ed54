//! The addresses a server needs, held from before anything is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use net::BindError;
use topology::Listeners;

/// Where SIP and HTTPS listen by default.
const SIP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5061);
const HTTPS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
/// How many ports above that of SIP are tried for servers, before the system chooses one.
const SERVERS_TRIED: u16 = 8;

/// All addresses, taken: whoever is in the way is told of before an organisation is made.
pub(crate) struct Ports {
    pub(crate) sip: TcpListener,
    pub(crate) servers: TcpListener,
    pub(crate) https: TcpListener,
    pub(crate) http: Option<TcpListener>,
    /// What was taken; a port 0 has become a real one.
    pub(crate) taken: Taken,
}

/// The addresses of [`Ports`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Taken {
    pub(crate) sip: SocketAddr,
    pub(crate) servers: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
}

impl Taken {
    /// For the topology.
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners { sip: Some(self.sip), servers: Some(self.servers), https: Some(self.https), http: self.http }
    }
}

impl Ports {
    /// Takes what was asked for, else what the topology says, else the defaults: for servers the next free port above that
    /// of SIP.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub(crate) fn take(asked: Listeners, listed: Option<Listeners>) -> Result<Self, BindError> {
        let listed = listed.unwrap_or_default();
        let (sip, sip_at) = take(asked.sip.or(listed.sip).unwrap_or(SIP_DEFAULT))?;
        let (https, https_at) = take(asked.https.or(listed.https).unwrap_or(HTTPS_DEFAULT))?;
        // The port for servers gives way to what was asked for: it is published again where it then is.
        let in_the_way = |address: &SocketAddr| *address == sip_at || *address == https_at;
        let (servers, servers_at) = match asked.servers.or(listed.servers.filter(|address| !in_the_way(address))) {
            Some(address) => take(address)?,
            None => take_near(sip_at)?,
        };
        let (http, http_at) = asked.http.or(listed.http).map(take).transpose()?.unzip();
        Ok(Self { sip, servers, https, http, taken: Taken { sip: sip_at, servers: servers_at, https: https_at, http: http_at } })
    }
}

fn take(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listener = net::listen(address)?;
    match listener.local_addr() {
        Ok(real) => Ok((listener, real)),
        Err(error) => Err(BindError::Other { address, error }),
    }
}

/// A port of nobody's choice: it stands in the topology, so it need not be a certain one.
fn take_near(sip: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let above = (1..=SERVERS_TRIED).filter_map(|step| sip.port().checked_add(step));
    let tried = above.map(|port| take(SocketAddr::new(sip.ip(), port)));
    match tried.into_iter().find_map(Result::ok) {
        Some(taken) => Ok(taken),
        None => take(SocketAddr::new(sip.ip(), 0)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn any() -> Option<SocketAddr> {
        Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))
    }

    #[test]
    fn every_listener_has_a_port_of_its_own() {
        let asked = Listeners { sip: any(), https: any(), http: any(), servers: None };
        let taken = Ports::take(asked, None).unwrap().taken;
        let mut all = vec![taken.sip.port(), taken.servers.port(), taken.https.port(), taken.http.unwrap().port()];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4, "{taken:?}");
    }

    #[test]
    fn without_being_asked_for_nothing_speaks_plain_http() {
        let asked = Listeners { sip: any(), https: any(), ..Listeners::default() };
        assert_eq!(Ports::take(asked, None).unwrap().taken.http, None);
    }
}
