//! What is looked at to say how the installation is, and what to do where it is not well.
use std::future::Future;

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::vital_signs::{self, Disk, Verdict, VitalSigns};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `database`, `migrations`, `workers`, `backlog`, `backup` or `disk`.
    pub name: &'static str,
    /// `ok`, `warning` or `failing`.
    pub status: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

impl Check {
    /// As it was judged; the remedy is told where there is something to be done.
    pub fn new(name: &'static str, status: Verdict, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { name, status, detail: detail.into(), remedy: (status != Verdict::Ok).then_some(remedy) }
    }
}

/// Does somebody do jobs, in time, and was the last backup verified?
pub fn of_signs(signs: &VitalSigns) -> Vec<Check> {
    let alive = signs.workers.iter().filter(|worker| worker.is_alive).count();
    let missing = if alive == 0 { vital_signs::START_A_WORKER } else { vital_signs::LOOK_FOR_WORKERS };
    let backup = match signs.backup_verified_at {
        Some(at) => format!("The last one was verified {} hours ago.", (signs.now - at).num_hours()),
        None => "None was verified yet.".to_owned(),
    };
    let waited = format!("The oldest job has waited {} seconds.", signs.oldest_waiting_seconds());
    vec![
        Check::new("workers", signs.workers(), format!("{alive} of {} are alive.", signs.workers.len()), missing),
        Check::new("backlog", signs.backlog(), waited, vital_signs::START_A_WORKER),
        Check::new("backup", signs.backup(), backup, vital_signs::BACK_UP),
    ]
}

/// Is there room?
pub fn of_disk(disk: Disk) -> Check {
    let detail = format!("{} of {} MiB are free.", disk.free_bytes >> 20, disk.total_bytes >> 20);
    Check::new("disk", disk.verdict(), detail, vital_signs::FREE_SPACE)
}

/// For how long what was found is good.
const FRESH: TimeDelta = TimeDelta::seconds(5);

/// What was found when somebody looked last. However many ask and however often, one at a time looks, and not before what
/// was found is old.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Option<(DateTime<Utc>, Vec<Check>)>>);

impl Remembered {
    /// What was found, or what `look` finds now.
    pub async fn recall(&self, now: DateTime<Utc>, look: impl Future<Output = Vec<Check>>) -> Vec<Check> {
        let mut last = self.0.lock().await;
        if let Some((at, checks)) = &*last
            && (now - *at).abs() < FRESH
        {
            return checks.clone();
        }
        let checks = look.await;
        *last = Some((now, checks.clone()));
        checks
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn nobody_looks_again_while_what_was_found_is_fresh() {
        let (remembered, looks) = (Remembered::default(), AtomicUsize::new(0));
        let look = || async {
            let count = looks.fetch_add(1, Ordering::Relaxed);
            vec![Check::new("disk", Verdict::Warning, count.to_string(), "more")]
        };
        let began: DateTime<Utc> = "2026-01-05T09:00:00Z".parse().unwrap();
        let at = |seconds| began + TimeDelta::seconds(seconds);
        let table = [(0, "0"), (0, "0"), (4, "0"), (5, "1"), (9, "1"), (10, "2"), (0, "3")];
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            for (seconds, found) in table {
                assert_eq!(remembered.recall(at(seconds), look()).await[0].detail, found, "{seconds}");
            }
            tokio::join!(remembered.recall(at(30), look()), remembered.recall(at(30), look()));
        });
        assert_eq!(looks.into_inner(), 5);
    }

    #[test]
    fn a_remedy_is_told_where_there_is_something_to_be_done() {
        assert_eq!(Check::new("backup", Verdict::Ok, "", "x").remedy, None);
        assert_eq!(Check::new("backup", Verdict::Warning, "", "x").remedy, Some("x"));
    }
}
