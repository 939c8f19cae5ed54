//! What a certificate says, for people and for records. Nothing here is a check: who wants to
//! believe a certificate calls [`verify`](crate::verify()).

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{self, Oid},
    prelude::FromDer,
    x509::X509Name,
};

use crate::{Fingerprint, Fqdn, Serial, der, purpose};

/// The longest text taken out of a stranger's certificate, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// The readable content of one certificate, checked by nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Whom it names as holder (control characters are escaped).
    pub subject: String,
    /// Whom it names as issuer.
    pub issuer: String,
    /// Its serial number.
    pub serial: Serial,
    /// Start of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// Subject alternative names: DNS names and URIs as they stand, other kinds with their kind.
    pub names: Vec<String>,
    /// Purposes (extended key usage), as words or object identifiers.
    pub purposes: Vec<String>,
    /// Whether it says to be a CA.
    pub is_ca: bool,
    /// The public key's algorithm and size, like `P-256` or `RSA 2048`.
    pub key: String,
    /// SHA-256 of the whole.
    pub fingerprint: Fingerprint,
    /// SubjectPublicKeyInfo in DER.
    pub(crate) public_key: Vec<u8>,
}

impl CertificateFacts {
    /// SHA-256 of its public key (SubjectPublicKeyInfo in DER), by which a CA's revocation list is found.
    pub fn public_key_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key)
    }
}

/// Reads one certificate; `None` if it is none.
pub fn facts(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(CertificateFacts {
        subject: name_text(certificate.subject()),
        issuer: name_text(certificate.issuer()),
        serial: Serial::from_be_bytes(certificate.raw_serial()),
        not_before: system_time(certificate.validity().not_before.timestamp()),
        not_after: system_time(certificate.validity().not_after.timestamp()),
        names: alternative_names(&certificate),
        purposes: purposes(&certificate),
        is_ca: certificate.is_ca(),
        key: crate::lint::key_text(&certificate),
        fingerprint: Fingerprint::of(der),
        public_key: certificate.public_key().raw.to_vec(),
    })
}

/// The organisation that a certificate names as its holder (X.520 `O`).
pub fn organisation_of(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_organization().next()?.as_str().ok()?;
    Some(name.to_owned())
}

/// A distinguished name in one line.
pub(crate) fn name_text(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

/// A stranger's text, short and harmless in a log.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().take(TEXT_CHARS_MAX) {
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

/// A moment as RFC 3339 has it, in UTC and whole seconds.
pub fn rfc3339(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_else(|_| moment.unix_timestamp().to_string())
}

/// Reads a moment as RFC 3339 has it; `None` if it is none.
pub fn moment(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// A moment from seconds since 1970, which may be negative.
pub(crate) fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(distance) } else { SystemTime::UNIX_EPOCH.checked_add(distance) };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => printable(name),
        other => printable(&other.to_string()),
    };
    extension.value.general_names.iter().map(text).collect()
}

/// How the purpose "any" (RFC 5280 §4.2.1.12) is called.
pub(crate) const ANY_PURPOSE: &str = "any";

/// The purposes a certificate lists; empty when it has no such extension.
pub(crate) fn purposes(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.extended_key_usage() else {
        return Vec::new();
    };
    let usage = extension.value;
    let known = [
        (usage.any, ANY_PURPOSE),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let known = known.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned());
    let ours = |oid: &Oid<'_>| match oid.as_bytes() {
        purpose::SIP_DOMAIN => "sipDomain".to_owned(),
        purpose::DOCUMENTS => "documents".to_owned(),
        _ => oid.to_id_string(),
    };
    known.chain(usage.other.iter().map(ours)).collect()
}

/// Whether a certificate lists this purpose (content octets of its object identifier).
pub(crate) fn lists_purpose(der: &CertificateDer<'_>, purpose: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let list = certificate.extensions().iter().find(|extension| extension.oid == oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE);
    let Some((mut rest, _)) = list.and_then(|list| der::take(der::SEQUENCE, list.value)) else { return false };
    while let Some((found, after)) = der::take(der::OBJECT_IDENTIFIER, rest) {
        if found == purpose {
            return true;
        }
        rest = after;
    }
    false
}

/// The dNSName subtrees a CA is limited to; `None` without any, since such a CA is not ours.
pub(crate) fn permitted_names(der: &CertificateDer<'_>) -> Option<Vec<Fqdn>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let constraints = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => Some(constraints),
        _ => None,
    })?;
    let names = constraints.permitted_subtrees.iter().flatten().map(|subtree| match subtree.base {
        GeneralName::DNSName(name) => Fqdn::parse_exact(name).ok(),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

/// Whether the signature on `der` is that of the key in `issuer`.
pub(crate) fn signed_by(der: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Ok((_, certificate)), Ok((_, issuer))) = (X509Certificate::from_der(der), X509Certificate::from_der(issuer)) else {
        return false;
    };
    certificate.issuer().as_raw() == issuer.subject().as_raw() && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// The identifier that a CA gives its key (RFC 5280 §4.2.1.2).
pub(crate) fn subject_key_identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}
