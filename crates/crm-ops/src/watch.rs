//! The watch: looks at the vital signs of the installation every half minute, raises alerts about what is amiss and
//! resolves those whose cause has gone.
//!
//! Every process keeps it, so that somebody notices when the others are gone. What is about the installation as a whole
//! is told to the organization that was founded first: its operator.
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crm_core::{
    Door, Result, Tx,
    alerts::{self, Cause, Severity},
    clock,
    jobs::{self, alerted},
    vital_signs::{Disk, Verdict, VitalSigns},
};

use crate::runner::named;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(30);

/// A watch that is kept. Dropping it ends it.
pub struct Watch {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch the installation behind a door, and the disk that a folder lies on.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start(door: Door, folder: PathBuf) -> io::Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = Arc::clone(&over);
        let thread = named("watch").spawn(move || {
            let (is_over, changed) = &*seen;
            let mut guard = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            // The first look comes after a round: workers that start at the same time have been heard of by then.
            while !*guard {
                guard = changed.wait_timeout(guard, ROUND).unwrap_or_else(PoisonError::into_inner).0;
                if *guard {
                    return;
                }
                if let Err(error) = look(&door, Disk::of(&folder).ok()) {
                    tracing::warn!(code = error.code(), "the vital signs cannot be read");
                }
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
        self.thread.take().map(JoinHandle::join);
    }
}

/// Looks once.
///
/// # Errors
/// What the database says.
pub fn look(door: &Door, disk: Option<Disk>) -> Result<()> {
    let signs = VitalSigns::read(door.database())?;
    if let Some(operator) = signs.operator {
        door.system_write(operator, clock::now(), |tx| {
            findings(&signs, disk).iter().try_for_each(|finding| note(tx, finding))
        })?;
    }
    for organization in alerted(door.database())? {
        door.system_write(organization, clock::now(), jobs::resolve_failures)?;
    }
    Ok(())
}

/// What was looked at: the alert, and how bad it is now.
struct Finding {
    fingerprint: &'static str,
    title: &'static str,
    message: String,
    severity: Option<Severity>,
}

fn note(tx: &mut Tx<'_>, finding: &Finding) -> Result<()> {
    let Some(severity) = finding.severity else { return alerts::resolve(tx, finding.fingerprint).map(drop) };
    let (fingerprint, title, message) = (finding.fingerprint, finding.title, finding.message.clone());
    alerts::stand(tx, &Cause { fingerprint, severity, source: "system", title, message })
}

fn findings(signs: &VitalSigns, disk: Option<Disk>) -> Vec<Finding> {
    let alive = signs.workers.iter().filter(|worker| worker.is_alive).count();
    let silent = signs.workers.len() - alive;
    let free = disk.map_or_else(String::new, |disk| format!("{} % are free.", disk.free_percent()));
    vec![
        Finding {
            fingerprint: "workers",
            title: "Workers are not heard of",
            message: format!("{alive} alive, {silent} silent."),
            severity: severity(signs.workers(), Severity::Error, Severity::Critical),
        },
        Finding {
            fingerprint: "backlog",
            title: "Jobs wait too long",
            message: format!("The oldest has waited {} seconds.", signs.oldest_waiting_seconds()),
            severity: severity(signs.backlog(), Severity::Error, Severity::Error),
        },
        Finding {
            fingerprint: "disk",
            title: "The disk is nearly full",
            message: free,
            severity: disk.and_then(|disk| severity(disk.verdict(), Severity::Warning, Severity::Critical)),
        },
    ]
}

fn severity(verdict: Verdict, warning: Severity, failing: Severity) -> Option<Severity> {
    match verdict {
        Verdict::Ok => None,
        Verdict::Warning => Some(warning),
        Verdict::Failing => Some(failing),
    }
}
