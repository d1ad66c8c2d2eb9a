//! Where the keys are that seal secrets: in the settings, or in a file that the program makes and changes itself.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crm_core::sealed::{Keyring, SealError, SealedColumn};
use crm_ops::webhooks;
use rand::RngCore;

use crate::config::Storage;

/// Where secrets are kept, in all tables.
pub const SEALED_COLUMNS: [SealedColumn; 4] = webhooks::SEALED_COLUMNS;

/// The file of the keys in the program's folder.
const FILE: &str = "keyring";

/// Where the keys are.
#[derive(Clone)]
pub enum Place {
    /// In the settings, which only people change.
    Settings(String),
    /// In this file.
    File(PathBuf),
}

impl Place {
    /// Where the settings say. Nothing is made.
    pub fn of(storage: &Storage) -> Self {
        match &storage.keyring {
            Some(text) => Self::Settings(text.clone()),
            None => Self::File(storage.home.join(FILE)),
        }
    }

    /// The keys; the first one is made where there is no file yet. Those of a file follow it when it changes.
    ///
    /// # Errors
    /// Where they cannot be read, in words that say what to do.
    pub fn open(&self) -> io::Result<Keyring> {
        match self {
            Self::Settings(text) => Keyring::parse(text.trim()),
            Self::File(file) => {
                if !file.exists() {
                    make(file)?;
                }
                fs::read_to_string(file)?;
                let file = file.clone();
                Keyring::following(move || fs::read_to_string(&file).ok().map(|text| text.trim().to_owned()))
            }
        }
        .map_err(unusable)
    }

    /// The ids of the keys, the one that seals first; none where no key was made yet. Nothing is made.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn ids(&self) -> io::Result<Vec<String>> {
        match self {
            Self::File(file) if !file.exists() => Ok(Vec::new()),
            _ => Ok(self.open()?.ids()),
        }
    }
}

fn unusable(error: SealError) -> io::Error {
    let why = match error {
        SealError::AmbiguousId => {
            "gives one id to different keys: what is sealed with one of them would be taken for the other's; keep the key \
             that the secrets are sealed with, and take the other out"
        }
        _ => "is not of the form id:key,id:key with keys of 64 hexadecimal digits",
    };
    let words = format!("the keyring (HEIMDELL_KEYRING, or the file `keyring` in HEIMDELL_HOME) {why}");
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// A new id and key. The id is random too, so that no key is ever taken for another, not even for one that was lost.
fn new_key() -> (String, String) {
    let (mut id, mut key) = ([0; 4], [0; 32]);
    rand::rng().fill_bytes(&mut id);
    rand::rng().fill_bytes(&mut key);
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    (format!("k{}", digits(&id)), digits(&key))
}

/// Makes the file with the first key. It appears whole or not at all, and of two processes that start at once both read
/// the first one's.
fn make(file: &Path) -> io::Result<()> {
    let (id, key) = new_key();
    let draft = draft(file, &format!("{id}:{key}"))?;
    match fs::hard_link(&draft, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => fs::remove_file(&draft)?,
    }
    sync_folder(file)
}

/// Puts a new key in front of the others, so that it seals from now on. It is on the disk when this returns: nothing may
/// be sealed with a key that a crash could take away. Gives its id.
///
/// # Errors
/// What the system says; the file is as it was then.
pub fn put_in_front(file: &Path) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    let (id, key) = new_key();
    replace(file, &format!("{id}:{key},{}", text.trim()))?;
    Ok(id)
}

/// Leaves only the key that seals.
///
/// # Errors
/// As [`put_in_front`].
pub fn keep_first(file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    replace(file, text.trim().split(',').next().unwrap_or_default())
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    fs::rename(draft(file, text)?, file)?;
    sync_folder(file)
}

/// Writes a file beside it that only its owner reads.
fn draft(file: &Path, text: &str) -> io::Result<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{FILE}.{}", std::process::id()));
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(new, "{text}")?;
    new.sync_all()?;
    Ok(draft)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("deep").join("home").join(FILE);
        (home, file)
    }

    #[test]
    fn the_first_start_makes_a_key_that_stays() {
        let (_home, file) = place();
        let place = Place::File(file.clone());
        assert_eq!(place.ids().unwrap(), Vec::<String>::new());
        assert!(!file.exists(), "looking makes nothing");
        let [id] = place.open().unwrap().ids().try_into().unwrap();
        assert!(id.len() == 9 && id.starts_with('k'), "{id}");
        let (_elsewhere, other) = self::place();
        assert_ne!(Place::File(other).open().unwrap().ids(), [id], "each first key has a name of its own");
        let first = fs::read_to_string(&file).unwrap();
        place.open().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_new_key_is_put_in_front_and_old_ones_are_left_out() {
        let (_home, file) = place();
        let keys = Place::File(file.clone()).open().unwrap();
        let old = keys.ids().remove(0);
        let new = put_in_front(&file).unwrap();
        assert_eq!(Place::File(file.clone()).ids().unwrap(), [new.clone(), old]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = crm_core::sessions::tokens::Secret::new("x");
        assert_eq!(
            keys.seal(&secret, "row", [1; 24]).unwrap().key_id(),
            Some(new.as_str()),
            "a ring that is open follows"
        );
        keep_first(&file).unwrap();
        assert_eq!(Place::File(file.clone()).ids().unwrap(), [new]);
        fs::write(&file, format!("k1:{},k1:{}", "01".repeat(32), "02".repeat(32))).unwrap();
        assert!(Place::File(file.clone()).ids().unwrap_err().to_string().contains("gives one id to different keys"));
        fs::write(&file, "k1:short").unwrap();
        assert!(Place::File(file).ids().unwrap_err().to_string().contains("HEIMDELL_KEYRING"));
    }
}
