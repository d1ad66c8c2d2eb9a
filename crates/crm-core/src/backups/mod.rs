//! Backups that are known to be good: a dump with a manifest of what it holds, restored beside the data that it replaces,
//! and proved by restoring it into a database that nobody uses.
//!
//! A backup is two files: the dump of PostgreSQL's own `pg_dump`, and its [`Manifest`]. What the manifest says of the tables
//! was read in the very snapshot that was dumped, so what comes out of the dump must agree with it, under load too.
//!
//! ```no_run
//! use crm_core::backups::{self, Place, Restoration};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "postgres://localhost/heimdell_crm";
//! let place = Place::new(url)?;
//! let backup = backups::create(&place, "backups".as_ref(), &|_| {})?;
//! backups::verify(&place, &backup, &|_| {})?;
//! backups::restore(&place, &backup, Restoration { replaces: true }, &|_| Ok(()), &|_| {})?;
//! # Ok(()) }
//! ```
mod contents;
mod creation;
mod folders;
mod manifests;
mod programs;
mod register;
mod restoration;
mod scratch;
mod verification;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

pub use contents::{Difference, TableContent};
pub use creation::create;
pub use folders::{Backup, keep, latest};
pub use manifests::{Manifest, SealingKeys};
pub use restoration::{Preparation, Restoration, Restored, is_in_use, restore};
pub use verification::{Verified, verify};

use crate::database::{self, addresses::Address, migrations};

/// Why there is no backup, or nothing was restored. What was there before is there still.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer as asked.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The schema cannot be brought up to date.
    #[error(transparent)]
    Migrations(#[from] migrations::Error),
    /// `pg_dump` and `pg_restore` are missing, or too old for the server.
    #[error("{0}")]
    NoPrograms(String),
    /// One of them failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// The system refused something about a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files are not, or not any more, what was written.
    #[error("{0}")]
    Damaged(String),
    /// It would do harm, or cannot work.
    #[error("{0}")]
    Refused(String),
    /// What came out of the dump is not what went in.
    #[error("what was restored is not what was backed up: {}", contents::told(.0))]
    Different(Vec<Difference>),
    /// The field history of an organization does not prove itself.
    #[error("the field history of organization {organization} is broken at row {seq}")]
    BrokenHistory {
        /// Whose.
        organization: uuid::Uuid,
        /// The number of the first bad row.
        seq: i64,
    },
}

impl Error {
    /// Ties the system's complaint to a path.
    fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Refused(format!("the field history cannot be read: {error}"))
    }
}

/// A database, and where the programs are that dump and restore it.
#[derive(Clone)]
pub struct Place {
    address: Address,
    /// The folder of PostgreSQL's programs, if a person named one; others are looked in after it.
    pub pg_bin: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
}

impl Place {
    /// The database of a URL, or of libpq's keywords.
    ///
    /// # Errors
    /// [`Error::Database`] for a text that is no address, and [`Error::Refused`] for one that names no database.
    pub fn new(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        match address.database() {
            Some(_) => Ok(Self { address, pg_bin: None, path: None }),
            None => Err(Error::Refused("the address of the database must name the database".to_owned())),
        }
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.address.database().unwrap_or_default()
    }
}

/// How far it has come, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Tables are being read, to be counted and summed.
    Reading {
        /// How many have been.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// The dump is being written, and has this many bytes.
    Writing(u64),
    /// The dump's checksum is being computed.
    Summing,
    /// The dump is being restored.
    Restoring,
    /// The field histories are being walked along.
    Proving,
}
