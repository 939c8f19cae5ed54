//! The CA's files: read, checked, and completed where an organisation was made before there were as many.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context as _, anyhow, ensure};
use authority::{Ca, Generation, Record, Replacement, mark};
use pki::{Authority, DocumentSigner, IssuerKind, IssuingAuthority, IssuingPlan, Key, RevocationList, Root, Side, Urls};
use store::{Embedded, IssuanceLedger as _, Replacements as _, RevocationListStore as _};
use topology::Topology;

use super::{Layout, Manifest, vault::CaVault};
use crate::{
    files::{self, Readers},
    secrets,
};

/// How much of the document signer's life is left when it gets a new certificate, as a part.
const SIGNER_LEFT_PART: u32 = 3;

/// Reads the CA, also in the middle of its replacement. The certificate of users' issuing CA and that of the document signer are
/// made where they are missing.
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
    let vault = CaVault::of(layout);
    let record = under_way(&vault, store, now).await?;
    let current = read_current(layout, manifest, store, now).await?;
    let before = vault.generations_of_before()?;
    let urls = urls(manifest, topology)?;
    let ca = match record {
        None => {
            check_for_phones(layout, &current, before.iter())?;
            let (authority, root) = (current.authority.with_urls(urls.as_ref()), current.root);
            let signer = signer(layout, "ca", manifest, &authority, store, now).await?;
            Ca::new(authority, root, signer, urls)
        }
        Some(record) => {
            let next = vault.next_generation().context("the CA that is to come cannot be read")?;
            check_for_phones(layout, &current, before.iter().chain([&next]))?;
            let old = Generation::new(current.authority.with_urls(urls.as_ref()), current.root);
            Ca::amid(amid(layout, manifest, record, old, next.with_urls(urls.as_ref()), store, now).await?, urls)
        }
    };
    Ok(ca.kept_in(Arc::new(vault), before))
}

/// How far a replacement has come, if one is under way; what was only to be put into its place is there afterwards.
async fn under_way(vault: &CaVault, store: &Embedded, now: SystemTime) -> anyhow::Result<Option<Record>> {
    let Some(record) = store.replacement().await?.map(|text| Record::read(&text)).transpose()? else { return Ok(None) };
    if !record.is_done() {
        return Ok(Some(record));
    }
    vault.go_on_settling()?;
    record.end(store, now).await?;
    Ok(None)
}

