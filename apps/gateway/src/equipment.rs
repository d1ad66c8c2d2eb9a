//! What the program has beside the database: the keys that seal secrets, and the way out to others.
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use crm_core::{Error, sealed::Keyring};
use crm_ops::{
    runner::Runner,
    webhooks::{addresses::Reach, courier::Courier},
};
use rand::RngCore;

use crate::{app::App, config::Storage};

/// What jobs and requests use beside the database. Cheap to clone.
#[derive(Clone)]
pub struct Equipment {
    /// Seal secrets.
    pub keys: Arc<Keyring>,
    /// Sends to others.
    pub courier: Arc<Courier>,
}

impl Equipment {
    /// A worker whose jobs find it.
    pub fn plugged_into(&self, runner: Runner) -> Runner {
        runner.plug(Arc::clone(&self.keys)).plug(Arc::clone(&self.courier))
    }
}

/// The file of the keys in the program's folder.
const KEYRING: &str = "keyring";

/// Finds the keys, or makes the first one, and opens the way out: to public addresses, or to any.
///
/// # Errors
/// Where the keys cannot be read, in words that say what to do.
pub fn equip(storage: &Storage, allows_private: bool) -> io::Result<Equipment> {
    let text = match &storage.keyring {
        Some(text) => text.clone(),
        None => kept(&storage.home)?,
    };
    let keys = Keyring::parse(text.trim()).map_err(|_| {
        let words = "the keyring (HEIMDELL_KEYRING, or the file `keyring` in HEIMDELL_HOME) is not of the form id:key,id:key with keys of 64 hexadecimal digits";
        io::Error::new(io::ErrorKind::InvalidData, words)
    })?;
    let courier = Courier::new(Reach { allows_http: allows_private, allows_private });
    Ok(Equipment { keys: Arc::new(keys), courier: Arc::new(courier) })
}

/// The keys in the program's folder, made where there are none. A file appears whole or not at all, and of two processes
/// that start at once both read the first one's.
fn kept(home: &Path) -> io::Result<String> {
    let file = home.join(KEYRING);
    if !file.exists() {
        fs::create_dir_all(home)?;
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let draft = home.join(format!("{KEYRING}.{}", std::process::id()));
        let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(new, "k1:{digits}")?;
        new.sync_all()?;
        match fs::hard_link(&draft, &file) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::remove_file(&draft)?,
        }
    }
    fs::read_to_string(&file)
}

/// The keys, from the program's state.
///
/// # Errors
/// Where the program was put together without them.
pub fn keys(app: &App) -> Result<&Keyring, Error> {
    app.equipment.as_ref().map(|it| &*it.keys).ok_or_else(|| Error::internal("the program has no keys"))
}

/// The way out, from the program's state.
///
/// # Errors
/// Where the program was put together without it.
pub fn courier(app: &App) -> Result<&Courier, Error> {
    app.equipment.as_ref().map(|it| &*it.courier).ok_or_else(|| Error::internal("the program has no way out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_start_makes_a_key_that_stays() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("deep").join("home");
        let first = kept(&home).unwrap();
        assert!(Keyring::parse(first.trim()).is_ok());
        assert_eq!(kept(&home).unwrap(), first);
        let file = fs::metadata(home.join(KEYRING)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "no draft is left");
    }
}
