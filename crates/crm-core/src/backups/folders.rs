//! The folder of backups: their names, the latest, and how many are kept.
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{Error, Manifest, Place, creation::connect, manifests::checksum, register};

/// How the names of our dumps begin and end, and how those of files that are not whole end.
const NAME: (&str, &str) = ("heimdell-", ".dump");
const UNFINISHED: [&str; 2] = [".dump.new", ".json.new"];

/// A backup: a dump, and what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The dump.
    pub path: PathBuf,
    /// What is known of it.
    pub manifest: Manifest,
}

impl Backup {
    /// The backup of this dump. Reads the manifest; [`Backup::check`] reads the dump.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the manifest is missing or unreadable.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Refused(format!("{} is no file", path.display())));
        }
        Ok(Self { path: path.to_path_buf(), manifest: Manifest::read(&manifest_path(path))? })
    }

    /// Whether the dump is the one that was written.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn check(&self) -> Result<(), Error> {
        let damaged = |why: String| Err(Error::Damaged(format!("{} is damaged: {why}", self.path.display())));
        let (sha256, size) = checksum(&self.path)?;
        if size != self.manifest.size {
            return damaged(format!("it has {size} bytes instead of {}", self.manifest.size));
        }
        if sha256 != self.manifest.sha256 {
            return damaged("its checksum is not the one in the manifest".to_owned());
        }
        Ok(())
    }
}

/// The manifest of a dump.
pub(super) fn manifest_path(dump: &Path) -> PathBuf {
    dump.with_extension("json")
}

/// The name of a dump that begins at this instant. Names sort by age.
pub(super) fn name(at: DateTime<Utc>) -> String {
    format!("{}{}{}", NAME.0, at.format("%Y%m%dT%H%M%S%3fZ"), NAME.1)
}

/// The folder, held by one backup at a time.
pub(super) struct Held {
    _lock: File,
}

/// Makes the folder where it is missing, closed to everybody else, and removes what an interrupted backup has left in it.
pub(super) fn hold(folder: &Path) -> Result<Held, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::at(folder))?;
    let path = folder.join(".lock");
    let lock = File::options().create(true).append(true).open(&path).map_err(Error::at(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::Refused(format!("another backup is being written in {}", folder.display())));
        }
        Err(fs::TryLockError::Error(error)) => return Err(Error::at(&path)(error)),
    }
    for name in names(folder)?.iter().filter(|name| UNFINISHED.iter().any(|end| name.ends_with(end))) {
        remove(&folder.join(name))?;
    }
    Ok(Held { _lock: lock })
}

/// The latest backup of a folder.
///
/// # Errors
/// [`Error::Refused`] where there is none.
pub fn latest(folder: &Path) -> Result<Backup, Error> {
    let latest = whole(folder)?.pop();
    let latest = latest.ok_or_else(|| Error::Refused(format!("there is no backup in {}", folder.display())))?;
    Backup::open(&folder.join(latest))
}

/// Removes all but the latest backups, each with its manifest, and gives the names of those removed. The latest that was
/// verified, by the register in the database, stays however old it is: it is the last that is known to be good. Files of
/// other names are left alone.
///
/// # Errors
/// [`Error::Io`], and what the database says; nothing is removed then.
pub fn keep(place: &Place, folder: &Path, count: usize) -> Result<Vec<String>, Error> {
    let verified = register::verified(&mut connect(&place.address)?)?;
    keep_beside(folder, count, &|backup| verified.contains(&backup.manifest.sha256))
}

fn keep_beside(folder: &Path, count: usize, is_verified: &dyn Fn(&Backup) -> bool) -> Result<Vec<String>, Error> {
    let _held = hold(folder)?;
    let names = whole(folder)?;
    let is_good = |name: &&String| Backup::open(&folder.join(name)).is_ok_and(|backup| is_verified(&backup));
    let good = names.iter().rev().find(is_good);
    let surplus: Vec<_> = surplus(&names, count).iter().filter(|name| Some(*name) != good).cloned().collect();
    for name in &surplus {
        // The manifest first: a dump without one is no backup, and a manifest without a dump would look like a loss.
        remove(&manifest_path(&folder.join(name)))?;
        remove(&folder.join(name))?;
    }
    Ok(surplus)
}

/// Of names in the order of their age, those beyond the latest `count`.
fn surplus(names: &[String], count: usize) -> &[String] {
    &names[..names.len().saturating_sub(count)]
}

/// The names of the dumps that have a manifest, the latest last.
fn whole(folder: &Path) -> Result<Vec<String>, Error> {
    let mut names = names(folder)?;
    names.retain(|name| {
        name.starts_with(NAME.0) && name.ends_with(NAME.1) && manifest_path(&folder.join(name)).is_file()
    });
    names.sort();
    Ok(names)
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::at(folder))?,
    };
    entries.map(|entry| Ok(entry.map_err(Error::at(folder))?.file_name().to_string_lossy().into_owned())).collect()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_strangers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let instants = ["2026-01-02T03:04:05.006Z", "2026-01-02T03:04:05.007Z", "2026-01-02T03:04:06Z"];
        let names: Vec<_> = instants.map(|at| name(at.parse().unwrap())).into();
        assert_eq!(names[0], "heimdell-20260102T030405006Z.dump");
        let touch = |name: &str| fs::write(folder.path().join(name), "").unwrap();
        for name in &names {
            touch(name);
            touch(&name.replace(".dump", ".json"));
        }
        ["notes.txt", "heimdell-20250101T000000000Z.dump", "heimdell-20250101T000000000Z.dump.new"]
            .iter()
            .for_each(|name| touch(name));
        let keep = || keep_beside(folder.path(), 2, &|_| false).unwrap();
        assert_eq!(keep(), names[..1]);
        assert_eq!(keep(), Vec::<String>::new());
        let mut left = super::names(folder.path()).unwrap();
        left.sort();
        let expected = [".lock", "heimdell-20250101T000000000Z.dump", &names[1].replace(".dump", ".json"), &names[1]];
        assert!(expected.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
        assert!(left.contains(&"notes.txt".to_owned()) && left.len() == 7, "{left:?}");
    }

    #[test]
    fn one_backup_writes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(folder.path()).unwrap();
        assert!(matches!(hold(folder.path()), Err(Error::Refused(why)) if why.contains("another backup")));
        drop(held);
        hold(folder.path()).unwrap();
    }
}
