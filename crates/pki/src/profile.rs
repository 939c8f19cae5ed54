//! What our certificates look like: one profile each for servers and users.
//!
//! Subject alternative names only; the common name repeats the first name for people and tools
//! and is believed by nobody here. No IP address, no wildcard.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku,
    IsCa, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber, string::Ia5String,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{AuthorityFault, Fqdn, IssuerKind, Purpose, Serial, SipUser, certificates_to_pem, der, describe, purpose};

/// How far the start of every certificate lies before its making: clocks of members differ.
pub const BACKDATE: Duration = Duration::from_mins(10);
/// How long a server's certificate lasts.
pub const SERVER_VALIDITY: Duration = Duration::from_hours(7 * 24);
/// How long a user's certificate lasts.
pub const USER_VALIDITY: Duration = Duration::from_hours(30 * 24);
/// How long the certificate of a document signer lasts.
pub const DOCUMENT_SIGNER_VALIDITY: Duration = Duration::from_hours(90 * 24);
/// How long the certificate of an OCSP responder lasts. It cannot be revoked, so not long (RFC 6960 §4.2.2.2.1).
pub const OCSP_SIGNER_VALIDITY: Duration = Duration::from_hours(7 * 24);
/// What a document signer is, as a URI among its names.
pub(crate) const DOCUMENTS_ROLE: &str = "urn:verbund:role:documents";
/// id-kp-sipDomain (RFC 5924 §3).
const ID_KP_SIP_DOMAIN: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 20];
/// The longest common name (RFC 5280 appendix A.1, ub-common-name).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// The names a server's certificate shall bear. They come from the topology, never from a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerNames {
    /// The server itself. Becomes the common name too.
    pub server: Fqdn,
    /// Further host names: its pool, its web names.
    pub aliases: Vec<Fqdn>,
    /// SIP domains that it serves to clients: each as DNS name and as `sip:domain` URI (RFC 5922 §7.1).
    pub domains: Vec<Fqdn>,
}

impl ServerNames {
    /// Every DNS name, the server's first, none twice.
    pub fn dns(&self) -> Vec<Fqdn> {
        let mut all = vec![self.server.clone()];
        for name in self.aliases.iter().chain(&self.domains) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }
}

/// A certificate that was just issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// The certificate, then the issuing CA's: what a server sends in its handshakes.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its serial number.
    pub serial: Serial,
    /// When it starts to count.
    pub not_before: SystemTime,
    /// When it stops to count.
    pub not_after: SystemTime,
    /// Its subject alternative names, as text.
    pub names: Vec<String>,
}

impl Issued {
    /// The chain in PEM.
    pub fn chain_pem(&self) -> String {
        certificates_to_pem(&self.chain)
    }
}

/// When a certificate is to be replaced: at half of its life.
pub fn renew_at(not_before: SystemTime, not_after: SystemTime) -> SystemTime {
    not_before + not_after.duration_since(not_before).unwrap_or_default() / 2
}

/// From when until when something counts, in whole seconds as certificates have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

impl Validity {
    /// From a little before `now`, for `length`.
    pub(crate) fn starting(now: SystemTime, length: Duration) -> Self {
        let now = OffsetDateTime::from(now).replace_nanosecond(0).unwrap_or(OffsetDateTime::from(now));
        Self { not_before: now - BACKDATE, not_after: now + length }
    }

    /// Not beyond the life of what vouches for it.
    pub(crate) fn within(self, issuer: Self) -> Self {
        Self { not_before: self.not_before.max(issuer.not_before), not_after: self.not_after.min(issuer.not_after) }
    }
}

/// The self-signed root.
pub(crate) fn root(common_name: &str, organisation: &str, serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = base(Some(common_name), Some(organisation), serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    params
}

/// An issuing CA: no CA below it, names of the organisation only, no IP address at all, and the purposes of
/// those it issues for.
pub(crate) fn issuing(
    common_name: &str,
    organisation: &str,
    kind: IssuerKind,
    domains: &[Fqdn],
    serial: &Serial,
    validity: Validity,
) -> CertificateParams {
    let mut params = base(Some(common_name), Some(organisation), serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let purposes: &[&[u8]] = match kind {
        IssuerKind::Servers => {
            &[purpose::SERVER_AUTH, purpose::CLIENT_AUTH, purpose::SIP_DOMAIN, purpose::OCSP_SIGNING, purpose::DOCUMENTS]
        }
        IssuerKind::Users => &[purpose::CLIENT_AUTH, purpose::OCSP_SIGNING],
    };
    params.custom_extensions = vec![purpose::extension(purposes), name_constraints(domains)];
    params
}

/// Another root under its own name, vouched for by ours.
pub(crate) fn cross(other: &CertificateDer<'_>, serial: &Serial, validity: Validity) -> Result<CertificateParams, AuthorityFault> {
    let malformed = || AuthorityFault::Foreign { which: "root" };
    let (_, parsed) = X509Certificate::from_der(other).map_err(|_| malformed())?;
    let mut params = base(None, None, serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Path building compares names octet by octet, so only a name that is written as ours can be repeated.
    for attribute in parsed.subject().iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(malformed)?.collect();
        params.distinguished_name.push(DnType::from_oid(&oid), attribute.as_str().map_err(|_| malformed())?);
    }
    // The key's own identifier, as those whom it signed have it.
    if let Some(id) = describe::subject_key_identifier(&parsed) {
        params.key_identifier_method = KeyIdMethod::PreSpecified(id);
    }
    Ok(params)
}

/// Where to learn more about an issuer.
pub(crate) struct Places {
    /// Its revocation list (RFC 5280 §4.2.1.13).
    pub(crate) list: String,
    /// Its OCSP responder (§4.2.2.1), if it has one.
    pub(crate) ocsp: Option<String>,
    /// Its certificate (§4.2.2.1).
    pub(crate) certificate: String,
}

/// Writes into a certificate where to learn more about its issuer.
pub(crate) fn add_places(params: &mut CertificateParams, places: Places) {
    const AUTHORITY_INFO_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
    /// id-ad-ocsp and id-ad-caIssuers.
    const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let Places { list, ocsp, certificate } = places;
    let access = |oid: &[u8], url: &str| {
        let both = [der::element(der::OBJECT_IDENTIFIER, oid), der::element(der::URI, url.as_bytes())].concat();
        der::element(der::SEQUENCE, &both)
    };
    let accesses = ocsp.map_or_else(Vec::new, |ocsp| access(OCSP, &ocsp));
    let accesses = [accesses, access(CA_ISSUERS, &certificate)].concat();
    params.custom_extensions.push(CustomExtension::from_oid_content(AUTHORITY_INFO_ACCESS, der::element(der::SEQUENCE, &accesses)));
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![list] }];
}

