//! How much lies in the queues, for those who watch over the installation.
use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Result, Tx, statement::Statement};

/// What lies in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueFigures {
    /// The queue.
    #[schema(example = "default")]
    pub name: String,
    /// Jobs to be done, those for later included.
    pub waiting: i64,
    /// Jobs under a lease.
    pub active: i64,
    /// Jobs that were given up.
    pub failed: i64,
    /// Jobs done in the last 24 hours.
    #[serde(rename = "completed24h")]
    pub completed_24h: i64,
    /// For how many seconds the oldest job has waited that could have begun; `null` where none waits.
    pub oldest_waiting_seconds: Option<i64>,
}

type Row = (String, i64, i64, i64, i64, Option<DateTime<Utc>>, DateTime<Utc>);
type RowTypes =
    (st::Text, st::BigInt, st::BigInt, st::BigInt, st::BigInt, st::Nullable<st::Timestamptz>, st::Timestamptz);

/// What lies in the queues, by name. Each state is counted by an index of its own: what was done long ago is not read.
///
/// # Errors
/// What the database says.
pub(crate) fn figures(conn: &mut PgConnection) -> Result<Vec<QueueFigures>> {
    let rows: Vec<Row> = Statement::<RowTypes>::new(text(""), None).load(conn)?;
    Ok(rows.into_iter().map(named).collect())
}

/// What lies in the queues of the jobs of the transaction's organization, by name.
///
/// # Errors
/// What the database says.
pub fn own_figures(tx: &mut Tx<'_>) -> Result<Vec<QueueFigures>> {
    let rows = tx.sql_text::<RowTypes>(text("AND organization_id = {org}")).all::<Row>(tx)?;
    Ok(rows.into_iter().map(named).collect())
}

/// The statement, of the jobs of which this holds too.
fn text(and: &str) -> String {
    format!(
        "SELECT queue, sum(waiting)::bigint, sum(active)::bigint, sum(failed)::bigint, sum(completed)::bigint, \
         min(oldest), now() FROM ( \
         SELECT queue, count(*) AS waiting, 0 AS active, 0 AS failed, 0 AS completed, \
         min(run_at) FILTER (WHERE run_at <= now()) AS oldest \
         FROM queue_jobs WHERE status = 'waiting' {and} GROUP BY queue UNION ALL \
         SELECT queue, 0, count(*), 0, 0, NULL FROM queue_jobs WHERE status = 'active' {and} GROUP BY queue UNION ALL \
         SELECT queue, 0, 0, count(*), 0, NULL FROM queue_jobs WHERE status = 'failed' {and} GROUP BY queue UNION ALL \
         SELECT queue, 0, 0, 0, count(*), NULL FROM queue_jobs WHERE status = 'completed' \
         AND finished_at > now() - interval '24 hours' {and} GROUP BY queue) AS lying GROUP BY queue ORDER BY queue"
    )
}

fn named((name, waiting, active, failed, completed_24h, oldest, now): Row) -> QueueFigures {
    let oldest_waiting_seconds = oldest.map(|at| (now - at).num_seconds());
    QueueFigures { name, waiting, active, failed, completed_24h, oldest_waiting_seconds }
}
