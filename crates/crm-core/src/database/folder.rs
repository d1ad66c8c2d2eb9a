//! The private server's folder and the account that it runs as.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::private::Error;

/// Where the cluster goes when root's own folder is closed to the server's account.
const SYSTEM_HOME: &str = "/var/lib/heimdell";

/// What a Unix socket's path may measure: 103 bytes on macOS, 107 on Linux.
const SOCKET_PATH_LIMIT: usize = 103;

/// The account that the server runs as when this program runs as root, which PostgreSQL refuses to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` when this process is not root: the server then runs as the same user.
    pub(super) fn find() -> Result<Option<Self>, Error> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let users = ["postgres", "nobody"].into_iter().filter_map(|name| User::from_name(name).ok().flatten());
        let account = users.map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }).next();
        account.map(Some).ok_or(Error::NoAccount)
    }
}

/// `<home>/postgres`: `data`, the socket's folder `s`, the server's log, and the two lock files.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    account: Option<Account>,
    path: Option<OsString>,
}

impl Folder {
    /// Makes the folder, 0700 and owned by the server's account. `path` is the `PATH` of the programs started.
    pub(super) fn prepare(home: &Path, path: Option<&OsStr>) -> Result<Self, Error> {
        let mut folder = Self { root: PathBuf::new(), account: Account::find()?, path: path.map(OsStr::to_os_string) };
        let home = std::path::absolute(home).map_err(Error::at(home))?;
        let home = folder.reachable_home(home)?;
        folder.root = home.join("postgres");
        folder.own(&folder.root)?;
        Ok(folder)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Locked shared by each process that uses the server. The kernel frees the lock when the process ends.
    pub(super) fn in_use(&self) -> PathBuf {
        self.root.join("in-use")
    }

    /// Locked by the one process that is making or starting the cluster.
    pub(super) fn start_lock(&self) -> PathBuf {
        self.root.join("start-lock")
    }

    /// Opens a file of the folder, owned by the server's account, made if it is missing.
    pub(super) fn open(&self, file: &Path) -> Result<File, Error> {
        let opened = File::options().create(true).append(true).open(file).map_err(Error::at(file))?;
        self.give(file)?;
        Ok(opened)
    }

    /// A folder for the socket whose path is short enough: `s`, or one in the temporary folder.
    pub(super) fn socket(&self) -> Result<PathBuf, Error> {
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        let short = format!("heimdell-{:016x}", hasher.finish());
        let choices = [self.root.join("s"), std::env::temp_dir().join(&short), Path::new("/tmp").join(&short)];
        let fitting = choices.into_iter().find(|folder| {
            let name = folder.join(".s.PGSQL.5432");
            name.as_os_str().len() <= SOCKET_PATH_LIMIT && folder.parent().is_some_and(|parent| self.reaches(parent))
        });
        let socket = fitting.ok_or_else(|| Error::NoSocketFolder(std::env::temp_dir()))?;
        self.own(&socket)?;
        Ok(socket)
    }

    /// A command that runs as the server's account, with a bare environment (no secret of ours gets in) and out of
    /// reach of the terminal's Ctrl-C.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = self.path.as_deref().unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
        let locale = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };
        command.env_clear().env("PATH", path).env("LC_ALL", locale).env("TZ", "UTC");
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// The home asked for, or, when that lies where the server's account cannot go, the system's.
    fn reachable_home(&self, home: PathBuf) -> Result<PathBuf, Error> {
        for choice in [home.as_path(), Path::new(SYSTEM_HOME)] {
            let ground = choice.ancestors().find(|folder| folder.exists()).unwrap_or(choice);
            if self.reaches(ground) {
                fs::create_dir_all(choice).map_err(Error::at(choice))?;
                let choice = choice.canonicalize().map_err(Error::at(choice))?;
                if self.reaches(&choice) {
                    return Ok(choice);
                }
            }
            tracing::info!("the account of PostgreSQL cannot enter {}: using {SYSTEM_HOME}", choice.display());
        }
        Err(Error::Unreachable(home))
    }

    /// Whether the server's account can enter a folder. Asked of the system itself, which knows of all the bits,
    /// groups and access lists on the way.
    fn reaches(&self, folder: &Path) -> bool {
        if self.account.is_none() {
            return true;
        }
        let status = self.command("/bin/sh").args(["-c", "cd -- \"$1\"", "sh"]).arg(folder).status();
        status.is_ok_and(|status| status.success())
    }

    /// Makes a folder that nobody but the server's account can enter; refuses one that somebody else has laid there.
    fn own(&self, folder: &Path) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::at(folder)(error)),
            _ => {}
        }
        let facts = fs::symlink_metadata(folder).map_err(Error::at(folder))?;
        let ours = [Some(geteuid().as_raw()), self.account.map(|account| account.uid)];
        if !facts.is_dir() || !ours.contains(&Some(facts.uid())) {
            return Err(Error::ForeignFolder(folder.to_path_buf()));
        }
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(Error::at(folder))?;
        self.give(folder)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(account) = self.account else { return Ok(()) };
        chown(path, Some(account.uid), Some(account.gid)).map_err(Error::at(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(home: &Path) -> Folder {
        Folder::prepare(home, None).unwrap()
    }

    #[test]
    fn is_closed_to_everybody_else() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = prepared(home.path());
        let facts = fs::metadata(&folder.root).unwrap();
        assert_eq!(facts.mode() & 0o777, 0o700);
        assert_eq!(facts.uid(), folder.account.map_or_else(|| geteuid().as_raw(), |account| account.uid));
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("postgres")).unwrap();
        assert!(matches!(Folder::prepare(home.path(), None), Err(Error::ForeignFolder(_))));
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let near = prepared(home.path());
        assert_eq!(near.socket().unwrap(), near.root.join("s"));

        let far = prepared(&home.path().join("a-long-name".repeat(9)));
        let socket = far.socket().unwrap();
        assert!(!socket.starts_with(home.path()), "{socket:?}");
        assert!(socket.as_os_str().len() <= 90, "{socket:?}");
        assert_eq!(socket, far.socket().unwrap(), "a later start must find the same folder");
        assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(socket).unwrap();
    }

    #[test]
    fn root_sees_which_folders_the_account_cannot_enter() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = prepared(home.path());
        let closed = home.path().join("closed");
        DirBuilder::new().mode(0o700).create(&closed).unwrap();
        assert_eq!(folder.reaches(&closed), folder.account.is_none());
        assert!(folder.reaches(home.path()));
    }
}