/// Names of these domains only, no IP address (RFC 5280 §4.2.1.10).
///
/// Not marked critical, against the RFC's word and on purpose: Mbed TLS (the library of Linphone)
/// does not know the extension and drops every CA that has it marked, so it would refuse our
/// servers. Whoever knows it (webpki, OpenSSL, GnuTLS) enforces it either way.
fn name_constraints(domains: &[Fqdn]) -> CustomExtension {
    const ID_CE_NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
    let subtree = |tag, base: &[u8]| der::element(der::SEQUENCE, &der::element(tag, base));
    let permitted: Vec<u8> = domains.iter().flat_map(|domain| subtree(der::DNS_NAME, domain.as_str().as_bytes())).collect();
    // An address of zeros under a mask of zeros is every address.
    let excluded = [subtree(der::IP_ADDRESS, &[0; 8]), subtree(der::IP_ADDRESS, &[0; 32])].concat();
    // NameConstraints: `[0]` and `[1] GeneralSubtrees`.
    let both = [der::element(der::CONTEXT_0, &permitted), der::element(der::CONTEXT_1, &excluded)].concat();
    CustomExtension::from_oid_content(ID_CE_NAME_CONSTRAINTS, der::element(der::SEQUENCE, &both))
}

/// A server: both purposes, since servers are clients of each other; one that serves SIP domains says so
/// (RFC 5924).
pub(crate) fn server(names: &ServerNames, serial: &Serial, validity: Validity) -> Result<CertificateParams, AuthorityFault> {
    let mut params = leaf(Some(names.server.as_str()), serial, validity);
    params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
    if !names.domains.is_empty() {
        params.extended_key_usages.push(Eku::Other(ID_KP_SIP_DOMAIN.to_vec()));
    }
    for name in names.dns() {
        params.subject_alt_names.push(SanType::DnsName(ia5(name.as_str())?));
    }
    for domain in &names.domains {
        params.subject_alt_names.push(SanType::URI(ia5(&format!("sip:{domain}"))?));
    }
    Ok(params)
}

/// A user or a user's device: may sign in, is no server.
pub(crate) fn user(user: &SipUser, serial: &Serial, validity: Validity) -> Result<CertificateParams, AuthorityFault> {
    let uri = user.to_string();
    let mut params = leaf(uri.strip_prefix("sip:"), serial, validity);
    params.extended_key_usages = vec![Eku::ClientAuth];
    params.subject_alt_names.push(SanType::URI(ia5(&uri)?));
    Ok(params)
}

/// Who signs the organisation's documents: no server and no user.
pub(crate) fn documents(server: &Fqdn, serial: &Serial, validity: Validity) -> Result<CertificateParams, AuthorityFault> {
    let mut params = leaf(Some("Document signer"), serial, validity);
    params.custom_extensions.push(Purpose::extension(&[Purpose::Documents]));
    params.subject_alt_names = vec![SanType::DnsName(ia5(server.as_str())?), SanType::URI(ia5(DOCUMENTS_ROLE)?)];
    Ok(params)
}

/// Who answers for an issuing CA whether a certificate was revoked. Nobody asks whether he himself was:
/// RFC 6960 §4.2.2.2.1, hence his short life.
pub(crate) fn ocsp_signer(serial: &Serial, validity: Validity) -> CertificateParams {
    const ID_PKIX_OCSP_NOCHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
    let mut params = leaf(Some("OCSP responder"), serial, validity);
    params.extended_key_usages = vec![Eku::OcspSigning];
    params.custom_extensions.push(CustomExtension::from_oid_content(ID_PKIX_OCSP_NOCHECK, der::element(der::NULL, &[])));
    params
}

fn leaf(common_name: Option<&str>, serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = base(common_name, None, serial, validity);
    // Written out as "no CA"; rcgen adds the subject key identifier with it.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn base(common_name: Option<&str>, organisation: Option<&str>, serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    if let Some(name) = common_name.filter(|name| name.chars().count() <= COMMON_NAME_CHARS_MAX) {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.use_authority_key_identifier_extension = true;
    params
}

fn ia5(text: &str) -> Result<Ia5String, AuthorityFault> {
    Ia5String::try_from(text).map_err(|error| AuthorityFault::NotIssued(error.to_string()))
}
