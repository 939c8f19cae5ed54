//! The next generation of the CA: made here where the root's key is, or of what an offline root signed.

use std::time::SystemTime;

use pki::{
    Authority, AuthorityFault, CaSigner, CertificateDer, Fqdn, IssuerKind, IssuingAuthority, IssuingPlan, IssuingRequest, RevocationList,
    RevocationLists, Root, Urls, certificates_from_pem, certificates_to_pem, check_link, facts, organisation_of,
};

use super::{Order, ReplacementFault, What};
use crate::{Fault, Generation, NextFile, NextKeys, Vault};

/// How many names are tried for a CA, each with the next number of its year.
const GENERATIONS_MAX: u16 = 1000;

/// What came from the root ceremony; all of it public.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Signed {
    /// The root's certificate in PEM: the new one, or the one that stays.
    pub root: String,
    /// Its revocation list in DER.
    pub list: Vec<u8>,
    /// The certificate in PEM of the issuing CA for servers.
    pub servers: String,
    /// The certificate in PEM of the issuing CA for users.
    pub users: String,
    /// The old root's word for the new one, in PEM; where the root is replaced.
    pub link: Option<String>,
}

/// A generation that was made, and what is to be stored with it.
pub(super) struct Made {
    pub(super) generation: Generation,
    pub(super) link: Option<CertificateDer<'static>>,
    /// The list of a root whose key is not here.
    pub(super) root_list: Option<RevocationList>,
}

/// From what the next generation is made.
pub(super) struct Plan<'a> {
    pub(super) order: &'a Order,
    pub(super) old: &'a Generation,
    pub(super) urls: Option<Urls>,
    /// The names of all CAs there ever were.
    pub(super) taken: Vec<String>,
    pub(super) now: SystemTime,
}

