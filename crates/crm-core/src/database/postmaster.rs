//! What `postmaster.pid` says of a cluster's server, and whether it is true.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A server that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    pid: Pid,
    socket: PathBuf,
    ready: bool,
}

impl Postmaster {
    /// The server that runs on this data folder, if one does.
    pub(super) fn find(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let postmaster = Self::parse(&text)?;
        serves(postmaster.pid, data).then_some(postmaster)
    }

    /// The lines of the file: pid, data folder, start, port, socket folder, address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let pid = text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        let line = |number: usize| text.lines().nth(number).unwrap_or_default().trim();
        Some(Self { pid: Pid::from_raw(pid), socket: PathBuf::from(line(4)), ready: line(7) == "ready" })
    }

    /// The folder of its socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it takes connections.
    pub(super) fn is_ready(&self) -> bool {
        self.ready && UnixStream::connect(self.socket.join(".s.PGSQL.5432")).is_ok()
    }

    /// Asks for a fast shutdown: open transactions are rolled back, all that is committed is written.
    pub(super) fn interrupt(&self) -> nix::Result<()> {
        kill(self.pid, Signal::SIGINT)
    }
}

/// Removes lock files that name a live process which is no server of this cluster: its pid was given out again, after
/// a power cut say, and PostgreSQL would refuse to start for as long as it lives. Files that name no process at all
/// are left to PostgreSQL, which also looks for orphans by their shared memory.
pub(super) fn clear_stale_locks(data: &Path, socket: &Path) {
    for file in [data.join("postmaster.pid"), socket.join(".s.PGSQL.5432.lock")] {
        let Some(named) = fs::read_to_string(&file).ok().and_then(|text| Postmaster::parse(&text)) else { continue };
        if exists(named.pid) && !serves(named.pid, data) {
            tracing::warn!("{} names process {}, which is no PostgreSQL of ours: removed", file.display(), named.pid);
            if let Err(error) = fs::remove_file(&file) {
                tracing::warn!("{} cannot be removed: {error}", file.display());
            }
        }
    }
}

fn exists(pid: Pid) -> bool {
    matches!(kill(pid, None), Ok(()) | Err(Errno::EPERM))
}

/// Whether a process is the server of this data folder: it lives, is called postgres and, where the system tells,
/// works in that folder.
fn serves(pid: Pid, data: &Path) -> bool {
    if !exists(pid) {
        return false;
    }
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = fs::read_to_string(proc.join("stat")) else { return is_called_postgres(&name_by_ps(pid)) };
    let (name, state) = name_and_state(&stat);
    let works_here = fs::read_link(proc.join("cwd")).map_or(true, |folder| folder == data);
    is_called_postgres(name) && !matches!(state, 'Z' | 'X') && works_here
}

/// `pid (name) state …`; the name itself may hold blanks and brackets.
fn name_and_state(stat: &str) -> (&str, char) {
    let (front, back) = stat.rsplit_once(')').unwrap_or_default();
    let name = front.split_once('(').map_or("", |(_, name)| name);
    (name, back.trim_start().chars().next().unwrap_or('?'))
}

fn name_by_ps(pid: Pid) -> String {
    let output = Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn is_called_postgres(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.starts_with("postgres") || name.starts_with("postmaster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_file() {
        let text = "4711\n/h/data\n1760000000\n5432\n/h/s\n\n  1234 0\nready   \n";
        let expected = Postmaster { pid: Pid::from_raw(4711), socket: PathBuf::from("/h/s"), ready: true };
        assert_eq!(Postmaster::parse(text), Some(expected.clone()));
        assert_eq!(
            Postmaster::parse(&text.replace("ready", "starting")),
            Some(Postmaster { ready: false, ..expected })
        );
        for broken in ["", "\n", "-1\n", "0\n", "words\n"] {
            assert_eq!(Postmaster::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn reads_the_name_of_a_process() {
        let cases = [("12 (postgres) S 1 12", ("postgres", 'S')), ("12 (a) (b) Z 1", ("a) (b", 'Z')), ("", ("", '?'))];
        for (stat, expected) in cases {
            assert_eq!(name_and_state(stat), expected);
        }
        assert!(is_called_postgres("/usr/lib/postgresql/15/bin/postgres"));
        assert!(!is_called_postgres("bash"));
    }

    #[test]
    fn a_lock_file_that_names_a_stranger_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("postmaster.pid");
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(Postmaster::find(data.path()), None);
        clear_stale_locks(data.path(), data.path());
        assert!(!file.exists());

        fs::write(&file, format!("{}\n", i32::MAX)).unwrap();
        clear_stale_locks(data.path(), data.path());
        assert!(file.exists(), "a pid that is free is PostgreSQL's own business");
    }
}
