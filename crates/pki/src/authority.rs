//! The enterprise CA: a root that may stay offline, and the issuing CA that works.
//!
//! What goes into a certificate is in `profile`; who may have one is for the caller to decide,
//! who takes the names from the topology.

use std::time::{Duration, SystemTime};

use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::{
    Anchors, DOCUMENT_SIGNER_VALIDITY, Fingerprint, Fqdn, Issued, IssuerKind, Key, KeyFault, NoRandomness, PemFault, PinnedIssuer,
    PublicKey, RevokedCertificate, SERVER_VALIDITY, SecretPem, Serial, ServerNames, SipUser, USER_VALIDITY, certificates_from_pem,
    certificates_to_pem,
    describe::{CertificateFacts, facts, permitted_names, rfc3339, signed_by},
    profile::{self, Validity},
    sign_revocation_list,
};

/// How long a root lasts.
pub const ROOT_VALIDITY: Duration = Duration::from_hours(20 * 365 * 24);
/// How long an issuing CA lasts.
pub const ISSUING_VALIDITY: Duration = Duration::from_hours(3 * 365 * 24);
/// The longest name of an organisation, so that every common name made of it fits.
const ORGANISATION_CHARS_MAX: usize = 40;

/// Why the CA could not be made, loaded, or did not issue.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthorityFault {
    /// No name of an organisation.
    #[error("the organisation's name needs 1 to {ORGANISATION_CHARS_MAX} printable characters")]
    Organisation,
    /// An issuing CA without a domain could issue for anybody.
    #[error("an issuing CA needs at least one domain that it may issue for")]
    NoDomain,
    /// A name that the CA may not issue for.
    #[error("{name} lies outside the domains of this CA ({domains}); a CA for that domain has to be made first")]
    OutsideDomains {
        /// The name asked for.
        name: String,
        /// What the CA may issue for.
        domains: String,
    },
    /// The clock is wrong, or the CA has had its time.
    #[error("{what} counts from {not_before} to {not_after} and the clock says {now}; set the clock, or make a new CA")]
    NotValidNow {
        /// The certificate meant.
        what: String,
        /// Its start.
        not_before: String,
        /// Its end.
        not_after: String,
        /// Our time.
        now: String,
    },
    /// A certificate file of the CA is not usable.
    #[error("the {which} certificate is unusable: {fault}; restore it from a backup")]
    Pem {
        /// Which of the two.
        which: &'static str,
        /// What is wrong.
        fault: PemFault,
    },
    /// A certificate that is no certificate or not the CA we expect there.
    #[error("the {which} certificate is not one of a CA made here; restore it from a backup")]
    Foreign {
        /// Which of the two.
        which: &'static str,
    },
    /// The key file belongs to another certificate.
    #[error("the {which} key does not belong to the {which} certificate; restore both from one backup")]
    KeyMismatch {
        /// Which of the two.
        which: &'static str,
    },
    /// A key is unusable.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The library below refused.
    #[error("the certificate could not be made: {0}")]
    NotIssued(String),
}

impl From<rcgen::Error> for AuthorityFault {
    fn from(error: rcgen::Error) -> Self {
        Self::NotIssued(error.to_string())
    }
}

/// The root: what every member and every phone trusts. It signs issuing CAs and nothing else, so
/// its key may lie in a safe.
#[derive(Debug)]
pub struct Root {
    certificate: CertificateDer<'static>,
    key: Key,
}

