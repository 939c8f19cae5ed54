//! The two addresses a server needs, held from before anything is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use net::BindError;
use topology::Listeners;

/// Where SIP and HTTPS listen by default.
const SIP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5061);
const HTTPS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// Both addresses, taken: whoever is in the way is told of before an organisation is made.
pub(crate) struct Ports {
    sip: TcpListener,
    https: TcpListener,
    /// What was taken; a port 0 has become a real one.
    pub(crate) taken: (SocketAddr, SocketAddr),
}

impl Ports {
    /// Takes what was asked for, else what the topology says, else the defaults.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub(crate) fn take(sip: Option<SocketAddr>, https: Option<SocketAddr>, listed: Option<Listeners>) -> Result<Self, BindError> {
        let listed = listed.unwrap_or_default();
        let sip = take(sip.or(listed.sip).unwrap_or(SIP_DEFAULT))?;
        let https = take(https.or(listed.https).unwrap_or(HTTPS_DEFAULT))?;
        Ok(Self { taken: (sip.1, https.1), sip: sip.0, https: https.0 })
    }

    /// For the topology of a new organisation.
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners { sip: Some(self.taken.0), https: Some(self.taken.1), ..Listeners::default() }
    }

    /// The listeners of SIP and HTTPS, for those who serve on them.
    pub(crate) fn hand_over(self) -> (TcpListener, TcpListener) {
        (self.sip, self.https)
    }
}

fn take(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listener = net::listen(address)?;
    match listener.local_addr() {
        Ok(real) => Ok((listener, real)),
        Err(error) => Err(BindError::Other { address, error }),
    }
}
