//! Jobs as administrators see them.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Error, Id, Page, Result, Tx,
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::queue_jobs,
};

/// A job of the queue, without what it carries.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = queue_jobs)]
pub struct QueueJob {
    /// Its id.
    pub id: Id<QueueJob>,
    /// Its state.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: QueueJobFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its state last changed.
    pub updated_at: DateTime<Utc>,
    /// Always 1: its state is no edit.
    pub version: i64,
}

/// What a job can be.
pub const STATUSES: [&str; 5] = ["waiting", "active", "completed", "failed", "cancelled"];

/// The state of a job. Nobody sets it but the queue.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = queue_jobs, treat_none_as_null = true)]
pub struct QueueJobFields {
    /// The queue that it waits in.
    pub queue: String,
    /// What it does.
    #[schema(example = "import")]
    pub kind: String,
    /// `waiting`, `active`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Lower goes first.
    pub priority: i32,
    /// How often it was tried.
    pub attempts: i32,
    /// How often it is tried at most.
    pub max_attempts: i32,
    /// Not before this instant.
    pub run_at: DateTime<Utc>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was completed or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Record for QueueJob {
    const KIND: &'static str = "queue_job";
    const TABLE: &'static str = "queue_jobs";
    const FIELDS: &'static [Field] = &[
        Field::new("queue", "queue", FieldKind::Text).read_only(),
        Field::new("kind", "kind", FieldKind::Text).read_only(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).read_only(),
        Field::new("priority", "priority", FieldKind::Int).read_only(),
        Field::new("attempts", "attempts", FieldKind::Int).read_only(),
        Field::new("maxAttempts", "max_attempts", FieldKind::Int).read_only(),
        Field::new("runAt", "run_at", FieldKind::Instant).read_only(),
        Field::new("lastError", "last_error", FieldKind::LongText).read_only(),
        Field::new("finishedAt", "finished_at", FieldKind::Instant).read_only(),
    ];
    record_rows!(QueueJobFields, queue_jobs);

    fn envelope() -> String {
        "job".into()
    }

    fn plural() -> String {
        "jobs".into()
    }
}

/// Lets a job that failed or was cancelled run again at once, with all its attempts before it.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], and [`Error::Conflict`] for a job that is in no need of it.
pub fn retry(tx: &mut Tx<'_>, id: Id<QueueJob>) -> Result<QueueJob> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
    let job = tx.lock(id)?;
    if !matches!(job.fields.status.as_str(), "failed" | "cancelled") {
        let detail = format!("The job is {}; only a failed or cancelled one can be run again.", job.fields.status);
        return Err(Error::Conflict { code: "not_failed", detail });
    }
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET status = 'waiting', attempts = 0, run_at = {}, finished_at = NULL, updated_at = {} \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(now).bind(now).bind(id))
    .run(tx)?;
    tx.find(id)
}

/// A page of the organization's jobs.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<QueueJob>> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
    page::list(tx, query)
}

/// One of the organization's jobs.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<QueueJob>) -> Result<QueueJob> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
    tx.find(id)
}

/// Takes a job that waits out of the queue.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], and [`Error::Conflict`] for a job that does not wait.
pub fn cancel(tx: &mut Tx<'_>, id: Id<QueueJob>) -> Result<QueueJob> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
    let job = tx.lock(id)?;
    if job.fields.status != "waiting" {
        let detail = format!("The job is {}; only one that waits can be cancelled.", job.fields.status);
        return Err(Error::Conflict { code: "not_waiting", detail });
    }
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET status = 'cancelled', finished_at = {}, updated_at = {} \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(now).bind(now).bind(id))
    .run(tx)?;
    tx.find(id)
}
