//! Messages that have come to their end are kept for a while and then removed, with what those from outside told.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};

/// How long messages are kept. A sender repeats one for four days at most, and is known to have sent it until then.
pub const KEPT: TimeDelta = TimeDelta::days(30);
/// How many rows one transaction removes.
const BATCH: i64 = 2_000;

/// Removes old messages of one organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct PruneWebhookEvents {}

impl Job for PruneWebhookEvents {
    const NAME: &'static str = "prune_webhook_events";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        while !run.finish_if(|tx| Ok(prune(tx)? == 0))? {
            if run.is_stopping() {
                return Err(run.leave());
            }
        }
        Ok(())
    }
}

impl Recurring for PruneWebhookEvents {
    const SCHEDULE: Schedule = Schedule::daily(3, 45);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

/// Removes some messages that ended long ago. Gives back how many.
///
/// # Errors
/// What the database says.
pub fn prune(tx: &mut Tx<'_>) -> Result<usize> {
    let before = tx.ctx.now - KEPT;
    let old = tx.sql::<st::Integer>(
        "DELETE FROM webhook_events WHERE organization_id = {org} AND id IN (SELECT id FROM webhook_events \
         WHERE organization_id = {org} AND created_at < {} AND finished_at < {} ORDER BY created_at, id LIMIT {})",
    );
    Ok(old.with(|s| s.bind(before).bind(before).bind(BATCH)).run(tx)?)
}
