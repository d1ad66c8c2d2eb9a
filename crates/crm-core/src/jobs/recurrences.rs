//! Recurring jobs: each kind has a row per organization that says when it is due next, and whoever finds it due puts the
//! run into the queue and moves the row on, in one transaction that holds the row.
//!
//! So each due run is enqueued once, however many processes look. What became due while no process ran is made up for
//! by one run, the latest. A change of the organization's zone or of the schedule holds from the next look on.
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use diesel::{RunQueryDsl, sql_types as st};
use uuid::Uuid;

use super::{Enqueue, Job, Queue, QueueJob, Schedule, enqueue};
use crate::{Error, Id, Result, Tx, organizations::Organization, statement::Statement};

/// A job that recurs in every organization.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use crm_core::jobs::{Failure, Job, JobRun, Recurring, Schedule};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Snapshot {
///     due_at: DateTime<Utc>,
/// }
///
/// impl Job for Snapshot {
///     const NAME: &'static str = "snapshot";
///     fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
///         run.finish(|_tx| Ok(()))
///     }
/// }
///
/// impl Recurring for Snapshot {
///     const SCHEDULE: Schedule = Schedule::daily(2, 30);
///     fn due(due_at: DateTime<Utc>) -> Self {
///         Self { due_at }
///     }
/// }
/// ```
pub trait Recurring: Job {
    /// When, by the clocks of the organization's zone.
    const SCHEDULE: Schedule;

    /// The job of the run that is due at this instant. It may run later: after an outage, the same day or days after.
    fn due(at: DateTime<Utc>) -> Self;
}

/// A kind of recurring job, as a worker keeps it.
#[derive(Debug, Clone, Copy)]
pub struct Recurrence {
    kind: &'static str,
    schedule: Schedule,
    enqueue: fn(&mut Tx<'_>, DateTime<Utc>) -> Result<Id<QueueJob>>,
}

/// The most rows that one look moves on.
const LOOK: i64 = 200;

impl Recurrence {
    /// That of a job.
    pub fn of<J: Recurring>() -> Self {
        let enqueue = |tx: &mut Tx<'_>, due_at: DateTime<Utc>| {
            let unique_key = Some(format!("due {}", due_at.to_rfc3339()));
            enqueue(tx, &J::due(due_at), &Enqueue { unique_key, ..Enqueue::default() })
        };
        Self { kind: J::NAME, schedule: J::SCHEDULE, enqueue }
    }
}

impl Queue {
    /// Puts the runs that are due into the queue, by the database's clock, and tells how many there were.
    ///
    /// # Errors
    /// What the database says; what was enqueued before stays so.
    pub fn recur(&self, recurrences: &[Recurrence]) -> Result<usize> {
        let mut count = 0;
        if recurrences.is_empty() {
            return Ok(count);
        }
        for (organization, kind) in self.due(recurrences)? {
            if let Some(recurrence) = recurrences.iter().find(|recurrence| recurrence.kind == kind) {
                count += usize::from(self.at_database_time(organization, |tx| move_on(tx, recurrence))?);
            }
        }
        Ok(count)
    }

    /// What is to be looked at closer: due, not there yet, or of another rule or zone than it should be.
    fn due(&self, recurrences: &[Recurrence]) -> Result<Vec<(Id<Organization>, String)>> {
        let (kinds, rules) = recurrences
            .iter()
            .map(|one| (one.kind.to_owned(), one.schedule.to_string()))
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let text = "SELECT o.id, k.kind FROM organizations o CROSS JOIN unnest({}, {}) AS k(kind, rule) \
                    LEFT JOIN schedules s ON s.organization_id = o.id AND s.kind = k.kind \
                    WHERE s.kind IS NULL OR s.next_run_at <= now() OR s.timezone <> o.timezone OR s.rule <> k.rule \
                    ORDER BY s.next_run_at, o.id, k.kind LIMIT {}";
        let find = Statement::<(st::Uuid, st::Text)>::new(text, None).bind(kinds).bind(rules).bind(LOOK);
        let found: Vec<(Uuid, String)> = self.database().with(|conn| Ok::<_, Error>(find.load(conn)?))?;
        Ok(found.into_iter().map(|(organization, kind)| (organization.into(), kind)).collect())
    }
}

/// Enqueues the run of one organization if it is due, and notes when the next one is. Tells whether it was.
fn move_on(tx: &mut Tx<'_>, recurrence: &Recurrence) -> Result<bool> {
    let (now, rule) = (tx.ctx.now, recurrence.schedule.to_string());
    let zone_name: String =
        tx.sql::<st::Text>("SELECT timezone FROM organizations WHERE organization_id = {org}").one(tx)?;
    let zone = zone_name.parse().unwrap_or(Tz::UTC);
    tx.sql::<st::Integer>(
        "INSERT INTO schedules (organization_id, id, kind, rule, timezone, next_run_at, created_at, updated_at) \
         VALUES ({org}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT (organization_id, kind) DO NOTHING",
    )
    .with(|s| {
        let next_run_at = recurrence.schedule.next_after(now, zone);
        let s = s.bind(Id::<Recurrence>::new()).bind(recurrence.kind).bind(rule.as_str()).bind(zone_name.as_str());
        s.bind(next_run_at).bind(now).bind(now)
    })
    .run(tx)?;
    let (next_run_at, last_due_at, is_changed) = tx
        .sql::<(st::Timestamptz, st::Nullable<st::Timestamptz>, st::Bool)>(
            "SELECT next_run_at, last_due_at, (rule, timezone) <> ({}, {}) FROM schedules \
             WHERE organization_id = {org} AND kind = {} FOR UPDATE",
        )
        .with(|s| s.bind(rule.as_str()).bind(zone_name.as_str()).bind(recurrence.kind))
        .one::<(DateTime<Utc>, Option<DateTime<Utc>>, bool)>(tx)?;
    let due_at = (next_run_at <= now).then(|| recurrence.schedule.latest(next_run_at, now, zone));
    if let Some(due_at) = due_at {
        (recurrence.enqueue)(tx, due_at)?;
    } else if !is_changed {
        return Ok(false);
    }
    // Another process may have come this far at a later instant than this transaction's.
    let last_due_at = due_at.or(last_due_at);
    let next_run_at = recurrence.schedule.next_after(now.max(last_due_at.unwrap_or(now)), zone);
    tx.sql::<st::Integer>(
        "UPDATE schedules SET rule = {}, timezone = {}, next_run_at = {}, last_due_at = {}, updated_at = {} \
         WHERE organization_id = {org} AND kind = {}",
    )
    .with(|s| {
        let s = s.bind(rule.as_str()).bind(zone_name.as_str()).bind(next_run_at).bind(last_due_at);
        s.bind(now).bind(recurrence.kind)
    })
    .run(tx)?;
    Ok(due_at.is_some())
}
