//! Is a chain of certificates believable, and whom does it name?
//!
//! Whether the one it names may be here is not known here: `trust` decides that.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, VerifiedPath, aws_lc_rs as alg};
use x509_parser::certificate::X509Certificate;

use crate::{
    Anchors, Fingerprint, Fqdn, IssuerName, Rejection, Revoked, Serial, SipUser,
    describe::{self, name_text, purposes},
    identity::Identities,
    lint,
    rejection::Shown,
};

/// The most certificates of a chain that are looked at. Longer ones are refused before anything
/// is parsed: path building over a crafted chain costs seconds otherwise.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;
/// The most bytes of a chain that are looked at.
pub const CHAIN_BYTES_MAX: usize = 16 * 1024;

/// Signatures on certificates that count (row N14: neither SHA-1 nor MD5 nor RSA below 2048 bits).
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    alg::ECDSA_P256_SHA256,
    alg::ECDSA_P256_SHA384,
    alg::ECDSA_P384_SHA256,
    alg::ECDSA_P384_SHA384,
    alg::ED25519,
    alg::RSA_PKCS1_2048_8192_SHA256,
    alg::RSA_PKCS1_2048_8192_SHA384,
    alg::RSA_PKCS1_2048_8192_SHA512,
    alg::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    alg::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    alg::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// What a certificate has to be good for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Purpose {
    /// To be a server, seen from either end: public CAs no longer issue clientAuth, so a server
    /// shows the same certificate when it connects to another (row N7).
    Server,
    /// To be a user or a user's device.
    Client,
}

impl Purpose {
    /// The content octets of the object identifier.
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::Server => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            Self::Client => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        })
    }
}

/// Who lists purposes must list ours. Who lists none is checked elsewhere: a CA may, a leaf may not.
impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, shown: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut none = true;
        for purpose in shown {
            none = false;
            if purpose? == KeyPurposeId::new(self.oid()) {
                return Ok(());
            }
        }
        if none { Ok(()) } else { Err(webpki::Error::EmptyEkuExtension) }
    }
}

/// A certificate that was checked: path, dates, purpose, strength, revocation. Only [`verify()`]
/// makes one, so holding it is the proof that the check took place (at that moment).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedCertificate {
    identities: Identities,
    purpose: Purpose,
    subject: String,
    serial: Serial,
    issuer: IssuerName,
    not_before: SystemTime,
    not_after: SystemTime,
    fingerprint: Fingerprint,
    anchor: String,
    anchor_fingerprint: Option<Fingerprint>,
}

impl VerifiedCertificate {
    /// The hosts that it names, in the order of the certificate.
    pub fn names(&self) -> &[Fqdn] {
        &self.identities.names
    }

    /// The SIP domains that it names by `sip:domain` URIs (RFC 5922 §7.1).
    pub fn domains(&self) -> &[Fqdn] {
        &self.identities.domains
    }

    /// The users that it names.
    pub fn users(&self) -> &[SipUser] {
        &self.identities.users
    }

    /// Every name it shows, as text, for records.
    pub fn shown(&self) -> Vec<String> {
        let names = self.names().iter().map(Fqdn::to_string);
        let domains = self.domains().iter().map(|domain| format!("sip:{domain}"));
        names.chain(domains).chain(self.users().iter().map(SipUser::to_string)).collect()
    }

    /// Whether it names this host. Row N8: if not, that is the reason.
    pub fn prove(&self, wanted: &Fqdn) -> Result<(), Rejection> {
        if self.names().contains(wanted) {
            return Ok(());
        }
        Err(Rejection::WrongName { wanted: wanted.clone(), shown: self.shown() })
    }

    /// What it was found good for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The holder's distinguished name: for people only, it proves nothing.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Who issued it.
    pub fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// When it starts to count.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When it stops to count.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The root that vouches for it.
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// SHA-256 of the root that vouches for it.
    pub fn anchor_fingerprint(&self) -> Option<Fingerprint> {
        self.anchor_fingerprint
    }
}

