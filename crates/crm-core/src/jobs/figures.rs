//! How much lies in the queues, for those who watch over the installation.
use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Result, statement::Statement};

/// What lies in one queue, over all organizations.
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

/// What lies in the queues, by name.
///
/// # Errors
/// What the database says.
pub(crate) fn figures(conn: &mut PgConnection) -> Result<Vec<QueueFigures>> {
    let text = "SELECT queue, count(*) FILTER (WHERE status = 'waiting'), \
                count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'failed'), \
                count(*) FILTER (WHERE status = 'completed' AND finished_at > now() - interval '24 hours'), \
                min(run_at) FILTER (WHERE status = 'waiting' AND run_at <= now()), now() \
                FROM queue_jobs GROUP BY queue ORDER BY queue";
    let rows: Vec<Row> = Statement::<RowTypes>::new(text, None).load(conn)?;
    let figures = |(name, waiting, active, failed, completed_24h, oldest, now): Row| QueueFigures {
        name,
        waiting,
        active,
        failed,
        completed_24h,
        oldest_waiting_seconds: oldest.map(|at| (now - at).num_seconds()),
    };
    Ok(rows.into_iter().map(figures).collect())
}
