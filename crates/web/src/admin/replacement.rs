//! What the admin API says of a replacement of the CA.

use serde::{Deserialize, Serialize};

/// What is to be replaced, and how.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewReplacement {
    /// `root`: the root and all issuing CAs; `issuing`: the issuing CAs below a root that stays.
    pub what: String,
    /// Whether members that do not answer are waited for a moment only.
    #[serde(default)]
    pub emergency: bool,
    /// Domains that the new CAs may issue for, besides those of today.
    #[serde(default)]
    pub domains: Vec<String>,
    /// What an offline root signed; left out, the root's key is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedCa>,
}

/// What an offline root signed. All of it is public.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCa {
    /// The root's certificate in PEM.
    pub root: String,
    /// Its revocation list in DER; in JSON base64.
    #[serde(with = "der")]
    pub list: Vec<u8>,
    /// The certificate in PEM of the issuing CA for servers.
    pub servers: String,
    /// The certificate in PEM of the issuing CA for users.
    pub users: String,
    /// The old root's word for the new one, in PEM; where the root is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// DER in JSON.
mod der {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(der: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(der))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| serde::de::Error::custom("a list is DER in base64"))
    }
}

/// What an offline root has to sign.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CaRequest {
    /// `servers` or `users`.
    pub kind: String,
    /// The request, as `verbund ca root sign` reads it.
    pub request: String,
}

/// How far a replacement of the CA has come, and what it waits for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CaReplacement {
    /// `root` or `issuing`.
    pub what: String,
    /// Whether members that do not answer are waited for a moment only.
    pub emergency: bool,
    /// `staged`, `distributing`, `switching`, `renewing`, `retiring`, `dropping` or `done`.
    pub phase: String,
    /// When that phase began.
    pub since: String,
    /// The name of the CA that goes.
    pub old: String,
    /// The name of the CA that comes.
    pub new: String,
    /// Its fingerprint.
    pub new_fingerprint: String,
    /// The members that it waits for.
    pub members: Vec<String>,
    /// Whose certificates of the old CA are still valid.
    pub certificates: Vec<String>,
    /// When it goes on without them; `null` for never.
    pub until: Option<String>,
    /// Members that were not waited for, which have to join anew.
    pub left_behind: Vec<String>,
}
