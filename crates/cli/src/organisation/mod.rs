//! The data directory: is there an organisation, is it whole, and what does it consist of?
//!
//! What the parts mean is left to `pki`, `topology` and `store`. Start with [`find`], then
//! [`make()`] (the first start) and [`open`](Organisation::open) (every later one).

mod ca;
mod certificate;
mod layout;
mod make;
mod manifest;
pub(crate) mod membership;
mod vault;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use authority::{Ca, Prepared};
use member::Holdings;
use pki::{Authority, CertificateDer, Fqdn};
use registrar::{Aor, Credential, UserName};
use store::{Directory as _, Embedded, Published, TopologyStore as _, Version};
use topology::{MediaPolicy, Topology};
use web::admin::rfc3339;

pub(crate) use certificate::{Reason, ServerCertificate, renewal};
pub(crate) use layout::Layout;
pub(crate) use make::{CaKeys, Plan};
pub(crate) use manifest::Manifest;
pub(crate) use membership::Membership;

use crate::{accounts::Site, ca::PREPARED, files, password::Password, secrets};

/// Entries of a file system's own making that do not keep a directory from counting as empty.
const NOT_OURS: [&str; 1] = ["lost+found"];

/// What is in a data directory.
pub(crate) enum Found {
    /// Nothing: an organisation may be made here.
    Nothing,
    /// An organisation's authority, and the directory is taken for this process.
    Organisation(store::Lock),
    /// A server that has joined; the same.
    Member(store::Lock),
}

/// Looks into a data directory. Changes nothing, except that a first start which was interrupted at its very
/// end is finished.
///
/// # Errors
/// Another process serves it, or it holds something else, or half of an organisation.
pub(crate) fn find(data: &Path) -> anyhow::Result<Found> {
    if !data.try_exists().with_context(|| format!("cannot look at {}", data.display()))? {
        return Ok(Found::Nothing);
    }
    ensure!(data.is_dir(), "{} is not a directory: choose another with --data", data.display());
    let lock = store::Lock::acquire(data)?;
    let names = names_in(data)?;
    if names.iter().any(|name| name == make::MADE) {
        make::finish(data)?;
    }
    if data.join(Layout::MEMBER).exists() {
        return Ok(Found::Member(lock));
    }
    if data.join(Layout::MANIFEST).exists() {
        return Ok(Found::Organisation(lock));
    }
    let strange: Vec<&String> = names
        .iter()
        .filter(|name| ![make::MAKING, PREPARED, Layout::CA_PASSPHRASE].contains(&name.as_str()) && !NOT_OURS.contains(&name.as_str()))
        .collect();
    match strange.first() {
        None => Ok(Found::Nothing),
        Some(_) if strange.iter().any(|name| ["ca", "server", Layout::STATE, Layout::TOPOLOGY].contains(&name.as_str())) => {
            Err(half_made(data, Layout::MANIFEST))
        }
        Some(first) => bail!(
            "{} is not empty (it holds {}) and no data directory of verbund: choose another with --data",
            data.display(),
            crate::output::printable(first)
        ),
    }
}

