//! Where the CA's generations lie: the one at work in `ca/`, the one that is to come in `ca/next/`, those of before in
//! `ca/before-ID/`, each by its fingerprint.
//!
//! The files of a generation stay where they are until nobody believes the one before any more; then they are copied into place,
//! in an order that a start after a crash can go on with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use authority::{Generation, NextFile, NextKeys, Vault, VaultFault};
use hsm::KeyUri;
use pki::{Authority, CaSigner, Fingerprint, IssuerKind, IssuingAuthority, Key, Root};
use zeroize::Zeroizing;

use super::Layout;
use crate::{
    files::{self, Readers},
    secrets,
};

/// How much of a fingerprint names a folder: enough that no two generations share one.
const FOLDER_CHARS: usize = 32;
/// Says, in `ca/next`, whose place it is taking.
const SETTLING: &str = "settling";
/// What `ca/next` is called while it is removed.
const GONE: &str = "ca/gone";
/// Says that a generation of before is there as a whole.
const COMPLETE: &str = "complete";

/// What a generation leaves behind. Its root goes with it where that is replaced too.
const LEFT: [&str; 5] = [Layout::ROOT, Layout::ISSUING, Layout::ISSUING_KEY, Layout::USERS, Layout::USERS_KEY];
const LEFT_OF_ROOT: [&str; 2] = [Layout::ROOT_KEY, Layout::ROOT_LIST];
/// What a generation brings.
const BROUGHT: [&str; 6] =
    [Layout::ISSUING_KEY, Layout::ISSUING, Layout::USERS_KEY, Layout::USERS, Layout::DOCUMENTS_KEY, Layout::DOCUMENTS];
const BROUGHT_OF_ROOT: [&str; 3] = [Layout::ROOT_KEY, Layout::ROOT_LIST, Layout::ROOT];

/// The CA's files in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct CaVault(Layout);

impl CaVault {
    pub(super) fn of(layout: &Layout) -> Self {
        Self(layout.clone())
    }

    fn next(&self, name: &str) -> PathBuf {
        self.0.file_in(Layout::NEXT, name)
    }

    fn folder(id: Fingerprint) -> String {
        let id: String = id.to_string().chars().take(FOLDER_CHARS).collect();
        format!("{}{id}", Layout::BEFORE)
    }

    /// The generation that is to come.
    ///
    /// # Errors
    /// A file is missing, damaged or open to others.
    pub(super) fn next_generation(&self) -> anyhow::Result<Generation> {
        let has_root = self.next(Layout::ROOT).exists();
        let root = |name| if has_root { self.next(name) } else { self.0.file(name) };
        let paths = Paths { root: root(Layout::ROOT), root_key: Some(root(Layout::ROOT_KEY)), of: &|name| self.next(name) };
        let (authority, root) = paths.read()?;
        let link = self.next(Layout::LINK);
        let link = if link.exists() { pki::certificates_from_pem(&files::read(&link)?)? } else { Vec::new() };
        Ok(Generation::new(authority.with_cross(&link), root))
    }

    /// Those of before.
    ///
    /// # Errors
    /// As [`next_generation`](Self::next_generation).
    pub(super) fn generations_of_before(&self) -> anyhow::Result<Vec<Generation>> {
        let mut generations = Vec::new();
        for path in self.0.folders_of_before()? {
            if path.join(COMPLETE).exists() {
                let of = |name: &str| path.join(name.trim_start_matches("ca/"));
                let (root, root_key) = (of(Layout::ROOT), Some(of(Layout::ROOT_KEY)));
                let read = Paths { root, root_key, of: &of }.read().with_context(|| path.display().to_string());
                let (authority, root) = read?;
                generations.push(Generation::new(authority, root));
            }
        }
        Ok(generations)
    }

