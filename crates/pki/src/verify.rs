//! Is a chain of certificates believable, and whom does it name?
//!
//! Whether the one it names may be here is not known here: `trust` decides that.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, VerifiedPath, aws_lc_rs as alg};
use x509_parser::certificate::X509Certificate;

use crate::{
    Anchors, Fingerprint, Fqdn, IssuerName, ListUsed, Purpose, Rejection, Revocation, Serial, SipUser,
    describe::{self, name_text, purposes},
    identity::Identities,
    lint,
    rejection::Shown,
    shape::{self, Role},
};

/// The most certificates of a chain that are looked at. Longer ones are refused before anything
/// is parsed: path building over a crafted chain costs seconds otherwise.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;
/// The most bytes of a chain that are looked at.
pub const CHAIN_BYTES_MAX: usize = 16 * 1024;

/// Signatures on certificates that count (row N14: neither SHA-1 nor MD5 nor RSA below 2048 bits).
pub(crate) const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
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

/// A certificate that was checked: path, dates, purpose, strength, revocation. Only [`verify()`]
/// makes one, so holding it is the proof that the check took place (at that moment).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedCertificate {
    identities: Identities,
    purpose: Purpose,
    subject: String,
    serial: Serial,
    issuer: IssuerName,
    issuer_text: String,
    issuer_fingerprint: Option<Fingerprint>,
    list: Option<ListUsed>,
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

    /// Who issued it, for people.
    pub fn issuer_text(&self) -> &str {
        &self.issuer_text
    }

    /// SHA-256 of the CA certificate directly above it; `None` if that is the root itself.
    pub fn issuer_fingerprint(&self) -> Option<Fingerprint> {
        self.issuer_fingerprint
    }

    /// The revocation list that it was looked up in, if there was one.
    pub fn revocation_list(&self) -> Option<ListUsed> {
        self.list
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
    revocation: &Revocation,
    purpose: Purpose,
    now: SystemTime,
) -> Result<VerifiedCertificate, Rejection> {
    let now = whole_seconds(now);
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
    check_shapes(&path)?;
    let list = revocation.check(&path, anchors, now)?;
    certificate(&leaf, &path, anchors, purpose, list)
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

/// A missing list of purposes would mean "for anything", as does the purpose of that name; nobody who
/// shows a certificate gets that.
fn check_leaf(leaf: &X509Certificate<'_>, purpose: Purpose) -> Result<(), Rejection> {
    let shown = purposes(leaf);
    if shown.is_empty() || shown.iter().any(|purpose| purpose == describe::ANY_PURPOSE) {
        return Err(Rejection::WrongPurpose { wanted: purpose, shown });
    }
    lint::check_leaf_usage(leaf)
}

/// Every certificate of the path below the root looks as it should.
fn check_shapes(path: &VerifiedPath<'_>) -> Result<(), Rejection> {
    shape::check(&lint::parse(0, &path.end_entity().der())?, Role::Leaf)?;
    path.intermediate_certificates()
        .enumerate()
        .try_for_each(|(above, authority)| shape::check(&lint::parse(above + 1, &authority.der())?, Role::Authority))
}

/// Whether a certificate that names nobody is of no use. One that signs documents is known by its
/// purpose alone.
const fn needs_identity(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Server | Purpose::Client => true,
        Purpose::Documents => false,
    }
}

fn certificate(
    leaf: &X509Certificate<'_>,
    path: &VerifiedPath<'_>,
    anchors: &Anchors,
    purpose: Purpose,
    list: Option<ListUsed>,
) -> Result<VerifiedCertificate, Rejection> {
    let end_entity = path.end_entity();
    let identities = Identities::read(end_entity.valid_dns_names(), end_entity.valid_uri_names());
    if identities.is_empty() && needs_identity(purpose) {
        return Err(match identities.wildcards.into_iter().next() {
            Some(name) => Rejection::Wildcard { name },
            None => Rejection::NoIdentity { subject: name_text(leaf.subject()) },
        });
    }
    let issuer_fingerprint = path.intermediate_certificates().next().map(|issuer| Fingerprint::of(&issuer.der()));
    let (anchor, anchor_fingerprint) = anchors.text_of(path.anchor()).map_or_else(Default::default, |(text, print)| (text, Some(print)));
    Ok(VerifiedCertificate {
        identities,
        purpose,
        subject: name_text(leaf.subject()),
        serial: Serial::from_be_bytes(end_entity.serial()),
        issuer: IssuerName::new(end_entity.issuer()),
        issuer_text: name_text(leaf.issuer()),
        issuer_fingerprint,
        list,
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

/// Certificates have no fractions of a second: the last one counts to its end.
fn whole_seconds(now: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn unix_time(now: SystemTime) -> UnixTime {
    // A clock before 1970 becomes 1970: every certificate is refused as not yet valid then.
    UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
