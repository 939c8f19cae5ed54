//! Another passphrase for the keys of the CAs: one that a person or the service manager keeps, somewhere else than the data.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use crate::{
    args::Data,
    organisation::{self, Found, Layout},
    output, secrets, up,
};

/// `verbund ca passphrase`
pub(super) fn change(data: &Data, new: Option<&Path>) -> anyhow::Result<()> {
    let data = up::data_dir(data)?;
    // Held to the end, so that no server starts on keys that change.
    let lock = match organisation::find(&data)? {
        Found::Organisation(lock) => lock,
        Found::Member(_) => bail!("{} is a member's, which has no CA: run this where the authority is", data.display()),
        Found::Nothing => bail!("there is no organisation in {}: make one first (verbund up)", data.display()),
    };
    let passphrase = secrets::new_passphrase(new)?;
    let unused = secrets::change_passphrase(&Layout::of(&data).file("ca"), &passphrase)?;
    if let Some(made) = unused {
        fs::remove_file(&made).with_context(|| format!("cannot remove {}, which opens nothing any more", made.display()))?;
    }
    super::note(&Layout::of(&data), lock, "ca-passphrase", "the keys of the CAs have another passphrase".into())?;
    output::say(format_args!(
        "The keys in {} lie under the new passphrase. Without it the authority does not start: keep it in two safe places.\n\
         Give it to the server in a file (mode 0600) that {} names, or, sealed to this machine, through systemd:\n  \
         systemd-creds encrypt --name=verbund-ca-passphrase FILE /etc/verbund/ca-passphrase.cred\n  \
         and in the unit: LoadCredentialEncrypted=verbund-ca-passphrase:/etc/verbund/ca-passphrase.cred\n",
        Layout::of(&data).file("ca").display(),
        secrets::CA_PASSPHRASE_FILE
    ))
}
