//! The data directory of a server that has joined: its certificate, its account, and what it believed.

use std::{net::SocketAddr, path::Path, time::SystemTime};

use anyhow::Context as _;
use member::{Holdings, disk};
use pki::{Anchors, Fqdn, Key};
use serde::Deserialize;
use store::Embedded;
use zeroize::Zeroizing;

use super::{Layout, ServerCertificate, half_made, make::whole, or_close, show_roots};
use crate::{
    files::{self, Readers},
    join,
};

/// The edition of the layout that this program makes and reads.
const FORMAT: u32 = 1;

/// What was settled when the server joined.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MemberManifest {
    pub(crate) domain: Fqdn,
    pub(crate) server_name: Fqdn,
    /// Where the authority's HTTPS was then.
    pub(crate) authority: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    domain: String,
    server_name: String,
    authority: SocketAddr,
    #[serde(rename = "joined_at")]
    _joined_at: String,
    #[serde(rename = "made_by")]
    _made_by: String,
}

impl MemberManifest {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message().to_owned()))?;
        anyhow::ensure!(
            file.format == FORMAT,
            "it is of format {}, and this verbund knows {FORMAT}: use the version that made it",
            file.format
        );
        Ok(Self { domain: Fqdn::parse(&file.domain)?, server_name: Fqdn::parse(&file.server_name)?, authority: file.authority })
    }

    fn to_toml(&self, joined_at: &str) -> String {
        let Self { domain, server_name, authority } = self;
        format!(
            "# What this directory is. Made by `verbund join`, not for editing.\n\
             format = {FORMAT}\n\
             domain = \"{domain}\"\n\
             server_name = \"{server_name}\"\n\
             authority = \"{authority}\"\n\
             joined_at = \"{joined_at}\"\n\
             made_by = \"verbund {}\"\n",
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// What a join brings home.
pub(crate) struct Joined {
    pub(crate) manifest: MemberManifest,
    pub(crate) root_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) key: Key,
    pub(crate) account: Zeroizing<String>,
    pub(crate) holdings: Holdings,
}

/// Makes the data directory of a server that has just joined: all of it or none.
///
/// # Errors
/// It cannot be written; it is then as empty as before.
pub(crate) async fn make(data: &Path, joined: &Joined) -> anyhow::Result<()> {
    whole(data, async |layout| fill(layout, joined).await).await
}

async fn fill(layout: &Layout, joined: &Joined) -> anyhow::Result<()> {
    files::make_dir(&layout.file("server"))?;
    files::write(&layout.file(Layout::SERVER_KEY), joined.key.to_pem()?.expose(), Readers::Owner)?;
    files::write(&layout.file(Layout::SERVER_CHAIN), &joined.chain_pem, Readers::Everyone)?;
    files::write(&layout.file(Layout::ACCOUNT), joined.account.as_bytes(), Readers::Owner)?;
    files::write(&layout.ca(), &joined.root_pem, Readers::Everyone)?;
    let store = Embedded::create(&layout.file(Layout::STATE))?;
    let kept = disk::keep_all(&store, &joined.holdings, joined.manifest.domain.as_str()).await;
    store.close().await;
    kept?;
    let manifest = joined.manifest.to_toml(&web::admin::rfc3339(SystemTime::now()));
    files::write(&layout.file(Layout::MEMBER), manifest, Readers::Owner)
}

/// A server that has joined, read and checked.
pub(crate) struct Membership {
    pub(crate) layout: Layout,
    pub(crate) manifest: MemberManifest,
    pub(crate) store: Embedded,
    pub(crate) certificate: ServerCertificate,
    pub(crate) holdings: Holdings,
}

impl Membership {
    /// Reads everything back. The authority is not asked.
    ///
    /// # Errors
    /// What is missing, open to others, or not what was put there.
    pub(crate) async fn open(data: &Path, lock: store::Lock) -> anyhow::Result<Self> {
        let layout = Layout::of(data);
        files::check_private_dir(layout.data())?;
        if let Some(missing) = Layout::REQUIRED_OF_MEMBER.iter().find(|name| !layout.file(name).exists()) {
            return Err(half_made(layout.data(), missing));
        }
        let secrets = Layout::SECRETS.iter().map(|name| layout.file(name));
        secrets.filter(|path| path.exists()).try_for_each(|path| files::check_private(&path))?;
        let path = layout.file(Layout::MEMBER);
        let manifest = MemberManifest::parse(&files::read(&path)?).with_context(|| format!("cannot use {}", path.display()))?;
        let roots = Anchors::from_pem(&files::read(&layout.ca())?).with_context(|| layout.ca().display().to_string())?;
        let loaded = ServerCertificate::load(&layout);
        let store = Embedded::open_locked(&layout.file(Layout::STATE), lock)?;
        let restored = async {
            let holdings = disk::restore(&store, &roots).await?;
            // A bundle was kept, and the process ended before phones were told of its roots.
            show_roots(&layout, &holdings.bundle().roots_pem());
            let certificate = match loaded {
                Ok(certificate) => certificate,
                Err(broken) => healed(&layout, &holdings, &manifest, broken).await?,
            };
            Ok((holdings, certificate))
        };
        let (holdings, certificate) = or_close(&store, restored).await?;
        Ok(Self { layout, manifest, store, certificate, holdings })
    }
}

/// A certificate that is damaged, or not its key's, is cured by a new one; the authority has to be there for that.
async fn healed(
    layout: &Layout,
    holdings: &Holdings,
    manifest: &MemberManifest,
    broken: anyhow::Error,
) -> anyhow::Result<ServerCertificate> {
    let new = join::renew(layout, holdings, manifest.authority, &manifest.server_name).await;
    let new = new.map_err(|error| {
        anyhow::anyhow!(
            "{broken:#}; a new certificate was asked for and not had ({error:#}): put both files back from a backup, or start again when the authority is there"
        )
    })?;
    tracing::warn!(server = %manifest.server_name, reason = format!("{broken:#}"), "the server certificate was unusable, and is replaced");
    Ok(new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let manifest = MemberManifest {
            domain: Fqdn::parse("verbund.test").unwrap(),
            server_name: Fqdn::parse("fe2.verbund.test").unwrap(),
            authority: "127.0.0.1:8443".parse().unwrap(),
        };
        assert_eq!(MemberManifest::parse(&manifest.to_toml("2026-01-01T00:00:00Z")).unwrap(), manifest);
        assert!(MemberManifest::parse("format = 2\n").is_err());
    }
}
