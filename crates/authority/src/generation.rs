//! One generation of the CA: a root and the issuing CAs below it. While one generation replaces another there are two of them.

use pki::{CertificateDer, Fingerprint, IssuerKind, IssuingAuthority, IssuingCa, Root};

/// A root and the issuing CAs below it. The root's key may lie in a safe.
#[derive(Debug)]
pub struct Generation {
    pub(crate) authority: pki::Authority,
    pub(crate) root: Option<Root>,
}

impl Generation {
    /// These CAs. Without the root's key the root's list is not signed anew here.
    #[must_use]
    pub fn new(authority: pki::Authority, root: Option<Root>) -> Self {
        Self { authority, root }
    }

    /// The certificates, and what issues.
    #[must_use]
    pub fn authority(&self) -> &pki::Authority {
        &self.authority
    }

    /// The same, whose certificates say where revocation lists are.
    #[must_use]
    pub fn with_urls(self, urls: Option<&pki::Urls>) -> Self {
        Self { authority: self.authority.with_urls(urls), root: self.root }
    }

    /// What tells it from every other one: SHA-256 of the certificate of its issuing CA for servers.
    #[must_use]
    pub fn id(&self) -> Fingerprint {
        Fingerprint::of(self.authority.issuing())
    }

    /// The subjects of its issuing CAs, as the ledger writes an issuer.
    pub(crate) fn issuers(&self) -> Vec<String> {
        self.authority.issuing_authorities().filter_map(|ca| pki::facts(ca.certificate())).map(|facts| facts.subject).collect()
    }

    pub(crate) fn issuing(&self) -> impl Iterator<Item = IssuingCa> {
        self.authority.issuing_authorities().map(|ca| IssuingCa { kind: ca.kind(), certificate: ca.certificate().clone() })
    }

    pub(crate) fn listers(&self) -> impl Iterator<Item = Lister<'_>> {
        let root = Lister { certificate: self.authority.root(), signs: Signs::Root(self.root.as_ref()) };
        let issuing = self.authority.issuing_authorities().map(|ca| Lister { certificate: ca.certificate(), signs: Signs::Issuing(ca) });
        std::iter::once(root).chain(issuing)
    }
}

/// A CA whose revocation list is looked after.
pub(crate) struct Lister<'a> {
    pub(crate) certificate: &'a CertificateDer<'static>,
    pub(crate) signs: Signs<'a>,
}

/// What a CA's list is signed with.
pub(crate) enum Signs<'a> {
    /// A root, if its key is here.
    Root(Option<&'a Root>),
    Issuing(&'a IssuingAuthority),
}

impl Lister<'_> {
    /// How it is called in the store.
    pub(crate) fn key(&self) -> String {
        Fingerprint::of(self.certificate).to_string()
    }

    pub(crate) fn kind(&self) -> Option<IssuerKind> {
        match self.signs {
            Signs::Root(_) => None,
            Signs::Issuing(ca) => Some(ca.kind()),
        }
    }
}
