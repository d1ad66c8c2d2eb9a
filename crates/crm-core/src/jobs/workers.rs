//! Workers and their signs of life, for those who watch over the installation.
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Queue;
use crate::{Error, Result, statement::Statement};

/// A worker, as it says of itself and as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerState {
    /// Its id, new at each start.
    pub id: Uuid,
    /// The machine that it runs on, for whoever runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The number of its process there, for whoever runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The version of the program, for whoever runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_version: Option<String>,
    /// What it does at the moment.
    pub queues: Vec<WorkerQueue>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub heartbeat_at: DateTime<Utc>,
    /// Was that less than a minute ago?
    pub is_alive: bool,
}

impl WorkerState {
    /// As those see it whom it works for and who do not run it: whether it is alive and what it can do, and nothing of
    /// the machines.
    #[must_use]
    pub fn for_guests(self) -> Self {
        Self { host: None, pid: None, program_version: None, ..self }
    }
}

/// What a worker does of one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerQueue {
    /// The queue.
    pub name: String,
    /// Jobs that run now.
    pub running: usize,
    /// The most that can.
    pub slots: usize,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat<'a> {
    /// The worker's id.
    pub id: Uuid,
    /// The machine that it runs on.
    pub host: &'a str,
    /// The number of its process there.
    pub pid: u32,
    /// The version of the program.
    pub program_version: &'static str,
    /// What it does at the moment.
    pub queues: Vec<WorkerQueue>,
}

/// After how long without a sign of life a worker counts as dead. Its jobs are taken over earlier.
pub const SILENCE: TimeDelta = TimeDelta::seconds(60);
/// How long a dead worker is remembered.
const MEMORY: TimeDelta = TimeDelta::minutes(10);

type Row = (Uuid, String, i32, String, Value, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);
type RowTypes =
    (st::Uuid, st::Text, st::Integer, st::Text, st::Jsonb, st::Timestamptz, st::Timestamptz, st::Timestamptz);

impl Queue {
    /// Notes a worker's sign of life, and forgets those that are long dead.
    ///
    /// # Errors
    /// What the database says.
    pub fn heartbeat(&self, beat: &Heartbeat<'_>) -> Result<()> {
        let queues = serde_json::to_value(&beat.queues).map_err(|error| Error::Internal(Box::new(error)))?;
        let text = "INSERT INTO workers (id, host, pid, program_version, queues, started_at, heartbeat_at) \
                    VALUES ({}, {}, {}, {}, {}, now(), now()) \
                    ON CONFLICT (id) DO UPDATE SET queues = excluded.queues, heartbeat_at = excluded.heartbeat_at";
        let pid = i32::try_from(beat.pid).unwrap_or_default();
        let note = Statement::<st::Integer>::new(text, None);
        let note = note.bind(beat.id).bind(beat.host).bind(pid).bind(beat.program_version).bind(queues);
        let seconds = i32::try_from(MEMORY.num_seconds()).unwrap_or_default();
        let forget = "DELETE FROM workers WHERE heartbeat_at < now() - make_interval(secs => {})";
        let forget = Statement::<st::Integer>::new(forget, None).bind(seconds);
        self.database().with(|conn| {
            note.execute(conn)?;
            forget.execute(conn)?;
            Ok(())
        })
    }

    /// Forgets a worker that has ended in order.
    ///
    /// # Errors
    /// What the database says.
    pub fn sign_off(&self, worker: Uuid) -> Result<()> {
        let forget = Statement::<st::Integer>::new("DELETE FROM workers WHERE id = {}", None).bind(worker);
        self.database().with(|conn| Ok(forget.execute(conn).map(drop)?))
    }
}

/// The workers that are known, those that began first first.
///
/// # Errors
/// What the database says.
pub(crate) fn workers(conn: &mut PgConnection) -> Result<Vec<WorkerState>> {
    let text = "SELECT id, host, pid, program_version, queues, started_at, heartbeat_at, now() FROM workers \
                ORDER BY started_at, id";
    let rows: Vec<Row> = Statement::<RowTypes>::new(text, None).load(conn)?;
    let state = |(id, host, pid, program_version, queues, started_at, heartbeat_at, now): Row| WorkerState {
        id,
        host: Some(host),
        pid: Some(pid),
        program_version: Some(program_version),
        queues: serde_json::from_value(queues).unwrap_or_default(),
        started_at,
        heartbeat_at,
        is_alive: heartbeat_at + SILENCE > now,
    };
    Ok(rows.into_iter().map(state).collect())
}
