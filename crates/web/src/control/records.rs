//! What is said on the control channel. A field that is added later is no change of version.

use std::fmt;
use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize as _, Zeroizing};

/// What a member holds when it asks for the feed: it is sent what is newer.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Held {
    /// The version of the topology; 0 for none.
    pub topology: u64,
    /// The sequence of the bundle; 0 for none.
    pub bundle: u64,
    /// The revision of the directory of users; 0 for none.
    pub users: u64,
}

/// What a member is and where it listens.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Hello {
    /// The version of the program.
    pub version: String,
    /// Where it listens.
    pub listeners: MemberListeners,
}

/// Where a member listens, by the keys of the topology.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MemberListeners {
    /// SIP of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<SocketAddr>,
    /// SIP of servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<SocketAddr>,
    /// HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
}

/// What is in force at a member.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct InForce {
    /// The version of the topology.
    pub topology: u64,
    /// The sequence of the bundle.
    pub bundle: u64,
    /// The revision of the directory of users.
    pub users: u64,
    /// The revocation lists.
    pub lists: Vec<ListInForce>,
    /// What was not taken and has not been followed by a better one: damaged, older, or signed by somebody else (row N29).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedDocument>,
    /// Serial number of the certificate it shows, in hexadecimal.
    pub serial: String,
    /// When that certificate ends, RFC 3339.
    pub not_after: String,
    /// How many open connections the latest change cut.
    pub cut: u64,
    /// How many links with other servers are open on which a certificate was shown that has been replaced since.
    pub outdated_links: u64,
}

/// A document that a member did not take; the last good one stays in force there.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct RefusedDocument {
    /// `topology`, `bundle`, `revocation lists` or `users`; `copy on its disk` where the disk did not take what is in force.
    pub document: String,
    /// Why, with the cure.
    pub reason: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A revocation list in force at a member.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListInForce {
    /// Whose: SHA-256 of the issuer's name or certificate, in hexadecimal, as the bundle has it.
    pub issuer: String,
    /// Its number.
    pub number: u64,
}

/// One line of the feed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Update {
    /// A topology, signed (JWS compact).
    Topology {
        /// The document.
        document: String,
    },
    /// A trust bundle, signed (JWS compact).
    Bundle {
        /// The document.
        document: String,
    },
    /// Revocation lists, each signed by its issuer (DER).
    RevocationLists {
        /// The lists.
        #[serde(with = "der_list")]
        lists: Vec<Vec<u8>>,
    },
    /// A part of the directory of users.
    Users {
        /// The revision that this part leads to.
        revision: u64,
        /// Whether everything known before is to be forgotten first.
        #[serde(default)]
        from_scratch: bool,
        /// Whether more parts of this revision follow; the revision counts only with the last.
        #[serde(default)]
        more: bool,
        /// Made or changed.
        #[serde(default)]
        put: Vec<UserRecord>,
        /// Taken out, by name.
        #[serde(default)]
        gone: Vec<String>,
    },
    /// The member's certificate is to be renewed now (the topology gives it other names, or its issuer ends).
    Renew,
    /// The authority was put back from a backup, or fears that it was: the member is asked to show what it holds ([`Shown`]).
    Show,
    /// Nothing new; the authority is there.
    Heartbeat,
    /// Something that a newer authority says: passed over.
    #[serde(other)]
    Unknown,
}

impl Update {
    /// How what it carries is called in a [`RefusedDocument`]; `None` where nothing can be refused.
    pub fn document(&self) -> Option<&'static str> {
        match self {
            Self::Topology { .. } => Some("topology"),
            Self::Bundle { .. } => Some("bundle"),
            Self::RevocationLists { .. } => Some("revocation lists"),
            Self::Users { .. } => Some("users"),
            Self::Renew | Self::Show | Self::Heartbeat | Self::Unknown => None,
        }
    }
}

/// What a member holds, as it was signed: proof of what the authority published, for one that has forgotten it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shown {
    /// The topology (JWS compact).
    pub topology: String,
    /// The trust bundle (JWS compact).
    pub bundle: String,
    /// The revocation lists (DER).
    #[serde(with = "der_list")]
    pub lists: Vec<Vec<u8>>,
    /// The certificates of this server, the newest first (DER): the ledger may have forgotten them.
    #[serde(with = "der_list")]
    pub certificates: Vec<Vec<u8>>,
}

/// A user as the servers of the organisation know it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UserRecord {
    /// The name before the `@`.
    pub name: String,
    /// The SIP domain.
    pub domain: String,
    /// The home pool.
    pub pool: String,
    /// What sign-ins are checked against: for servers of the home pool and directors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialRecord>,
}

/// The digests of a password (RFC 7616 `HA1`): as good as the password for this realm, so they are wiped and
/// never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct CredentialRecord {
    /// MD5.
    pub md5: Zeroizing<[u8; 16]>,
    /// SHA-256.
    pub sha256: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for CredentialRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CredentialRecord(..)")
    }
}

/// Both digests, one after the other, in base64.
impl Serialize for CredentialRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut both = Zeroizing::new([0; 48]);
        both[..16].copy_from_slice(&*self.md5);
        both[16..].copy_from_slice(&*self.sha256);
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(*both)))
    }
}

impl<'de> Deserialize<'de> for CredentialRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let both = Zeroizing::new(STANDARD.decode(&text).unwrap_or_default());
        text.zeroize();
        let mut record = Self { md5: Zeroizing::new([0; 16]), sha256: Zeroizing::new([0; 32]) };
        if both.len() != 48 {
            return Err(serde::de::Error::custom("a credential is 48 bytes in base64"));
        }
        record.md5.copy_from_slice(&both[..16]);
        record.sha256.copy_from_slice(&both[16..]);
        Ok(record)
    }
}

/// DER in JSON: base64.
mod der_list {
    use base64::Engine as _;

    use super::{Deserialize, Deserializer, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(lists: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lists.iter().map(|der| STANDARD.encode(der)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| STANDARD.decode(text).map_err(|_| serde::de::Error::custom("a list is DER in base64"));
        texts.iter().map(read).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(update: &Update, text: &str) {
        assert_eq!(serde_json::to_string(update).unwrap(), text);
        assert_eq!(&serde_json::from_str::<Update>(text).unwrap(), update);
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        check(&Update::Heartbeat, r#"{"kind":"heartbeat"}"#);
        check(&Update::Show, r#"{"kind":"show"}"#);
        check(&Update::Topology { document: "a.b.c".into() }, r#"{"kind":"topology","document":"a.b.c"}"#);
        check(&Update::RevocationLists { lists: vec![vec![0x30, 0]] }, r#"{"kind":"revocation-lists","lists":["MAA="]}"#);
    }

    #[test]
    fn what_a_newer_authority_says_is_passed_over() {
        assert_eq!(serde_json::from_str::<Update>(r#"{"kind":"horoscope","text":"x"}"#).unwrap(), Update::Unknown);
        assert!(serde_json::from_str::<Update>(r#"{"text":"x"}"#).is_err());
    }

    #[test]
    fn a_credential_travels_and_cannot_be_printed() {
        let record = CredentialRecord { md5: Zeroizing::new([1; 16]), sha256: Zeroizing::new([2; 32]) };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<CredentialRecord>(&text).unwrap(), record);
        assert!(serde_json::from_str::<CredentialRecord>("\"AAAA\"").is_err());
        assert_eq!(format!("{record:?}"), "CredentialRecord(..)");
    }
}
