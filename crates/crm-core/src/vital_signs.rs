//! The vital signs of an installation, read at once, and what each of them means.
//!
//! ```
//! use crm_core::vital_signs::{Disk, Verdict};
//! assert_eq!(Disk { free_bytes: 3, total_bytes: 100 }.verdict(), Verdict::Failing);
//! ```
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{RunQueryDsl, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Error, Id, Result,
    database::{Database, Usage, migrations},
    jobs::{QueueFigures, WorkerState, figures, workers},
    organizations::Organization,
    statement::Statement,
};

/// What can be read of an installation's state, at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VitalSigns {
    /// The database's clock.
    pub now: DateTime<Utc>,
    /// How the pool of this process is used.
    pub pool: Usage,
    /// Migrations that are not applied.
    pub pending_migrations: usize,
    /// The workers that are known.
    pub workers: Vec<WorkerState>,
    /// The queues.
    pub queues: Vec<QueueFigures>,
    /// When the last backup was verified.
    pub backup_verified_at: Option<DateTime<Utc>>,
    /// Alerts that are not resolved, by severity, over all organizations.
    pub unresolved_alerts: Vec<(String, i64)>,
    /// Whom an alert about the installation as a whole is told: the organization that was founded first.
    pub operator: Option<Id<Organization>>,
}

/// What a vital sign means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Something does not work.
    Failing,
}

/// The room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// What is free to this program.
    pub free_bytes: u64,
    /// What there is in all.
    pub total_bytes: u64,
}

/// A job that could have begun waits longer than this: work piles up.
pub const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);
/// The last verified backup is older than this: a day and some hours to make it in.
pub const OLDEST_BACKUP: TimeDelta = TimeDelta::hours(26);

/// What is done where migrations are due.
pub const MIGRATE: &str = "heimdell migrate";
/// What is done where the schema is newer than the program.
pub const UPGRADE: &str = "run the version of the program that the schema was made by";
/// What is done where jobs wait for somebody who does them.
pub const START_A_WORKER: &str = "start a worker (heimdell worker, or heimdell serve without --no-workers)";
/// What is done where workers are not heard of.
pub const LOOK_FOR_WORKERS: &str = "see whether the silent ones should run, and why not";
/// What is done where there is no good backup.
pub const BACK_UP: &str = "heimdell backup --verify, every night";
/// What is done where the disk is nearly full.
pub const FREE_SPACE: &str = "free space or enlarge the disk: a full one stops all writing";

impl VitalSigns {
    /// Reads them.
    ///
    /// # Errors
    /// What the database says.
    pub fn read(database: &Database) -> Result<Self> {
        let pool = database.usage();
        database.with(|conn| {
            let pending = migrations::pending(conn).map_err(|error| Error::Unavailable(error.to_string()))?;
            let text = "SELECT now(), (SELECT max(verified_at) FROM backups), \
                        (SELECT id FROM organizations ORDER BY created_at, id LIMIT 1)";
            let (now, backup_verified_at, operator): (_, _, Option<uuid::Uuid>) =
                Statement::<(st::Timestamptz, st::Nullable<st::Timestamptz>, st::Nullable<st::Uuid>)>::new(text, None)
                    .get_result(conn)?;
            let text = "SELECT severity, count(*) FROM alerts WHERE resolved_at IS NULL GROUP BY severity";
            Ok(Self {
                now,
                pool,
                pending_migrations: pending.len(),
                workers: workers(conn)?,
                queues: figures(conn)?,
                backup_verified_at,
                unresolved_alerts: Statement::<(st::Text, st::BigInt)>::new(text, None).load(conn)?,
                operator: operator.map(Id::from),
            })
        })
    }

    /// Is the schema current?
    pub fn migrations(&self) -> Verdict {
        if self.pending_migrations == 0 { Verdict::Ok } else { Verdict::Failing }
    }

    /// Does somebody do jobs? One worker that is silent is a warning, none alive a failure.
    pub fn workers(&self) -> Verdict {
        let alive = self.workers.iter().filter(|worker| worker.is_alive).count();
        workers_of(alive, self.workers.len() - alive)
    }

    /// For how long the oldest job has waited that could have begun.
    pub fn oldest_waiting_seconds(&self) -> i64 {
        self.queues.iter().filter_map(|queue| queue.oldest_waiting_seconds).max().unwrap_or_default()
    }

    /// Are jobs done in time?
    pub fn backlog(&self) -> Verdict {
        backlog_of(self.oldest_waiting_seconds())
    }

    /// Is there a backup, not too old, that was verified?
    pub fn backup(&self) -> Verdict {
        backup_of(self.backup_verified_at, self.now)
    }
}

/// Does somebody do jobs, where so many workers are alive and so many silent?
pub fn workers_of(alive: usize, silent: usize) -> Verdict {
    match (alive, silent) {
        (0, _) => Verdict::Failing,
        (_, 0) => Verdict::Ok,
        _ => Verdict::Warning,
    }
}

