//! Revocation lists: read and checked once, when they come in, so that nothing of a list has to be
//! believed or searched during a handshake (RFC 5280 §5).
//!
//! Complete lists of one issuer only. A list that speaks of a part (delta, by reason, by
//! distribution point) or for others (indirect) is refused: who takes one for the whole lets the
//! revoked in.

use std::{
    collections::HashSet,
    fmt,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber, SigningKey};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use time::OffsetDateTime;
use webpki::{BorrowedCertRevocationList, CertRevocationList};
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    oid_registry::{self, Oid},
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use crate::{AuthorityFault, Fingerprint, IssuerName, PemFault, RevocationLists, Serial, describe, lint};

/// The most bytes of a revocation list: room for about 200,000 revoked certificates.
pub const REVOCATION_LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One revocation list of one CA, complete and with its signature checked. Only
/// [`read`](Self::read) makes one. Whether it is still of use at this moment is asked elsewhere
/// ([`RevocationLists::take`](crate::RevocationLists::take)).
#[derive(Clone, Eq, PartialEq)]
pub struct RevocationList {
    issuer: IssuerName,
    issuer_text: String,
    /// SHA-256 of the public key that signed it: two CAs of one name are two.
    issuer_key: Fingerprint,
    number: u64,
    this_update: SystemTime,
    next_update: SystemTime,
    revoked: HashSet<Serial>,
    der: Vec<u8>,
}

/// Why something is no revocation list that we go by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RevocationListFault {
    /// More than we take in. Looked at before anything is parsed.
    #[error(
        "the revocation list has {bytes} bytes, at most {REVOCATION_LIST_BYTES_MAX} are taken in; start a new issuing CA, whose list is empty"
    )]
    TooLarge {
        /// How many came.
        bytes: usize,
    },
    /// Not a list of version 2, or damaged.
    #[error("the revocation list is damaged or not of version 2 ({detail}); fetch it again")]
    Malformed {
        /// What the parser said.
        detail: String,
    },
    /// Without a number nobody can tell old from new (RFC 5280 §5.2.3).
    #[error("the revocation list of {issuer} bears no number, so an old one could pass for the newest; have the CA number its lists")]
    NoNumber {
        /// Whose list.
        issuer: String,
    },
    /// A number that no counter reaches.
    #[error("the revocation list of {issuer} has a number of more than 64 bits; have the CA number its lists by counting")]
    NumberTooLarge {
        /// Whose list.
        issuer: String,
    },
    /// A rule that we do not know (RFC 5280 §5.2).
    #[error(
        "the revocation list of {issuer} has the critical extension {oid}, which is not understood here; have the CA publish a plain one"
    )]
    Critical {
        /// Whose list.
        issuer: String,
        /// The extension.
        oid: String,
    },
    /// Not the whole: changes only, or the certificates of one place, kind or reason, or of others.
    #[error("the revocation list of {issuer} is {kind}, and only complete lists of one issuer are believed; have the CA publish one")]
    Partial {
        /// Whose list.
        issuer: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// Nobody whom we know may sign it.
    #[error("the revocation list names {issuer}, which is no CA known here that may sign lists; give the certificate of that CA along")]
    UnknownIssuer {
        /// Whose list.
        issuer: String,
    },
    /// Row N29.
    #[error("the revocation list of {issuer} is not signed by that CA's key; it was tampered with, or is of another CA of the same name")]
    BadSignature {
        /// Whose list.
        issuer: String,
    },
    /// Row N14.
    #[error("the revocation list of {issuer} is signed with {algorithm}, which can be forged; have the CA sign with SHA-256 or better")]
    WeakSignature {
        /// Whose list.
        issuer: String,
        /// The algorithm.
        algorithm: String,
    },
    /// Row N29: a step back.
    #[error(
        "the revocation list of {issuer} has number {number}, and number {held} is held already; whoever sent it is behind, or replays"
    )]
    Older {
        /// Whose list.
        issuer: String,
        /// Its number.
        number: u64,
        /// The one that is held.
        held: u64,
    },
    /// Two lists of one number say different things.
    #[error("there are two revocation lists of {issuer} with number {number}; have the CA publish one with the next number")]
    Conflict {
        /// Whose list.
        issuer: String,
        /// Their number.
        number: u64,
    },
    /// Row N29.
    #[error(
        "the revocation list number {number} of {issuer} was good until {next_update}, the clock says {now}; have the CA sign a new one, or set the clock"
    )]
    Expired {
        /// Whose list.
        issuer: String,
        /// Its number.
        number: u64,
        /// Its end.
        next_update: String,
        /// Our time.
        now: String,
    },
    /// From the future.
    #[error(
        "the revocation list number {number} of {issuer} was made at {this_update}, the clock says {now}; set the clock on one of the two sides"
    )]
    NotYet {
        /// Whose list.
        issuer: String,
        /// Its number.
        number: u64,
        /// Its start.
        this_update: String,
        /// Our time.
        now: String,
    },
    /// More issuers than an organisation has.
    #[error("lists of more than {} issuers", RevocationLists::ISSUERS_MAX)]
    TooMany,
}

