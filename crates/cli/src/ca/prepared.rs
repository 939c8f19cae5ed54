//! An organisation to be, whose root lies offline: its issuing CAs wait in a folder of the data directory until the
//! root has signed them and `verbund up` makes the organisation.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use hsm::KeyUri;
use pki::{Authority, CaSigner, IssuerKind, IssuingAuthority, IssuingRequest, Key, RevocationList, Urls};

use super::{Request, root::file_name};
use crate::{
    args::Data,
    files::{self, Readers},
    organisation::{self, Found, Layout},
    output, secrets, up,
};

/// The folder in the data directory.
pub(crate) const PREPARED: &str = "prepared";

const KINDS: [IssuerKind; 2] = [IssuerKind::Servers, IssuerKind::Users];

/// Where the CA of a data directory that is to be lies.
struct Prepared(PathBuf);

impl Prepared {
    fn of(data: &Path) -> Self {
        Self(data.join(PREPARED))
    }

    fn key(&self, kind: IssuerKind) -> PathBuf {
        self.0.join(format!("{kind}.key"))
    }

    fn request(&self, kind: IssuerKind) -> PathBuf {
        self.0.join(format!("{kind}.request"))
    }

    fn certificate(&self, kind: IssuerKind) -> PathBuf {
        self.0.join(file_name(kind))
    }

    fn root(&self) -> PathBuf {
        self.0.join("root.pem")
    }

    fn list(&self) -> PathBuf {
        self.0.join("root.crl")
    }
}

/// `verbund ca request`
pub(super) fn request(data: &Data, request: &Request) -> anyhow::Result<()> {
    let data = up::data_dir(data)?;
    check_nothing(&data)?;
    let prepared = Prepared::of(&data);
    ensure!(
        !prepared.0.exists(),
        "{} is there already, with keys in it: take its requests to the root, or remove it to begin again",
        prepared.0.display()
    );
    let urls = request.url.as_deref().map(Urls::below).transpose()?;
    files::make_dir(&data).and_then(|()| files::make_private_dir(&data))?;
    let made = files::make_dir(&prepared.0).and_then(|()| make_requests(&prepared, request, urls.as_ref()));
    if made.is_err() {
        // Half of it is of no use, and would be in the way of the next try.
        let _ = fs::remove_dir_all(&prepared.0);
    }
    made
}

fn make_requests(prepared: &Prepared, request: &Request, urls: Option<&Urls>) -> anyhow::Result<()> {
    for kind in KINDS {
        let signer = make_key(&prepared.key(kind), kind, request.token.as_ref())?;
        let text = IssuingRequest::write(&request.organisation, kind, &request.domains, urls, &signer)?;
        files::write(&prepared.request(kind), &text, Readers::Everyone)?;
        let fingerprint = IssuingRequest::read(&text)?.key_fingerprint();
        output::say(format_args!("{}\n  key {fingerprint}\n", prepared.request(kind).display()))?;
    }
    output::say("Take these files to the root: verbund ca root sign FILE... --root DIR --out DIR\n")
}

/// A new key: in a token, or in its file, encrypted. What the file holds is the key, or where it is.
fn make_key(path: &Path, kind: IssuerKind, token: Option<&KeyUri>) -> anyhow::Result<CaSigner> {
    if let Some(token) = token {
        let uri = token.with_object(&format!("{}-{kind}", token.object()));
        let key = secrets::make_token_key(&uri)?;
        files::write(path, format!("{uri}\n"), Readers::Owner)?;
        return Ok(key);
    }
    let key = Key::generate()?;
    secrets::write_ca_key(path, &key)?;
    Ok(key.into())
}

fn check_nothing(data: &Path) -> anyhow::Result<()> {
    match organisation::find(data)? {
        Found::Nothing => Ok(()),
        Found::Organisation(_) | Found::Member(_) => bail!(
            "there is an organisation in {} already, with its own CA: choose another --data for the one that is to be",
            data.display()
        ),
    }
}

/// `verbund ca install`
pub(super) fn install(data: &Data, signed: &Path) -> anyhow::Result<()> {
    let (data, now) = (up::data_dir(data)?, SystemTime::now());
    match organisation::find(&data)? {
        Found::Nothing => install_prepared(&Prepared::of(&data), signed, now),
        Found::Organisation(lock) => install_list(&Layout::of(&data), lock, signed, now),
        Found::Member(_) => bail!("{} is a member's, which has no CA: run this where the authority is", data.display()),
    }
}

fn install_prepared(prepared: &Prepared, signed: &Path, now: SystemTime) -> anyhow::Result<()> {
    ensure!(
        KINDS.iter().all(|kind| prepared.key(*kind).exists()),
        "there are no keys in {}: begin with `verbund ca request`",
        prepared.0.display()
    );
    let came = Prepared(signed.to_owned());
    let list = checked_list(&came, now)?;
    let authority = load(&came, prepared)?;
    for ca in authority.issuing_authorities() {
        files::write(&prepared.certificate(ca.kind()), ca.certificate_pem(), Readers::Everyone)?;
    }
    files::write(&prepared.list(), list.as_der(), Readers::Everyone)?;
    // Last: where it is, the rest is there too.
    files::write(&prepared.root(), authority.root_pem(), Readers::Everyone)?;
    let fingerprint = pki::Fingerprint::of(authority.root());
    output::say(format_args!(
        "The CA is complete. Compare the root's fingerprint with what the ceremony showed:\n  {fingerprint}\nThen: verbund up --data {} \
         --domain {}\n",
        prepared.0.parent().unwrap_or(&prepared.0).display(),
        authority.domains().first().map_or("DOMAIN", pki::Fqdn::as_str)
    ))
}