/// Checks a chain as it came in a handshake, the leaf first: its size (before anything else), every
/// certificate's strength, the path to one of `anchors` that counts `now`, the purpose, and that
/// nothing on the path was revoked; then reads whom it names. Wildcards and the common name name
/// nobody (rows N9, N10).
pub fn verify(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    revoked: &Revoked,
    purpose: Purpose,
    now: SystemTime,
) -> Result<VerifiedCertificate, Rejection> {
    let (leaf_der, intermediates) = check_size(chain)?;
    let leaf = lint::parse(0, leaf_der)?;
    lint::check_strength(&leaf)?;
    for (position, der) in intermediates.iter().enumerate() {
        lint::check_strength(&lint::parse(position + 1, der)?)?;
    }
    if anchors.is_empty() {
        return Err(Rejection::NoAnchors);
    }
    let rejection = |error| Rejection::of(error, shown(&leaf), purpose);
    let end_entity = EndEntityCert::try_from(leaf_der).map_err(rejection)?;
    let valid_anchors = anchors.valid_at(now);
    let path = end_entity
        .verify_for_usage(ALGORITHMS, &valid_anchors, intermediates, unix_time(now), purpose, None, None)
        .map_err(|error| out_of_time(&error, chain, anchors, now).unwrap_or_else(|| rejection(error)))?;
    check_leaf(&leaf, purpose)?;
    check_revoked(&path, revoked)?;
    certificate(&leaf, &path, anchors, purpose)
}

/// The leaf and the rest, if there are not too many bytes of them.
fn check_size<'a, 'b>(chain: &'a [CertificateDer<'b>]) -> Result<(&'a CertificateDer<'b>, &'a [CertificateDer<'b>]), Rejection> {
    let (leaf, rest) = chain.split_first().ok_or(Rejection::Empty)?;
    if chain.len() > CHAIN_CERTIFICATES_MAX {
        return Err(Rejection::TooLong { count: chain.len() });
    }
    let bytes = chain.iter().map(|der| der.len()).sum();
    if bytes > CHAIN_BYTES_MAX { Err(Rejection::TooLarge { bytes }) } else { Ok((leaf, rest)) }
}

/// A missing list of purposes would mean "for anything"; nobody who shows a certificate gets that.
fn check_leaf(leaf: &X509Certificate<'_>, purpose: Purpose) -> Result<(), Rejection> {
    let shown = purposes(leaf);
    if shown.is_empty() {
        return Err(Rejection::WrongPurpose { wanted: purpose, shown });
    }
    lint::check_leaf_usage(leaf)
}

/// Every certificate of the path below the root, by issuer and serial number. Our own set, because
/// the library believes the first list with the right issuer, however old.
fn check_revoked(path: &VerifiedPath<'_>, revoked: &Revoked) -> Result<(), Rejection> {
    let leaf: &webpki::Cert<'_> = path.end_entity();
    for certificate in std::iter::once(leaf).chain(path.intermediate_certificates()) {
        let serial = Serial::from_be_bytes(certificate.serial());
        if revoked.contains(&IssuerName::new(certificate.issuer()), &serial) {
            let subject = describe::facts(&certificate.der()).map_or_else(|| "a CA".into(), |facts| facts.subject);
            return Err(Rejection::Revoked { subject, serial });
        }
    }
    Ok(())
}

fn certificate(
    leaf: &X509Certificate<'_>,
    path: &VerifiedPath<'_>,
    anchors: &Anchors,
    purpose: Purpose,
) -> Result<VerifiedCertificate, Rejection> {
    let end_entity = path.end_entity();
    let identities = Identities::read(end_entity.valid_dns_names(), end_entity.valid_uri_names());
    if identities.is_empty() {
        return Err(match identities.wildcards.into_iter().next() {
            Some(name) => Rejection::Wildcard { name },
            None => Rejection::NoIdentity { subject: name_text(leaf.subject()) },
        });
    }
    let (anchor, anchor_fingerprint) = anchors.text_of(path.anchor()).map_or_else(Default::default, |(text, print)| (text, Some(print)));
    Ok(VerifiedCertificate {
        identities,
        purpose,
        subject: name_text(leaf.subject()),
        serial: Serial::from_be_bytes(end_entity.serial()),
        issuer: IssuerName::new(end_entity.issuer()),
        not_before: describe::system_time(leaf.validity().not_before.timestamp()),
        not_after: describe::system_time(leaf.validity().not_after.timestamp()),
        fingerprint: Fingerprint::of(&end_entity.der()),
        anchor,
        anchor_fingerprint,
    })
}

/// Whether "unknown issuer" really means that our root does not count at this moment.
fn out_of_time(error: &webpki::Error, chain: &[CertificateDer<'_>], anchors: &Anchors, now: SystemTime) -> Option<Rejection> {
    if *error != webpki::Error::UnknownIssuer {
        return None;
    }
    chain.iter().find_map(|der| anchors.out_of_time(EndEntityCert::try_from(der).ok()?.issuer(), now))
}

fn shown(leaf: &X509Certificate<'_>) -> Shown {
    Shown {
        subject: name_text(leaf.subject()),
        issuer: name_text(leaf.issuer()),
        names: describe::alternative_names(leaf),
        purposes: purposes(leaf),
    }
}

fn unix_time(now: SystemTime) -> UnixTime {
    // A clock before 1970 becomes 1970: every certificate is refused as not yet valid then.
    UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
