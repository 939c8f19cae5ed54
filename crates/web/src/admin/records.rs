//! What the admin API says and hears. Times are RFC 3339 in UTC; a field that is added later is no change of version.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Password;

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
}

/// A password to be set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password; left out, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
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
