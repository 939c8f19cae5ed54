//! The trust bundle: the roots, issuing CAs and revocation lists that every member believes.
//!
//! It travels as a [signed document](crate::jws). A member takes a newer one only ([`Bundle::accept`],
//! row N29); one that joins has nothing but the fingerprint of the root ([`Bundle::read_pinned`]).

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::{
    Anchors, BACKDATE, DocumentFault, DocumentKind, Fingerprint, Fqdn, IssuerKind, PinnedIssuer, Revocation, SignedDocument,
    bundle_json::Written,
    certificates_to_pem,
    describe::{facts, rfc3339, signed_by},
    jws, read_signed,
};

/// The most roots of one bundle: one, and one more while the root is replaced.
pub const BUNDLE_ROOTS_MAX: usize = 16;
/// The most issuing CAs of one bundle.
pub const BUNDLE_ISSUING_MAX: usize = 64;
/// The most partners of one bundle.
pub const BUNDLE_PARTNERS_MAX: usize = 1000;
/// The most bytes of a URL in it.
pub const URL_BYTES_MAX: usize = 2048;

/// An issuing CA that members believe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuingCa {
    /// What it may issue.
    pub kind: IssuerKind,
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
}

/// Where a CA's revocation list is, and how far it had got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListPlace {
    /// SHA-256 of the certificate of the CA that signs it: a root or an issuing CA of this bundle.
    pub issuer: Fingerprint,
    /// Where it can be fetched.
    pub url: Option<String>,
    /// The number of the newest one when the bundle was made. Older ones are not to be believed.
    pub number: u64,
}

/// What vouches for a partner organisation, and for these of its domains only (row N25).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartnerAnchors {
    /// The partner's SIP domains.
    pub domains: Vec<Fqdn>,
    /// Its roots.
    pub roots: Vec<CertificateDer<'static>>,
}

/// The roots, issuing CAs and revocation lists that every member believes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// Its number: each one is higher than the one before.
    pub sequence: u64,
    /// The digest of the one before; none for the first.
    pub previous: Option<Fingerprint>,
    /// When it was made.
    pub issued_at: SystemTime,
    /// Until when it may be believed.
    pub valid_until: SystemTime,
    /// How often who is not told of news should ask for them.
    pub refresh: Duration,
    /// The roots of the organisation.
    pub roots: Vec<CertificateDer<'static>>,
    /// The issuing CAs: any other one below the same roots does not count. The first of each kind is the one that issues now, the
    /// others are believed as long as something of them is in use.
    pub issuing: Vec<IssuingCa>,
    /// The revocation lists.
    pub lists: Vec<ListPlace>,
    /// The partners that have roots of their own.
    pub partners: Vec<PartnerAnchors>,
}

/// What a member keeps of the newest bundle that it believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeldBundle {
    /// Its number.
    pub sequence: u64,
    /// Its digest.
    pub digest: Fingerprint,
}

impl HeldBundle {
    /// What the next one links to, of a bundle that the authority signed itself; also when its signer or its root
    /// no longer counts. Nothing is checked, so it proves nothing.
    pub fn unchecked(text: &str) -> Option<Self> {
        let payload = jws::unchecked_payload(text).ok()?;
        let sequence = Written::from_json(&payload).ok()?.read().ok()?.sequence;
        Some(Self { sequence, digest: Fingerprint::of(&payload) })
    }
}

