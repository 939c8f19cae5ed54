//! The roots that are believed.

use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::{Fingerprint, PemFault, Rejection, certificates_from_pem, certificates_to_pem, describe, facts, lint, shape};

/// The roots that are believed for one kind of connection. Each was looked at when it was taken
/// in, since path building takes an anchor as it is. None at all means that nobody is believed.
#[derive(Clone, Debug)]
pub struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    /// Beside `anchors`, in the same order.
    facts: Vec<AnchorFacts>,
    certificates: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Debug)]
struct AnchorFacts {
    subject: String,
    fingerprint: Fingerprint,
    /// SHA-256 of its public key.
    key: Fingerprint,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why a root was not taken in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnchorFault {
    /// The file holds no certificates.
    #[error("the file of roots is unusable: {0}")]
    Pem(#[from] PemFault),
    /// Damaged, or weak.
    #[error("a root is not acceptable: {0}")]
    Rejected(#[from] Rejection),
    /// No CA.
    #[error("{subject} is no CA and cannot be a root; give the certificate of the root")]
    NotCa {
        /// Whom it names.
        subject: String,
    },
    /// It has a rule for us that we do not know.
    #[error("{subject} has the critical extension {oid}, which is not understood here; have the root made again without it")]
    Critical {
        /// Whom it names.
        subject: String,
        /// The extension.
        oid: String,
    },
    /// More than one organisation could need.
    #[error("there are more than {} roots; give those that are needed", Anchors::ANCHORS_MAX)]
    TooMany,
}

impl Anchors {
    /// The most roots of one set.
    pub const ANCHORS_MAX: usize = 1000;

    /// Nobody is believed.
    pub fn nobody() -> Self {
        Self { anchors: Vec::new(), facts: Vec::new(), certificates: Vec::new() }
    }

    /// These roots, each of them checked.
    pub fn of(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, AnchorFault> {
        let mut all = Self::nobody();
        for certificate in certificates {
            if all.anchors.len() == Self::ANCHORS_MAX {
                return Err(AnchorFault::TooMany);
            }
            all.take(certificate)?;
        }
        Ok(all)
    }

    /// The roots of a PEM file.
    pub fn from_pem(text: &str) -> Result<Self, AnchorFault> {
        Self::of(certificates_from_pem(text)?)
    }

    /// The roots as PEM.
    pub fn to_pem(&self) -> String {
        certificates_to_pem(&self.certificates)
    }

    fn take(&mut self, certificate: CertificateDer<'static>) -> Result<(), AnchorFault> {
        let parsed = lint::parse(0, &certificate)?;
        lint::check_strength(&parsed)?;
        if let Some(oid) = lint::unknown_critical(&parsed) {
            return Err(AnchorFault::Critical { subject: describe::name_text(parsed.subject()), oid });
        }
        let malformed = || Rejection::Malformed { position: 0, detail: "it cannot be read".into() };
        let facts = facts(&certificate).ok_or_else(malformed)?;
        if !facts.is_ca {
            return Err(AnchorFault::NotCa { subject: facts.subject });
        }
        shape::check_anchor(&parsed)?;
        let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|_| malformed())?.to_owned();
        self.anchors.push(anchor);
        self.facts.push(AnchorFacts {
            subject: facts.subject,
            fingerprint: facts.fingerprint,
            key: Fingerprint::of(&facts.public_key),
            not_before: facts.not_before,
            not_after: facts.not_after,
        });
        self.certificates.push(certificate);
        Ok(())
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The subjects of the roots in DER, with their SEQUENCE tag: the hint for clients with several
    /// certificates (RFC 8446 §4.2.4).
    pub fn subjects(&self) -> Vec<Vec<u8>> {
        let subject = |der| x509_parser::parse_x509_certificate(der).map(|(_, root)| root.subject().as_raw().to_vec()).ok();
        self.certificates.iter().filter_map(|root| subject(root.as_ref())).collect()
    }

    /// The roots that count at this moment: path building does not look at their dates.
    pub(crate) fn valid_at(&self, now: SystemTime) -> std::borrow::Cow<'_, [TrustAnchor<'static>]> {
        let counts = |facts: &AnchorFacts| facts.not_before <= now && now <= facts.not_after;
        if self.facts.iter().all(counts) {
            return self.anchors.as_slice().into();
        }
        let valid = self.anchors.iter().zip(&self.facts).filter(|(_, facts)| counts(facts));
        valid.map(|(anchor, _)| anchor.clone()).collect()
    }

    /// If a root with this subject (DER without tag) is held but does not count now: that reason.
    pub(crate) fn out_of_time(&self, subject: &[u8], now: SystemTime) -> Option<Rejection> {
        let held = self.anchors.iter().zip(&self.facts).find(|(anchor, _)| anchor.subject.as_ref() == subject)?.1;
        (now < held.not_before || now > held.not_after).then(|| Rejection::AnchorOutOfTime {
            anchor: held.subject.clone(),
            not_before: describe::rfc3339(held.not_before),
            not_after: describe::rfc3339(held.not_after),
            now: describe::rfc3339(now),
        })
    }

    /// How a root is called in records.
    pub(crate) fn text_of(&self, anchor: &TrustAnchor<'_>) -> Option<(String, Fingerprint)> {
        self.facts_of(anchor).map(|facts| (facts.subject.clone(), facts.fingerprint))
    }

    /// SHA-256 of the public key of a root.
    pub(crate) fn key_of(&self, anchor: &TrustAnchor<'_>) -> Option<Fingerprint> {
        self.facts_of(anchor).map(|facts| facts.key)
    }

    fn facts_of(&self, anchor: &TrustAnchor<'_>) -> Option<&AnchorFacts> {
        let same =
            |held: &TrustAnchor<'_>| held.subject == anchor.subject && held.subject_public_key_info == anchor.subject_public_key_info;
        self.facts.get(self.anchors.iter().position(same)?)
    }
}

/// Whose certificates an issuing CA is there for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum IssuerKind {
    /// Servers'.
    Servers,
    /// Users' and their devices'.
    Users,
}

impl std::fmt::Display for IssuerKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Servers => "servers",
            Self::Users => "users",
        })
    }
}

/// An issuing CA that members believe, beside the root above it: a root vouches for a CA, the list
/// of these says what for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PinnedIssuer {
    /// SHA-256 of the issuing CA's certificate.
    pub fingerprint: Fingerprint,
    /// Whose certificates it may issue.
    pub kind: IssuerKind,
}
