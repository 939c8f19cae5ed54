//! The file that shows the administrator which topology is in force. It is a copy: what counts is stored, and nothing is ever
//! read from here.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Writes the topology in force into `path`. Words that somebody else wrote there (neither these nor `before`) are not lost: they
/// are put aside. A failure is only told, since nothing depends on the file.
pub fn show(path: &Path, document: &str, before: Option<&str>) {
    if let Err(error) = write(path, document, before) {
        tracing::warn!(path = %path.display(), %error, "the file does not show the topology in force; verbund topology show does");
    }
}

fn write(path: &Path, document: &str, before: Option<&str>) -> io::Result<()> {
    match fs::read_to_string(path) {
        Ok(shown) if shown == document => return Ok(()),
        Ok(shown) if before != Some(shown.as_str()) => put_aside(path)?,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => put_aside(path)?,
        // What is there no more is written.
        Ok(_) | Err(_) => {}
    }
    let new = path.with_added_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(document.as_bytes())?;
    // After a loss of power there is the old text or the new one.
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn put_aside(path: &Path) -> io::Result<()> {
    let aside = aside(path);
    fs::rename(path, &aside)?;
    tracing::warn!(
        path = %path.display(),
        edited = %aside.display(),
        "the topology was edited in a file that only shows it: nothing of that is in force; publish it with verbund topology publish"
    );
    Ok(())
}

/// Where an edited copy is put.
fn aside(path: &Path) -> PathBuf {
    let extension = path.extension().map_or_else(|| "edited".into(), |extension| format!("edited.{}", extension.to_string_lossy()));
    path.with_extension(extension)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(there: Option<&str>, before: Option<&str>, expected_aside: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("topology.toml");
        if let Some(there) = there {
            fs::write(&path, there).unwrap();
        }
        show(&path, "new", before);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new", "{there:?} {before:?}");
        assert_eq!(fs::read_to_string(dir.path().join("topology.edited.toml")).ok().as_deref(), expected_aside, "{there:?} {before:?}");
        assert!(!path.with_added_extension("new").exists());
    }

    #[test]
    fn the_copy_shows_what_is_in_force_and_loses_nobodys_words() {
        check(None, None, None);
        check(Some("new"), None, None);
        check(Some("old"), Some("old"), None);
        check(Some("edited"), Some("old"), Some("edited"));
        check(Some("edited"), None, Some("edited"));
    }
}