/// Why a bundle was not taken (row N29).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleFault {
    /// The signature, or whose it is.
    #[error(transparent)]
    Document(#[from] DocumentFault),
    /// Not what a bundle looks like.
    #[error("the trust bundle cannot be read ({detail}); bring this server to the authority's version, or have the bundle published again")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// More than an organisation could need.
    #[error("the trust bundle lists more than {max} {what}; take out what is not needed and publish it again")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Nobody would be believed.
    #[error("the trust bundle lists no {what}, so nobody could be believed; publish it again with one")]
    Nobody {
        /// A root, or an issuing CA for servers.
        what: &'static str,
    },
    /// An issuing CA of somebody else.
    #[error("the trust bundle lists {subject}, which none of its roots signed as a CA; publish it again without it")]
    Stray {
        /// Whom the certificate names.
        subject: String,
    },
    /// A revocation list of somebody else.
    #[error("the trust bundle names a revocation list of {issuer}, which is none of its CAs; publish it again without it")]
    StrayList {
        /// Its fingerprint.
        issuer: Fingerprint,
    },
    /// Its time is over.
    #[error(
        "the trust bundle {sequence} counted until {valid_until} and the clock says {now}; fetch a new one from the authority, or set the clock"
    )]
    Expired {
        /// Its number.
        sequence: u64,
        /// Its end.
        valid_until: String,
        /// Our time.
        now: String,
    },
    /// Made in our future.
    #[error("the trust bundle {sequence} was made at {issued_at} and the clock says {now}; set the clock on one of the two sides")]
    NotYetValid {
        /// Its number.
        sequence: u64,
        /// Its start.
        issued_at: String,
        /// Our time.
        now: String,
    },
    /// Somebody plays back an old one.
    #[error(
        "the trust bundle {offered} is older than {held}, which is held; nothing is done, but whoever sent it is behind or plays back old ones"
    )]
    Older {
        /// The number offered.
        offered: u64,
        /// The number held.
        held: u64,
    },
    /// Two that say different things under one number.
    #[error(
        "two different trust bundles have the number {sequence}; the authority was restored from an old backup, or there are two: publish a higher number"
    )]
    Forked {
        /// The number.
        sequence: u64,
    },
    /// The next one, but not of the one held.
    #[error(
        "the trust bundle {sequence} does not follow the one that is held; the authority was restored from an old backup, or there are two: publish once more"
    )]
    NotLinked {
        /// The number.
        sequence: u64,
    },
    /// At a join: not the organisation that the join string is of.
    #[error(
        "the authority's trust bundle does not hold the root {pinned} of the join string; check that it leads to the right server, or make a new join string"
    )]
    OtherRoot {
        /// The fingerprint wanted.
        pinned: Fingerprint,
    },
}

impl Bundle {
    /// What is to be signed.
    pub fn to_payload(&self) -> Result<Vec<u8>, BundleFault> {
        Written::of(self).to_json()
    }

    /// Reads what was signed, and checks it in itself.
    pub fn from_payload(payload: &[u8]) -> Result<Self, BundleFault> {
        let bundle = Written::from_json(payload)?.read()?;
        bundle.check()?;
        Ok(bundle)
    }

    /// Takes a bundle in the place of the one held, if it is newer, its successor if it is the very next,
    /// and counts now. The same one again is taken again.
    ///
    /// # Errors
    /// Row N29: anything else. The one held stays.
    pub fn accept(held: Option<&HeldBundle>, document: &SignedDocument, now: SystemTime) -> Result<(Self, HeldBundle), BundleFault> {
        let bundle = Self::of_document(document)?;
        bundle.check_time(now)?;
        let new = HeldBundle { sequence: bundle.sequence, digest: document.digest() };
        if let Some(held) = held {
            bundle.check_follows(held, &new)?;
        }
        Ok((bundle, new))
    }

    /// Reads the first bundle of a member, which knows nothing but the fingerprint of its root: the root
    /// is looked for in the bundle itself, and then the bundle must be signed by somebody it vouches for.
    pub fn read_pinned(text: &str, root: Fingerprint, now: SystemTime) -> Result<(Self, HeldBundle), BundleFault> {
        let offered = Written::from_json(&jws::unchecked_payload(text)?)?.read()?;
        let other = BundleFault::OtherRoot { pinned: root };
        let pinned = offered.roots.into_iter().find(|offered| Fingerprint::of(offered) == root).ok_or_else(|| other.clone())?;
        let anchors = Anchors::of([pinned]).map_err(|_| other)?;
        let document = read_signed(DocumentKind::Bundle, text, &anchors, &Revocation::none(), now)?;
        Self::accept(None, &document, now)
    }

    /// What a bundle says that the authority signed itself; also when its signer no longer counts. Nothing of its signature is
    /// checked, so it proves nothing.
    pub fn unchecked(text: &str) -> Option<Self> {
        Self::from_payload(&jws::unchecked_payload(text).ok()?).ok()
    }