fn names_in(data: &Path) -> anyhow::Result<Vec<String>> {
    let list = fs::read_dir(data).with_context(|| format!("cannot read {}", data.display()))?;
    list.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn half_made(data: &Path, missing: &str) -> anyhow::Error {
    anyhow!(
        "the data directory {} is incomplete: {missing} is missing; put it back from a backup, or start anew with another --data",
        data.display()
    )
}

/// Makes an organisation in a directory that is missing or empty, and takes it for this process.
///
/// # Errors
/// It cannot be written; it is then as empty as before.
pub(crate) async fn make(data: &Path, plan: &Plan, now: SystemTime) -> anyhow::Result<store::Lock> {
    let existed = data.exists();
    files::make_dir(data)
        .and_then(|()| files::make_private_dir(data))
        .map_err(|error| anyhow!("{error:#}; choose another directory with --data"))?;
    let lock = store::Lock::acquire(data)?;
    // Another process may have been quicker between the look and the lock.
    ensure!(!data.join(Layout::MANIFEST).exists(), "another verbund just made an organisation in {}: start again", data.display());
    if let Err(error) = make::make(data, plan, now).await {
        if !existed {
            let _ = fs::remove_dir(data);
        }
        return Err(error.context(format!("cannot make an organisation in {}", data.display())));
    }
    Ok(lock)
}

/// Refuses a directory with anything in it.
///
/// # Errors
/// There is something, which is never overwritten.
pub(crate) fn check_empty(data: &Path) -> anyhow::Result<()> {
    if !data.try_exists().with_context(|| format!("cannot look at {}", data.display()))? {
        return Ok(());
    }
    ensure!(data.is_dir(), "{} is not a directory: choose another with --data", data.display());
    let names = names_in(data)?;
    match names.iter().find(|name| *name != make::MAKING && !NOT_OURS.contains(&name.as_str())) {
        Some(first) => bail!(
            "{} is not empty (it holds {}), and nothing is overwritten: choose another with --data, or move that away",
            data.display(),
            crate::output::printable(first)
        ),
        None => Ok(()),
    }
}

/// Makes a data directory where there is nothing by what `fill` writes: all of it or none.
///
/// # Errors
/// There is something, or what `fill` says; the directory is then as empty as before.
pub(crate) async fn fill_empty(data: &Path, fill: impl AsyncFnOnce(&Layout) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let existed = data.exists();
    files::make_dir(data).and_then(|()| files::make_private_dir(data))?;
    let _lock = store::Lock::acquire(data)?;
    let filled = match check_empty(data) {
        Ok(()) => make::whole(data, fill).await,
        Err(error) => Err(error),
    };
    if filled.is_err() && !existed {
        let _ = fs::remove_dir(data);
    }
    filled
}

/// Makes the directory of a server that has just joined, where there is nothing, and takes it for this process.
///
/// # Errors
/// It cannot be written; it is then as empty as before.
pub(crate) async fn make_member(data: &Path, joined: &membership::Joined) -> anyhow::Result<store::Lock> {
    files::make_dir(data).and_then(|()| files::make_private_dir(data))?;
    let lock = store::Lock::acquire(data)?;
    membership::make(data, joined).await.with_context(|| format!("cannot join in {}", data.display()))?;
    Ok(lock)
}

/// An organisation, read and checked.
pub(crate) struct Organisation {
    pub(crate) layout: Layout,
    pub(crate) manifest: Manifest,
    pub(crate) ca: Arc<Ca>,
    /// What the authority published, as every member believes it.
    pub(crate) holdings: Holdings,
    pub(crate) store: Embedded,
    pub(crate) certificate: ServerCertificate,
    /// By name.
    pub(crate) users: Vec<store::User>,
}

impl Organisation {
    /// Reads everything and checks that it fits together and counts at this time. A server certificate that is
    /// not good for long is replaced.
    ///
    /// # Errors
    /// What is missing, open to others, of another version, out of its time or contradictory, and the cure.
    pub(crate) async fn open(data: &Path, lock: store::Lock, now: SystemTime) -> anyhow::Result<Self> {
        let layout = Layout::of(data);
        check_files(&layout)?;
        let manifest = Manifest::parse(&files::read(&layout.file(Layout::MANIFEST))?)
            .with_context(|| format!("cannot use {}", layout.file(Layout::MANIFEST).display()))?;
        check_ca_times(&layout, now)?;
        secrets::encrypt_plain_keys(&layout.file("ca"))?;
        let store = Embedded::open_locked(&layout.file(Layout::STATE), lock)?;
        let opened = async {
            let Published { document, .. } = store.current().await?.with_context(|| half_made(layout.data(), "the topology"))?;
            let topology = Topology::parse(&document).context("cannot use the topology that is stored")?;
            let ca = ca::read(&layout, &manifest, &topology, &store, now).await?;
            let Prepared { ca, holdings } = Prepared::prepare(ca, &store, &manifest.server_name, manifest.domain.as_str(), now).await?;
            show_roots(&layout, &holdings.bundle().roots_pem());
            let certificate = current_certificate(&layout, ca.authority(), &holdings, &manifest.server_name, &store, now).await?;
            show_topology(&store, &layout, &document).await?;
            Ok((ca, holdings, certificate, store.users().await?))
        };
        let (ca, holdings, certificate, users) = or_close(&store, opened).await?;
        Ok(Self { layout, manifest, ca, holdings, store, certificate, users })
    }

    /// The list in force.
    pub(crate) fn topology(&self) -> &Topology {
        self.holdings.topology()
    }

    /// What accounts have in common when SIP listens at `sip`.
    pub(crate) fn site(&self, sip: SocketAddr) -> Site {
        Site {
            domain: self.manifest.domain.clone(),
            server_name: self.manifest.server_name.clone(),
            sip,
            ca: self.layout.ca(),
            users: self.users.iter().map(|user| user.aor.user.clone()).collect(),
            srtp_required: self.topology().media() == MediaPolicy::Require,
        }
    }

    /// Adds users who are missing; gives those that were.
    ///
    /// # Errors
    /// The store cannot be written, or there is no randomness.
    pub(crate) async fn add_missing(&mut self, wanted: &[UserName], now: SystemTime) -> anyhow::Result<Vec<(UserName, Password)>> {
        let mut added = Vec::new();
        for user in wanted {
            if self.users.iter().any(|known| known.aor.user == *user) {
                continue;
            }
            let password = Password::generate()?;
            let credential = Credential::new(user, self.manifest.domain.as_str(), password.expose());
            self.store.add_user(&Aor::new(user.clone(), self.manifest.domain.as_str()), &credential, None, now).await?;
            added.push((user.clone(), password));
            self.users = self.store.users().await?;
        }
        let Self { manifest: Manifest { domain, server_name }, holdings, store, .. } = self;
        authority::tell_users(holdings, store, server_name, domain.as_str(), now).await?;
        Ok(added)
    }
}

/// Shows phones these roots, in the file that their accounts name.
pub(crate) fn show_roots(layout: &Layout, roots: &str) {
    let path = layout.ca();
    if files::read(&path).is_ok_and(|shown| shown == roots) {
        return;
    }
    match files::write(&path, roots, files::Readers::Everyone) {
        Ok(()) => tracing::info!(path = %path.display(), "the roots for phones are others now"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "phones, and the next start, do not find the roots that count now"),
    }
}

/// Does something with an open store; if it fails the store is closed, so that its files are left as they were found.
///
/// # Errors
/// What the work gives.
pub(crate) async fn or_close<T>(store: &Embedded, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let result = work.await;
    if result.is_err() {
        store.close().await;
    }
    result
}

fn check_files(layout: &Layout) -> anyhow::Result<()> {
    files::check_private_dir(layout.data())?;
    if let Some(missing) = Layout::REQUIRED.iter().find(|name| !layout.file(name).exists()) {
        return Err(half_made(layout.data(), missing));
    }
    let secrets: Vec<PathBuf> = Layout::SECRETS.iter().map(|name| layout.file(name)).collect();
    secrets.iter().filter(|path| path.exists()).try_for_each(|path| files::check_private(path))
}

/// A certificate counts between two moments by this machine's clock.
fn check_time(what: &str, certificate: &CertificateDer<'_>, now: SystemTime) -> anyhow::Result<()> {
    let facts = pki::facts(certificate).with_context(|| format!("the certificate of the {what} cannot be read"))?;
    ensure!(
        now >= facts.not_before,
        "this machine's clock says {}, before the start of the {what}'s certificate ({}): set the clock",
        rfc3339(now),
        rfc3339(facts.not_before)
    );
    ensure!(
        now <= facts.not_after,
        "the {what}'s certificate ended at {} and this machine's clock says {}: set the clock if it is wrong, else make a new organisation",
        rfc3339(facts.not_after),
        rfc3339(now)
    );
    Ok(())
}

fn check_ca_times(layout: &Layout, now: SystemTime) -> anyhow::Result<()> {
    for (what, name) in [("root CA", Layout::ROOT), ("issuing CA", Layout::ISSUING)] {
        let path = layout.file(name);
        let certificates = pki::certificates_from_pem(&files::read(&path)?).with_context(|| format!("cannot use {}", path.display()))?;
        certificates.iter().try_for_each(|certificate| check_time(what, certificate, now))?;
    }
    Ok(())
}

/// The file shows what is in force. What was published once and is shown still, after a crash or out of a backup, is nobody's edit.
async fn show_topology(store: &Embedded, layout: &Layout, document: &str) -> anyhow::Result<()> {
    let path = layout.file(Layout::TOPOLOGY);
    let shown = fs::read_to_string(&path).unwrap_or_default();
    let before = match Topology::parse(&shown) {
        Ok(topology) => store.at(Version(topology.version())).await?.map(|published| published.document),
        Err(_) => None,
    };
    authority::show_topology(&path, document, before.as_deref());
    Ok(())
}

async fn current_certificate(
    layout: &Layout,
    authority: &Authority,
    holdings: &Holdings,
    server: &Fqdn,
    store: &Embedded,
    now: SystemTime,
) -> anyhow::Result<ServerCertificate> {
    let topology = holdings.topology();
    let loaded = ServerCertificate::load(layout);
    if let Ok(certificate) = &loaded
        && let Some(leaf) = certificate.chain.first()
        && now < certificate.facts.not_before
    {
        check_time("server", leaf, now)?;
    }
    let reason = match loaded {
        Ok(certificate) => match certificate.renewal(Some(authority.issuing()), topology, holdings.lists(), server, now) {
            None => return Ok(certificate),
            Some(reason) => reason.to_string(),
        },
        // Half of a renewal, or damage: both are cured by a new one.
        Err(error) => format!("{error:#}"),
    };
    let certificate = ServerCertificate::issue(layout, authority, topology, server, store, now).await?;
    tracing::info!(%server, reason, not_after = rfc3339(certificate.facts.not_after), "server certificate issued");
    Ok(certificate)
}
