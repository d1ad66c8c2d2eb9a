//! A small shell that outlives us and stops the private server when we are killed.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::folder::Folder;
use super::private::Error;

/// Waits on a pipe that the kernel closes when our process ends, however it ends. A word on the pipe means that we
/// left in good order. Otherwise, and when no process holds the lock on `$2`, the server of `$1` is asked for a fast
/// shutdown, under that lock, so that a newcomer waits until it has ended. The lock of a process that died is free
/// only a moment after its pipe, hence the attempts. Without flock(1) the server is left for the next start to use.
const SCRIPT: &str = r#"
trap '' HUP INT
read -r word && exit 0
sleep "$3"
command -v flock >/dev/null || exit 0
attempts=0
until flock -n -x "$2" sh -c "$4" sh "$1"; do
  attempts=$((attempts + 1))
  [ "$attempts" -lt 25 ] || exit 0
  sleep 0.2
done
"#;

/// Interrupts the server that `postmaster.pid` names, if that process is one, and waits up to a minute for its end.
const STOP: &str = r#"
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || exit 0
name=$(cat "/proc/$pid/comm" 2>/dev/null || ps -o comm= -p "$pid" 2>/dev/null)
case "$name" in *postgres*|*postmaster*) ;; *) exit 0 ;; esac
kill -INT "$pid" || exit 0
waits=0
while [ -e "$1/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$waits" -lt 300 ]; do
  waits=$((waits + 1))
  sleep 0.2
done
exit 0
"#;

/// The shell's process. Dropped without a word, it stops the server if nobody uses it.
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// `linger` is how long the server outlives its last user.
    pub(super) fn start(folder: &Folder, linger: Duration) -> Result<Self, Error> {
        let mut command = folder.command("/bin/sh");
        command.args(["-c", SCRIPT, "heimdell-watchdog"]).arg(folder.data()).arg(folder.in_use());
        command.arg(linger.as_secs().to_string()).arg(STOP).stdin(Stdio::piped());
        command.spawn().map(Self).map_err(Error::at("/bin/sh"))
    }

    /// Sends it home: the server has been stopped, or others use it.
    pub(super) fn dismiss(mut self) {
        // When the shell is gone already, there is nobody left to tell.
        let told = self.0.stdin.take().map(|mut pipe| pipe.write_all(b"done\n"));
        if matches!(told, Some(Ok(()))) {
            let _ended = self.0.wait();
        }
    }
}