    fn of_document(document: &SignedDocument) -> Result<Self, BundleFault> {
        let shown = document.kind();
        if shown != DocumentKind::Bundle {
            return Err(DocumentFault::Kind { wanted: DocumentKind::Bundle, shown: shown.typ().into() }.into());
        }
        Self::from_payload(document.payload())
    }

    /// The roots as anchors.
    pub fn anchors(&self) -> Result<Anchors, BundleFault> {
        Anchors::of(self.roots.iter().cloned()).map_err(|fault| BundleFault::Malformed { detail: fault.to_string() })
    }

    /// The issuing CAs that count, and what for.
    pub fn pinned(&self) -> Vec<PinnedIssuer> {
        let pin = |ca: &IssuingCa| PinnedIssuer { fingerprint: Fingerprint::of(&ca.certificate), kind: ca.kind };
        self.issuing.iter().map(pin).collect()
    }

    /// The CA that issues to holders of this kind now.
    pub fn issuer(&self, kind: IssuerKind) -> Option<&CertificateDer<'static>> {
        self.issuing.iter().find(|ca| ca.kind == kind).map(|ca| &ca.certificate)
    }

    /// The roots in PEM: for phones and operating systems.
    pub fn roots_pem(&self) -> String {
        certificates_to_pem(&self.roots)
    }

    /// Every CA that signs a revocation list: the roots, then the issuing CAs.
    pub fn list_issuers(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.roots.iter().chain(self.issuing.iter().map(|ca| &ca.certificate))
    }

    fn check(&self) -> Result<(), BundleFault> {
        self.check_sizes()?;
        self.anchors()?;
        for ca in &self.issuing {
            let is_ca = facts(&ca.certificate).is_some_and(|facts| facts.is_ca);
            if !is_ca || !self.roots.iter().any(|root| signed_by(&ca.certificate, root)) {
                let subject = facts(&ca.certificate).map_or_else(|| "no certificate".into(), |facts| facts.subject);
                return Err(BundleFault::Stray { subject });
            }
        }
        let issuers: Vec<_> = self.list_issuers().map(|der| Fingerprint::of(der)).collect();
        match self.lists.iter().find(|list| !issuers.contains(&list.issuer)) {
            Some(stray) => Err(BundleFault::StrayList { issuer: stray.issuer }),
            None => Ok(()),
        }
    }

    fn check_sizes(&self) -> Result<(), BundleFault> {
        let sizes = [
            ("roots", self.roots.len(), BUNDLE_ROOTS_MAX),
            ("issuing CAs", self.issuing.len(), BUNDLE_ISSUING_MAX),
            ("revocation lists", self.lists.len(), BUNDLE_ROOTS_MAX + BUNDLE_ISSUING_MAX),
            ("partners", self.partners.len(), BUNDLE_PARTNERS_MAX),
        ];
        if let Some((what, _, max)) = sizes.into_iter().find(|(_, size, max)| size > max) {
            return Err(BundleFault::TooMany { what, max });
        }
        if self.roots.is_empty() {
            return Err(BundleFault::Nobody { what: "root" });
        }
        let servers = self.issuing.iter().any(|ca| ca.kind == IssuerKind::Servers);
        if servers { Ok(()) } else { Err(BundleFault::Nobody { what: "issuing CA for servers" }) }
    }

    fn check_time(&self, now: SystemTime) -> Result<(), BundleFault> {
        if now > self.valid_until {
            return Err(BundleFault::Expired { sequence: self.sequence, valid_until: rfc3339(self.valid_until), now: rfc3339(now) });
        }
        if self.issued_at > now + BACKDATE {
            return Err(BundleFault::NotYetValid { sequence: self.sequence, issued_at: rfc3339(self.issued_at), now: rfc3339(now) });
        }
        Ok(())
    }

    fn check_follows(&self, held: &HeldBundle, new: &HeldBundle) -> Result<(), BundleFault> {
        let sequence = self.sequence;
        if sequence < held.sequence {
            Err(BundleFault::Older { offered: sequence, held: held.sequence })
        } else if sequence == held.sequence && new.digest != held.digest {
            Err(BundleFault::Forked { sequence })
        } else if held.sequence.checked_add(1) == Some(sequence) && self.previous != Some(held.digest) {
            Err(BundleFault::NotLinked { sequence })
        } else {
            Ok(())
        }
    }
}
