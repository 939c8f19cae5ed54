use std::fmt;

/// A header's name. The ones verbund acts on have a variant; every other one is [`Name::Other`] and
/// is copied through unread.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the standard's own
pub enum Name {
    Accept,
    Allow,
    AlertInfo,
    Authorization,
    CSeq,
    CallId,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLength,
    ContentType,
    Date,
    Event,
    Expires,
    FlowTimer,
    From,
    MaxBreadth,
    MaxForwards,
    MinExpires,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    RecordRoute,
    ReferTo,
    Replaces,
    Require,
    RetryAfter,
    Route,
    Server,
    ServiceRoute,
    Subject,
    Supported,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    Reason,
    Other,
}

/// Every name with its long form and its compact form (RFC 3261 §7.3.3 and the registry).
const NAMES: &[(Name, &str, &str)] = &[
    (Name::Accept, "Accept", ""),
    (Name::AlertInfo, "Alert-Info", ""),
    (Name::Allow, "Allow", ""),
    (Name::Authorization, "Authorization", ""),
    (Name::CSeq, "CSeq", ""),
    (Name::CallId, "Call-ID", "i"),
    (Name::Contact, "Contact", "m"),
    (Name::ContentDisposition, "Content-Disposition", ""),
    (Name::ContentEncoding, "Content-Encoding", "e"),
    (Name::ContentLength, "Content-Length", "l"),
    (Name::ContentType, "Content-Type", "c"),
    (Name::Date, "Date", ""),
    (Name::Event, "Event", "o"),
    (Name::Expires, "Expires", ""),
    (Name::FlowTimer, "Flow-Timer", ""),
    (Name::From, "From", "f"),
    (Name::MaxBreadth, "Max-Breadth", ""),
    (Name::MaxForwards, "Max-Forwards", ""),
    (Name::MinExpires, "Min-Expires", ""),
    (Name::PAssertedIdentity, "P-Asserted-Identity", ""),
    (Name::PPreferredIdentity, "P-Preferred-Identity", ""),
    (Name::Path, "Path", ""),
    (Name::Privacy, "Privacy", ""),
    (Name::ProxyAuthenticate, "Proxy-Authenticate", ""),
    (Name::ProxyAuthorization, "Proxy-Authorization", ""),
    (Name::ProxyRequire, "Proxy-Require", ""),
    (Name::Reason, "Reason", ""),
    (Name::RecordRoute, "Record-Route", ""),
    (Name::ReferTo, "Refer-To", "r"),
    (Name::Replaces, "Replaces", ""),
    (Name::Require, "Require", ""),
    (Name::RetryAfter, "Retry-After", ""),
    (Name::Route, "Route", ""),
    (Name::Server, "Server", ""),
    (Name::ServiceRoute, "Service-Route", ""),
    (Name::Subject, "Subject", "s"),
    (Name::Supported, "Supported", "k"),
    (Name::Timestamp, "Timestamp", ""),
    (Name::To, "To", "t"),
    (Name::Unsupported, "Unsupported", ""),
    (Name::UserAgent, "User-Agent", ""),
    (Name::Via, "Via", "v"),
    (Name::Warning, "Warning", ""),
    (Name::WwwAuthenticate, "WWW-Authenticate", ""),
];

impl Name {
    /// The name spelt so, in any case, long or compact.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let same = |known: &str| known.len() == text.len() && known.eq_ignore_ascii_case(text);
        NAMES.iter().find(|(_, long, compact)| same(long) || same(compact)).map_or(Self::Other, |row| row.0)
    }

    /// The long form; `"?"` for [`Name::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|row| row.0 == self).map_or("?", |row| row.1)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
