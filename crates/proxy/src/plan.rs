//! What `node` is handed and what it hands back: a request to decide about, and where it goes.

use std::sync::Arc;

use locate::NextHop;
use sip::Message;

use crate::{Flow, UserName, key::ServerKey};

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
    pub caller: Option<UserName>,
    /// The value for P-Asserted-Identity; not sent if the caller asks for privacy (RFC 3325 §9.3).
    pub asserted: Option<String>,
    /// What the sender calls us, `host` or `host:port`: stands in its Record-Route. `None`: what our Via says.
    pub reached_as: Option<Arc<str>>,
    /// Whether later requests of the dialog must come this way. Works only where caller and target have a user.
    pub record_route: bool,
}

/// One device.
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
    /// What the device calls us, as in [`Forward::reached_as`].
    pub reached_as: Option<Arc<str>>,
}

impl Target {
    /// The connection it is reached on.
    pub(crate) fn flow(&self) -> Flow {
        let NextHop::Flow(flow) = self.hop;
        flow
    }
}
