//! A PostgreSQL of our own, for when no database is named: found, made, started, watched and stopped.
//!
//! The server listens on a Unix socket in a folder that nobody else can enter, and on no network at all. All processes
//! that use one home share one server; the last to leave stops it. What happens to any of them:
//!
//! | event | outcome |
//! |---|---|
//! | a process ends in good order | it stops the server, unless another uses it |
//! | a process is killed (`kill -9`) | its watchdog does the same |
//! | the server is killed | each process looks once a second; the first to notice starts it again |
//! | the machine loses power | the next start recovers from the write-ahead log |
//! | `initdb` is interrupted | the half-made cluster is thrown away by the next start |

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::binaries;
use super::folder::Folder;
use super::server::{Server, url};
use super::watchdog::Watchdog;

/// The database that a start makes, if it is absent.
pub const DATABASE: &str = "heimdell_crm";

/// Why the private server is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL 15 or newer is installed; the text says where was looked and what to do.
    #[error("{}", binaries::missing_text(.0))]
    NoBinaries(Vec<PathBuf>),
    /// Started by root on a machine with neither of the accounts.
    #[error("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody")]
    NoAccount,
    /// The data were made by another major version of PostgreSQL.
    #[error(
        "the data in {} were made by PostgreSQL {made_by}, and the programs in {} are PostgreSQL {found}. Nothing was \
         touched. Install PostgreSQL {made_by}, or name its folder by HEIMDELL_PG_BIN; to move to {found}, take a \
         dump with the old version's pg_dump and restore it, or run pg_upgrade",
        data.display(), programs.display()
    )]
    VersionMismatch {
        /// The cluster's folder.
        data: PathBuf,
        /// The major version in its `PG_VERSION`.
        made_by: String,
        /// The folder of the best programs found.
        programs: PathBuf,
        /// Their major version.
        found: u32,
    },
    /// The folder is a link, or belongs to somebody else.
    #[error("{} is not a folder of ours: it is a link or belongs to another user", .0.display())]
    ForeignFolder(PathBuf),
    /// The server's account can enter neither the home nor the system's folder.
    #[error("the account that PostgreSQL runs as cannot enter {}", .0.display())]
    Unreachable(PathBuf),
    /// Every folder's name is too long for a Unix socket.
    #[error("no folder with a path short enough for a Unix socket was found, not in {} either", .0.display())]
    NoSocketFolder(PathBuf),
    /// One of PostgreSQL's programs failed.
    #[error("{what} failed:\n{log}")]
    Failed {
        /// What was being done.
        what: &'static str,
        /// The end of what the program wrote.
        log: String,
    },
    /// The server runs but does not let us in, or refuses to make the database.
    #[error("the private PostgreSQL does not answer: {0}")]
    Refused(String),
    /// The system refused something about a file or a program.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Ties the system's complaint to a path.
    pub(super) fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// How to run the private server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder in which `postgres/` is made. Root, whose folders the server may not enter, is sent to
    /// `/var/lib/heimdell` when need be.
    pub home: PathBuf,
    /// The folder of PostgreSQL's programs, if a person named one (`HEIMDELL_PG_BIN`).
    pub pg_bin: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Whether data must survive a power cut. `false` is for tests.
    pub durable: bool,
    /// How long the server outlives its last user.
    pub linger: Duration,
    /// More server settings, by name and value.
    pub extra: &'static [(&'static str, &'static str)],
}

impl Options {
    /// A durable server under `home`, stopped with its last user.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into(), pg_bin: None, path: None, durable: true, linger: Duration::ZERO, extra: &[] }
    }
}

/// A use of the private server: it runs for as long as this value lives.
pub struct PrivatePostgres {
    socket: PathBuf,
    programs: PathBuf,
    linger: Duration,
    use_of: Option<Use>,
}

/// What a use holds and gives back at its end.
struct Use {
    in_use: File,
    watchdog: Watchdog,
    quit: Sender<()>,
    supervisor: JoinHandle<Server>,
}

impl PrivatePostgres {
    /// Starts the server, or joins the one that runs, and makes the database [`DATABASE`]. The first start takes some
    /// seconds for `initdb`, a later one a fraction of a second. Any number of processes may start at once.
    ///
    /// # Errors
    /// See [`Error`]; the data are never touched by a failing start.
    pub fn start(options: Options) -> Result<Self, Error> {
        let folder = Folder::prepare(&options.home, options.path.as_deref())?;
        let made_by = fs::read_to_string(folder.data().join("PG_VERSION")).ok();
        let wanted = made_by.as_deref().and_then(|major| major.trim().parse().ok());
        let binaries =
            binaries::find(options.pg_bin.as_deref(), options.path.as_deref(), wanted).map_err(Error::NoBinaries)?;
        // Waits while a watchdog is stopping the server, which it does under the exclusive lock.
        let in_use = folder.open(&folder.in_use())?;
        in_use.lock_shared().map_err(Error::at(folder.in_use()))?;
        let watchdog = Watchdog::start(&folder, options.linger)?;
        let (linger, programs) = (options.linger, binaries.folder.clone());
        let mut server = Server::new(folder, binaries, options);
        let socket = server.ensure()?.socket().to_path_buf();
        let (quit, quitting) = mpsc::channel();
        let supervisor = thread::Builder::new()
            .name("private-postgres".to_owned())
            .spawn(move || server.supervise(&quitting))
            .map_err(Error::at(&programs))?;
        Ok(Self { socket, programs, linger, use_of: Some(Use { in_use, watchdog, quit, supervisor }) })
    }

    /// The URL of a database on the server, for libpq and all that is built on it.
    pub fn url(&self, database: &str) -> String {
        url(&self.socket, database)
    }

    /// The folder of the server's programs; `psql` and `pg_dump` are there too in most installations.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Ends this use, and stops the server unless another process uses it. Does the same as dropping, and tells.
    ///
    /// # Errors
    /// When the server does not end within a minute.
    pub fn stop(mut self) -> Result<(), Error> {
        self.leave()
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(Use { in_use, watchdog, quit, supervisor }) = self.use_of.take() else { return Ok(()) };
        drop(quit);
        let Ok(mut server) = supervisor.join() else {
            return Err(Error::Failed { what: "watching PostgreSQL", log: "the watching thread died".to_owned() });
        };
        if !self.linger.is_zero() {
            return Ok(());
        }
        let path = server.in_use();
        in_use.unlock().map_err(Error::at(&path))?;
        match in_use.try_lock() {
            Ok(()) => server.stop()?,
            Err(fs::TryLockError::WouldBlock) => tracing::debug!("another process uses the private PostgreSQL"),
            Err(fs::TryLockError::Error(error)) => return Err(Error::at(&path)(error)),
        }
        watchdog.dismiss();
        Ok(())
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!("the private PostgreSQL was not stopped: {error}");
        }
    }
}