/// Are jobs done in time, where the oldest that could have begun has waited for so many seconds?
pub fn backlog_of(oldest_waiting_seconds: i64) -> Verdict {
    if oldest_waiting_seconds > LONGEST_WAIT.num_seconds() { Verdict::Warning } else { Verdict::Ok }
}

/// Is there a backup, not too old, that was verified?
pub fn backup_of(verified_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Verdict {
    let is_fresh = verified_at.is_some_and(|at| now - at <= OLDEST_BACKUP);
    if is_fresh { Verdict::Ok } else { Verdict::Warning }
}

impl Disk {
    /// The disk that a folder lies on; that of the nearest one above that is there.
    ///
    /// # Errors
    /// What the system says.
    #[allow(clippy::useless_conversion, reason = "macOS counts blocks in 32 bits")]
    pub fn of(folder: &Path) -> std::io::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(&folder);
        let facts = nix::sys::statvfs::statvfs(there)?;
        let size = u64::from(facts.fragment_size());
        Ok(Self {
            free_bytes: u64::from(facts.blocks_available()) * size,
            total_bytes: u64::from(facts.blocks()) * size,
        })
    }

    /// How much of it is free, in whole percents, rounded down.
    pub fn free_percent(&self) -> u64 {
        let percent = (u128::from(self.free_bytes) * 100).checked_div(u128::from(self.total_bytes)).unwrap_or(0);
        u64::try_from(percent).unwrap_or(100)
    }

    /// Is there room? Below 15 % somebody should look; below 5 % writes may soon fail.
    pub fn verdict(&self) -> Verdict {
        match self.free_percent() {
            0..5 => Verdict::Failing,
            5..15 => Verdict::Warning,
            _ => Verdict::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn signs() -> VitalSigns {
        VitalSigns {
            now: "2026-01-05T09:00:00Z".parse().unwrap(),
            pool: Usage { open: 1, idle: 1, max: 8 },
            pending_migrations: 0,
            workers: Vec::new(),
            queues: Vec::new(),
            backup_verified_at: None,
            unresolved_alerts: Vec::new(),
            operator: None,
        }
    }

    fn worker(is_alive: bool) -> WorkerState {
        let at = signs().now;
        WorkerState {
            id: Uuid::nil(),
            host: Some("host".into()),
            pid: Some(1),
            program_version: Some("1".into()),
            queues: Vec::new(),
            started_at: at,
            heartbeat_at: at,
            is_alive,
        }
    }

    #[test]
    fn workers_are_judged_by_those_alive() {
        let table: [(&[bool], Verdict); 4] = [
            (&[], Verdict::Failing),
            (&[false], Verdict::Failing),
            (&[true, false], Verdict::Warning),
            (&[true, true], Verdict::Ok),
        ];
        for (alive, verdict) in table {
            let signs = VitalSigns { workers: alive.iter().map(|alive| worker(*alive)).collect(), ..signs() };
            assert_eq!(signs.workers(), verdict, "{alive:?}");
        }
    }

    #[test]
    fn ages_are_judged_at_their_limits() {
        let queue = |oldest_waiting_seconds| QueueFigures {
            name: "default".into(),
            waiting: 1,
            active: 0,
            failed: 0,
            completed_24h: 0,
            oldest_waiting_seconds,
        };
        for (waited, verdict) in [(None, Verdict::Ok), (Some(300), Verdict::Ok), (Some(301), Verdict::Warning)] {
            assert_eq!(VitalSigns { queues: vec![queue(waited)], ..signs() }.backlog(), verdict, "{waited:?}");
        }
        let now = signs().now;
        for (hours, verdict) in [(26, Verdict::Ok), (27, Verdict::Warning)] {
            let at = Some(now - TimeDelta::hours(hours));
            assert_eq!(VitalSigns { backup_verified_at: at, ..signs() }.backup(), verdict, "{hours}");
        }
        assert_eq!(signs().backup(), Verdict::Warning, "there never was one");
        assert_eq!(VitalSigns { pending_migrations: 1, ..signs() }.migrations(), Verdict::Failing);
    }

    #[test]
    fn a_disk_is_judged_by_its_share_of_room() {
        for (free, verdict) in [(100, Verdict::Ok), (15, Verdict::Ok), (14, Verdict::Warning), (4, Verdict::Failing)] {
            assert_eq!(Disk { free_bytes: free, total_bytes: 100 }.verdict(), verdict, "{free}");
        }
        assert_eq!(Disk { free_bytes: 0, total_bytes: 0 }.verdict(), Verdict::Failing);
        assert!(Disk::of(Path::new("/nowhere/at/all")).unwrap().total_bytes > 0);
    }
}
