//! Raising, counting and resolving alerts.
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types as st;
use serde_json::json;
use uuid::Uuid;

use super::{Alert, AlertNotification, Severity};
use crate::{
    Id, Record, Result, Tx,
    events::{self, Announcement},
    jobs::{self, Enqueue},
    notifications::{self, Notice},
    users::Role,
};

/// What the system has met. The title is a constant of the code and leaves the house; the message stays inside, and holds
/// ids and figures rather than anybody's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause<'a> {
    /// What tells it from others, such as `job_failed:import`.
    pub fingerprint: &'a str,
    /// How bad it is.
    pub severity: Severity,
    /// The part of the system that it comes from, such as `jobs`.
    pub source: &'static str,
    /// What is the matter.
    pub title: &'static str,
    /// More about it.
    pub message: String,
}

/// How long the channel outside is left alone about a fingerprint after it has heard of it.
pub const PAUSE: TimeDelta = TimeDelta::minutes(10);

/// How often a standing cause is noted as seen.
const SEEN: TimeDelta = TimeDelta::minutes(1);

/// As [`Cause`], whoever reports it.
pub(super) struct Reported<'a> {
    pub(super) fingerprint: &'a str,
    pub(super) severity: Severity,
    pub(super) source: &'a str,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) is_manual: bool,
}

impl<'a> From<&'a Cause<'a>> for Reported<'a> {
    fn from(cause: &'a Cause<'a>) -> Self {
        Self {
            fingerprint: cause.fingerprint,
            severity: cause.severity,
            source: cause.source,
            title: cause.title,
            message: &cause.message,
            is_manual: false,
        }
    }
}

/// Raises an alert, or counts the cause on the row that its fingerprint has already. A resolved one opens again.
///
/// # Errors
/// What the database says.
pub fn raise(tx: &mut Tx<'_>, cause: &Cause<'_>) -> Result<Id<Alert>> {
    report(tx, &cause.into())
}

/// Raises an alert about a state that lasts: looked at again while it stands, it is seen again and not counted again.
///
/// # Errors
/// What the database says.
pub fn stand(tx: &mut Tx<'_>, cause: &Cause<'_>) -> Result<()> {
    let unresolved = tx
        .sql::<st::Timestamptz>(
            "SELECT last_seen_at FROM alerts WHERE organization_id = {org} AND fingerprint = {} \
             AND severity = {} AND resolved_at IS NULL",
        )
        .with(|s| s.bind(cause.fingerprint).bind(cause.severity.as_str()))
        .first::<DateTime<Utc>>(tx)?;
    let Some(last_seen_at) = unresolved else { return raise(tx, cause).map(drop) };
    let now = tx.ctx.now;
    if last_seen_at + SEEN <= now {
        tx.sql::<st::Integer>(
            "UPDATE alerts SET last_seen_at = {}, message = {}, updated_at = {}, version = version + 1 \
             WHERE organization_id = {org} AND fingerprint = {}",
        )
        .with(|s| s.bind(now).bind(cause.message.as_str()).bind(now).bind(cause.fingerprint))
        .run(tx)?;
    }
    Ok(())
}

/// Notes that a cause has gone. Tells whether there was an alert about it.
///
/// # Errors
/// What the database says.
pub fn resolve(tx: &mut Tx<'_>, fingerprint: &str) -> Result<bool> {
    tx.check_writable()?;
    let now = tx.ctx.now;
    let resolved = tx.sql::<st::Integer>(
        "UPDATE alerts SET resolved_at = {}, updated_at = {}, version = version + 1 \
         WHERE organization_id = {org} AND fingerprint = {} AND resolved_at IS NULL",
    );
    Ok(resolved.with(|s| s.bind(now).bind(now).bind(fingerprint)).run(tx)? > 0)
}

/// Raises or counts, and sees to it that the channel outside hears of it, where it is due.
pub(super) fn report(tx: &mut Tx<'_>, reported: &Reported<'_>) -> Result<Id<Alert>> {
    tx.check_writable()?;
    let (now, id) = (tx.ctx.now, Id::<Alert>::new());
    let stands =
        tx.sql::<st::Bool>("SELECT resolved_at IS NULL FROM alerts WHERE organization_id = {org} AND fingerprint = {}");
    let is_new = !stands.with(|s| s.bind(reported.fingerprint)).first::<bool>(tx)?.unwrap_or_default();
    // Whoever has seen to a warning has not seen to what it grows into.
    let as_bad = Severity::NAMES.into_iter().skip_while(|name| *name != reported.severity.as_str());
    let as_bad: Vec<String> = as_bad.map(str::to_owned).collect();
    let row = tx.sql::<(st::Uuid, st::Nullable<st::Timestamptz>, st::Bool)>(
        "INSERT INTO alerts (organization_id, id, fingerprint, severity, source, title, message, is_manual, last_seen_at, \
         created_at, updated_at) VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
         ON CONFLICT (organization_id, fingerprint) DO UPDATE SET severity = excluded.severity, \
         source = excluded.source, title = excluded.title, message = excluded.message, \
         occurrences = alerts.occurrences + 1, last_seen_at = excluded.last_seen_at, resolved_at = NULL, \
         acknowledged_at = \
         CASE WHEN alerts.resolved_at IS NULL AND alerts.severity = ANY({}) THEN alerts.acknowledged_at END, \
         acknowledged_by = \
         CASE WHEN alerts.resolved_at IS NULL AND alerts.severity = ANY({}) THEN alerts.acknowledged_by END, \
         updated_at = excluded.updated_at, version = alerts.version + 1 \
         RETURNING id, notified_at, acknowledged_at IS NOT NULL",
    );
    let (id, notified_at, is_acknowledged) = row
        .with(|s| {
            let s = s.bind(id).bind(reported.fingerprint).bind(reported.severity.as_str()).bind(reported.source);
            let s =
                s.bind(reported.title).bind(reported.message).bind(reported.is_manual).bind(now).bind(now).bind(now);
            s.bind(as_bad.clone()).bind(as_bad)
        })
        .one::<(Uuid, Option<DateTime<Utc>>, bool)>(tx)?;
    let is_due = reported.severity >= Severity::Error && !is_acknowledged;
    let is_due = is_due && notified_at.is_none_or(|at| at + PAUSE <= now);
    if is_due {
        notify(tx, id.into())?;
    }
    if is_due || is_new {
        announce(tx, id, reported)?;
    }
    if is_new && reported.severity > Severity::Info {
        let body = Some(reported.title.to_owned());
        let notice = Notice { body, ..Notice::about(notifications::Kind::AlertRaised, id) };
        notifications::tell_from(tx, Role::Admin, &notice)?;
    }
    Ok(id.into())
}

/// Tells webhooks and consoles of what is new, and of the rest no more often than the channel outside hears of it.
fn announce(tx: &mut Tx<'_>, id: Uuid, reported: &Reported<'_>) -> Result<()> {
    let details = json!({"severity": reported.severity.as_str(), "source": reported.source});
    let (kind, entity_type, entity_id) = ("alert.raised", Alert::KIND, id);
    events::announce(tx, Announcement { kind, entity_type, entity_id, business_unit_id: None, details: Some(details) })
}

fn notify(tx: &mut Tx<'_>, alert: Id<Alert>) -> Result<()> {
    let now = tx.ctx.now;
    tx.sql::<st::Integer>("UPDATE alerts SET notified_at = {} WHERE organization_id = {org} AND id = {}")
        .with(|s| s.bind(now).bind(alert))
        .run(tx)?;
    jobs::enqueue(tx, &AlertNotification { alert }, &Enqueue::default()).map(drop)
}
