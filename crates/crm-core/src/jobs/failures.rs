//! Jobs that were given up, as alerts: one to each kind, until none of the kind is left.
use diesel::{RunQueryDsl, sql_types as st};
use uuid::Uuid;

use super::{Claim, Job, QueueJob, reason};
use crate::{
    Error, Id, Result, Tx,
    alerts::{self, AlertNotification, Cause, Severity},
    database::Database,
    organizations::Organization,
    statement::Statement,
};

const SOURCE: &str = "jobs";

/// Raises the alert about a job that is given up.
pub(super) fn raise(tx: &mut Tx<'_>, claim: &Claim) -> Result<()> {
    alert(tx, claim.job, &claim.kind, claim.attempt)
}

fn alert(tx: &mut Tx<'_>, job: Id<QueueJob>, kind: &str, attempts: i32) -> Result<()> {
    // Of a channel that does not take notices the channel cannot be told.
    let severity = if kind == AlertNotification::NAME { Severity::Warning } else { Severity::Error };
    let cause = Cause {
        fingerprint: &format!("job_failed:{kind}"),
        severity,
        source: SOURCE,
        title: "A job has failed for good",
        message: format!("The job {job} of kind {kind} was given up after {attempts} tries."),
    };
    alerts::raise(tx, &cause).map(drop)
}

/// Gives a job up that waits, as if all its tries had failed: it is marked, and an alert raised. For who tells a past.
///
/// # Errors
/// [`Error::NotFound`] where no such job waits, and what the database says.
pub fn give_up(tx: &mut Tx<'_>, job: Id<QueueJob>, why: &str) -> Result<()> {
    tx.check_writable()?;
    let now = tx.ctx.now;
    let given_up = tx.sql::<(st::Text, st::Integer)>(
        "UPDATE queue_jobs SET status = 'failed', attempts = max_attempts, last_error = {}, finished_at = {}, \
         updated_at = {} WHERE organization_id = {org} AND id = {} AND status = 'waiting' RETURNING kind, attempts",
    );
    let given_up = given_up.with(|s| s.bind(reason(why)).bind(now).bind(now).bind(job));
    let (kind, attempts) = given_up.first::<(String, i32)>(tx)?.ok_or(Error::NotFound)?;
    alert(tx, job, &kind, attempts)
}

/// Resolves the alerts about kinds of which no failed job is left: run again, or removed. Tells how many.
///
/// # Errors
/// What the database says.
pub fn resolve_failures(tx: &mut Tx<'_>) -> Result<usize> {
    tx.check_writable()?;
    let now = tx.ctx.now;
    let resolved = tx.sql::<st::Integer>(
        "UPDATE alerts SET resolved_at = {}, updated_at = {}, version = version + 1 \
         WHERE organization_id = {org} AND source = {} AND NOT is_manual AND resolved_at IS NULL \
         AND NOT EXISTS (SELECT FROM queue_jobs j WHERE j.organization_id = {org} AND j.status = 'failed' \
         AND 'job_failed:' || j.kind = alerts.fingerprint)",
    );
    Ok(resolved.with(|s| s.bind(now).bind(now).bind(SOURCE)).run(tx)?)
}

/// The organizations that have an alert about failed jobs, at most 200.
///
/// # Errors
/// What the database says.
pub fn alerted(database: &Database) -> Result<Vec<Id<Organization>>> {
    let text = "SELECT DISTINCT organization_id FROM alerts WHERE source = {} AND NOT is_manual AND resolved_at IS NULL \
                ORDER BY organization_id LIMIT 200";
    let find = Statement::<st::Uuid>::new(text, None).bind(SOURCE);
    let found: Vec<Uuid> = database.with(|conn| Ok::<_, Error>(find.load(conn)?))?;
    Ok(found.into_iter().map(Id::from).collect())
}