    /// Goes on with what a crash interrupted when the replacement was over: the files of the new generation take their place.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn go_on_settling(&self) -> anyhow::Result<()> {
        let said = self.next(SETTLING);
        let old = if said.exists() {
            Fingerprint::parse(files::read(&said)?.trim()).with_context(|| format!("{} is damaged", said.display()))?
        } else {
            let path = self.0.file(Layout::ISSUING);
            let all = pki::certificates_from_pem(&files::read(&path)?)?;
            Fingerprint::of(all.first().with_context(|| format!("{} is empty", path.display()))?)
        };
        self.settle_all(old)
    }

    fn settle_all(&self, old: Fingerprint) -> anyhow::Result<()> {
        if !self.0.file(Layout::NEXT).exists() {
            return Ok(());
        }
        files::write(&self.next(SETTLING), format!("{old}\n"), Readers::Owner)?;
        let with_root = self.next(Layout::ROOT).exists();
        self.put_aside(old, with_root)?;
        for name in BROUGHT.iter().chain(BROUGHT_OF_ROOT.iter().filter(|_| with_root)) {
            let to = self.0.file(name);
            if self.next(name).exists() {
                copy(&self.next(name), &to)?;
            } else if BROUGHT_OF_ROOT.contains(name) && to.exists() {
                // The key or the list of the old root: those of the new one are elsewhere.
                fs::remove_file(&to).with_context(|| format!("cannot remove {}", to.display()))?;
            }
        }
        self.remove_next()
    }

    /// Gone at once: half of it would be taken for all there is.
    fn remove_next(&self) -> anyhow::Result<()> {
        let (next, gone) = (self.0.file(Layout::NEXT), self.0.file(GONE));
        remove(&gone)?;
        if next.exists() {
            fs::rename(&next, &gone).with_context(|| format!("cannot rename {}", next.display()))?;
            files::sync_dir(&self.0.file("ca"))?;
        }
        remove(&gone)
    }

    fn put_aside(&self, old: Fingerprint, with_root: bool) -> anyhow::Result<()> {
        let folder = Self::folder(old);
        let complete = self.0.file_in(&folder, COMPLETE);
        if complete.exists() {
            return Ok(());
        }
        files::make_dir(&self.0.file(&folder))?;
        for name in LEFT.iter().chain(LEFT_OF_ROOT.iter().filter(|_| with_root)) {
            if self.0.file(name).exists() {
                copy(&self.0.file(name), &self.0.file_in(&folder, name))?;
            }
        }
        files::write(&complete, "", Readers::Owner)
    }

    /// A new key, where the one in `like` lies: encrypted in a file, or in the same token.
    fn new_key(&self, like: &str) -> anyhow::Result<CaSigner> {
        let path = self.next(like);
        if let Some(uri) = token_of(&self.0.file(like))? {
            let other = pki::random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let uri = uri.with_object(&format!("{}-{other}", uri.object()));
            let key = secrets::make_token_key(&uri)?;
            files::write(&path, format!("{uri}\n"), Readers::Owner)?;
            return Ok(key);
        }
        let key = Key::generate()?;
        secrets::write_ca_key(&path, &key)?;
        Ok(key.into())
    }

    fn make_all_keys(&self, with_root: bool) -> anyhow::Result<NextKeys> {
        self.remove_next()?;
        files::make_dir(&self.0.file(Layout::NEXT))?;
        let root = with_root.then(|| self.new_key(Layout::ROOT_KEY)).transpose()?;
        Ok(NextKeys { root, users: self.new_key(Layout::USERS_KEY)?, servers: self.new_key(Layout::ISSUING_KEY)? })
    }

    fn read_keys(&self) -> anyhow::Result<Option<NextKeys>> {
        let (root, servers) = (self.next(Layout::ROOT_KEY), self.next(Layout::ISSUING_KEY));
        if !servers.exists() {
            return Ok(None);
        }
        let root = root.exists().then(|| secrets::read_ca_key(&root)).transpose()?;
        let users = secrets::read_ca_key(&self.next(Layout::USERS_KEY))?;
        Ok(Some(NextKeys { root, servers: secrets::read_ca_key(&servers)?, users }))
    }
}

/// Where the files of one generation are.
struct Paths<'a> {
    root: PathBuf,
    root_key: Option<PathBuf>,
    of: &'a dyn Fn(&str) -> PathBuf,
}

impl Paths<'_> {
    fn read(&self) -> anyhow::Result<(Authority, Option<Root>)> {
        let root_pem = files::read(&self.root)?;
        let root_key = self.root_key.as_ref().filter(|path| path.exists());
        let root = root_key.map(|path| Ok::<_, anyhow::Error>(Root::load_with(&root_pem, secrets::read_ca_key(path)?)?)).transpose()?;
        let issuing = |kind, certificate: &str, key: &str| -> anyhow::Result<IssuingAuthority> {
            let path = (self.of)(certificate);
            let read = IssuingAuthority::load_with(kind, &files::read(&path)?, secrets::read_ca_key(&(self.of)(key))?);
            read.with_context(|| path.display().to_string())
        };
        let servers = issuing(IssuerKind::Servers, Layout::ISSUING, Layout::ISSUING_KEY)?;
        let users = issuing(IssuerKind::Users, Layout::USERS, Layout::USERS_KEY)?;
        Ok((Authority::assemble(&root_pem, servers, Some(users))?, root))
    }
}

