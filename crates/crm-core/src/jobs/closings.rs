//! What deals set off outside of their transaction when they close or are reopened.
use chrono::TimeDelta;

use crate::{
    Result, Tx, clock,
    jobs::{self, Enqueue, JobKind},
};

/// The job that computes conversion rates anew, which is done by whoever forecasts.
pub const CONVERSION_RATES: JobKind = JobKind { name: "conversion_rates", queue: "default", max_attempts: 12 };

/// Closes within as many seconds share one run of the job.
const WINDOW_SECONDS: i64 = 10;

/// Seconds that the run waits for the last transaction of its window.
const GRACE_SECONDS: i64 = 5;

/// Notes that conversion rates are no longer what they were. The job is written when the transaction ends.
pub(crate) fn note(tx: &mut Tx<'_>) {
    tx.ledger.has_closings = true;
}

/// Writes the job that the transaction owes. It begins within 15 seconds. The window is one of the clock on the wall, not of
/// the instant that the change tells: demo data and migrations tell of the past.
pub(crate) fn settle(tx: &mut Tx<'_>) -> Result<()> {
    if !std::mem::take(&mut tx.ledger.has_closings) {
        return Ok(());
    }
    let now = clock::now();
    let window = now.timestamp().div_euclid(WINDOW_SECONDS);
    let wait = (window + 1) * WINDOW_SECONDS + GRACE_SECONDS - now.timestamp();
    let how = Enqueue {
        run_at: Some(now + TimeDelta::seconds(wait)),
        unique_key: Some(format!("closings {window}")),
        ..Enqueue::default()
    };
    jobs::enqueue_kind(tx, &CONVERSION_RATES, serde_json::json!({}), &how).map(drop)
}
