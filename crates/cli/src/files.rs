//! Files that must be whole and private: written beside, synced, renamed; checked before they are read.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, ensure};

/// Who may read a file that is written here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readers {
    /// 0600: keys, passwords, whatever is not said otherwise.
    Owner,
    /// 0644: public certificates.
    Everyone,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everyone => 0o644,
        }
    }
}

/// Writes a file so that a reader, or a machine after a power cut, sees the old content or the new, never a part.
///
/// # Errors
/// The file or its directory cannot be written; the old content is still there.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>, readers: Readers) -> anyhow::Result<()> {
    let replaced = replace(path, content.as_ref(), readers, true);
    // A bare file name has an empty parent: it lies where we are.
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    replaced.and_then(|()| parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())).with_context(|| cannot_write(path))
}

/// The same for a file that is a convenience: whole for every reader, but a power cut soon after may undo it. Syncing
/// five small files for each of a thousand users would take a minute.
///
/// # Errors
/// The file or its directory cannot be written; the old content is still there.
pub(crate) fn write_unsynced(path: &Path, content: impl AsRef<[u8]>, readers: Readers) -> anyhow::Result<()> {
    replace(path, content.as_ref(), readers, false).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

fn replace(path: &Path, content: &[u8], readers: Readers, sync: bool) -> std::io::Result<()> {
    let beside = path.with_added_extension("new");
    // A remainder of a crash; opening must not follow or reuse whatever stands there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(&beside)?;
    file.write_all(content)?;
    // The process's umask may have narrowed it further than wanted.
    file.set_permissions(Permissions::from_mode(readers.mode()))?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&beside, path)
}

/// Makes a directory that only its owner may enter; parents too.
///
/// # Errors
/// The parent cannot be written.
pub(crate) fn make_dir(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Makes a directory that exists its owner's alone.
///
/// # Errors
/// It is someone else's.
pub(crate) fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    if mode_of(path)? & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(|| format!("cannot close {} to others", path.display()))
}

/// Syncs a directory: its entries survive a power cut.
///
/// # Errors
/// As the system says.
pub(crate) fn sync_dir(path: &Path) -> anyhow::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync {}", path.display()))
}

/// Refuses a secret that others on this machine can read or change.
///
/// # Errors
/// The file is missing, or its permissions give the group or others anything.
pub(crate) fn check_private(path: &Path) -> anyhow::Result<()> {
    let (mode, path) = (mode_of(path)?, path.display());
    ensure!(mode & 0o077 == 0, "{path} holds secrets and others on this machine may read it (mode {mode:04o}); run: chmod 600 '{path}'");
    Ok(())
}

/// Refuses a directory that others on this machine can look into.
///
/// # Errors
/// It is missing, or its permissions give the group or others anything.
pub(crate) fn check_private_dir(path: &Path) -> anyhow::Result<()> {
    let (mode, path) = (mode_of(path)?, path.display());
    ensure!(mode & 0o077 == 0, "{path} holds secrets and others on this machine may enter it (mode {mode:04o}); run: chmod 700 '{path}'");
    Ok(())
}

/// The permissions of something that is ours. Whoever owns a directory can put other keys in it, and another socket.
fn mode_of(path: &Path) -> anyhow::Result<u32> {
    let facts = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let (owner, ours, path) = (facts.uid(), rustix::process::geteuid().as_raw(), path.display());
    ensure!(
        owner == ours,
        "{path} belongs to another user (uid {owner}), who could change it; run as that user, or: chown -R {ours} '{path}'"
    );
    Ok(facts.permissions().mode() & 0o777)
}

/// A text file.
///
/// # Errors
/// It cannot be read or is no UTF-8.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A text file that only its owner may read.
///
/// # Errors
/// As [`read`] and [`check_private`].
pub(crate) fn read_private(path: &Path) -> anyhow::Result<zeroize::Zeroizing<String>> {
    check_private(path)?;
    read(path).map(zeroize::Zeroizing::new)
}

/// A secret that the service manager hands over (systemd's `LoadCredential=`), if it does. Its folder may be entered by this
/// service only; the file is root's where an access list opens it for us, which looks like a right of its group.
///
/// # Errors
/// It is there and unreadable, of somebody else, or open to everybody.
pub(crate) fn read_credential(name: &str) -> anyhow::Result<Option<zeroize::Zeroizing<String>>> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&folder).join(name);
    if !path.try_exists().with_context(|| format!("cannot look at {}", path.display()))? {
        return Ok(None);
    }
    let facts = fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
    let (owner, mode) = (facts.uid(), facts.permissions().mode() & 0o777);
    ensure!(
        [0, rustix::process::geteuid().as_raw()].contains(&owner) && mode & 0o037 == 0,
        "{} holds a secret and is of uid {owner} with mode {mode:04o}: let the service manager hand it over (LoadCredential=)",
        path.display()
    );
    Ok(Some(zeroize::Zeroizing::new(read(&path)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(dir.path().join("key.pem.new"), "of a crash").unwrap();
        write(&path, "one", Readers::Owner).unwrap();
        write(&path, "two", Readers::Owner).unwrap();
        assert_eq!((read(&path).unwrap().as_str(), mode(&path)), ("two", 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_is_public_is_readable_by_others() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("ca.pem"), "", Readers::Everyone).unwrap();
        assert_eq!(mode(&dir.path().join("ca.pem")), 0o644);
        make_dir(&dir.path().join("a/b")).unwrap();
        assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        make_private_dir(dir.path()).unwrap();
        // Only root can give something away; for everybody else root's are foreign.
        let given = std::os::unix::fs::chown(dir.path(), Some(65_534), None).is_ok();
        let foreign = if given { dir.path() } else { Path::new("/etc") };
        for said in [make_private_dir(foreign), check_private_dir(foreign), check_private(foreign)] {
            let said = said.unwrap_err().to_string();
            assert!(said.contains("belongs to another user") && said.contains("chown"), "{said}");
        }
    }

    #[test]
    fn a_secret_that_others_can_read_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write(&path, "secret", Readers::Owner).unwrap();
        assert_eq!(read_private(&path).unwrap().as_str(), "secret");
        for bad in [0o640, 0o604, 0o620, 0o644, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
            let said = read_private(&path).unwrap_err().to_string();
            assert!(said.contains(&format!("chmod 600 '{}'", path.display())), "{said}");
        }
    }
}
