//! What a REGISTER may ask for (limits), and what its answer says when it was granted.

use std::{borrow::Cow, time::Duration};

use sip::Name;

use crate::RegisterFault;

/// What one user may make us keep, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Contacts of one user, and of one REGISTER.
    pub bindings_per_user_max: usize,
    /// A Contact URI.
    pub contact_bytes_max: usize,
    /// A Call-ID.
    pub call_id_bytes_max: usize,
    /// An instance URN.
    pub instance_bytes_max: usize,
    /// All Path values of a binding together.
    pub path_bytes_max: usize,
    /// A User-Agent; longer ones are cut.
    pub user_agent_bytes_max: usize,
    /// Shorter lifetimes get 423.
    pub expires_min_secs: u32,
    /// Longer lifetimes are shortened.
    pub expires_max_secs: u32,
    /// When nothing is said.
    pub expires_default_secs: u32,
    /// How long a client that supports outbound may be silent on its flow (RFC 5626 §5.4).
    pub flow_timer_secs: u32,
}

impl Limits {
    /// Ten phones a user, an hour each.
    pub const DEFAULT: Self = Self {
        bindings_per_user_max: 10,
        contact_bytes_max: 512,
        call_id_bytes_max: 256,
        instance_bytes_max: 128,
        path_bytes_max: 1024,
        user_agent_bytes_max: 64,
        expires_min_secs: 60,
        expires_max_secs: 3600,
        expires_default_secs: 3600,
        flow_timer_secs: 120,
    };

    /// The lifetime granted for the one asked for (RFC 3261 §10.3 step 7).
    pub(crate) fn lifetime(&self, asked_secs: u32) -> Result<u32, RegisterFault> {
        if asked_secs > 0 && asked_secs < self.expires_min_secs {
            return Err(RegisterFault::TooBrief { expires_min: Duration::from_secs(self.expires_min_secs.into()) });
        }
        Ok(asked_secs.min(self.expires_max_secs))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the 200 to a REGISTER says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registered {
    /// A Contact value for each binding that the user now has.
    pub contacts: Vec<String>,
    /// The Path of this request, given back (RFC 3327 §5.3).
    pub path: Vec<String>,
    /// The Flow-Timer in seconds when an outbound binding was made: then `Require: outbound` is said too
    /// (RFC 5626 §6).
    pub flow_timer_secs: Option<u32>,
}

impl Registered {
    /// The headers of the 200, in order.
    pub fn headers(&self) -> impl Iterator<Item = (Name, Cow<'_, str>)> {
        let contacts = self.contacts.iter().map(|value| (Name::Contact, value.as_str().into()));
        let path = self.path.iter().map(|value| (Name::Path, value.as_str().into()));
        let outbound = self
            .flow_timer_secs
            .into_iter()
            .flat_map(|secs| [(Name::Require, "outbound".into()), (Name::FlowTimer, Cow::Owned(secs.to_string()))]);
        contacts.chain(path).chain(outbound).chain([(Name::Supported, "path, outbound, gruu".into())])
    }
}

/// What happened, for the metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RegistrarCounters {
    /// New bindings.
    pub bound: u64,
    /// Bindings told again.
    pub refreshed: u64,
    /// Bindings taken back by their user.
    pub removed: u64,
    /// Bindings that ran out.
    pub expired: u64,
    /// Bindings whose flow died.
    pub dropped: u64,
    /// REGISTERs that changed nothing because something was wrong with them.
    pub refused: u64,
}
