//! `verbund ca …`: the root ceremony. An offline root is made and signs ([`root`]); an authority that is to be made
//! asks it for its issuing CAs and puts them into place ([`prepared`]). Files go back and forth, private keys never. The CA of a
//! running organisation is replaced in [`running`].

mod passphrase;
mod prepared;
mod root;
mod running;

use std::{path::PathBuf, time::SystemTime};

use clap::{Args as Group, Subcommand, ValueHint};
use hsm::KeyUri;
use pki::Fqdn;

use store::{Actor, AuditLog as _, Embedded, Event};

use crate::{args::Data, organisation::Layout, up};

pub(crate) use prepared::{PREPARED, installed, sweep};

/// `verbund ca …`
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// The offline root, on a machine without a network
    #[command(subcommand)]
    Root(Root),
    /// Replaces the root of the running organisation
    #[command(subcommand)]
    Rollover(running::Rollover),
    /// Replaces the issuing CAs of the running organisation
    #[command(subcommand)]
    Issuing(running::Issuing),
    /// Makes the keys of the issuing CAs of an organisation to be, and writes what the root has to sign
    Request(Request),
    /// Puts what the root signed into place; `verbund up` makes the organisation of it. Later: takes the root's new list
    Install {
        /// The folder that `verbund ca root sign` wrote
        #[arg(value_hint = ValueHint::DirPath)]
        signed: PathBuf,
    },
    /// Encrypts the keys of the CAs with another passphrase, which then is yours to keep; the server must not run
    Passphrase {
        /// The file with the new passphrase, or - for standard input [default: asked for on the terminal]
        #[arg(long = "new-passphrase-file", value_name = "FILE", value_hint = ValueHint::FilePath)]
        new: Option<PathBuf>,
    },
}

/// `verbund ca root …`
#[derive(Debug, Subcommand)]
pub(crate) enum Root {
    /// Makes a root: its key (encrypted), its certificate, its first revocation list, and a register of what it signs
    Init {
        /// The folder for it; must not be there yet
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        /// The organisation's name, as it stands in all certificates of its CAs
        #[arg(long, value_name = "NAME")]
        organisation: String,
        /// The how many-th root of this year it is: no two may have one name
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        generation: u16,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
    /// Signs issuing CAs, and each time the root's next revocation list
    Sign {
        /// What `verbund ca request` wrote; none, to sign the list only
        #[arg(value_name = "REQUEST", value_hint = ValueHint::FilePath)]
        requests: Vec<PathBuf>,
        /// The folder of the root
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        root: PathBuf,
        /// The folder for what is signed
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        /// An issuing CA to take back, by its serial number; may be given more than once
        #[arg(long, value_name = "SERIAL", value_parser = serial)]
        revoke: Vec<pki::Serial>,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
    /// Vouches for another root of the organisation, for the time in which one replaces the other
    Cross {
        /// The other root's certificate
        #[arg(value_hint = ValueHint::FilePath)]
        other: PathBuf,
        /// The folder of this root
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        root: PathBuf,
        /// The file for the link certificate
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
}

/// Where a passphrase comes from.
#[derive(Debug, Group)]
pub(crate) struct PassphraseFile {
    /// The file with the passphrase, or - for standard input [default: asked for on the terminal]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `verbund ca request`
#[derive(Debug, Group)]
pub(crate) struct Request {
    /// The organisation's name, exactly as the root has it
    #[arg(long, value_name = "NAME")]
    pub(crate) organisation: String,
    /// A domain that the CAs shall issue for; may be given more than once
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = Fqdn::parse, required = true)]
    pub(crate) domains: Vec<Fqdn>,
    /// Where the root's revocation list will be given out, like `http://sip.contoso.example:8080`
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Have the keys born in a token: pkcs11:token=CA;object=contoso?module-path=/usr/lib/softhsm/libsofthsm2.so
    #[arg(long, value_name = "URI")]
    pub(crate) token: Option<KeyUri>,
}

/// Enters what was done here, without a server, into the organisation's audit log. The lock is let go with it.
fn note(layout: &Layout, lock: store::Lock, action: &str, detail: String) -> anyhow::Result<()> {
    up::block_on(async {
        let store = Embedded::open_locked(&layout.file(Layout::STATE), lock)?;
        let event = Event::AdminAction { action: action.to_owned(), detail };
        let noted = store.acting_as(Actor::Administrator(web::admin::local_user())).append(&event, SystemTime::now()).await;
        store.close().await;
        Ok(noted.map(drop)?)
    })
}

fn serial(text: &str) -> Result<pki::Serial, &'static str> {
    pki::Serial::parse(text).ok_or("write the serial number in hexadecimal digits, as register.json has it")
}

/// Does what was typed.
///
/// # Errors
/// What could not be read, signed or written, and the cure.
pub(crate) fn run(data: &Data, command: &Ca) -> anyhow::Result<()> {
    match command {
        Ca::Root(command) => root::run(command),
        Ca::Rollover(command) => running::rollover(data, command),
        Ca::Issuing(command) => running::issuing(data, command),
        Ca::Request(request) => prepared::request(data, request),
        Ca::Install { signed } => prepared::install(data, signed),
        Ca::Passphrase { new } => passphrase::change(data, new.as_deref()),
    }
}
