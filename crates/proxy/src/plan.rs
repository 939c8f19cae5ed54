//! What `node` is handed and what it hands back: a request to decide about, and where it goes.

use std::sync::Arc;

use locate::NextHop;
use pki::Fqdn;
use sip::Message;

use crate::{End, Flow, UserName, key::ServerKey};

/// A request that is under way nowhere yet, handed out for a decision: [`Proxy::answer`](crate::Proxy::answer)(crate::Proxy::answer) or
/// [`Proxy::forward`](crate::Proxy::forward)(crate::Proxy::forward). To do nothing with it drops it, which only an ACK deserves.
#[derive(Debug)]
pub struct NewRequest {
    /// The connection it came in on.
    pub flow: Flow,
    /// The request.
    pub message: Message,
    pub(crate) key: ServerKey,
}

/// Where a request goes, and what is said about its sender.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// The devices: equal q at once, lower q only after all higher ones failed. None at all means 480.
    pub targets: Vec<Target>,
    /// Who sends it: goes into the Record-Route token.
    pub caller: Option<End>,
    /// The value for P-Asserted-Identity. A phone is not told if the caller asks for privacy (RFC 3325 §9.3); a server is,
    /// and told of the wish with it (§5).
    pub asserted: Option<String>,
    /// What the sender calls us, `host` or `host:port`: stands in its Record-Route. `None`: what our Via says.
    pub reached_as: Option<Arc<str>>,
    /// Whether later requests of the dialog must come this way. Works only where caller and target have a user.
    pub record_route: bool,
}

/// One device, or one server that knows the devices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// The way to it.
    pub hop: NextHop,
    /// The Request-URI it gets.
    pub uri: String,
    /// Its preference, higher first.
    pub q: u16,
    /// The Path it registered with: becomes Route, first hop first (RFC 3327).
    pub path: Vec<String>,
    /// Whose device it is: goes into the Record-Route token.
    pub user: Option<UserName>,
    /// What the device calls us, as in [`Forward::reached_as`]. A server calls us by our name and the port for servers.
    pub reached_as: Option<Arc<str>>,
    /// Servers that would do as well: the next one is asked for when the one before cannot be reached, says nothing at all or
    /// answers 503 (RFC 3263 §4.3), and never once anything was heard that a user may have heard too.
    pub otherwise: Vec<Arc<Fqdn>>,
}

impl Target {
    /// The connection it is reached on.
    pub(crate) const fn flow(&self) -> Flow {
        self.hop.flow()
    }

    /// What the Record-Route token calls it.
    pub(crate) fn end(&self) -> Option<End> {
        match &self.hop {
            NextHop::Flow(_) => self.user.clone().map(End::User),
            NextHop::Server { name, .. } => Some(End::Server(Arc::clone(name))),
        }
    }
}

/// A request that failed towards one server and is to be sent to another. [`Proxy::reached`](crate::Proxy::reached) takes it
/// back, with a connection to that server or without.
#[derive(Debug)]
pub struct Wanted {
    /// The server.
    pub server: Arc<Fqdn>,
    /// How many bytes are to be sent.
    pub size: usize,
    pub(crate) context: u64,
    pub(crate) index: usize,
}