/// The address of the key in a token, if that is what a key file holds.
fn token_of(path: &Path) -> anyhow::Result<Option<KeyUri>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_private(path)?;
    if text.starts_with("pkcs11:") { Ok(Some(text.trim_end().parse()?)) } else { Ok(None) }
}

/// As a whole, and readable by those who may read the original.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let content = Zeroizing::new(fs::read(from).with_context(|| format!("cannot read {}", from.display()))?);
    let readers = if files::check_private(from).is_ok() { Readers::Owner } else { Readers::Everyone };
    files::write(to, content.as_slice(), readers)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn fault<T>(result: anyhow::Result<T>) -> Result<T, VaultFault> {
    result.map_err(|error| VaultFault(format!("{error:#}")))
}

impl Vault for CaVault {
    fn make_keys(&self, with_root: bool) -> Result<NextKeys, VaultFault> {
        fault(self.make_all_keys(with_root))
    }

    fn keys(&self) -> Result<Option<NextKeys>, VaultFault> {
        fault(self.read_keys())
    }

    fn keep(&self, file: NextFile, content: &[u8]) -> Result<(), VaultFault> {
        let name = match file {
            NextFile::Root => Layout::ROOT,
            NextFile::RootList => Layout::ROOT_LIST,
            NextFile::Link => Layout::LINK,
            NextFile::Servers => Layout::ISSUING,
            NextFile::Users => Layout::USERS,
        };
        fault(files::write(&self.next(name), content, Readers::Everyone))
    }

    fn discard(&self) -> Result<(), VaultFault> {
        fault(self.remove_next())
    }

    fn keep_signer(&self, is_next: bool, chain: &str, key: &Key) -> Result<(), VaultFault> {
        let folder = if is_next { Layout::NEXT } else { "ca" };
        let keep = || {
            secrets::write_ca_key(&self.0.file_in(folder, Layout::DOCUMENTS_KEY), key)?;
            files::write(&self.0.file_in(folder, Layout::DOCUMENTS), chain, Readers::Everyone)
        };
        fault(keep())
    }

    fn settle(&self, old: Fingerprint) -> Result<(), VaultFault> {
        fault(self.settle_all(old))
    }

