//! A data directory out of a backup: all of it or none, and nothing is overwritten.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args as Group, ValueHint};
use pki::{Authority, Fqdn, IssuerKind, IssuingAuthority, Root};
use store::{Actor, AuditLog as _, Embedded, Enrolments as _, Event, Head, TopologyStore as _, Verdict};
use web::admin::rfc3339;
use zeroize::Zeroizing;

use super::{
    archive,
    contents::{Contents, Entry, readers},
};
use crate::{
    args::Data,
    ca::PassphraseFile,
    files::{self, Readers},
    organisation::{self, Layout, Manifest},
    output,
    remote::{ask, client},
    secrets, up,
};

/// `verbund restore`
#[derive(Debug, Group)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "go_on")]
    file: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseFile,
    /// At the restored authority, running: wait no longer for members that have not shown what they hold; they have to join anew
    #[arg(long, conflicts_with_all = ["file", "passphrase_file"])]
    go_on: bool,
    /// Answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What was restored.
struct Restored {
    contents: Contents,
    /// Servers whose open tickets are void now.
    voided: Vec<Fqdn>,
    /// Members that have to show what they hold.
    members: Vec<Fqdn>,
}

/// Makes a data directory out of a backup, or ends the waiting of one that was made so.
///
/// # Errors
/// There is something in the directory; the passphrase is not the right one; the backup is damaged or contradicts itself. The
/// directory is as it was then.
pub(crate) fn restore(data: &Data, command: &Restore) -> anyhow::Result<()> {
    let Restore { file, passphrase, json, .. } = command;
    let Some(file) = file else { return go_on(data, *json) };
    let directory = up::data_dir(data)?;
    organisation::check_empty(&directory)?;
    let passphrase = secrets::passphrase(passphrase.passphrase_file.as_deref())?;
    let now = SystemTime::now();
    let restored = up::block_on(async {
        let mut restored = None;
        organisation::fill_empty(&directory, async |making: &Layout| {
            let contents = archive::read(file, &passphrase, |entry, content| put(making, entry, content))?;
            restored = Some(check_and_settle(making, contents, now).await?);
            Ok(())
        })
        .await?;
        restored.context("nothing was restored")
    })?;
    say(&restored, &directory, *json)
}