impl RevocationList {
    /// Reads a list in DER and checks it: size, version 2, a number, a next update, complete, no
    /// rule that we do not know, and the signature of one of `issuers` (which the caller believes).
    ///
    /// # Errors
    /// Whatever is wrong with it; such a list says nothing.
    pub fn read(der: &[u8], issuers: &[CertificateDer<'_>]) -> Result<Self, RevocationListFault> {
        if der.len() > REVOCATION_LIST_BYTES_MAX {
            return Err(RevocationListFault::TooLarge { bytes: der.len() });
        }
        let list = parse(der)?;
        let issuer_text = describe::name_text(list.issuer());
        check_extensions(&list, &issuer_text)?;
        let number = number(&list, &issuer_text)?;
        let (issuer, revoked) = entries(der, &list)?;
        let issuer_key = check_signature(&list, issuers, &issuer_text)?;
        let next_update = list.next_update().ok_or_else(|| malformed("it has no next update"))?;
        Ok(Self {
            issuer,
            issuer_text,
            issuer_key,
            number,
            this_update: describe::system_time(list.last_update().timestamp()),
            next_update: describe::system_time(next_update.timestamp()),
            revoked,
            der: der.to_vec(),
        })
    }

    /// Whose list.
    pub fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// Whose list, for people.
    pub fn issuer_text(&self) -> &str {
        &self.issuer_text
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo in DER) that signed it.
    pub fn issuer_key(&self) -> Fingerprint {
        self.issuer_key
    }

    /// Its number: the higher, the newer.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    pub fn this_update(&self) -> SystemTime {
        self.this_update
    }

    /// When there has to be a newer one.
    pub fn next_update(&self) -> SystemTime {
        self.next_update
    }

    /// Whether this certificate of its issuer was revoked.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.revoked.contains(serial)
    }

    /// The revoked serial numbers, in no order.
    pub fn serials(&self) -> impl Iterator<Item = &Serial> {
        self.revoked.iter()
    }

    /// How many are revoked.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether none is revoked.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// The list as it was signed.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether both say the same about the same time.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.this_update == other.this_update && self.next_update == other.next_update && self.revoked == other.revoked
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RevocationList({}, number {}, {} revoked)", self.issuer_text, self.number, self.revoked.len())
    }
}

/// The lists of a file, not yet read: all of a PEM text, or the one in DER.
///
/// # Errors
/// It is neither.
pub fn revocation_lists_from(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PemFault> {
    if bytes.first() == Some(&crate::der::SEQUENCE) {
        return Ok(vec![bytes.to_vec()]);
    }
    let mut all = Vec::new();
    for item in CertificateRevocationListDer::pem_slice_iter(bytes) {
        if all.len() == RevocationLists::ISSUERS_MAX {
            return Err(PemFault::TooMany);
        }
        all.push(item.map_err(|error| PemFault::Damaged(error.to_string()))?.to_vec());
    }
    if all.is_empty() { Err(PemFault::Empty) } else { Ok(all) }
}

fn malformed(detail: impl ToString) -> RevocationListFault {
    RevocationListFault::Malformed { detail: describe::printable(&detail.to_string()) }
}

fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, RevocationListFault> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) => Err(malformed("bytes after its end")),
        Err(error) => Err(malformed(error)),
    }
}

