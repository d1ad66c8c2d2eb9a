//! Work to be done outside of requests, kept in the table `queue_jobs` and written in the transaction that wants it.
//!
//! A [`Job`] is a serde struct with a name. [`enqueue`] writes it beside the rows that it is about, so that both exist or
//! neither does. A worker takes it under a lease ([`Queue`]), and the job does its work in steps ([`JobRun::step`]): each
//! is one transaction that first makes sure that the lease still holds. A worker that was taken for dead can therefore
//! commit nothing more, and a job whose last step is [`JobRun::finish`] has each effect once, also through `kill -9`.
//! A [`Recurring`] job is put there by itself whenever its [`Schedule`] says so.
pub mod closings;
mod failures;
mod figures;
mod lease;
mod looks;
mod ports;
mod records;
mod recurrences;
mod run;
mod schedule;
mod workers;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

pub use failures::{alerted, give_up, resolve_failures};
pub(crate) use figures::figures;
pub use figures::{QueueFigures, own_figures};
pub use lease::{Claim, LEASE, Queue, Share};
pub use records::{QueueJob, QueueJobFields, STATUSES, cancel, list, read, retry};
pub use recurrences::{Recurrence, Recurring};
pub use run::{JobRun, Outcome, Until};
pub use schedule::Schedule;
pub(crate) use workers::workers;
pub use workers::{Heartbeat, SILENCE, WorkerQueue, WorkerState};

use crate::{Error, Id, Kind, Result, Tx, spans};

/// Work that is done outside of requests. What its fields hold is stored as JSON until it is done and after, so ids
/// belong there and personal data does not.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name in the column `kind`; it outlives versions of the program.
    const NAME: &'static str;
    /// Which queue it waits in. Queues have workers of their own, so that slow work delays no other.
    const QUEUE: &'static str = "default";
    /// How often it is tried in all.
    const MAX_ATTEMPTS: i32 = 12;

    /// Does the work. It may be called again after any of its steps, so what is not in a step must bear repetition.
    ///
    /// # Errors
    /// A [`Failure`] says whether another try is worth it.
    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure>;

    /// Notes that the job is given up, in the transaction that marks it as failed.
    ///
    /// # Errors
    /// What the database says; the job is marked all the same.
    fn given_up(self, _tx: &mut Tx<'_>, _reason: &str) -> Result<()> {
        Ok(())
    }
}

/// Why a job did not get done. The reasons are stored and shown to administrators: they hold no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may go better later: after a growing wait.
    Retry(Cow<'static, str>),
    /// It may go better at this instant.
    RetryAt(DateTime<Utc>, Cow<'static, str>),
    /// Not a failure: it is to go on at this instant, and no attempt is counted.
    Snooze(DateTime<Utc>),
    /// It will never go better.
    Fail(Cow<'static, str>),
    /// The lease is lost: somebody else has the job, or a person has set it back. Nothing is left to be done.
    Lost,
}

/// The longest reason that is stored, in characters.
const LONGEST_REASON: usize = 500;

impl From<Error> for Failure {
    /// Outages and faults of ours are tried again, refusals are not. Of a refusal only the code and the names of the
    /// fields are kept, since its sentence may quote what somebody wrote.
    fn from(error: Error) -> Self {
        let code = error.code().to_owned();
        match (error.kind(), &error) {
            (Kind::Unavailable | Kind::Limited | Kind::Stale, _) => Self::Retry(code.into()),
            (Kind::Internal, _) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(error = source, "a job met a fault");
                Self::Retry(code.into())
            }
            (_, Error::Invalid(errors)) => {
                let fields: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.code)).collect();
                Self::Fail(fields.join(", ").into())
            }
            _ => Self::Fail(code.into()),
        }
    }
}

/// A reason as it is stored: one line of at most 500 characters.
fn reason(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect()
}

/// How a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// Not before this instant; `None` is at once.
    pub run_at: Option<DateTime<Utc>>,
    /// Lower goes first.
    pub priority: i32,
    /// While a job of the same kind and key waits or runs, no other is made.
    pub unique_key: Option<String>,
}

impl Default for Enqueue {
    fn default() -> Self {
        Self { run_at: None, priority: 100, unique_key: None }
    }
}

/// How often an insert that meets a job of the same key looks for that job before it gives up: it may end in between.
const LOOKS: usize = 3;