/// The root's newer list, for an organisation that is there.
fn install_list(layout: &Layout, lock: store::Lock, signed: &Path, now: SystemTime) -> anyhow::Result<()> {
    let came = Prepared(signed.to_owned());
    let ours = files::read(&layout.file(Layout::ROOT))?;
    ensure!(
        pki::certificates_from_pem(&files::read(&came.root())?)? == pki::certificates_from_pem(&ours)?,
        "{} is of another root than this organisation's: take the folder that this organisation's root wrote",
        signed.display()
    );
    ensure!(
        KINDS.iter().all(|kind| !came.certificate(*kind).exists()),
        "{} holds issuing CAs, and those of a running organisation are not replaced by files: sign the list alone",
        signed.display()
    );
    let list = checked_list(&came, now)?;
    let path = layout.file(Layout::ROOT_LIST);
    if let Ok(held) = fs::read(&path).map_err(anyhow::Error::from).and_then(|der| read_list(&der, &ours)) {
        ensure!(held.number() <= list.number(), "the list in {} is older than the one that is held", signed.display());
    }
    files::write(&path, list.as_der(), Readers::Everyone)?;
    super::note(layout, lock, "root-list-installed", format!("number {}", list.number()))?;
    output::say(format_args!("List number {} is in place; the authority takes it at its next start.\n", list.number()))
}

fn checked_list(came: &Prepared, now: SystemTime) -> anyhow::Result<RevocationList> {
    let der = fs::read(came.list()).with_context(|| format!("cannot read {}", came.list().display()))?;
    let list = read_list(&der, &files::read(&came.root())?).with_context(|| came.list().display().to_string())?;
    pki::RevocationLists::new().take(list.clone(), now)?;
    Ok(list)
}

fn read_list(der: &[u8], root: &str) -> anyhow::Result<RevocationList> {
    Ok(RevocationList::read(der, &pki::certificates_from_pem(root)?)?)
}

/// The CA of certificates from one folder and keys from another, checked to be one.
fn load(certificates: &Prepared, keys: &Prepared) -> anyhow::Result<Authority> {
    let issuing = |kind| {
        let path = certificates.certificate(kind);
        IssuingAuthority::load_with(kind, &files::read(&path)?, secrets::read_ca_key(&keys.key(kind))?)
            .with_context(|| path.display().to_string())
    };
    let servers = issuing(IssuerKind::Servers)?;
    let users = issuing(IssuerKind::Users)?;
    Ok(Authority::assemble(&files::read(&certificates.root())?, servers, Some(users))?)
}

/// The CA that waits in a data directory for an organisation; puts its files into the layout. `None` if there is none.
///
/// # Errors
/// It waits for the root's signature, or is not whole.
pub(crate) fn installed(data: &Path, layout: &Layout) -> anyhow::Result<Option<Authority>> {
    let prepared = Prepared::of(data);
    if !prepared.0.exists() {
        return Ok(None);
    }
    ensure!(
        prepared.root().exists(),
        "the CA in {} waits for the root's signature: take its requests to the root, then `verbund ca install`; or remove the folder, to \
         have a root made here",
        prepared.0.display()
    );
    let authority = load(&prepared, &prepared)?;
    let public = [
        (Layout::ROOT, prepared.root()),
        (Layout::CA, prepared.root()),
        (Layout::ROOT_LIST, prepared.list()),
        (Layout::ISSUING, prepared.certificate(IssuerKind::Servers)),
        (Layout::USERS, prepared.certificate(IssuerKind::Users)),
    ];
    for (name, from) in public {
        let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        files::write(&layout.file(name), content, Readers::Everyone)?;
    }
    for (name, kind) in [(Layout::ISSUING_KEY, IssuerKind::Servers), (Layout::USERS_KEY, IssuerKind::Users)] {
        files::write(&layout.file(name), files::read_private(&prepared.key(kind))?.as_bytes(), Readers::Owner)?;
    }
    let passphrase = Layout::of(data).file(Layout::CA_PASSPHRASE);
    if passphrase.exists() {
        // The same once more: what is made is whole in itself, and then takes its place.
        files::write(&layout.file(Layout::CA_PASSPHRASE), files::read_private(&passphrase)?.as_bytes(), Readers::Owner)?;
    }
    Ok(Some(authority))
}

/// Removes what waited, once the organisation is whole.
///
/// # Errors
/// It cannot be removed.
pub(crate) fn sweep(data: &Path) -> anyhow::Result<()> {
    let folder = Prepared::of(data).0;
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}, whose keys lie in ca/ now", folder.display()))
        }
        _ => Ok(()),
    }
}