/// The only extensions of a plain, complete list are its number and the key of its issuer.
fn check_extensions(list: &CertificateRevocationList<'_>, issuer: &str) -> Result<(), RevocationListFault> {
    let partial = |kind| Err(RevocationListFault::Partial { issuer: issuer.into(), kind });
    for extension in list.extensions() {
        match &extension.oid {
            // RFC 5280 §5.2.5 and §5.2.4.
            oid if *oid == oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT => {
                return partial("for a part of the certificates or for others");
            }
            oid if *oid == DELTA_INDICATOR => return partial("of changes only"),
            // Those that we understand (§5.2.1, §5.2.3) are never critical, so a critical one is
            // either not understood or a defect.
            oid if extension.critical => {
                return Err(RevocationListFault::Critical { issuer: issuer.into(), oid: oid.to_id_string() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// id-ce-deltaCRLIndicator 2.5.29.27.
const DELTA_INDICATOR: Oid<'static> = Oid::new(std::borrow::Cow::Borrowed(&[0x55, 29, 27]));

fn number(list: &CertificateRevocationList<'_>, issuer: &str) -> Result<u64, RevocationListFault> {
    let numbers = list.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLNumber(number) => Some(number),
        _ => None,
    });
    match *numbers.collect::<Vec<_>>() {
        [number] => number.try_into().map_err(|_| RevocationListFault::NumberTooLarge { issuer: issuer.into() }),
        [] => Err(RevocationListFault::NoNumber { issuer: issuer.into() }),
        [..] => Err(malformed("it has two numbers")),
    }
}

/// Who issued it and what it lists, by the stricter of two parsers: the other one takes a damaged
/// entry for the end of the entries. They have to agree on how many there are.
fn entries(der: &[u8], list: &CertificateRevocationList<'_>) -> Result<(IssuerName, HashSet<Serial>), RevocationListFault> {
    let strict = BorrowedCertRevocationList::from_der(der).map_err(malformed)?;
    let (mut revoked, mut count) = (HashSet::new(), 0);
    for entry in &strict {
        revoked.insert(Serial::from_be_bytes(entry.map_err(malformed)?.serial_number));
        count += 1;
    }
    if count != list.iter_revoked_certificates().count() {
        return Err(malformed("its entries can be read in two ways"));
    }
    Ok((IssuerName::new(CertRevocationList::from(strict).issuer()), revoked))
}

/// The key of the issuer whose signature it is.
fn check_signature(
    list: &CertificateRevocationList<'_>,
    issuers: &[CertificateDer<'_>],
    issuer_text: &str,
) -> Result<Fingerprint, RevocationListFault> {
    let issuer = || issuer_text.to_owned();
    let algorithm = &list.signature_algorithm.algorithm;
    if !lint::signature_is_strong(algorithm) {
        return Err(RevocationListFault::WeakSignature { issuer: issuer(), algorithm: lint::oid_text(algorithm) });
    }
    let mut known = false;
    for der in issuers {
        let Ok(([], ca)) = X509Certificate::from_der(der) else { continue };
        if ca.subject().as_raw() != list.issuer().as_raw() || !may_sign_lists(&ca) {
            continue;
        }
        known = true;
        if list.verify_signature(ca.public_key()).is_ok() {
            return Ok(Fingerprint::of(ca.public_key().raw));
        }
    }
    Err(if known {
        RevocationListFault::BadSignature { issuer: issuer() }
    } else {
        RevocationListFault::UnknownIssuer { issuer: issuer() }
    })
}

/// RFC 5280 §6.3.3 (f): a CA whose key usage, if it has one, allows it; with a key that cannot be
/// guessed (row N14).
fn may_sign_lists(ca: &X509Certificate<'_>) -> bool {
    let allowed = match ca.key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.crl_sign(),
        Err(_) => false,
    };
    allowed && ca.is_ca() && lint::key_is_strong(ca)
}

/// Why a certificate was revoked (RFC 5280 §5.3.1), as far as we give reasons.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RevocationReason {
    /// Not told.
    #[default]
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// The holder left, or has another name now.
    AffiliationChanged,
    /// There is a newer certificate.
    Superseded,
    /// The server is gone.
    CessationOfOperation,
    /// The holder may no longer do what the certificate says.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    fn for_rcgen(self) -> Option<rcgen::RevocationReason> {
        match self {
            // "SHOULD be absent instead of using the unspecified (0) reasonCode value."
            Self::Unspecified => None,
            Self::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
            Self::AffiliationChanged => Some(rcgen::RevocationReason::AffiliationChanged),
            Self::Superseded => Some(rcgen::RevocationReason::Superseded),
            Self::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(rcgen::RevocationReason::PrivilegeWithdrawn),
        }
    }
}

/// One entry of a list that is to be signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevokedCertificate {
    /// Which one.
    pub serial: Serial,
    /// Since when.
    pub at: SystemTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Signs a complete list of the CA `ca`, whose key is `key`: number `number`, counted up by the
/// caller, good from `this_update` to `next_update`.
///
/// # Errors
/// The CA may not sign lists, or the key fails.
pub fn sign_revocation_list(
    ca: &CertificateDer<'_>,
    key: &impl SigningKey,
    revoked: &[RevokedCertificate],
    number: u64,
    this_update: SystemTime,
    next_update: SystemTime,
) -> Result<Vec<u8>, AuthorityFault> {
    let issuer = Issuer::from_ca_cert_der(ca, key)?;
    let entry = |revoked: &RevokedCertificate| RevokedCertParams {
        serial_number: SerialNumber::from_slice(revoked.serial.as_bytes()),
        revocation_time: whole_seconds(revoked.at),
        reason_code: revoked.reason.for_rcgen(),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: whole_seconds(this_update),
        next_update: whole_seconds(next_update),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: key_identifier(ca),
    };
    Ok(params.signed_by(&issuer)?.der().to_vec())
}

/// The CA's own key identifier, for the list's authority key identifier (RFC 5280 §5.2.1).
fn key_identifier(ca: &CertificateDer<'_>) -> KeyIdMethod {
    let found = X509Certificate::from_der(ca).ok().and_then(|(_, ca)| {
        ca.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    });
    found.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// Times in lists have no fractions.
fn whole_seconds(moment: SystemTime) -> OffsetDateTime {
    let moment = OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment)
}

/// How long a list counts by default: the longest outage of its CA that harms nobody.
pub const REVOCATION_LIST_VALIDITY: Duration = Duration::from_hours(4 * 24);
