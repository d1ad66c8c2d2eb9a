//! Telling a channel outside of the house about alerts.
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Alert;
use crate::{
    Id, Tx,
    jobs::{Failure, Job, JobRun},
};

/// What leaves the house about an alert: nothing that anybody wrote, and no datum of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which alert it is.
    pub alert: Uuid,
    /// Whose it is.
    pub organization: Uuid,
    /// `error` or `critical`.
    pub severity: String,
    /// The part of the system that it comes from.
    pub source: String,
    /// What is the matter. Of an alert that somebody created only that much is told.
    pub title: String,
    /// How often it was met.
    pub occurrences: i32,
}

/// A channel on which people outside of the program hear of alerts. The program plugs one in, where one is configured.
pub trait Channel: Send + Sync {
    /// Delivers a notice.
    ///
    /// # Errors
    /// Why it did not arrive.
    fn deliver(&self, notice: &Notice) -> Result<(), Undelivered>;
}

/// Why a notice did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The channel wants to be left alone for so long.
    #[error("the channel asks to wait for {} seconds", .0.as_secs())]
    Wait(Duration),
    /// There was no answer, or a fault on the other side.
    #[error("the channel did not take the notice: {0}")]
    Fault(&'static str),
    /// The channel will never take it: its address is wrong or was withdrawn.
    #[error("the channel refused the notice with status {0}")]
    Refused(u16),
}

/// Tells the channel of one alert. Where none is plugged in, there is nothing to be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct AlertNotification {
    /// Which alert.
    pub alert: Id<Alert>,
}

impl Job for AlertNotification {
    const NAME: &'static str = "alert_notification";

    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        let Some(channel) = run.port::<dyn Channel>() else { return run.finish(|_| Ok(())) };
        let notice = run.step(|tx| notice(tx, self.alert))?;
        match channel.deliver(&notice) {
            Ok(()) => run.finish(|_| Ok(())),
            Err(Undelivered::Wait(wait)) => {
                let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(1)).min(TimeDelta::hours(1));
                Err(Failure::Snooze(run.now() + wait))
            }
            Err(fault @ Undelivered::Fault(_)) => Err(Failure::Retry(fault.to_string().into())),
            Err(refusal @ Undelivered::Refused(_)) => Err(Failure::Fail(refusal.to_string().into())),
        }
    }
}

fn notice(tx: &mut Tx<'_>, id: Id<Alert>) -> crate::Result<Notice> {
    let alert = tx.find(id)?.fields;
    let (source, title) = match alert.is_manual {
        true => ("manual".to_owned(), "Somebody has raised an alert".to_owned()),
        false => (alert.source, alert.title),
    };
    let organization = tx.ctx.organization.uuid();
    Ok(Notice {
        alert: id.uuid(),
        organization,
        severity: alert.severity,
        source,
        title,
        occurrences: alert.occurrences,
    })
}