impl Root {
    /// A new root for an organisation.
    pub fn create(organisation: &str, now: SystemTime) -> Result<Self, AuthorityFault> {
        check_organisation(organisation)?;
        let key = Key::generate()?;
        let name = format!("{organisation} Root CA {}", OffsetDateTime::from(now).year());
        let params = profile::root(&name, organisation, &Serial::generate()?, Validity::starting(now, ROOT_VALIDITY));
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, key })
    }

    /// The root as its files have it.
    pub fn load(certificate: &str, key: &str) -> Result<Self, AuthorityFault> {
        let certificate = only_certificate("root", certificate)?;
        let key = Key::from_pem(key)?;
        check_key("root", &certificate, &key)?;
        Ok(Self { certificate, key })
    }

    /// The certificate in PEM: what phones get.
    pub fn certificate_pem(&self) -> String {
        certificates_to_pem([&self.certificate])
    }

    /// The private key in PEM.
    pub fn key_pem(&self) -> Result<SecretPem, KeyFault> {
        self.key.to_pem()
    }

    /// Signs the root's list of revoked issuing CAs: number `number`, counted up by the caller.
    pub fn revocation_list(
        &self,
        revoked: &[RevokedCertificate],
        number: u64,
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<Vec<u8>, AuthorityFault> {
        sign_revocation_list(&self.certificate, &self.key, revoked, number, this_update, next_update)
    }

    /// Makes the issuing CA number `generation` of this year, which may name hosts and users of
    /// `domains` only. No two may have the same number in a year: equal names of different keys
    /// break path building.
    pub fn issue_authority(
        &self,
        organisation: &str,
        generation: u16,
        domains: &[Fqdn],
        now: SystemTime,
    ) -> Result<Authority, AuthorityFault> {
        check_organisation(organisation)?;
        if domains.is_empty() {
            return Err(AuthorityFault::NoDomain);
        }
        let key = Key::generate()?;
        let name = format!("{organisation} Issuing CA {}-{generation}", OffsetDateTime::from(now).year());
        let validity = checked_validity("the root", &self.certificate, now, ISSUING_VALIDITY)?;
        let params = profile::issuing(&name, organisation, domains, &Serial::generate()?, validity);
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        let issuing = params.signed_by(&key, &issuer)?.der().clone();
        let anchors = anchors(&self.certificate)?;
        Ok(Authority { root: self.certificate.clone(), anchors, issuing, key, domains: domains.to_vec() })
    }
}

/// The issuing CA at work, with the root's certificate above it (not the root's key).
#[derive(Debug)]
pub struct Authority {
    root: CertificateDer<'static>,
    /// The root once more, as one who believes it.
    anchors: Anchors,
    issuing: CertificateDer<'static>,
    key: Key,
    domains: Vec<Fqdn>,
}

impl Authority {
    /// A new enterprise CA: a root and its first issuing CA.
    pub fn create(organisation: &str, domains: &[Fqdn], now: SystemTime) -> Result<(Root, Self), AuthorityFault> {
        let root = Root::create(organisation, now)?;
        let authority = root.issue_authority(organisation, 1, domains, now)?;
        Ok((root, authority))
    }

    /// The CA as its files have it. The domains are read back from its name constraints.
    pub fn load(root: &str, issuing: &str, issuing_key: &str) -> Result<Self, AuthorityFault> {
        let root = only_certificate("root", root)?;
        let anchors = anchors(&root)?;
        let issuing = only_certificate("issuing", issuing)?;
        let key = Key::from_pem(issuing_key)?;
        check_key("issuing", &issuing, &key)?;
        if !signed_by(&issuing, &root) {
            return Err(AuthorityFault::Foreign { which: "issuing" });
        }
        let domains = permitted_names(&issuing).ok_or(AuthorityFault::Foreign { which: "issuing" })?;
        Ok(Self { root, anchors, issuing, key, domains })
    }

    /// The root's certificate in PEM: what phones get.
    pub fn root_pem(&self) -> String {
        certificates_to_pem([&self.root])
    }

    /// The issuing CA's certificate in PEM.
    pub fn issuing_pem(&self) -> String {
        certificates_to_pem([&self.issuing])
    }

    /// The issuing CA's private key in PEM.
    pub fn key_pem(&self) -> Result<SecretPem, KeyFault> {
        self.key.to_pem()
    }

