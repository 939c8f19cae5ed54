//! The server's certificate: issued, kept with its key, replaced in time.

use std::time::SystemTime;

use anyhow::Context as _;
use pki::{Authority, CertificateDer, CertificateFacts, Fqdn, Key};
use store::{Embedded, IssuanceLedger as _};
use topology::Topology;

use super::Layout;
use crate::files::{self, Readers};

/// The server's chain and the key of its leaf.
pub(crate) struct ServerCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Key,
    pub(crate) facts: CertificateFacts,
}

/// Why a server certificate is to be replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("it expired")]
    Expired,
    #[error("half of its life is over")]
    HalfLife,
    #[error("the topology gives the server other names by now")]
    OtherNames,
    #[error("another issuing CA has taken the place of its own")]
    OtherIssuer,
}

impl ServerCertificate {
    /// Reads chain and key and checks that they belong together.
    ///
    /// # Errors
    /// A file is unreadable, or open to others, or does not fit the other.
    pub(crate) fn load(layout: &Layout) -> anyhow::Result<Self> {
        let key = files::read_private(&layout.file(Layout::SERVER_KEY))?;
        let key = Key::from_pem(&key).with_context(|| layout.file(Layout::SERVER_KEY).display().to_string())?;
        let path = layout.file(Layout::SERVER_CHAIN);
        let chain = pki::certificates_from_pem(&files::read(&path)?).with_context(|| path.display().to_string())?;
        Self::of(chain, key).with_context(|| path.display().to_string())
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: Key) -> anyhow::Result<Self> {
        let facts = chain.first().and_then(pki::facts).context("this is no certificate")?;
        // The one check that key and leaf belong together lies where they are used.
        trust::tls::ServerIdentity::new(chain.clone(), &key)?;
        Ok(Self { chain, key, facts })
    }

    /// Puts a chain that somebody else issued into place, with its key.
    ///
    /// # Errors
    /// They do not belong together, or a file cannot be written.
    pub(crate) fn keep(layout: &Layout, chain_pem: &str, key: Key) -> anyhow::Result<Self> {
        let new = Self::of(pki::certificates_from_pem(chain_pem)?, key)?;
        files::write(&layout.file(Layout::SERVER_KEY), new.key.to_pem()?.expose(), Readers::Owner)?;
        files::write(&layout.file(Layout::SERVER_CHAIN), chain_pem, Readers::Everyone)?;
        Ok(new)
    }

    /// Issues a certificate for a new key, enters it into the ledger, and only then puts it into place.
    ///
    /// # Errors
    /// The CA does not issue (its time is over), or a file or the ledger cannot be written.
    pub(crate) async fn issue(
        layout: &Layout,
        authority: &Authority,
        topology: &Topology,
        server: &Fqdn,
        store: &Embedded,
        now: SystemTime,
    ) -> anyhow::Result<Self> {
        let names = topology.certificate_names(server).with_context(|| format!("the topology does not list {server}"))?;
        let key = Key::generate()?;
        let issued = authority.issue_server(&names, &key.public(), now)?;
        let entry = issued.chain.first().and_then(|leaf| store::Issued::read(store::Role::Server, leaf));
        store.record_issued(&entry.context("the certificate just issued cannot be read")?, now).await?;
        files::make_dir(&layout.file("server"))?;
        files::write(&layout.file(Layout::SERVER_KEY), key.to_pem()?.expose(), Readers::Owner)?;
        files::write(&layout.file(Layout::SERVER_CHAIN), issued.chain_pem(), Readers::Everyone)?;
        Self::of(issued.chain, key)
    }

    /// Why it is to be replaced, if it is.
    pub(crate) fn renewal(
        &self,
        issuer: Option<&CertificateDer<'static>>,
        topology: &Topology,
        server: &Fqdn,
        now: SystemTime,
    ) -> Option<Reason> {
        renewal(&self.chain, &self.facts, issuer, topology, server, now)
    }
}

/// Why a server certificate with this chain is to be replaced, if it is; `issuer` is the CA that issues to servers now.
pub(crate) fn renewal(
    chain: &[CertificateDer<'static>],
    facts: &CertificateFacts,
    issuer: Option<&CertificateDer<'static>>,
    topology: &Topology,
    server: &Fqdn,
    now: SystemTime,
) -> Option<Reason> {
    let wanted = topology.certificate_names(server).map(|names| names.dns().iter().map(Fqdn::to_string).collect::<Vec<_>>());
    let shown: Vec<&String> = facts.names.iter().filter(|name| !name.contains(':')).collect();
    if now > facts.not_after {
        Some(Reason::Expired)
    } else if issuer.is_none() || chain.get(1) != issuer {
        Some(Reason::OtherIssuer)
    } else if wanted.is_none_or(|wanted| wanted.iter().collect::<Vec<_>>() != shown) {
        Some(Reason::OtherNames)
    } else if now >= pki::renew_at(facts.not_before, facts.not_after) {
        Some(Reason::HalfLife)
    } else {
        None
    }
}
