//! The private cluster and its server: made, started, watched, stopped.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl};

use super::binaries::Binaries;
use super::folder::Folder;
use super::postmaster::{Postmaster, clear_stale_locks};
use super::private::{DATABASE, Error, Options};

const USER: &str = "heimdell";
const POLL: Duration = Duration::from_millis(10);

/// The cluster and, if this process started it, the server's process.
pub(super) struct Server {
    folder: Folder,
    binaries: Binaries,
    options: Options,
    child: Option<Child>,
}

impl Server {
    pub(super) fn new(folder: Folder, binaries: Binaries, options: Options) -> Self {
        Self { folder, binaries, options, child: None }
    }

    pub(super) fn in_use(&self) -> PathBuf {
        self.folder.in_use()
    }

    /// Sees to it that the cluster exists, that its server takes connections, and that the database is there.
    pub(super) fn ensure(&mut self) -> Result<Postmaster, Error> {
        let path = self.folder.start_lock();
        let lock = self.folder.open(&path)?;
        lock.lock().map_err(Error::at(&path))?;
        self.make_cluster(&lock)?;
        let postmaster = match Postmaster::find(&self.folder.data()) {
            Some(_) => self.wait_until_ready()?,
            None => self.launch()?,
        };
        make_database(postmaster.socket()).map_err(Error::Refused)?;
        Ok(postmaster)
    }

    /// Runs `initdb` where no cluster is, in a folder that gets its name when it is whole.
    fn make_cluster(&self, lock: &File) -> Result<(), Error> {
        let (data, new) = (self.folder.data(), self.folder.data().with_extension("new"));
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(made_by) => return self.check_version(made_by.trim()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::at(&data)(error)),
            Err(_) => {}
        }
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::at(&new)(error)),
            _ => {}
        }
        tracing::info!("making a PostgreSQL {} cluster in {}", self.binaries.major, data.display());
        let mut command = self.folder.command(self.binaries.folder.join("initdb"));
        command.args(["-U", USER, "-A", "trust", "-E", "UTF8", "--data-checksums"]);
        command.args(locale_arguments()).arg("-D").arg(&new);
        if !self.options.durable {
            command.arg("--no-sync");
        }
        // The lock goes along as its input: should we be killed, it is held until initdb has ended as well.
        command.stdin(lock.try_clone().map_err(Error::at(&data))?);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().map_err(Error::at(&data))?;
        if !output.status.success() {
            return Err(Error::Failed { what: "initdb", log: String::from_utf8_lossy(&output.stderr).into_owned() });
        }
        fs::rename(&new, &data).map_err(Error::at(&data))
    }

    fn check_version(&self, made_by: &str) -> Result<(), Error> {
        if made_by == self.binaries.major.to_string() {
            return Ok(());
        }
        Err(Error::VersionMismatch {
            data: self.folder.data(),
            made_by: made_by.to_owned(),
            programs: self.binaries.folder.clone(),
            found: self.binaries.major,
        })
    }

    /// Starts the server. For a moment after a predecessor was killed, PostgreSQL sees its last traces and refuses:
    /// then tries again for ten seconds.
    fn launch(&mut self) -> Result<Postmaster, Error> {
        let mut attempts = 0;
        loop {
            let socket = self.folder.socket()?;
            clear_stale_locks(&self.folder.data(), &socket);
            self.spawn(&socket)?;
            match self.wait_until_ready() {
                Err(Error::Failed { log, .. }) if is_passing(&log) && attempts < 50 => attempts += 1,
                outcome => return outcome,
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn spawn(&mut self, socket: &Path) -> Result<(), Error> {
        let path = self.folder.log();
        if path.exists() {
            fs::rename(&path, path.with_extension("old")).map_err(Error::at(&path))?;
        }
        let log = self.folder.open(&path)?;
        let mut command = self.folder.command(self.binaries.folder.join("postgres"));
        command.arg("-D").arg(self.folder.data());
        let sockets = socket.display().to_string();
        let reach = [("listen_addresses", ""), ("port", "5432"), ("unix_socket_directories", sockets.as_str())];
        let switch = if self.options.durable { "on" } else { "off" };
        let durability = [("fsync", switch), ("full_page_writes", switch), ("synchronous_commit", "on")];
        for (name, value) in reach.iter().chain(&durability).chain(self.options.extra) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdout(log.try_clone().map_err(Error::at(&path))?).stderr(log);
        self.child = Some(command.spawn().map_err(Error::at(&self.binaries.folder))?);
        Ok(())
    }

    /// Waits while the server starts, which includes recovery after a crash: up to five minutes.
    fn wait_until_ready(&mut self) -> Result<Postmaster, Error> {
        let data = self.folder.data();
        for _ in 0..30_000 {
            let postmaster = Postmaster::find(&data);
            if let Some(ready) = postmaster.clone().filter(Postmaster::is_ready) {
                return Ok(ready);
            }
            if self.reap() && postmaster.is_none() {
                return Err(self.failed("PostgreSQL's start"));
            }
            thread::sleep(POLL);
        }
        Err(self.failed("PostgreSQL's start within five minutes"))
    }

    /// Whether no child of ours runs; one that has ended is taken off the system's list.
    fn reap(&mut self) -> bool {
        if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            self.child = None;
        }
        self.child.is_none()
    }

    /// Starts the server again whenever it is gone, until told to quit.
    pub(super) fn supervise(mut self, quitting: &Receiver<()>) -> Self {
        tracing::info!(
            "using PostgreSQL {} in {}; set DATABASE_URL to use a server of yours",
            self.binaries.major,
            self.folder.data().display()
        );
        while quitting.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            self.reap();
            if Postmaster::find(&self.folder.data()).is_none() {
                tracing::warn!("the private PostgreSQL is gone: starting it again");
                if let Err(error) = self.ensure() {
                    tracing::error!("{error}");
                }
            }
        }
        self
    }

    pub(super) fn stop(&mut self) -> Result<(), Error> {
        let data = self.folder.data();
        if let Some(Err(error)) = Postmaster::find(&data).map(|postmaster| postmaster.interrupt()) {
            return Err(Error::at(&data)(error.into()));
        }
        for _ in 0..6_000 {
            if self.reap() && Postmaster::find(&data).is_none() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(self.failed("PostgreSQL's stop within a minute"))
    }

    fn failed(&self, what: &'static str) -> Error {
        let log = fs::read(self.folder.log()).unwrap_or_default();
        let tail = log.split_at(log.len().saturating_sub(4_000)).1;
        Error::Failed { what, log: String::from_utf8_lossy(tail).into_owned() }
    }
}

fn locale_arguments() -> &'static [&'static str] {
    if cfg!(target_os = "macos") { &["--locale-provider=libc", "--locale=C"] } else { &["--locale=C.UTF-8"] }
}