    /// The root's certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The issuing CA's certificate.
    pub fn issuing(&self) -> &CertificateDer<'static> {
        &self.issuing
    }

    /// The domains that it may issue for.
    pub fn domains(&self) -> &[Fqdn] {
        &self.domains
    }

    /// What its members believe: the root.
    pub fn anchors(&self) -> Anchors {
        self.anchors.clone()
    }

    /// Issues a server's certificate for a key whose private half stays where it was made.
    pub fn issue_server(&self, names: &ServerNames, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        names.dns().iter().try_for_each(|name| self.check_within(name, name))?;
        let (serial, validity) = self.next(now, SERVER_VALIDITY)?;
        let mut shown: Vec<_> = names.dns().iter().map(Fqdn::to_string).collect();
        shown.extend(names.domains.iter().map(|domain| format!("sip:{domain}")));
        self.issue(&profile::server(names, &serial, validity)?, key, serial, validity, shown)
    }

    /// Issues a user's certificate (sign-in without a password).
    pub fn issue_user(&self, user: &SipUser, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.check_within(user.domain(), user)?;
        let (serial, validity) = self.next(now, USER_VALIDITY)?;
        self.issue(&profile::user(user, &serial, validity)?, key, serial, validity, vec![user.to_string()])
    }

    /// Signs the issuing CA's list of revoked certificates: number `number`, counted up by the caller.
    pub fn revocation_list(
        &self,
        revoked: &[RevokedCertificate],
        number: u64,
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<Vec<u8>, AuthorityFault> {
        sign_revocation_list(&self.issuing, &self.key, revoked, number, this_update, next_update)
    }

    /// The issuing CAs that members shall believe, and what for.
    pub fn pinned(&self) -> Vec<PinnedIssuer> {
        let fingerprint = Fingerprint::of(&self.issuing);
        [IssuerKind::Servers, IssuerKind::Users].map(|kind| PinnedIssuer { fingerprint, kind }).to_vec()
    }

    /// Issues the certificate of who signs the organisation's documents. It names the authority's server too.
    pub fn issue_document_signer(&self, server: &Fqdn, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.check_within(server, server)?;
        let (serial, validity) = self.next(now, DOCUMENT_SIGNER_VALIDITY)?;
        self.issue(&profile::documents(server, &serial, validity)?, key, serial, validity, vec![server.to_string()])
    }

    fn next(&self, now: SystemTime, length: Duration) -> Result<(Serial, Validity), AuthorityFault> {
        Ok((Serial::generate()?, checked_validity("the issuing CA", &self.issuing, now, length)?))
    }

    fn issue(
        &self,
        params: &rcgen::CertificateParams,
        key: &PublicKey,
        serial: Serial,
        validity: Validity,
        names: Vec<String>,
    ) -> Result<Issued, AuthorityFault> {
        let issuer = Issuer::from_ca_cert_der(&self.issuing, &self.key)?;
        let certificate = params.signed_by(&key.for_issuing()?, &issuer)?.der().clone();
        Ok(Issued {
            chain: vec![certificate, self.issuing.clone()],
            serial,
            not_before: validity.not_before.into(),
            not_after: validity.not_after.into(),
            names,
        })
    }

    fn check_within(&self, name: &Fqdn, asked: &dyn std::fmt::Display) -> Result<(), AuthorityFault> {
        if self.domains.iter().any(|domain| name.is_within(domain)) {
            return Ok(());
        }
        let domains = self.domains.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
        Err(AuthorityFault::OutsideDomains { name: asked.to_string(), domains })
    }
}

fn check_organisation(name: &str) -> Result<(), AuthorityFault> {
    let fits = (1..=ORGANISATION_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.trim().is_empty() && !name.chars().any(char::is_control) { Ok(()) } else { Err(AuthorityFault::Organisation) }
}

fn only_certificate(which: &'static str, pem: &str) -> Result<CertificateDer<'static>, AuthorityFault> {
    let mut all = certificates_from_pem(pem).map_err(|fault| AuthorityFault::Pem { which, fault })?;
    match all.pop() {
        Some(certificate) if all.is_empty() => Ok(certificate),
        Some(_) | None => Err(AuthorityFault::Foreign { which }),
    }
}

fn anchors(root: &CertificateDer<'static>) -> Result<Anchors, AuthorityFault> {
    Anchors::of([root.clone()]).map_err(|_| AuthorityFault::Foreign { which: "root" })
}

fn check_key(which: &'static str, certificate: &CertificateDer<'_>, key: &Key) -> Result<(), AuthorityFault> {
    let facts = ca_facts(which, certificate)?;
    if facts.public_key == key.public().as_der() { Ok(()) } else { Err(AuthorityFault::KeyMismatch { which }) }
}

fn ca_facts(which: &'static str, certificate: &CertificateDer<'_>) -> Result<CertificateFacts, AuthorityFault> {
    facts(certificate).filter(|facts| facts.is_ca).ok_or(AuthorityFault::Foreign { which })
}

/// The validity of something issued now, inside that of the issuer; a fault if the issuer itself
/// does not count now.
fn checked_validity(what: &str, issuer: &CertificateDer<'_>, now: SystemTime, length: Duration) -> Result<Validity, AuthorityFault> {
    let facts = ca_facts("issuing", issuer)?;
    if now < facts.not_before || now > facts.not_after {
        return Err(AuthorityFault::NotValidNow {
            what: what.into(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
            now: rfc3339(now),
        });
    }
    let issuer = Validity { not_before: facts.not_before.into(), not_after: facts.not_after.into() };
    Ok(Validity::starting(now, length).within(issuer))
}