impl Plan<'_> {
    fn organisation(&self) -> String {
        organisation_of(self.old.authority.root()).unwrap_or_default()
    }

    fn domains(&self) -> Vec<Fqdn> {
        let mut domains = self.old.authority.domains().to_vec();
        domains.extend(self.order.domains.iter().filter(|domain| !self.old.authority.domains().contains(domain)).cloned());
        domains
    }

    /// What an offline root is asked to sign.
    pub(super) fn requests(&self, keys: &NextKeys) -> Result<Vec<(IssuerKind, String)>, Fault> {
        let (organisation, domains) = (self.organisation(), self.domains());
        let write = |kind, key: &CaSigner| {
            let number = self.next_number(kind);
            IssuingRequest::write_numbered(&organisation, kind, &domains, self.urls.as_ref(), number, key)
        };
        let servers = write(IssuerKind::Servers, &keys.servers)?;
        Ok(vec![(IssuerKind::Servers, servers), (IssuerKind::Users, write(IssuerKind::Users, &keys.users)?)])
    }

    /// Above the number of every CA of this kind so far, whose root ever it is of.
    fn next_number(&self, kind: IssuerKind) -> u16 {
        let word = match kind {
            IssuerKind::Servers => " Issuing CA ",
            IssuerKind::Users => " User CA ",
        };
        let mut same: Vec<&String> = self.taken.iter().filter(|name| name.contains(word)).collect();
        same.sort();
        same.dedup();
        u16::try_from(same.len() + 1).unwrap_or(u16::MAX)
    }

    /// Makes everything here: the old root's key signs the link, or the new issuing CAs.
    pub(super) fn make(&self, keys: NextKeys) -> Result<Made, Fault> {
        let old_root = self.old.root.as_ref().ok_or(ReplacementFault::RootAway(self.order.what))?;
        let (root, link) = match (self.order.what, keys.root) {
            (What::Root, Some(key)) => {
                let root = self.new_root(key)?;
                let link = old_root.cross_sign(root.certificate(), self.now)?;
                (root, Some(link))
            }
            (What::Root, None) => return Err(ReplacementFault::NoKeys.into()),
            (What::Issuing, _) => (old_root.clone(), None),
        };
        let servers = self.new_issuing(&root, IssuerKind::Servers, keys.servers)?;
        let users = self.new_issuing(&root, IssuerKind::Users, keys.users)?;
        let authority = self.assembled(root.certificate().clone(), servers, users, link.as_ref())?;
        Ok(Made { generation: Generation::new(authority, Some(root)), link, root_list: None })
    }

    fn new_root(&self, key: CaSigner) -> Result<Root, Fault> {
        let organisation = self.organisation();
        self.unnamed(|number| Root::create_with(&organisation, number, key.clone(), self.now), |root| root.certificate().clone())
    }

    fn new_issuing(&self, root: &Root, kind: IssuerKind, key: CaSigner) -> Result<IssuingAuthority, Fault> {
        let (organisation, domains) = (self.organisation(), self.domains());
        let plan = |generation| IssuingPlan { organisation: &organisation, generation, kind, domains: &domains, urls: self.urls.as_ref() };
        let certificate = self.unnamed(|number| root.issue(&plan(number), key.public(), self.now), CertificateDer::clone)?;
        Ok(IssuingAuthority::of(kind, certificate, key)?)
    }

    /// The first of its kind and year whose name no CA has or had: equal names of different keys break path building.
    fn unnamed<T>(
        &self,
        make: impl Fn(u16) -> Result<T, AuthorityFault>,
        certificate: impl Fn(&T) -> CertificateDer<'static>,
    ) -> Result<T, Fault> {
        for number in 1..=GENERATIONS_MAX {
            let made = make(number)?;
            if !self.is_taken(&certificate(&made)) {
                return Ok(made);
            }
        }
        Err(Fault::Damaged("as many CAs as no organisation makes in a year"))
    }

    fn is_taken(&self, certificate: &CertificateDer<'_>) -> bool {
        facts(certificate).is_none_or(|facts| self.taken.contains(&facts.subject))
    }

    fn assembled(
        &self,
        root: CertificateDer<'static>,
        servers: IssuingAuthority,
        users: IssuingAuthority,
        link: Option<&CertificateDer<'static>>,
    ) -> Result<Authority, Fault> {
        let link: Vec<_> = link.cloned().into_iter().collect();
        Ok(Authority::of(root, servers, Some(users))?.with_urls(self.urls.as_ref()).with_cross(&link))
    }

    /// Takes what an offline root signed for keys that were made here. Nothing of it is believed because of where it came from.
    pub(super) fn take(&self, keys: NextKeys, signed: &Signed) -> Result<Made, Fault> {
        let root = one("the root's certificate", &signed.root)?;
        let is_same = root == *self.old.authority.root();
        match self.order.what {
            What::Root if is_same => return Err(ReplacementFault::from(pki::RolloverFault::SameRoot).into()),
            What::Root => self.check_name(&root)?,
            What::Issuing if !is_same => return Err(refused("the root's certificate", "it is of another root than this organisation's")),
            What::Issuing => {}
        }
        let link = match self.order.what {
            What::Root => Some(self.link(signed.link.as_deref(), &root)?),
            What::Issuing => None,
        };
        let servers = self.issuing(IssuerKind::Servers, &signed.servers, keys.servers)?;
        let users = self.issuing(IssuerKind::Users, &signed.users, keys.users)?;
        let root_list = self.root_list(&root, &signed.list)?;
        let authority = self.assembled(root, servers, users, link.as_ref())?;
        Ok(Made { generation: Generation::new(authority, None), link, root_list: Some(root_list) })
    }

    /// The old root's word for the new one: as it came, or given now where the old root's key is here.
    fn link(&self, came: Option<&str>, root: &CertificateDer<'static>) -> Result<CertificateDer<'static>, Fault> {
        let what = "the link certificate";
        let link = match (came, &self.old.root) {
            (Some(pem), _) => one(what, pem)?,
            (None, Some(old)) => old.cross_sign(root, self.now)?,
            (None, None) => return Err(refused(what, "it is missing: have `verbund ca root cross` make it, and give it with --link")),
        };
        check_link(&link, self.old.authority.root(), root, self.now).map_err(|fault| refused(what, fault))?;
        Ok(link)
    }

    fn issuing(&self, kind: IssuerKind, pem: &str, key: CaSigner) -> Result<IssuingAuthority, Fault> {
        let what = match kind {
            IssuerKind::Servers => "the certificate of the issuing CA for servers",
            IssuerKind::Users => "the certificate of the issuing CA for users",
        };
        let certificate = one(what, pem)?;
        self.check_name(&certificate)?;
        let ca = IssuingAuthority::of(kind, certificate, key).map_err(|fault| refused(what, fault))?;
        // What is served today must be served by the next one too.
        match self.domains().iter().find(|domain| !ca.domains().iter().any(|permitted| domain.is_within(permitted))) {
            Some(missing) => {
                Err(refused(what, format!("it may not issue for {missing}; have it signed by the request that was made here")))
            }
            None => Ok(ca),
        }
    }

    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Fault> {
        if self.is_taken(certificate) {
            let name = facts(certificate).map(|facts| facts.subject).unwrap_or_default();
            return Err(ReplacementFault::NameTaken(name).into());
        }
        Ok(())
    }

    fn root_list(&self, root: &CertificateDer<'static>, der: &[u8]) -> Result<RevocationList, Fault> {
        let what = "the root's revocation list";
        let list = RevocationList::read(der, std::slice::from_ref(root)).map_err(|fault| refused(what, fault))?;
        RevocationLists::new().take(list.clone(), self.now).map_err(|fault| refused(what, fault))?;
        Ok(list)
    }
}

