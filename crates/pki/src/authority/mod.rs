//! The enterprise CA: a root that may stay offline, and the issuing CAs that work, one for servers and
//! one for users.
//!
//! What goes into a certificate is in `profile`; who may have one is for the caller to decide,
//! who takes the names from the topology.

mod fault;
mod files;
mod issuing;
mod root;
mod urls;

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::{
    Anchors, Fqdn, Issued, IssuerKind, KeyFault, PinnedIssuer, PublicKey, RevocationList, RevocationLists, RevokedCertificate, SecretPem,
    ServerNames, SipUser, certificates_to_pem, describe::signed_by,
};

pub use fault::AuthorityFault;
pub use issuing::IssuingAuthority;
pub use root::{ISSUING_VALIDITY, IssuingPlan, ROOT_LIST_VALIDITY, ROOT_VALIDITY, Root, check_link};
pub use urls::Urls;

/// The issuing CAs at work, with the root's certificate above them (not the root's key).
#[derive(Debug)]
pub struct Authority {
    root: CertificateDer<'static>,
    /// The root once more, as one who believes it.
    anchors: Anchors,
    servers: IssuingAuthority,
    /// Missing in organisations that were made before there was one.
    users: Option<IssuingAuthority>,
}

impl Authority {
    /// A new enterprise CA: a root and its first issuing CAs.
    pub fn create(organisation: &str, domains: &[Fqdn], now: SystemTime) -> Result<(Root, Self), AuthorityFault> {
        let root = Root::create(organisation, now)?;
        let authority = root.issue_authority(organisation, 1, domains, now)?;
        Ok((root, authority))
    }

    /// These issuing CAs below this root.
    pub fn of(root: CertificateDer<'static>, servers: IssuingAuthority, users: Option<IssuingAuthority>) -> Result<Self, AuthorityFault> {
        let anchors = files::anchors(&root)?;
        let all = [(IssuerKind::Servers, Some(&servers)), (IssuerKind::Users, users.as_ref())];
        for (kind, ca) in all.into_iter().filter_map(|(kind, ca)| Some((kind, ca?))) {
            if ca.kind() != kind {
                return Err(AuthorityFault::WrongKind { wanted: kind });
            }
            if !signed_by(ca.certificate(), &root) {
                return Err(AuthorityFault::Foreign { which: issuing::which(kind) });
            }
        }
        Ok(Self { root, anchors, servers, users })
    }

    /// The CA for servers as its files have it.
    pub fn load(root: &str, issuing: &str, issuing_key: &str) -> Result<Self, AuthorityFault> {
        let root = files::only_certificate("root", root)?;
        files::anchors(&root)?;
        Self::of(root, IssuingAuthority::load(IssuerKind::Servers, issuing, issuing_key)?, None)
    }

    /// These issuing CAs below the root as its file has it.
    pub fn assemble(root: &str, servers: IssuingAuthority, users: Option<IssuingAuthority>) -> Result<Self, AuthorityFault> {
        Self::of(files::only_certificate("root", root)?, servers, users)
    }

    /// The same with the CA for users as its files have it.
    pub fn with_users(self, certificate: &str, key: &str) -> Result<Self, AuthorityFault> {
        self.with_users_ca(IssuingAuthority::load(IssuerKind::Users, certificate, key)?)
    }

    /// The same with this CA for users.
    pub fn with_users_ca(self, users: IssuingAuthority) -> Result<Self, AuthorityFault> {
        Self::of(self.root, self.servers, Some(users))
    }

    /// The same, whose certificates say where revocation lists and OCSP responder are.
    #[must_use]
    pub fn with_urls(self, urls: Option<&Urls>) -> Self {
        let users = self.users.map(|users| users.with_urls(urls.cloned()));
        Self { servers: self.servers.with_urls(urls.cloned()), users, ..self }
    }

