//! What has served its purpose is removed each night: finished jobs, ended sessions with their tokens, failed sign-ins
//! that count no more.
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Tx, events,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
    notifications, sessions,
};

/// How long completed and cancelled jobs are kept.
pub const COMPLETED_JOBS: TimeDelta = TimeDelta::days(14);
/// How long failed jobs are kept, for somebody to look at and run again.
pub const FAILED_JOBS: TimeDelta = TimeDelta::days(90);

/// How long events are kept, for readers that come back and for webhooks to be replayed.
pub const EVENTS: TimeDelta = TimeDelta::days(30);

/// How many rows one transaction removes.
const BATCH: i64 = 2_000;

/// Removes what has served its purpose in one organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pruning {}

impl Job for Pruning {
    const NAME: &'static str = "pruning";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        for prune in [jobs, ended_sessions, old_notifications] {
            while run.step(prune)? == usize::try_from(BATCH).unwrap_or_default() {
                if run.is_stopping() {
                    return Err(run.leave());
                }
            }
        }
        run.finish(|tx| {
            let now = tx.ctx.now;
            events::prune(tx, now - EVENTS)?;
            Ok(sessions::throttle::forget(tx.conn(), now)?)
        })
    }
}

impl Recurring for Pruning {
    const SCHEDULE: Schedule = Schedule::daily(3, 30);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

fn jobs(tx: &mut Tx<'_>) -> Result<usize> {
    let now = tx.ctx.now;
    let old = tx.sql::<st::Integer>(
        "DELETE FROM queue_jobs WHERE organization_id = {org} AND id IN (SELECT id FROM queue_jobs \
         WHERE organization_id = {org} AND ((status IN ('completed', 'cancelled') AND finished_at < {}) \
         OR (status = 'failed' AND finished_at < {})) LIMIT {})",
    );
    Ok(old.with(|s| s.bind(now - COMPLETED_JOBS).bind(now - FAILED_JOBS).bind(BATCH)).run(tx)?)
}

fn old_notifications(tx: &mut Tx<'_>) -> Result<usize> {
    notifications::prune(tx, BATCH)
}

/// The refresh tokens of a session go with it.
fn ended_sessions(tx: &mut Tx<'_>) -> Result<usize> {
    let now = tx.ctx.now;
    let old = tx.sql::<st::Integer>(
        "DELETE FROM sessions WHERE organization_id = {org} AND id IN (SELECT id FROM sessions \
         WHERE organization_id = {org} AND expires_at <= {} LIMIT {})",
    );
    Ok(old.with(|s| s.bind(now).bind(BATCH)).run(tx)?)
}