/// What the queue knows of a kind of job. A transaction can ask for work that another crate does by this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobKind {
    /// As [`Job::NAME`].
    pub name: &'static str,
    /// As [`Job::QUEUE`].
    pub queue: &'static str,
    /// As [`Job::MAX_ATTEMPTS`].
    pub max_attempts: i32,
}

/// Writes a job in the caller's transaction. Where a job of the same kind and key is alive already, gives that one.
///
/// # Errors
/// What the database says.
pub fn enqueue<J: Job>(tx: &mut Tx<'_>, job: &J, how: &Enqueue) -> Result<Id<QueueJob>> {
    let payload = serde_json::to_value(job).map_err(|error| Error::Internal(Box::new(error)))?;
    let kind = JobKind { name: J::NAME, queue: J::QUEUE, max_attempts: J::MAX_ATTEMPTS };
    enqueue_kind(tx, &kind, payload, how)
}

/// As [`enqueue`], by the kind and what the job carries.
///
/// # Errors
/// What the database says.
pub fn enqueue_kind(tx: &mut Tx<'_>, kind: &JobKind, payload: Value, how: &Enqueue) -> Result<Id<QueueJob>> {
    tx.check_writable()?;
    for _ in 0..LOOKS {
        let made = tx.sql::<st::Uuid>(
            "INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, priority, run_at, max_attempts, \
             unique_key, created_at, updated_at, traceparent) VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
             ON CONFLICT (organization_id, kind, unique_key) \
             WHERE unique_key IS NOT NULL AND status IN ('waiting', 'active') DO NOTHING RETURNING id",
        );
        let now = tx.ctx.now;
        let made = made.with(|s| {
            s.bind(Id::<QueueJob>::new())
                .bind(kind.queue)
                .bind(kind.name)
                .bind(payload.clone())
                .bind(how.priority)
                .bind(how.run_at.unwrap_or(now))
                .bind(kind.max_attempts)
                .bind(how.unique_key.as_deref())
                .bind(now)
                .bind(now)
                .bind(spans::current_header())
        });
        if let Some(id) = made.first::<Uuid>(tx)? {
            return Ok(id.into());
        }
        let alive = tx.sql::<st::Uuid>(
            "SELECT id FROM queue_jobs WHERE organization_id = {org} AND kind = {} AND unique_key = {} \
             AND status IN ('waiting', 'active')",
        );
        if let Some(id) = alive.with(|s| s.bind(kind.name).bind(how.unique_key.as_deref())).first::<Uuid>(tx)? {
            return Ok(id.into());
        }
    }
    Err(Error::Unavailable("a job of the same key keeps coming and going".into()))
}

/// Lets the job of this kind and key begin at once, where one waits for later.
///
/// # Errors
/// What the database says.
pub fn bring_forward<J: Job>(tx: &mut Tx<'_>, unique_key: &str) -> Result<()> {
    tx.check_writable()?;
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET run_at = {}, updated_at = {} \
         WHERE organization_id = {org} AND kind = {} AND unique_key = {} AND status = 'waiting' AND run_at > {}",
    )
    .with(|s| s.bind(now).bind(now).bind(J::NAME).bind(unique_key).bind(now))
    .run(tx)?;
    Ok(())
}

/// As [`bring_forward`], of all jobs of this kind whose key begins so.
///
/// # Errors
/// What the database says.
pub fn bring_forward_all<J: Job>(tx: &mut Tx<'_>, key_begins: &str) -> Result<()> {
    tx.check_writable()?;
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET run_at = {}, updated_at = {} WHERE organization_id = {org} AND kind = {} \
         AND starts_with(unique_key, {}) AND status = 'waiting' AND run_at > {}",
    )
    .with(|s| s.bind(now).bind(now).bind(J::NAME).bind(key_begins).bind(now))
    .run(tx)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_an_error_names_nobody() {
        let error = Error::invalid("email", "email", "`ann@example.com` is no address");
        assert_eq!(Failure::from(error), Failure::Fail("email: email".into()));
        assert_eq!(Failure::from(Error::NotFound), Failure::Fail("not_found".into()));
        assert_eq!(Failure::from(Error::Unavailable("host ann".into())), Failure::Retry("unavailable".into()));
        assert_eq!(Failure::from(Error::internal("ann")), Failure::Retry("internal_error".into()));
        assert_eq!(reason(&format!("a\nb{}", "c".repeat(600))).chars().count(), LONGEST_REASON);
    }
}
