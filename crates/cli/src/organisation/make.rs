//! The first start: an organisation out of nothing, all of it or none.
//!
//! Everything is made in a folder inside the data directory, synced, renamed to say that it is whole, and
//! then moved up, `organisation.toml` last. An interruption before the renaming leaves a folder to be thrown
//! away, one after it leaves moves to be finished. This needs no right on the directory above, so the data
//! directory may be a mount point or one that the service manager made.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use hsm::KeyUri;
use pki::{Authority, CaSigner, Fqdn, IssuerKind, IssuingAuthority, IssuingPlan, Key, Root};
use registrar::{Aor, Credential, UserName};
use store::{Directory as _, Embedded, IssuanceLedger as _, TopologyStore as _};
use topology::{Listeners, MediaPolicy, Topology};

use super::{Layout, Manifest, ServerCertificate};
use crate::{
    accounts::Site,
    ca,
    files::{self, Readers},
    password::Password,
    secrets,
};

/// Where things are made, and the same folder once everything in it is whole.
pub(super) const MAKING: &str = ".making";
pub(super) const MADE: &str = ".made";

/// The most characters of an organisation's name in its CA's certificates.
const ORGANISATION_CHARS_MAX: usize = 40;

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) domain: Fqdn,
    pub(crate) listeners: Listeners,
    pub(crate) media: MediaPolicy,
    pub(crate) users: Vec<UserName>,
    /// Where the keys of the CAs are made, if not in files.
    pub(crate) ca_keys: Option<CaKeys>,
}

/// Keys of the CAs in a token.
#[derive(Clone, Debug)]
pub(crate) struct CaKeys {
    /// Each is called as this says, with `-root`, `-issuing` or `-users` behind it.
    pub(crate) uri: KeyUri,
    /// Whether they are there already.
    pub(crate) exist: bool,
}

impl Plan {
    /// The server of a new organisation is `sip.` and the domain.
    fn server_name(&self) -> anyhow::Result<Fqdn> {
        Fqdn::parse(&format!("sip.{}", self.domain))
            .with_context(|| format!("the domain {} leaves no room for a server's name", self.domain))
    }

    fn topology(&self, server: &Fqdn) -> anyhow::Result<Topology> {
        let plain = Topology::single_server(self.domain.as_str(), &self.domain, server, self.listeners)?;
        match self.media {
            MediaPolicy::Require => Ok(plain),
            MediaPolicy::Support => {
                let text = plain.to_commented_toml().replace("\nmedia = \"require\"\n", "\nmedia = \"support\"\n");
                let topology = Topology::parse(&text)?;
                anyhow::ensure!(
                    topology.media() == self.media,
                    "the topology did not take the media policy; report this as a fault of verbund"
                );
                Ok(topology)
            }
        }
    }

    fn site(&self, layout: &Layout, server_name: &Fqdn) -> anyhow::Result<Site> {
        Ok(Site {
            domain: self.domain.clone(),
            server_name: server_name.clone(),
            sip: self.listeners.sip.context("a server needs an address for SIP")?,
            ca: layout.ca(),
            users: self.users.clone(),
            srtp_required: self.media == MediaPolicy::Require,
        })
    }
}

/// Makes the organisation in `data`, which is locked and empty.
///
/// # Errors
/// Something could not be written; what was made so far is gone.
pub(super) async fn make(data: &Path, plan: &Plan, now: SystemTime) -> anyhow::Result<()> {
    whole(data, async |making| fill(data, making, plan, now).await).await
}

/// Makes a data directory by `fill`, which writes to the layout it is given: all of it or none.
///
/// # Errors
/// What `fill` says; what was made so far is gone.
pub(super) async fn whole(data: &Path, fill: impl AsyncFnOnce(&Layout) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let making = data.join(MAKING);
    sweep(&making)?;
    files::make_dir(&making)?;
    let made = fill(&Layout::of(&making)).await;
    if let Err(error) = made {
        // The first error is the one to tell.
        let _ = sweep(&making);
        return Err(error);
    }
    sync_all(&making)?;
    let whole = data.join(MADE);
    fs::rename(&making, &whole).with_context(|| format!("cannot rename {}", making.display()))?;
    files::sync_dir(data)?;
    finish(data)
}

/// Removes what an interrupted first start left.
fn sweep(making: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(making) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}, left by an interrupted start", making.display()))
        }
        _ => Ok(()),
    }
}

