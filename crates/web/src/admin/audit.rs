//! What the admin API says of the audit log.

use serde::{Deserialize, Serialize};

/// A link of the audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditLink {
    /// Its number; the first is 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who asked for it.
    pub actor: String,
    /// What was done.
    pub event: serde_json::Value,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// Ends of the log that were noted elsewhere: on paper, in a backup.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// Each as `NUMBER:HASH`.
    #[serde(default)]
    pub heads: Vec<String>,
}

/// What reading the whole log came to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditVerdict {
    /// Whether every link fits, and the log reaches all that was signed or noted.
    pub intact: bool,
    /// The last link as `NUMBER:HASH`, to be noted elsewhere; `null` when there is none yet, or the log is broken.
    pub head: Option<String>,
    /// The newest signed end, as `NUMBER:HASH`.
    pub checkpoint: Option<String>,
    /// Where the log does not fit, and what is wrong there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A backup that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BackupNote {
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
}

/// Whom an authority that was put back from a backup no longer waits for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeftBehind {
    /// Servers that have not shown what they hold, and have to join anew.
    pub left_behind: Vec<String>,
}