async fn amid(
    layout: &Layout,
    manifest: &Manifest,
    record: Record,
    old: Generation,
    new: Generation,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<Replacement> {
    ensure!(
        record.rollover.roots() == (mark(record.what, &old), mark(record.what, &new)),
        "the CA's files in {} are not those of the replacement that is under way: put the data directory back from a backup, all of it",
        layout.file("ca").display()
    );
    let old_signer = signer(layout, "ca", manifest, old.authority(), store, now).await?;
    let new_signer = match record.issues_from() {
        Side::New => Some(signer(layout, Layout::NEXT, manifest, new.authority(), store, now).await?),
        Side::Old => None,
    };
    Ok(Replacement::new(record, old, new, old_signer, new_signer))
}

/// The generation in `ca/`.
struct Current {
    authority: Authority,
    root: Option<Root>,
}

async fn read_current(layout: &Layout, manifest: &Manifest, store: &Embedded, now: SystemTime) -> anyhow::Result<Current> {
    let root_pem = files::read(&layout.file(Layout::ROOT))?;
    let unusable = || format!("cannot use the CA in {}", layout.file("ca").display());
    let root = read_root(layout, &root_pem).with_context(unusable)?;
    let servers = read_servers_ca(layout).with_context(unusable)?;
    let servers =
        if servers.signs_documents() { servers } else { renew_servers_ca(layout, manifest, &servers, root.as_ref(), store, now).await? };
    let authority = Authority::assemble(&root_pem, servers, None).with_context(unusable)?;
    make_users_ca(layout, manifest, &authority, root.as_ref(), store, now).await?;
    let users_key = secrets::read_ca_key(&layout.file(Layout::USERS_KEY))?;
    let users = IssuingAuthority::load_with(IssuerKind::Users, &files::read(&layout.file(Layout::USERS))?, users_key);
    let authority = authority.with_users_ca(users.with_context(unusable)?).with_context(unusable)?;
    take_root_list(layout, &authority, store, now).await?;
    Ok(Current { authority, root })
}

/// Phones go by a file of roots: there must be no root in it that is not of this organisation.
fn check_for_phones<'a>(layout: &Layout, current: &Current, others: impl Iterator<Item = &'a Generation>) -> anyhow::Result<()> {
    let for_phones = pki::certificates_from_pem(&files::read(&layout.ca())?).unwrap_or_default();
    let known: Vec<_> = others.map(|generation| generation.authority().root()).chain([current.authority.root()]).collect();
    ensure!(
        !for_phones.is_empty() && for_phones.iter().all(|root| known.contains(&root)),
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
    Ok(Some(Root::load_with(certificate, secrets::read_ca_key(&path)?)?))
}

/// The list that came from the offline root, if it is news.
async fn take_root_list(layout: &Layout, authority: &Authority, store: &Embedded, now: SystemTime) -> anyhow::Result<()> {
    let path = layout.file(Layout::ROOT_LIST);
    if !path.exists() {
        return Ok(());
    }
    let der = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let list = RevocationList::read(&der, std::slice::from_ref(authority.root())).with_context(|| path.display().to_string())?;
    let issuer = pki::Fingerprint::of(authority.root()).to_string();
    if store.list(&issuer).await?.is_some_and(|held| held.number >= list.number()) {
        return Ok(());
    }
    let (number, this_update, next_update) = (list.number(), list.this_update(), list.next_update());
    store.publish_list(&store::RevocationList { issuer, number, der, this_update, next_update }, now).await?;
    Ok(())
}

/// Where revocation lists are fetched without TLS, if anywhere.
fn urls(manifest: &Manifest, topology: &Topology) -> anyhow::Result<Option<Urls>> {
    let http = topology.server(&manifest.server_name).and_then(|server| server.listeners().http);
    Ok(http.map(|http| Urls::below(&format!("http://{}:{}", manifest.server_name, http.port()))).transpose()?)
}

fn read_servers_ca(layout: &Layout) -> anyhow::Result<IssuingAuthority> {
    let key = secrets::read_ca_key(&layout.file(Layout::ISSUING_KEY))?;
    Ok(IssuingAuthority::load_with(IssuerKind::Servers, &files::read(&layout.file(Layout::ISSUING))?, key)?)
}

/// A CA of before documents were signed gets a certificate that allows it, for the key that it has: so one file changes, and a
/// start that is interrupted finds the old one or the new one. The name is another, or both would be taken for each other.
async fn renew_servers_ca(
    layout: &Layout,
    manifest: &Manifest,
    before: &IssuingAuthority,
    root: Option<&Root>,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<IssuingAuthority> {
    let root = root.ok_or_else(|| {
        anyhow!(
            "{} was made before topologies were signed and allows nobody to sign one, and without {} it cannot be replaced: put the \
             root's key back for one start",
            layout.file(Layout::ISSUING).display(),
            layout.file(Layout::ROOT_KEY).display()
        )
    })?;
    let plan = IssuingPlan {
        organisation: &super::make::organisation_name(&manifest.domain),
        generation: 2,
        kind: IssuerKind::Servers,
        domains: before.domains(),
        urls: None,
    };
    let key = secrets::read_ca_key(&layout.file(Layout::ISSUING_KEY))?;
    let renewed = root.issue(&plan, key.public(), now)?;
    let entry = store::Issued::read(store::Role::Issuing, &renewed).context("the CA just made cannot be read")?;
    store.record_issued(&entry, now).await?;
    files::write(&layout.file(Layout::ISSUING), pki::certificates_to_pem([&renewed]), Readers::Everyone)?;
    tracing::info!("the issuing CA for servers has a new certificate, under which documents are signed");
    read_servers_ca(layout)
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
    let key = Key::generate()?;
    let users = root.issue(&plan, &key.public(), now)?;
    let entry = store::Issued::read(store::Role::UsersCa, &users).context("the CA just made cannot be read")?;
    store.record_issued(&entry, now).await?;
    secrets::write_ca_key(&layout.file(Layout::USERS_KEY), &key)?;
    files::write(&layout.file(Layout::USERS), pki::certificates_to_pem([&users]), Readers::Everyone)?;
    tracing::info!("an issuing CA for users was made");
    Ok(())
}

/// Who signs topology and trust bundle: as it lies there, or a new one in good time.
async fn signer(
    layout: &Layout,
    folder: &str,
    manifest: &Manifest,
    authority: &Authority,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<DocumentSigner> {
    if let Ok(signer) = read_signer(layout, folder)
        && signer.chain().get(1) == Some(authority.issuing())
        && now + pki::DOCUMENT_SIGNER_VALIDITY / SIGNER_LEFT_PART < signer.not_after()
    {
        return Ok(signer);
    }
    let key = Key::generate()?;
    let issued = authority.issue_document_signer(&manifest.server_name, &key.public(), now)?;
    let entry = issued.chain.first().and_then(|leaf| store::Issued::read(store::Role::Documents, leaf));
    store.record_issued(&entry.context("the certificate just issued cannot be read")?, now).await?;
    secrets::write_ca_key(&layout.file_in(folder, Layout::DOCUMENTS_KEY), &key)?;
    files::write(&layout.file_in(folder, Layout::DOCUMENTS), issued.chain_pem(), Readers::Everyone)?;
    Ok(DocumentSigner::new(issued.chain, key)?)
}

fn read_signer(layout: &Layout, folder: &str) -> anyhow::Result<DocumentSigner> {
    let key = secrets::read_document_key(&layout.file_in(folder, Layout::DOCUMENTS_KEY))?;
    let chain = pki::certificates_from_pem(&files::read(&layout.file_in(folder, Layout::DOCUMENTS))?)?;
    Ok(DocumentSigner::new(chain, key)?)
}
