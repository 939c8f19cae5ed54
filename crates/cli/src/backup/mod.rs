//! `verbund backup` and `verbund restore`: everything that an authority needs to go on, in one file that is of no use to
//! whoever finds it.
//!
//! The file is in the age format, under a passphrase, and holds a tar archive: first a list of what is in it ([`contents`]),
//! then the files of the data directory as they were at one moment ([`snapshot`]). What is read back is held against that list
//! ([`archive`]) before any of it counts ([`mod@restore`]). What members hold that is newer than the backup is taken up by the
//! authority when it runs; why, is said in `docs/decisions/0015-restore-takes-up-what-members-hold.md`.

mod archive;
mod contents;
mod restore;
mod snapshot;

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args as Group, ValueHint};
use pki::{KeyFault, Passphrase};
use store::{Actor, AuditLog as _, Embedded, Event};

use crate::{
    args::Data,
    ca::PassphraseFile,
    files,
    organisation::Layout,
    output,
    remote::{ask, client},
    secrets, up,
};

pub(crate) use restore::{Restore, restore};

/// `verbund backup`
#[derive(Debug, Group)]
pub(crate) struct Backup {
    /// The file to write; must not be there yet
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
    /// Answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Writes a backup while the authority runs, or while it does not.
///
/// # Errors
/// This is no authority, the file is there, or it cannot be written; nothing is left behind then.
pub(crate) fn backup(data: &Data, command: &Backup) -> anyhow::Result<()> {
    let directory = up::data_dir(data)?;
    let layout = Layout::of(&directory);
    check_authority(&layout)?;
    let Backup { file, passphrase, json } = command;
    ensure!(!file.try_exists()?, "{} is there already, and a backup is never overwritten: choose another name", file.display());
    let passphrase = strong(secrets::new_passphrase(passphrase.passphrase_file.as_deref())?)?;
    let snapshot = snapshot::take(&layout, SystemTime::now())?;
    let written = archive::write(&beside(file), &snapshot, &passphrase).and_then(|sha256| {
        // A backup that cannot be read is none: every octet of it is read once before it counts.
        archive::read(&beside(file), &passphrase, |_, _| Ok(()))?;
        fs::rename(beside(file), file).with_context(|| format!("cannot write {}", file.display()))?;
        files::sync_dir(parent(file))?;
        Ok(sha256)
    });
    if written.is_err() {
        let _ = fs::remove_file(beside(file));
    }
    let sha256 = written?;
    note(data, &layout, &sha256);
    let contents = &snapshot.contents;
    if *json {
        let (topology, audit) = (contents.topology, &contents.audit);
        return output::say_json(
            &serde_json::json!({ "file": file, "sha256": sha256, "made_at": contents.made_at, "topology": topology, "audit": audit }),
        );
    }
    output::say(format_args!(
        "{} holds the authority of {} as it was at {} (topology version {}).\nWith it and its passphrase anybody is your CA: keep them \
         apart from each other, and off this machine.\n",
        file.display(),
        contents.domain,
        contents.made_at,
        contents.topology
    ))
}

fn check_authority(layout: &Layout) -> anyhow::Result<()> {
    let data = layout.data().display();
    if layout.file(Layout::MEMBER).exists() {
        bail!(
            "{data} is a member's, and holds nothing that its authority does not know: if it is lost, it joins anew (verbund server add)"
        );
    }
    ensure!(layout.file(Layout::MANIFEST).exists(), "there is no organisation in {data}: say where it is with --data");
    files::check_private_dir(layout.data())
}

fn strong(passphrase: Passphrase) -> anyhow::Result<Passphrase> {
    ensure!(passphrase.is_strong(), KeyFault::WeakPassphrase);
    Ok(passphrase)
}

fn beside(file: &Path) -> PathBuf {
    file.with_added_extension("new")
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Enters it into the audit log: by the server, where one runs. The backup is good without.
fn note(data: &Data, layout: &Layout, sha256: &str) {
    let noted = match Embedded::open(&layout.file(Layout::STATE)) {
        Err(store::Error::InUse { .. }) => client(data).and_then(|client| ask(client.backed_up(sha256))),
        Err(error) => Err(error.into()),
        Ok(store) => up::block_on(async {
            let event = Event::BackedUp { sha256: sha256.to_owned() };
            store.acting_as(Actor::Administrator(web::admin::local_user())).append(&event, SystemTime::now()).await?;
            store.close().await;
            Ok(())
        }),
    };
    if let Err(error) = noted {
        output::complain(&error.context("the backup is written, but not entered into the audit log"));
    }
}
