//! Writing down from time to time what the gates note while they decide.
use std::{io, sync::mpsc, thread, time::Duration};

use crm_core::{clock, door::Door};

/// How long a note waits at most.
const PAUSE: Duration = Duration::from_secs(2);

/// A thread that writes down what the gates of this process have noted, until it is told to stop.
pub struct NoteKeeper {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl NoteKeeper {
    /// Starts one.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn start(door: Door) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            let mut goes_on = true;
            while goes_on {
                goes_on = stopped.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout);
                if let Err(error) = door.keep_notes(clock::now()) {
                    tracing::warn!("what drafts of policies would have decided could not be written down: {error}");
                }
            }
        };
        Ok(Self { stop, thread: thread::Builder::new().name("notes".into()).spawn(work)? })
    }

    /// Writes down what is left, and ends.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes notes down panicked");
        }
    }
}