/// Moves everything that was made to where it belongs; also what an interruption left to be moved.
pub(super) fn finish(data: &Path) -> anyhow::Result<()> {
    let whole = data.join(MADE);
    let mut entries: Vec<PathBuf> = fs::read_dir(&whole).and_then(|list| list.map(|entry| entry.map(|entry| entry.path())).collect())?;
    entries.sort_by_key(|path| path.ends_with(Layout::MANIFEST) || path.ends_with(Layout::MEMBER));
    for from in entries {
        let to = data.join(from.file_name().unwrap_or_default());
        fs::rename(&from, &to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
        files::sync_dir(data)?;
    }
    ca::sweep(data)?;
    fs::remove_dir(&whole).with_context(|| format!("cannot remove {}", whole.display()))?;
    files::sync_dir(data)
}

fn sync_all(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        }
    }
    files::sync_dir(dir)
}

async fn fill(data: &Path, layout: &Layout, plan: &Plan, now: SystemTime) -> anyhow::Result<()> {
    files::make_dir(&layout.file("ca"))?;
    let server_name = plan.server_name()?;
    let topology = plan.topology(&server_name)?;
    let authority = match ca::installed(data, layout)? {
        Some(authority) => authority,
        None => make_authority(layout, plan, now)?,
    };
    let store = Embedded::create(&layout.file(Layout::STATE))?;
    let users = authority.users()?.certificate();
    for (role, certificate) in
        [(store::Role::Root, authority.root()), (store::Role::Issuing, authority.issuing()), (store::Role::UsersCa, users)]
    {
        store.record_issued(&store::Issued::read(role, certificate).context("the CA just made cannot be read")?, now).await?;
    }
    ServerCertificate::issue(layout, &authority, &topology, &server_name, &store, now).await?;
    store.publish(&topology.to_commented_toml(), None, store::Version(topology.version()), None, now).await?;
    let site = plan.site(&Layout::of(data), &server_name)?;
    for user in &plan.users {
        let password = Password::generate()?;
        let credential = Credential::new(user, plan.domain.as_str(), password.expose());
        store.add_user(&Aor::new(user.clone(), plan.domain.as_str()), &credential, None, now).await?;
        layout.accounts().write(&site, user, &password)?;
    }
    store.close().await;
    let manifest = Manifest { domain: plan.domain.clone(), server_name };
    files::write(&layout.file(Layout::MANIFEST), manifest.to_toml(&web::admin::rfc3339(now)), Readers::Owner)
}

/// How the CA calls the organisation.
pub(super) fn organisation_name(domain: &Fqdn) -> String {
    domain.as_str().chars().take(ORGANISATION_CHARS_MAX).collect()
}

fn make_authority(layout: &Layout, plan: &Plan, now: SystemTime) -> anyhow::Result<Authority> {
    let organisation = organisation_name(&plan.domain);
    let domains = std::slice::from_ref(&plan.domain);
    let key = |name| make_key(layout, name, plan.ca_keys.as_ref());
    let root = Root::create_with(&organisation, 1, key(Layout::ROOT_KEY)?, now)?;
    let issuing = |kind, key: CaSigner| -> anyhow::Result<IssuingAuthority> {
        let plan = IssuingPlan { organisation: &organisation, generation: 1, kind, domains, urls: None };
        Ok(IssuingAuthority::of(kind, root.issue(&plan, key.public(), now)?, key)?)
    };
    let users = issuing(IssuerKind::Users, key(Layout::USERS_KEY)?)?;
    let public_of_users = users.certificate_pem();
    let servers = issuing(IssuerKind::Servers, key(Layout::ISSUING_KEY)?)?;
    let authority = Authority::of(root.certificate().clone(), servers, Some(users))?;
    let public = [
        (Layout::ROOT, root.certificate_pem()),
        (Layout::CA, root.certificate_pem()),
        (Layout::ISSUING, authority.issuing_pem()),
        (Layout::USERS, public_of_users),
    ];
    for (name, pem) in public {
        files::write(&layout.file(name), pem, Readers::Everyone)?;
    }
    Ok(authority)
}

/// A new key of a CA, with its file: encrypted, or in a token, and then the file says where.
fn make_key(layout: &Layout, name: &str, token: Option<&CaKeys>) -> anyhow::Result<CaSigner> {
    let path = layout.file(name);
    let Some(CaKeys { uri, exist }) = token else {
        let key = Key::generate()?;
        secrets::write_ca_key(&path, &key)?;
        return Ok(key.into());
    };
    let what = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let uri = uri.with_object(&format!("{}-{what}", uri.object()));
    let key = if *exist { secrets::open_token_key(&uri) } else { secrets::make_token_key(&uri) }?;
    files::write(&path, format!("{uri}\n"), Readers::Owner)?;
    Ok(key)
}
