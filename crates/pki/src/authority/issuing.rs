//! One issuing CA at work: for servers (and those who sign documents), or for users.

use std::time::{Duration, SystemTime};

use rcgen::Issuer;
use rustls_pki_types::CertificateDer;

use super::{
    Urls,
    files::{check_key, checked_validity, only_certificate},
};
use crate::{
    AuthorityFault, CaSigner, DOCUMENT_SIGNER_VALIDITY, Fingerprint, Fqdn, Issued, IssuerKind, Key, KeyFault, OCSP_SIGNER_VALIDITY,
    PinnedIssuer, PublicKey, REVOCATION_LIST_VALIDITY, RevokedCertificate, SERVER_VALIDITY, SecretPem, Serial, ServerNames, SipUser,
    USER_VALIDITY, certificates_to_pem,
    describe::{lists_purpose, permitted_names},
    profile::{self, Validity},
    purpose, sign_revocation_list,
};

/// An issuing CA and its key. What it may issue is in its certificate, so nobody has to believe its word.
#[derive(Debug)]
pub struct IssuingAuthority {
    kind: IssuerKind,
    certificate: CertificateDer<'static>,
    key: CaSigner,
    domains: Vec<Fqdn>,
    signs_documents: bool,
    urls: Option<Urls>,
    /// What is sent behind its own certificate while the root is replaced.
    cross: Vec<CertificateDer<'static>>,
}

impl IssuingAuthority {
    /// This CA with this key. The domains are read back from its name constraints.
    pub fn of(kind: IssuerKind, certificate: CertificateDer<'static>, key: CaSigner) -> Result<Self, AuthorityFault> {
        check_key(which(kind), &certificate, key.public())?;
        let allows = |oid: &[u8]| lists_purpose(&certificate, oid);
        let needed = match kind {
            IssuerKind::Servers => purpose::SERVER_AUTH,
            IssuerKind::Users => purpose::CLIENT_AUTH,
        };
        // Server trust must never include the CA of users.
        let too_much = kind == IssuerKind::Users && (allows(purpose::SERVER_AUTH) || allows(purpose::DOCUMENTS));
        if !allows(needed) || too_much {
            return Err(AuthorityFault::WrongKind { wanted: kind });
        }
        let domains = permitted_names(&certificate).ok_or(AuthorityFault::Foreign { which: which(kind) })?;
        let signs_documents = allows(purpose::DOCUMENTS);
        Ok(Self { kind, certificate, key, domains, signs_documents, urls: None, cross: Vec::new() })
    }

    /// The CA as its files have it.
    pub fn load(kind: IssuerKind, certificate: &str, key: &str) -> Result<Self, AuthorityFault> {
        Self::load_with(kind, certificate, Key::from_pem(key)?.into())
    }

    /// The CA with a key that lies elsewhere.
    pub fn load_with(kind: IssuerKind, certificate: &str, key: CaSigner) -> Result<Self, AuthorityFault> {
        Self::of(kind, only_certificate(which(kind), certificate)?, key)
    }

    /// The same CA, whose certificates say where its revocation list and its OCSP responder are.
    #[must_use]
    pub fn with_urls(mut self, urls: Option<Urls>) -> Self {
        self.urls = urls;
        self
    }

    /// The same CA, which sends these certificates behind its own: link certificates for those who
    /// trust the other root only.
    #[must_use]
    pub fn with_cross(mut self, cross: Vec<CertificateDer<'static>>) -> Self {
        self.cross = cross;
        self
    }

