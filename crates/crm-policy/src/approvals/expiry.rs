//! Noting that the time of a request is over. Nobody depends on it: a request is over at its instant, noted or not.

use crm_core::jobs::{Failure, Job, JobRun};
use crm_core::{Error, Id, Result, Tx};
use serde::{Deserialize, Serialize};

use super::{Approval, EXPIRED, close, verdicts::over};

/// Notes that a request was not decided in time.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExpiryJob {
    approval: Id<Approval>,
}

impl ExpiryJob {
    /// The job that waits for the end of this request.
    pub(super) fn of(approval: &Approval) -> Self {
        Self { approval: approval.id }
    }
}

impl Job for ExpiryJob {
    const NAME: &'static str = "approval_expiry";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        run.finish(|tx| expire(tx, self.approval))
    }
}

fn expire(tx: &mut Tx<'_>, id: Id<Approval>) -> Result<()> {
    match close(tx, id, EXPIRED, &over()) {
        Err(Error::NotFound) => Ok(()),
        done => done,
    }
}
