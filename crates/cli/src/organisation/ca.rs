//! The CA's files: read, checked, and completed where an organisation was made before there were as many.

use std::time::SystemTime;

use anyhow::{Context as _, anyhow, ensure};
use authority::Ca;
use pki::{Authority, DocumentSigner, IssuerKind, IssuingPlan, Key, Root, Urls};
use store::{Embedded, IssuanceLedger as _};
use topology::Topology;

use super::{Layout, Manifest};
use crate::files::{self, Readers};

/// How much of the document signer's life is left when it gets a new certificate, as a part.
const SIGNER_LEFT_PART: u32 = 3;

/// Reads the CA. The certificate of users' issuing CA and that of the document signer are made where they are missing.
///
/// # Errors
/// A file is missing, open to others or of somebody else; or what is missing cannot be made.
pub(super) async fn read(
    layout: &Layout,
    manifest: &Manifest,
    topology: &Topology,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<Ca> {
    let root_pem = files::read(&layout.file(Layout::ROOT))?;
    let issuing = files::read(&layout.file(Layout::ISSUING))?;
    let key = files::read_private(&layout.file(Layout::ISSUING_KEY))?;
    let unusable = || format!("cannot use the CA in {}", layout.file("ca").display());
    let authority = Authority::load(&root_pem, &issuing, &key).with_context(unusable)?;
    check_for_phones(layout, &authority)?;
    let root = read_root(layout, &root_pem).with_context(unusable)?;
    make_users_ca(layout, manifest, &authority, root.as_ref(), store, now).await?;
    let users_key = files::read_private(&layout.file(Layout::USERS_KEY))?;
    let authority = authority.with_users(&files::read(&layout.file(Layout::USERS))?, &users_key).with_context(unusable)?;
    let urls = urls(manifest, topology)?;
    let authority = authority.with_urls(urls.as_ref());
    let signer = signer(layout, manifest, &authority, store, now).await?;
    Ok(Ca::new(authority, root, signer, urls))
}

fn check_for_phones(layout: &Layout, authority: &Authority) -> anyhow::Result<()> {
    let for_phones = pki::certificates_from_pem(&files::read(&layout.ca())?).unwrap_or_default();
    ensure!(
        for_phones.first() == Some(authority.root()),
        "{} is not the root of this organisation, so phones would trust somebody else: copy {} over it",
        layout.ca().display(),
        layout.file(Layout::ROOT).display()
    );
    Ok(())
}

/// The root's key may lie in a safe.
fn read_root(layout: &Layout, certificate: &str) -> anyhow::Result<Option<Root>> {
    let path = layout.file(Layout::ROOT_KEY);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Root::load(certificate, &files::read_private(&path)?)?))
}

/// Where revocation lists are fetched without TLS, if anywhere.
fn urls(manifest: &Manifest, topology: &Topology) -> anyhow::Result<Option<Urls>> {
    let http = topology.server(&manifest.server_name).and_then(|server| server.listeners().http);
    Ok(http.map(|http| Urls::below(&format!("http://{}:{}", manifest.server_name, http.port()))).transpose()?)
}

async fn make_users_ca(
    layout: &Layout,
    manifest: &Manifest,
    authority: &Authority,
    root: Option<&Root>,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<()> {
    if layout.file(Layout::USERS).exists() && layout.file(Layout::USERS_KEY).exists() {
        return Ok(());
    }
    let root = root.ok_or_else(|| {
        anyhow!(
            "{} is missing, and without {} none can be made: put the root's key back for one start",
            layout.file(Layout::USERS).display(),
            layout.file(Layout::ROOT_KEY).display()
        )
    })?;
    let plan = IssuingPlan {
        organisation: &super::make::organisation_name(&manifest.domain),
        generation: 1,
        kind: IssuerKind::Users,
        domains: authority.domains(),
        urls: None,
    };
    let users = root.issue_issuing(&plan, now)?;
    let entry = store::Issued::read(store::Role::UsersCa, users.certificate()).context("the CA just made cannot be read")?;
    store.record_issued(&entry, now).await?;
    files::write(&layout.file(Layout::USERS_KEY), users.key_pem()?.expose(), Readers::Owner)?;
    files::write(&layout.file(Layout::USERS), users.certificate_pem(), Readers::Everyone)?;
    tracing::info!("an issuing CA for users was made");
    Ok(())
}

/// Who signs topology and trust bundle: as it lies there, or a new one in good time.
async fn signer(
    layout: &Layout,
    manifest: &Manifest,
    authority: &Authority,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<DocumentSigner> {
    if let Ok(signer) = read_signer(layout)
        && signer.chain().get(1) == Some(authority.issuing())
        && now + pki::DOCUMENT_SIGNER_VALIDITY / SIGNER_LEFT_PART < signer.not_after()
    {
        return Ok(signer);
    }
    let key = Key::generate()?;
    let issued = authority.issue_document_signer(&manifest.server_name, &key.public(), now)?;
    let entry = issued.chain.first().and_then(|leaf| store::Issued::read(store::Role::Documents, leaf));
    store.record_issued(&entry.context("the certificate just issued cannot be read")?, now).await?;
    files::write(&layout.file(Layout::DOCUMENTS_KEY), key.to_pem()?.expose(), Readers::Owner)?;
    files::write(&layout.file(Layout::DOCUMENTS), issued.chain_pem(), Readers::Everyone)?;
    Ok(DocumentSigner::new(issued.chain, key)?)
}

fn read_signer(layout: &Layout) -> anyhow::Result<DocumentSigner> {
    let key = Key::from_pem(&files::read_private(&layout.file(Layout::DOCUMENTS_KEY))?)?;
    let chain = pki::certificates_from_pem(&files::read(&layout.file(Layout::DOCUMENTS))?)?;
    Ok(DocumentSigner::new(chain, key)?)
}
