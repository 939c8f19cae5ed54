//! What is kept, as the callers see it. How it is laid out in a file is left to the implementation.

use std::fmt;
use std::time::SystemTime;

use pki::{CertificateDer, Serial};
use registrar::{Aor, Credential};

/// Counts the changes of the whole store: each change gets the next number, without a gap.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// The version of a topology, as its document states it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user and what proves a sign-in.
#[derive(Clone, Debug)]
pub struct User {
    /// Who.
    pub aor: Aor,
    /// What a digest is checked with; no password.
    pub credential: Credential,
    /// When the user was made.
    pub created: SystemTime,
    /// The last change.
    pub revision: Revision,
}

/// What a certificate was issued for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// The enterprise root.
    Root,
    /// The CA that issues under the root.
    Issuing,
    /// A server of the topology.
    Server,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Root, Self::Issuing, Self::Server];

    /// The word kept in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A certificate that the enterprise CA issued. Times are kept in whole seconds, as certificates do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// Its serial number.
    pub serial: Serial,
    /// What for.
    pub role: Role,
    /// The subject, as text.
    pub subject: String,
    /// The subject alternative names, as text.
    pub names: Vec<String>,
    /// The issuer, as text.
    pub issuer: String,
    /// The first second of validity.
    pub not_before: SystemTime,
    /// The last second of validity.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl Issued {
    /// What the ledger says of the certificate `der`; `None` when it is none.
    pub fn read(role: Role, der: &CertificateDer<'_>) -> Option<Self> {
        let facts = pki::facts(der)?;
        Some(Self {
            serial: facts.serial,
            role,
            subject: facts.subject,
            names: facts.names,
            issuer: facts.issuer,
            not_before: facts.not_before,
            not_after: facts.not_after,
            der: der.to_vec(),
        })
    }
}

/// A topology as it was published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// Its version.
    pub version: Version,
    /// The document.
    pub document: String,
    /// When it was published.
    pub published_at: SystemTime,
}