/// One file of the backup, as it is to lie.
fn put(making: &Layout, entry: &Entry, content: &mut dyn Read) -> anyhow::Result<()> {
    let path = making.file(&entry.name);
    if let Some(folder) = path.parent() {
        files::make_dir(folder)?;
    }
    if entry.name == Layout::STATE {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        io::copy(content, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
        return file.sync_all().with_context(|| format!("cannot write {}", path.display()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    content.read_to_end(&mut bytes)?;
    files::write(&path, &*bytes, readers(&entry.name))
}

/// Everything is looked at as a start would, and more; then what must not come back to life is ended, and the log says why.
async fn check_and_settle(making: &Layout, contents: Contents, now: SystemTime) -> anyhow::Result<Restored> {
    let manifest = Manifest::parse(&files::read(&making.file(Layout::MANIFEST))?)?;
    check_ca(making)?;
    let store = Embedded::open(&making.file(Layout::STATE))?;
    let settled = settle(making, &manifest, &store, &contents, now).await;
    store.close().await;
    let (voided, members) = settled?;
    let marker = serde_json::json!({ "made_at": contents.made_at, "restored_at": rfc3339(now) });
    files::write(&making.file(Layout::RESTORED), format!("{marker}\n"), Readers::Owner)?;
    Ok(Restored { contents, voided, members })
}

/// Certificates and keys belong together, and the keys open.
fn check_ca(making: &Layout) -> anyhow::Result<()> {
    let root = files::read(&making.file(Layout::ROOT))?;
    let root_key = making.file(Layout::ROOT_KEY);
    if root_key.exists() {
        Root::load_with(&root, secrets::read_ca_key(&root_key)?)?;
    }
    let issuing = |kind, certificate, key| -> anyhow::Result<IssuingAuthority> {
        let key = secrets::read_ca_key(&making.file(key))?;
        Ok(IssuingAuthority::load_with(kind, &files::read(&making.file(certificate))?, key)?)
    };
    let servers = issuing(IssuerKind::Servers, Layout::ISSUING, Layout::ISSUING_KEY)?;
    let users = match making.file(Layout::USERS_KEY).exists() {
        true => Some(issuing(IssuerKind::Users, Layout::USERS, Layout::USERS_KEY)?),
        false => None,
    };
    Authority::assemble(&root, servers, users).context("the CA in the backup does not fit together")?;
    Ok(())
}

async fn settle(
    making: &Layout,
    manifest: &Manifest,
    store: &Embedded,
    contents: &Contents,
    now: SystemTime,
) -> anyhow::Result<(Vec<Fqdn>, Vec<Fqdn>)> {
    let noted = contents.audit.iter().map(|head| head.parse::<Head>()).collect::<Result<Vec<_>, _>>()?;
    if let Verdict::Broken(broken) = store.verify(&noted).await? {
        bail!("the audit log in the backup is broken ({broken}): take another backup");
    }
    let published = store.current().await?.context("there is no topology in the backup")?;
    let topology = topology::Topology::parse(&published.document).context("the topology in the backup")?;
    ensure!(topology.server(&manifest.server_name).is_some(), "the topology in the backup does not list {}", manifest.server_name);
    // The file is a copy for people, and may have been a moment behind.
    files::write(&making.file(Layout::TOPOLOGY), &published.document, Readers::Owner)?;
    let acting = store.acting_as(Actor::Administrator(web::admin::local_user()));
    let made_at = contents.made_at_seconds;
    acting.append(&Event::Restored { made_at }, now).await?;
    let mut voided = Vec::new();
    for ticket in store.open_enrolments(UNIX_EPOCH + Duration::from_secs(made_at)).await? {
        if !voided.contains(&ticket.server) {
            acting.void_enrolments(&ticket.server, now).await?;
            voided.push(ticket.server);
        }
    }
    let members = topology.members().filter(|server| !server.is_expected() && *server.fqdn() != manifest.server_name);
    Ok((voided, members.map(|server| server.fqdn().clone()).collect()))
}

fn names(servers: &[Fqdn]) -> String {
    servers.iter().map(Fqdn::as_str).collect::<Vec<_>>().join(", ")
}

fn say(restored: &Restored, directory: &Path, json: bool) -> anyhow::Result<()> {
    let Restored { contents, voided, members } = restored;
    let Contents { domain, server_name, made_at, topology, .. } = contents;
    if json {
        let [voided, members] = [voided, members].map(|list| list.iter().map(Fqdn::to_string).collect::<Vec<_>>());
        return output::say_json(&serde_json::json!({
            "data": directory, "domain": domain, "server_name": server_name, "made_at": made_at, "topology": topology,
            "tickets_voided": voided, "members": members,
        }));
    }
    let mut text = format!(
        "{} is the authority of {domain} ({server_name}) as it was at {made_at}, with topology version {topology}.\n\
         Start it at the addresses that it had: verbund up --data {}\n",
        directory.display(),
        directory.display()
    );
    if !members.is_empty() {
        text += &format!(
            "It signs nothing for others until its members have shown what they hold: {}.\nThey do so by themselves; for those that never \
             will: verbund restore --go-on\n",
            names(members)
        );
    }
    if !voided.is_empty() {
        text += &format!("Join strings of before are void; give new ones to {}: verbund server add\n", names(voided));
    }
    text += "Users are as they were then: look through who was added, removed or given a new password since.\nThe old machine must never \
             run again as this authority.\n";
    output::say(text)
}

fn go_on(data: &Data, json: bool) -> anyhow::Result<()> {
    let gone = ask(client(data)?.go_on())?;
    if json {
        return output::say_json(&gone);
    }
    let who =
        if gone.left_behind.is_empty() { "nobody is left behind".to_owned() } else { gone.left_behind.join(", ") + " must join anew" };
    output::say(format!("The authority signs for others again; {who}.\n"))
}
