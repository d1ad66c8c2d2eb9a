//! What a transaction has to tell waits for its end, and is written there in one go.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Announcement, DISPATCH_JOB, DISPATCH_QUEUE, DomainEvent, PERSONAL, listening::CHANNEL};
use crate::{
    Ctx, Error, Id, Result, Tx,
    change::{Change, FieldDiff},
    jobs::QueueJob,
    patch::object,
    record::Record,
    spans,
    users::User,
};

/// How many rows one statement writes.
const BATCH: usize = 1_000;
/// How often the dispatching of events is tried.
const DISPATCH_ATTEMPTS: i32 = 12;

/// The events of a transaction that are not yet written.
#[derive(Default)]
pub(crate) struct Unwritten(Vec<Row>);

/// An event as the statement takes it.
#[derive(Serialize)]
struct Row {
    id: Id<DomainEvent>,
    kind: String,
    entity_type: &'static str,
    entity_id: Uuid,
    entity_version: i64,
    business_unit_id: Value,
    changed_fields: Vec<String>,
    details: Option<Value>,
    actor: &'static str,
    actor_user_id: Option<Id<User>>,
    change_set_id: Uuid,
    occurred_at: DateTime<Utc>,
}

impl Row {
    fn new(ctx: &Ctx, kind: String, entity_type: &'static str, entity_id: Uuid) -> Self {
        Self {
            id: Id::new(),
            kind,
            entity_type,
            entity_id,
            entity_version: 0,
            business_unit_id: Value::Null,
            changed_fields: Vec::new(),
            details: None,
            actor: ctx.actor.kind(),
            actor_user_id: ctx.actor.user(),
            change_set_id: ctx.change_set,
            occurred_at: ctx.now,
        }
    }
}

impl Unwritten {
    /// Where a savepoint begins.
    pub(crate) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Forgets what has been undone since.
    pub(crate) fn go_back(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
}

/// Tells of a new record.
pub(crate) fn created<R: Record>(tx: &mut Tx<'_>, record: &R) -> Result<()> {
    about(tx, record, "created", record.version(), &[])
}

/// Tells of a changed record, by the most telling name.
pub(crate) fn changed<R: Record>(tx: &mut Tx<'_>, change: &Change<R>, after: &R) -> Result<()> {
    about(tx, after, R::announced_as(change), after.version(), change.diffs())
}

/// Tells of a record that is gone.
pub(crate) fn deleted<R: Record>(tx: &mut Tx<'_>, record: &R) -> Result<()> {
    about(tx, record, "deleted", record.version() + 1, &[])
}

fn about<R: Record>(tx: &mut Tx<'_>, record: &R, word: &str, version: i64, diffs: &[FieldDiff]) -> Result<()> {
    if !R::IN_UNITS {
        return Ok(());
    }
    let business_unit_id = object(record.fields())?.shift_remove("businessUnitId").unwrap_or_default();
    let changed_fields = diffs.iter().map(|diff| diff.field_name.clone()).collect();
    let row = Row::new(tx.ctx, format!("{}.{word}", R::KIND), R::KIND, record.id().uuid());
    tx.ledger.events.0.push(Row { entity_version: version, business_unit_id, changed_fields, ..row });
    Ok(())
}

/// Tells of something else.
pub(super) fn announced(tx: &mut Tx<'_>, it: Announcement) {
    let row = Row::new(tx.ctx, it.kind.into(), it.entity_type, it.entity_id);
    let business_unit_id = it.business_unit_id.map_or(Value::Null, |unit| unit.to_string().into());
    tx.ledger.events.0.push(Row { business_unit_id, details: it.details, ..row });
}

/// Tells a user, and nobody else, of a notification.
pub(crate) fn told(tx: &mut Tx<'_>, notification: Uuid, user: Id<User>) {
    let row = Row::new(tx.ctx, format!("{PERSONAL}.created"), PERSONAL, notification);
    tx.ledger.events.0.push(Row { details: Some(json!({ "userId": user })), ..row });
}

/// Writes what the transaction has to tell, rings for those who listen, and wakes the dispatching of events where somebody follows them.
///
/// # Errors
/// What the database says.
pub(crate) fn write(tx: &mut Tx<'_>) -> Result<()> {
    let rows = std::mem::take(&mut tx.ledger.events.0);
    let now = tx.ctx.now;
    for batch in rows.chunks(BATCH) {
        let batch = serde_json::to_value(batch).map_err(|error| Error::Internal(Box::new(error)))?;
        tx.sql::<st::Integer>(INSERT)
            .with(|s| {
                s.bind(CHANNEL)
                    .bind(batch)
                    .bind(Id::<QueueJob>::new())
                    .bind(DISPATCH_QUEUE)
                    .bind(DISPATCH_JOB)
                    .bind(now)
                    .bind(DISPATCH_ATTEMPTS)
                    .bind(DISPATCH_JOB)
                    .bind(now)
                    .bind(now)
                    .bind(spans::current_header())
            })
            .run(tx)?;
    }
    Ok(())
}

/// One statement for any number of rows, prepared once. The head is held against [`super::is_dispatched`] alone, so that
/// the dispatching does not end between the look for a living job and the commit; writers do not wait for each other.
///
/// It rings only where every event of before has been numbered: who listens numbers what they have heard of, and where
/// nobody does, nothing is numbered. PostgreSQL lets transactions that ring commit one after the other, so few should.
const INSERT: &str = "WITH rung AS MATERIALIZED (SELECT pg_notify({}, {org}::text) WHERE NOT EXISTS \
     (SELECT FROM domain_events WHERE organization_id = {org} AND seq IS NULL)), told AS (\
     INSERT INTO domain_events (organization_id, id, kind, entity_type, entity_id, entity_version, business_unit_id, \
     changed_fields, details, actor, actor_user_id, change_set_id, occurred_at) \
     SELECT o.id, r.id, r.kind, r.entity_type, r.entity_id, r.entity_version, r.business_unit_id, r.changed_fields, \
     r.details, r.actor, r.actor_user_id, r.change_set_id, r.occurred_at \
     FROM organizations o CROSS JOIN (SELECT count(*) AS times FROM rung) AS bell \
     CROSS JOIN jsonb_to_recordset({}) AS r (id uuid, kind text, entity_type text, entity_id uuid, \
     entity_version bigint, business_unit_id uuid, changed_fields text[], details jsonb, actor text, \
     actor_user_id uuid, change_set_id uuid, occurred_at timestamptz) WHERE o.id = {org} AND bell.times >= 0), \
     followed AS MATERIALIZED (SELECT organization_id FROM domain_event_heads \
     WHERE organization_id = {org} AND is_followed FOR KEY SHARE) \
     INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, priority, run_at, max_attempts, unique_key, \
     created_at, updated_at, traceparent) \
     SELECT f.organization_id, {}, {}, {}, jsonb_build_object(), 50, {}, {}, {}, {}, {}, {} FROM followed f \
     ON CONFLICT (organization_id, kind, unique_key) \
     WHERE unique_key IS NOT NULL AND status IN ('waiting', 'active') DO NOTHING";
