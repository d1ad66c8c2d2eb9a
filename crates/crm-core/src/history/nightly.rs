//! The history is verified each night, and an alert raised where it is not whole.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Verification, verify};
use crate::{
    Result, Tx,
    alerts::{self, Cause, Severity},
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
};

/// Verifies the history of one organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryVerification {}

impl Job for HistoryVerification {
    const NAME: &'static str = "history_verification";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        run.finish(|tx| {
            let found = verify(tx)?;
            tell(tx, &found)
        })
    }
}

impl Recurring for HistoryVerification {
    const SCHEDULE: Schedule = Schedule::daily(4, 0);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

fn tell(tx: &mut Tx<'_>, found: &Verification) -> Result<()> {
    const FINGERPRINT: &str = "history";
    let Some(row) = found.first_broken else { return alerts::resolve(tx, FINGERPRINT).map(drop) };
    let cause = Cause {
        fingerprint: FINGERPRINT,
        severity: Severity::Critical,
        source: "history",
        title: "The field history is not whole",
        message: format!("Row {row} is the first that is not as it was appended, after {} that are.", found.checked),
    };
    alerts::stand(tx, &cause)
}