    fn forget(&self, old: Fingerprint) -> Result<(), VaultFault> {
        fault(remove(&self.0.file(&Self::folder(old))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A data directory with a CA at work and the next one beside it.
    struct Scene {
        dir: tempfile::TempDir,
        vault: CaVault,
        old: Fingerprint,
    }

    impl Scene {
        fn new(with_root: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::of(dir.path());
            let domains = [pki::Fqdn::parse("a.test").unwrap()];
            let (root, ca) = Authority::create("A", &domains, SystemTime::now()).unwrap();
            files::make_dir(&layout.file("ca")).unwrap();
            put(&layout, "ca", &root, &ca, true);
            let vault = CaVault::of(&layout);
            vault.make_keys(with_root).unwrap();
            let (next_root, next) = Authority::create("B", &domains, SystemTime::now()).unwrap();
            put(&layout, Layout::NEXT, &next_root, &next, with_root);
            Self { dir, vault, old: Fingerprint::of(ca.issuing()) }
        }

        fn all(&self) -> Vec<(String, Vec<u8>)> {
            let mut all = Vec::new();
            let mut folders = vec![self.dir.path().to_owned()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    match path.is_dir() {
                        true => folders.push(path),
                        false => all.push((path.strip_prefix(self.dir.path()).unwrap().display().to_string(), fs::read(&path).unwrap())),
                    }
                }
            }
            all.sort();
            all
        }

        /// What lies there, whatever the generation of before is called.
        fn names(&self) -> Vec<String> {
            self.all().into_iter().map(|(name, _)| name.replace(&CaVault::folder(self.old), "before")).collect()
        }

        fn content(&self, name: &str) -> Vec<u8> {
            fs::read(self.dir.path().join(name)).unwrap()
        }
    }

    fn put(layout: &Layout, folder: &str, root: &Root, ca: &Authority, with_root: bool) {
        let write = |name: &str, content: String, readers| files::write(&layout.file_in(folder, name), content, readers).unwrap();
        if with_root {
            write(Layout::ROOT, root.certificate_pem(), Readers::Everyone);
            write(Layout::ROOT_KEY, root.key_pem().unwrap().expose().to_owned(), Readers::Owner);
        }
        let users = ca.users().unwrap();
        write(Layout::ISSUING, ca.issuing_pem(), Readers::Everyone);
        write(Layout::ISSUING_KEY, ca.key_pem().unwrap().expose().to_owned(), Readers::Owner);
        write(Layout::USERS, users.certificate_pem(), Readers::Everyone);
        write(Layout::USERS_KEY, users.key_pem().unwrap().expose().to_owned(), Readers::Owner);
    }

    #[test]
    fn the_next_generation_takes_its_place_and_the_one_before_is_put_aside() {
        let scene = Scene::new(true);
        let [before, next] = ["ca", Layout::NEXT].map(|folder| scene.content(&format!("{folder}/issuing.key")));
        scene.vault.settle(scene.old).unwrap();
        assert_eq!(scene.content("ca/issuing.key"), next);
        assert_eq!(scene.content(&format!("{}/issuing.key", CaVault::folder(scene.old))), before);
        assert!(!scene.dir.path().join(Layout::NEXT).exists());
        assert_eq!(scene.vault.generations_of_before().unwrap().iter().map(Generation::id).collect::<Vec<_>>(), [scene.old]);
        let once = scene.all();
        scene.vault.settle(scene.old).unwrap();
        assert_eq!(scene.all(), once, "a second time it does nothing");
        scene.vault.forget(scene.old).unwrap();
        assert!(scene.vault.generations_of_before().unwrap().is_empty());
    }

    #[test]
    fn a_root_that_is_offline_leaves_no_key_of_the_one_before_in_its_place() {
        let scene = Scene::new(true);
        fs::remove_file(scene.dir.path().join("ca/next/root.key")).unwrap();
        scene.vault.settle(scene.old).unwrap();
        assert!(!scene.dir.path().join("ca/root.key").exists());
        assert!(scene.dir.path().join(CaVault::folder(scene.old)).join("root.key").exists());
    }

    #[test]
    fn a_root_that_stays_stays_where_it_is() {
        let scene = Scene::new(false);
        let root = scene.content("ca/root.key");
        scene.vault.settle(scene.old).unwrap();
        assert_eq!(scene.content("ca/root.key"), root);
        assert!(!scene.dir.path().join(CaVault::folder(scene.old)).join("root.key").exists());
    }

    /// As a start does after a crash between any two files.
    #[test]
    fn whatever_was_copied_before_a_crash_the_end_is_the_same() {
        let ended = {
            let scene = Scene::new(true);
            scene.vault.settle(scene.old).unwrap();
            scene.names()
        };
        for crash in 0..=BROUGHT.len() + BROUGHT_OF_ROOT.len() {
            let scene = Scene::new(true);
            let (old_key, new_key) = (scene.content("ca/issuing.key"), scene.content("ca/next/issuing.key"));
            files::write(&scene.vault.next(SETTLING), scene.old.to_string(), Readers::Owner).unwrap();
            scene.vault.put_aside(scene.old, true).unwrap();
            for name in BROUGHT.iter().chain(&BROUGHT_OF_ROOT).take(crash).filter(|name| scene.vault.next(name).exists()) {
                copy(&scene.vault.next(name), &scene.vault.0.file(name)).unwrap();
            }
            scene.vault.go_on_settling().unwrap();
            assert_eq!(scene.names(), ended, "{crash}");
            assert_eq!(scene.content("ca/issuing.key"), new_key, "{crash}");
            assert_eq!(scene.content(&format!("{}/issuing.key", CaVault::folder(scene.old))), old_key, "{crash}");
        }
    }

    #[test]
    fn keys_are_made_anew_and_are_their_owners_alone() {
        let scene = Scene::new(true);
        let before = scene.content("ca/next/issuing.key");
        let made = scene.vault.make_keys(false).unwrap();
        assert_ne!(scene.content("ca/next/issuing.key"), before);
        let read = scene.vault.keys().unwrap().unwrap();
        assert!(read.root.is_none() && read.servers.public() == made.servers.public() && read.users.public() == made.users.public());
        assert!(files::check_private(&scene.vault.next(Layout::ISSUING_KEY)).is_ok());
        scene.vault.discard().unwrap();
        assert!(scene.vault.keys().unwrap().is_none());
    }
}