    /// The same, which sends these link certificates behind its own (while the root is replaced).
    #[must_use]
    pub fn with_cross(self, cross: &[CertificateDer<'static>]) -> Self {
        let users = self.users.map(|users| users.with_cross(cross.to_vec()));
        Self { servers: self.servers.with_cross(cross.to_vec()), users, ..self }
    }

    /// The root's certificate in PEM: what phones get.
    pub fn root_pem(&self) -> String {
        certificates_to_pem([&self.root])
    }

    /// The certificate in PEM of the issuing CA for servers.
    pub fn issuing_pem(&self) -> String {
        self.servers.certificate_pem()
    }

    /// The private key in PEM of the issuing CA for servers, if it is one that can be shown.
    pub fn key_pem(&self) -> Result<SecretPem, KeyFault> {
        self.servers.key_pem()
    }

    /// The root's certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The certificate of the issuing CA for servers.
    pub fn issuing(&self) -> &CertificateDer<'static> {
        self.servers.certificate()
    }

    /// The issuing CA for servers.
    pub fn servers(&self) -> &IssuingAuthority {
        &self.servers
    }

    /// The issuing CA for users.
    pub fn users(&self) -> Result<&IssuingAuthority, AuthorityFault> {
        self.users.as_ref().ok_or(AuthorityFault::NoUsersCa)
    }

    /// Both of them, as far as they are there.
    pub fn issuing_authorities(&self) -> impl Iterator<Item = &IssuingAuthority> {
        std::iter::once(&self.servers).chain(&self.users)
    }

    /// The one for this kind.
    pub fn issuer(&self, kind: IssuerKind) -> Result<&IssuingAuthority, AuthorityFault> {
        match kind {
            IssuerKind::Servers => Ok(&self.servers),
            IssuerKind::Users => self.users(),
        }
    }

    /// The domains that it may issue for.
    pub fn domains(&self) -> &[Fqdn] {
        self.servers.domains()
    }

    /// What its members believe: the root.
    pub fn anchors(&self) -> Anchors {
        self.anchors.clone()
    }

    /// The first lists of every CA of the organisation: number 1, nobody revoked.
    pub fn first_lists(&self, root: &Root, now: SystemTime) -> Result<RevocationLists, AuthorityFault> {
        let mut ders = vec![root.revocation_list(&[], 1, now)?];
        let mut issuers = vec![self.root.clone()];
        for ca in self.issuing_authorities() {
            ders.push(ca.revocation_list(&[], 1, now)?);
            issuers.push(ca.certificate().clone());
        }
        let mut lists = RevocationLists::new();
        for der in ders {
            let taken = RevocationList::read(&der, &issuers).and_then(|list| lists.take(list, now));
            taken.map_err(|fault| AuthorityFault::NotIssued(fault.to_string()))?;
        }
        Ok(lists)
    }

    /// The issuing CAs that members shall believe, and what for.
    pub fn pinned(&self) -> Vec<PinnedIssuer> {
        self.issuing_authorities().map(IssuingAuthority::pinned).collect()
    }

    /// Issues a server's certificate for a key whose private half stays where it was made.
    pub fn issue_server(&self, names: &ServerNames, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.servers.issue_server(names, key, now)
    }

    /// Issues a user's certificate (sign-in without a password).
    pub fn issue_user(&self, user: &SipUser, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.users()?.issue_user(user, key, now)
    }

    /// Issues the certificate of who signs the organisation's documents. It names the authority's server too.
    pub fn issue_document_signer(&self, server: &Fqdn, key: &PublicKey, now: SystemTime) -> Result<Issued, AuthorityFault> {
        self.servers.issue_document_signer(server, key, now)
    }

    /// Signs an issuing CA's list of revoked certificates: number `number`, counted up by the caller, good
    /// for [`REVOCATION_LIST_VALIDITY`](crate::REVOCATION_LIST_VALIDITY).
    pub fn revocation_list(
        &self,
        kind: IssuerKind,
        revoked: &[RevokedCertificate],
        number: u64,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityFault> {
        self.issuer(kind)?.revocation_list(revoked, number, now)
    }
}