impl Made {
    /// Keeps what is public of it where its keys lie.
    pub(super) fn keep(&self, what: What, vault: &dyn Vault) -> Result<(), Fault> {
        let authority = &self.generation.authority;
        let mut files = Vec::new();
        if what == What::Root {
            files.push((NextFile::Root, authority.root_pem().into_bytes()));
        }
        files.extend(self.root_list.as_ref().map(|list| (NextFile::RootList, list.as_der().to_vec())));
        files.extend(self.link.as_ref().map(|link| (NextFile::Link, certificates_to_pem([link]).into_bytes())));
        files.push((NextFile::Servers, authority.issuing_pem().into_bytes()));
        files.push((NextFile::Users, authority.users()?.certificate_pem().into_bytes()));
        for (file, content) in files {
            vault.keep(file, &content).map_err(ReplacementFault::from)?;
        }
        Ok(())
    }

    /// The certificates that the ledger has to know.
    pub(super) fn certificates(&self, what: What) -> Vec<(store::Role, &CertificateDer<'static>)> {
        let authority = &self.generation.authority;
        let root = (what == What::Root).then(|| (store::Role::Root, authority.root()));
        let link = self.link.as_ref().map(|link| (store::Role::Cross, link));
        let issuing = authority.issuing_authorities().map(|ca| match ca.kind() {
            IssuerKind::Servers => (store::Role::Issuing, ca.certificate()),
            IssuerKind::Users => (store::Role::UsersCa, ca.certificate()),
        });
        root.into_iter().chain(link).chain(issuing).collect()
    }
}

fn one(what: &'static str, pem: &str) -> Result<CertificateDer<'static>, Fault> {
    let mut all = certificates_from_pem(pem).map_err(|fault| refused(what, fault))?;
    match all.pop() {
        Some(only) if all.is_empty() => Ok(only),
        Some(_) | None => Err(refused(what, "there has to be exactly one")),
    }
}

fn refused(what: &'static str, why: impl std::fmt::Display) -> Fault {
    ReplacementFault::NotSigned { what, why: why.to_string() }.into()
}
