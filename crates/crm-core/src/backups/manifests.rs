//! The manifest beside a dump: what made it, from what, and what must come out of it.
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, TableContent};

/// The form of the manifests that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What is known of a backup, as JSON beside the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of this file.
    pub format: u32,
    /// The version of the program that made the backup.
    pub program_version: String,
    /// The version of the last migration that the database had had.
    pub schema_version: String,
    /// The major version of the server.
    pub postgresql_major: u32,
    /// When the backup began: it holds what had been committed by then.
    pub started_at: DateTime<Utc>,
    /// When it was whole.
    pub finished_at: DateTime<Utc>,
    /// The name of the dump, in the same folder.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
    /// The keys to the secrets in it.
    pub sealing_keys: SealingKeys,
    /// What each table holds, by name.
    pub tables: Vec<TableContent>,
}

/// The keys that the secrets in a backup are sealed with. They are never part of it: without them, the secrets in it are
/// lost, and with it alone, they are safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKeys {
    /// Whether the keys themselves are in the backup: never.
    pub included: bool,
    /// The ids of the keys that are needed.
    pub needed: Vec<String>,
}

impl Manifest {
    /// How many rows there are in all tables.
    pub fn rows(&self) -> i64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::Damaged(format!("{} is missing: a backup is the dump and its manifest together", path.display()))
            }
            _ => Error::at(path)(error),
        })?;
        let unreadable = |why: String| Error::Damaged(format!("{} is no manifest of a backup: {why}", path.display()));
        let manifest: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(unreadable(format!("its format is {other}, and this program reads {FORMAT}"))),
        }
    }

    /// Writes the manifest under a name for the time being, then gives it its own.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let new = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::at(path)(error.into()))?;
        let mut file = private_file(&new)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::at(&new))?;
        fs::rename(&new, path).map_err(Error::at(path))
    }
}

/// A new file that nobody else may read.
pub(super) fn private_file(path: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(Error::at(path))
}

/// The SHA-256 of a file, and its size.
pub(super) fn checksum(path: &Path) -> Result<(String, u64), Error> {
    let mut file = File::open(path).map_err(Error::at(path))?;
    let (mut hasher, mut size, mut piece) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).map_err(Error::at(path))? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            read => {
                hasher.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}