    /// Whom it issues for.
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        certificates_to_pem([&self.certificate])
    }

    /// Its private key in PEM, if it is one that can be shown.
    pub fn key_pem(&self) -> Result<SecretPem, KeyFault> {
        self.key.to_pem()
    }

    /// The domains that it may issue for.
    pub fn domains(&self) -> &[Fqdn] {
        &self.domains
    }

    /// Whether it may vouch for who signs documents. Those made before there were documents may not.
    pub fn signs_documents(&self) -> bool {
        self.signs_documents
    }

    /// How members pin it.
    pub fn pinned(&self) -> PinnedIssuer {
        PinnedIssuer { fingerprint: Fingerprint::of(&self.certificate), kind: self.kind }
    }

    /// Issues a server's certificate for a key whose private half stays where it was made.
    pub fn issue_server(&self, names: &ServerNames, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.check_kind(IssuerKind::Servers)?;
        names.dns().iter().try_for_each(|name| self.check_within(name, name))?;
        let (serial, validity) = self.next(now, SERVER_VALIDITY)?;
        let mut shown: Vec<_> = names.dns().iter().map(Fqdn::to_string).collect();
        shown.extend(names.domains.iter().map(|domain| format!("sip:{domain}")));
        self.issue(profile::server(names, &serial, validity)?, key, serial, validity, shown)
    }

    /// Issues a user's certificate (sign-in without a password).
    pub fn issue_user(&self, user: &SipUser, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.check_kind(IssuerKind::Users)?;
        self.check_within(user.domain(), user)?;
        let (serial, validity) = self.next(now, USER_VALIDITY)?;
        self.issue(profile::user(user, &serial, validity)?, key, serial, validity, vec![user.to_string()])
    }

    /// Issues the certificate of who signs the organisation's documents. It names the authority's server too.
    pub fn issue_document_signer(&self, server: &Fqdn, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.check_kind(IssuerKind::Servers)?;
        self.check_within(server, server)?;
        if !self.signs_documents {
            return Err(AuthorityFault::NoDocuments);
        }
        let (serial, validity) = self.next(now, DOCUMENT_SIGNER_VALIDITY)?;
        let names = vec![server.to_string(), profile::DOCUMENTS_ROLE.to_owned()];
        self.issue(profile::documents(server, &serial, validity)?, key, serial, validity, names)
    }

    /// Issues the certificate of who answers OCSP requests about this CA's certificates (RFC 6960 §4.2.2.2).
    pub fn issue_ocsp_signer(&self, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        let (serial, validity) = self.next(now, OCSP_SIGNER_VALIDITY)?;
        self.issue(profile::ocsp_signer(&serial, validity), key, serial, validity, vec![])
    }

    /// Signs this CA's list of revoked certificates: number `number`, counted up by the caller, good for
    /// [`REVOCATION_LIST_VALIDITY`].
    pub fn revocation_list(&self, revoked: &[RevokedCertificate], number: u64, now: SystemTime) -> Result<Vec<u8>, AuthorityFault> {
        self.revocation_list_until(revoked, number, now, now + REVOCATION_LIST_VALIDITY)
    }

    /// The same, good until another moment.
    pub fn revocation_list_until(
        &self,
        revoked: &[RevokedCertificate],
        number: u64,
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<Vec<u8>, AuthorityFault> {
        sign_revocation_list(&self.certificate, &self.key, revoked, number, this_update, next_update)
    }

    fn next(&self, now: SystemTime, length: Duration) -> Result<(Serial, Validity), AuthorityFault> {
        Ok((Serial::generate()?, checked_validity("the issuing CA", &self.certificate, now, length)?))
    }

    fn issue(
        &self,
        mut params: rcgen::CertificateParams,
        key: &PublicKey,
        serial: Serial,
        validity: Validity,
        names: Vec<String>,
    ) -> Result<Issued, AuthorityFault> {
        if let Some(urls) = &self.urls {
            profile::add_places(&mut params, urls.places(&self.certificate));
        }
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        let certificate = params.signed_by(&key.for_issuing()?, &issuer)?.der().clone();
        let above = std::iter::once(&self.certificate).chain(&self.cross).cloned();
        Ok(Issued {
            chain: std::iter::once(certificate).chain(above).collect(),
            serial,
            not_before: validity.not_before.into(),
            not_after: validity.not_after.into(),
            names,
        })
    }

    fn check_kind(&self, wanted: IssuerKind) -> Result<(), AuthorityFault> {
        if self.kind == wanted { Ok(()) } else { Err(AuthorityFault::WrongKind { wanted }) }
    }

    fn check_within(&self, name: &Fqdn, asked: &dyn std::fmt::Display) -> Result<(), AuthorityFault> {
        if self.domains.iter().any(|domain| name.is_within(domain)) {
            return Ok(());
        }
        let domains = self.domains.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ");
        Err(AuthorityFault::OutsideDomains { name: asked.to_string(), domains })
    }
}

/// How its files are called.
pub(crate) fn which(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::Servers => "issuing",
        IssuerKind::Users => "user CA's",
    }
}