/// Whether a start failed for a reason that goes away by itself.
fn is_passing(log: &str) -> bool {
    (log.contains("lock file") && log.contains("already exists")) || log.contains("pre-existing shared memory block")
}

fn make_database(socket: &Path) -> Result<(), String> {
    let mut connection = PgConnection::establish(&url(socket, "postgres")).map_err(|error| error.to_string())?;
    let found = diesel::sql_query("select 1 from pg_database where datname = $1")
        .bind::<diesel::sql_types::Text, _>(DATABASE)
        .execute(&mut connection)
        .map_err(|error| error.to_string())?;
    if found == 0 {
        connection.batch_execute(&format!("create database {DATABASE}")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The URL of a database behind a socket in this folder.
pub(super) fn url(socket: &Path, database: &str) -> String {
    let host = percent_encoded(&socket.to_string_lossy());
    format!("postgresql://{USER}@/{}?host={host}&port=5432", percent_encoded(database))
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_any_folder() {
        let url = url(Path::new("/tmp/a b&c=d?/ü"), "x");
        assert_eq!(url, "postgresql://heimdell@/x?host=/tmp/a%20b%26c%3Dd%3F/%C3%BC&port=5432");
    }

    #[test]
    fn knows_refusals_that_pass() {
        for (log, passing) in [
            ("FATAL:  lock file \"postmaster.pid\" already exists", true),
            ("FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", true),
            ("FATAL:  could not access file \"pg_nothing\": No such file or directory", false),
        ] {
            assert_eq!(is_passing(log), passing, "{log}");
        }
    }
}
