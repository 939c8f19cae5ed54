//! What the admin API says and hears. Times are RFC 3339 in UTC; a field that is added later is no change of version.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Password;
use crate::control::RefusedDocument;

/// A user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct User {
    /// `sip:name@domain`.
    pub aor: String,
}

/// A user to be made.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name before the `@`.
    pub name: String,
    /// The password; left out, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// The home pool; left out, that of the server that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// A password to be set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password; left out, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

/// Another home for a user.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewHome {
    /// The pool.
    pub pool: String,
}

/// A user who has another home.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Moved {
    /// `sip:name@domain`.
    pub aor: String,
    /// The pool.
    pub pool: String,
}

/// A user who was made or has a new password. The only answer with a password in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Created {
    /// `sip:name@domain`.
    pub aor: String,
    /// The password, told this once.
    pub password: Password,
}

/// What a running server is doing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The SIP domain.
    pub domain: String,
    /// The name that the server's certificate bears.
    pub server_name: String,
    /// Of the program.
    pub version: String,
    /// When the server started.
    pub started: String,
    /// Where SIP is served, `host:port`.
    pub sip: String,
    /// Where HTTPS is served, `host:port`.
    pub https: String,
    /// The connections that are open.
    pub connections: Vec<Connection>,
    /// The contacts that are registered.
    pub registrations: Vec<Registration>,
    /// The certificates in force.
    pub certificates: Vec<Certificate>,
    /// The links with other servers.
    #[serde(default)]
    pub links: Vec<ServerLink>,
    /// What an authority was to do and could not do, such as signing a revocation list; empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// A link with another server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServerLink {
    /// Who proved this name, or has to.
    pub server: String,
    /// `connecting`, `up` or `waiting`.
    pub state: String,
    /// Whether we opened it.
    pub dialled: bool,
}

/// A SIP connection.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connection {
    /// Its number; never used twice while the server runs.
    pub flow: u64,
    /// The other end, `address:port`.
    pub remote: String,
    /// `TLS 1.3`.
    pub tls_version: String,
    /// The cipher suite.
    pub suite: String,
    /// The key exchange group.
    pub key_exchange: String,
    /// When it was accepted.
    pub since: String,
    /// Who signed in over it, as `sip:name@domain`.
    pub users: Vec<String>,
}

/// A contact of a user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Registration {
    /// `sip:name@domain`.
    pub aor: String,
    /// The contact's URI.
    pub contact: String,
    /// The other end of its connection, `address:port`.
    pub remote: String,
    /// How long it still lasts, unless it is renewed.
    pub expires_in_seconds: u64,
    /// What the phone calls itself.
    pub user_agent: String,
}

/// A certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Certificate {
    /// What it is for: `root`, `issuing`, or the server's name.
    pub name: String,
    /// In hexadecimal.
    pub serial: String,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: String,
    /// Until when it is valid.
    pub not_after: String,
    /// Whole days until then; negative when that is past.
    pub days_left: i64,
    /// The subject alternative names.
    pub names: Vec<String>,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
}

/// Something in the organisation that ends.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Expiry {
    /// `root`, `issuing-ca`, `document-signer`, `server`, `revocation-list`, `bundle` or `topology`.
    pub kind: String,
    /// Whose, or which.
    pub name: String,
    /// When it ends; empty where there is none.
    pub ends: String,
    /// Whole days until then, negative when that is past; `null` where there is none.
    pub days_left: Option<i64>,
    /// `fine`, `absent`, `due`, `overdue` or `ended`; the last two are alarms.
    pub urgency: String,
}

impl Expiry {
    /// Whether somebody has to do something.
    pub fn is_alarm(&self) -> bool {
        !matches!(self.urgency.as_str(), "fine" | "absent" | "due")
    }
}

/// A verdict on who may connect.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Decision {
    /// When.
    pub at: String,
    /// On which listener.
    pub listener: String,
    /// The other end, `address:port`.
    pub remote: String,
    /// `accepted` or `refused`.
    pub verdict: String,
    /// Who it was, or why not.
    pub reason: String,
    /// The evidence: what was shown, wanted and checked, by name.
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// A server to be added to the topology.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// Its name, in full.
    pub name: String,
    /// What it is there for, as the topology writes it.
    pub role: String,
    /// The pool that it joins; left out, one of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether that pool is made if there is none.
    #[serde(default)]
    pub new_pool: bool,
}

/// A server that was added: the one string that lets it join. The only answer with a ticket in it.
#[derive(Clone, Deserialize, Serialize)]
pub struct Added {
    /// The join string, told this once.
    pub join: Password,
    /// The version of the topology that lists it.
    pub version: u64,
    /// Until when it may join.
    pub expires: String,
}

impl std::fmt::Debug for Added {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Added(version {}, until {})", self.version, self.expires)
    }
}

/// Whose certificates are to be revoked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// A server's name, a user's address or name, or a serial number.
    pub name: String,
}

/// A text on its way to the authority: a topology, a certificate request in PEM.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The text.
    pub document: String,
}

/// Whether a topology could be published now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Judgement {
    /// Why the authority or members would refuse it, each with its cure; empty if they would not.
    pub obstacles: Vec<String>,
}

/// A topology as it was published.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PublishedTopology {
    /// Its version.
    pub version: u64,
    /// When it was published.
    pub published_at: String,
    /// The document, TOML; empty in lists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// The same, signed (JWS compact); empty in lists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signed: String,
}

/// What became of a change that members have to put into force.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Spread {
    /// The version of the topology, where one was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// How many members there are.
    pub members: usize,
    /// How many have it in force.
    pub acknowledged: usize,
    /// How long that took, in milliseconds.
    pub ms: u64,
    /// Who has not: they learn when they come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The serial numbers of the certificates that were revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
}

/// A member and what is in force there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its roles, as the topology writes them.
    pub roles: Vec<String>,
    /// `joined`, `expected` (it has a ticket and did not come yet), `away` (it came before and is silent), `revoked` (its certificates
    /// were; it needs a new ticket).
    pub state: String,
    /// The version of the topology in force there; 0 while nothing is known.
    pub topology: u64,
    /// How long ago that version was published, in seconds; `null` while nothing is known.
    #[serde(default)]
    pub topology_age_seconds: Option<u64>,
    /// By how many versions it lags.
    pub lag: u64,
    /// The sequence of the trust bundle.
    pub bundle: u64,
    /// Seconds since it was heard; `null` if never.
    pub seen_seconds_ago: Option<u64>,
    /// When its certificate ends; empty while nothing is known.
    pub certificate_until: String,
    /// Of its program.
    pub version: String,
    /// What it refused and has had no better one of since (row N29).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedDocument>,
}

/// A chain that was issued for a request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Chain {
    /// The chain in PEM, the leaf first.
    pub chain: String,
}

/// A moment as the records have it: RFC 3339 in UTC, whole seconds.
pub fn rfc3339(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    // A year beyond 9999 has no such form; the seconds are better than nothing.
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_else(|_| moment.unix_timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn moments_are_utc_in_whole_seconds() {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(1_800_000_000_750)), "2027-01-15T08:00:00Z");
    }

    #[test]
    fn a_password_is_not_printed_by_accident() {
        let created = Created { aor: "sip:alice@verbund.test".into(), password: Password::new("hunter2") };
        assert!(!format!("{created:?}").contains("hunter2"));
    }
}
