//! The offline root: a folder with its certificate, its encrypted key, and the register of what it signed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use pki::{IssuerKind, IssuingRequest, Key, RevocationReason, RootRegister};

use super::{PassphraseFile, Root};
use crate::{
    files::{self, Readers},
    output, secrets,
};

const CERTIFICATE: &str = "root.pem";
const KEY: &str = "root.key";
const LIST: &str = "root.crl";
const REGISTER: &str = "register.json";

pub(super) fn run(command: &Root) -> anyhow::Result<()> {
    let now = SystemTime::now();
    match command {
        Root::Init { out, organisation, generation, passphrase } => init(out, organisation, *generation, passphrase, now),
        Root::Sign { requests, root, out, revoke, passphrase } => sign(requests, root, out, revoke, passphrase, now),
        Root::Cross { other, root, out, passphrase } => cross(other, root, out, passphrase, now),
    }
}

fn init(out: &Path, organisation: &str, generation: u16, passphrase: &PassphraseFile, now: SystemTime) -> anyhow::Result<()> {
    ensure!(!out.exists(), "{} is there already, and a root must never be overwritten: choose another --out", out.display());
    let key = Key::generate()?;
    let passphrase = secrets::new_passphrase(passphrase.passphrase_file.as_deref())?;
    let encrypted = key.to_encrypted_pem(&passphrase)?;
    let root = pki::Root::create_with(organisation, generation, key.into(), now)?;
    let mut register = RootRegister::new(organisation, root.certificate());
    let list = register.next_list(&root, now)?;
    files::make_dir(out)?;
    files::write(&out.join(KEY), encrypted.expose(), Readers::Owner)?;
    files::write(&out.join(CERTIFICATE), root.certificate_pem(), Readers::Everyone)?;
    files::write(&out.join(LIST), list, Readers::Everyone)?;
    files::write(&out.join(REGISTER), register.to_json()?, Readers::Owner)?;
    let fingerprint = pki::Fingerprint::of(root.certificate());
    output::say(format_args!(
        "The root of {organisation} lies in {}. Its fingerprint (SHA-256) is\n  {fingerprint}\nKeep that folder, a copy of it, and \
         the passphrase in different safe places; {CERTIFICATE} and {LIST} are public.\n",
        out.display()
    ))
}

/// A root that was opened with its passphrase.
struct Opened {
    root: pki::Root,
    register: RootRegister,
}

fn open(folder: &Path, passphrase: &PassphraseFile) -> anyhow::Result<Opened> {
    let certificate = files::read(&folder.join(CERTIFICATE))?;
    let key = secrets::read_key(&folder.join(KEY), || secrets::passphrase(passphrase.passphrase_file.as_deref()))?;
    let root = pki::Root::load_with(&certificate, key.into()).with_context(|| format!("cannot use the root in {}", folder.display()))?;
    let register = RootRegister::read(&files::read(&folder.join(REGISTER))?)?;
    Ok(Opened { root, register })
}

fn sign(
    requests: &[PathBuf],
    folder: &Path,
    out: &Path,
    revoke: &[pki::Serial],
    passphrase: &PassphraseFile,
    now: SystemTime,
) -> anyhow::Result<()> {
    let wanted = requests.iter().map(|path| read_request(path)).collect::<anyhow::Result<Vec<_>>>()?;
    for kind in [IssuerKind::Servers, IssuerKind::Users] {
        let count = wanted.iter().filter(|request| request.kind() == kind).count();
        ensure!(count <= 1, "there are {count} requests for a CA of {kind}: sign them one after the other, each with an --out of its own");
    }
    let Opened { root, mut register } = open(folder, passphrase)?;
    for serial in revoke {
        register.revoke(serial, RevocationReason::Unspecified, now)?;
    }
    let mut signed = Vec::new();
    for request in &wanted {
        signed.push((request, register.sign(&root, request, now)?));
    }
    let list = register.next_list(&root, now)?;
    // First what must not be forgotten, then what is taken away.
    files::write(&folder.join(REGISTER), register.to_json()?, Readers::Owner)?;
    files::write(&folder.join(LIST), &list, Readers::Everyone)?;
    files::make_dir(out)?;
    files::write(&out.join(CERTIFICATE), root.certificate_pem(), Readers::Everyone)?;
    files::write(&out.join(LIST), &list, Readers::Everyone)?;
    for (request, certificate) in signed {
        files::write(&out.join(file_name(request.kind())), pki::certificates_to_pem([&certificate]), Readers::Everyone)?;
        told(request, &certificate)?;
    }
    output::say(format_args!("Take {} back to the authority; all of it is public.\n", out.display()))
}

/// How a signed CA's file is called.
pub(super) fn file_name(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::Servers => "servers.pem",
        IssuerKind::Users => "users.pem",
    }
}

fn read_request(path: &Path) -> anyhow::Result<IssuingRequest> {
    IssuingRequest::read(&files::read(path)?).with_context(|| path.display().to_string())
}

fn told(request: &IssuingRequest, certificate: &pki::CertificateDer<'_>) -> anyhow::Result<()> {
    let facts = pki::facts(certificate).context("the certificate just signed cannot be read")?;
    let domains = request.domains().iter().map(pki::Fqdn::as_str).collect::<Vec<_>>().join(", ");
    output::say(format_args!(
        "{}\n  for {} of {domains}\n  key {}\n  serial number {}\n",
        facts.subject,
        request.kind(),
        request.key_fingerprint(),
        facts.serial
    ))
}

fn cross(other: &Path, folder: &Path, out: &Path, passphrase: &PassphraseFile, now: SystemTime) -> anyhow::Result<()> {
    let theirs = pki::certificates_from_pem(&files::read(other)?).with_context(|| other.display().to_string())?;
    let [theirs] = &theirs[..] else { anyhow::bail!("{} holds more than one certificate: give that of the root alone", other.display()) };
    ensure!(!fs::exists(out)?, "{} is there already: choose another --out", out.display());
    let link = open(folder, passphrase)?.root.cross_sign(theirs, now)?;
    files::write(out, pki::certificates_to_pem([&link]), Readers::Everyone)?;
    output::say(format_args!("The link certificate is in {}.\n", out.display()))
}
