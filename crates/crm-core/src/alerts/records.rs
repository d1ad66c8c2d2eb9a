//! Alerts as administrators see and acknowledge them.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::raising::{self, Reported};
use crate::{
    Error, FieldError, Id, Page, Result, Tx,
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::alerts,
    users::User,
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it some time.
    Warning,
    /// Something does not work.
    Error,
    /// Something does harm as long as it lasts.
    Critical,
}

impl Severity {
    /// All, the mildest first.
    pub const NAMES: [&'static str; 4] = ["info", "warning", "error", "critical"];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What an alert can be.
pub const STATUSES: [&str; 3] = ["open", "acknowledged", "resolved"];

/// An alert.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = alerts)]
pub struct Alert {
    /// Its id.
    pub id: Id<Alert>,
    /// What it says.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: AlertFields,
    /// When its cause was first met.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What an alert says. Nobody sets it but the rules of alerts.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = alerts, treat_none_as_null = true)]
pub struct AlertFields {
    /// What tells its cause from others: the next one of the same is counted here.
    #[schema(example = "job_failed:import")]
    #[diesel(column_name = shown_fingerprint)]
    pub fingerprint: String,
    /// `info`, `warning`, `error` or `critical`.
    pub severity: String,
    /// The part of the system that it comes from.
    #[schema(example = "jobs")]
    pub source: String,
    /// What is the matter.
    pub title: String,
    /// More about it; empty where there is no more.
    pub message: String,
    /// Was it created by somebody, and not by the system?
    pub is_manual: bool,
    /// How often its cause was met.
    pub occurrences: i32,
    /// When its cause was last met.
    pub last_seen_at: DateTime<Utc>,
    /// When somebody took notice of it.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Who took notice of it.
    pub acknowledged_by: Option<Id<User>>,
    /// When its cause went.
    pub resolved_at: Option<DateTime<Utc>>,
    /// `open`, `acknowledged` or `resolved`.
    pub status: String,
    /// Has somebody taken notice of it?
    pub acknowledged: bool,
}

impl Record for Alert {
    const KIND: &'static str = "alert";
    const TABLE: &'static str = "alerts";
    const FIELDS: &'static [Field] = &[
        Field::new("fingerprint", "shown_fingerprint", FieldKind::Text).read_only(),
        Field::new("severity", "severity", FieldKind::Choice(&Severity::NAMES)).read_only(),
        Field::new("source", "source", FieldKind::Text).read_only(),
        Field::new("title", "title", FieldKind::Text).read_only(),
        Field::new("message", "message", FieldKind::LongText).read_only(),
        Field::new("isManual", "is_manual", FieldKind::Bool).read_only(),
        Field::new("occurrences", "occurrences", FieldKind::Int).read_only(),
        Field::new("lastSeenAt", "last_seen_at", FieldKind::Instant).required().read_only().sortable(),
        Field::new("acknowledgedAt", "acknowledged_at", FieldKind::Instant).read_only(),
        Field::new("acknowledgedBy", "acknowledged_by", FieldKind::Reference("users")).read_only(),
        Field::new("resolvedAt", "resolved_at", FieldKind::Instant).read_only(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).read_only(),
        Field::new("acknowledged", "acknowledged", FieldKind::Bool).read_only(),
    ];
    const DEFAULT_SORT: &'static str = "-lastSeenAt";
    record_rows!(AlertFields, alerts);
}

/// An alert that somebody creates.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAlert {
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, in up to 200 characters.
    pub title: String,
    /// More about it, in up to 2,000 characters.
    #[serde(default)]
    pub message: String,
    /// The part of the system that it is about, in up to 50 characters; `manual` where it is left out.
    pub source: Option<String>,
    /// What tells it from others, in up to 200 characters: the source and the title where it is left out.
    pub fingerprint: Option<String>,
}

/// A page of the organization's alerts, for ADMIN.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<Alert>> {
    check(tx)?;
    page::list(tx, query)
}

/// One alert, for ADMIN.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<Alert>) -> Result<Alert> {
    check(tx)?;
    tx.find(id)
}

/// Raises an alert in somebody's name, for ADMIN. One of the same fingerprint is counted on its row.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, new: &NewAlert) -> Result<Alert> {
    check(tx)?;
    let source = new.source.as_deref().unwrap_or("manual");
    let texts = [
        ("title", Some(new.title.as_str()), 1, 200),
        ("message", Some(new.message.as_str()), 0, 2_000),
        ("source", new.source.as_deref(), 1, 50),
        ("fingerprint", new.fingerprint.as_deref(), 1, 200),
    ];
    let given =
        texts.into_iter().filter_map(|(field, text, shortest, longest)| Some((field, text?, shortest, longest)));
    let errors: Vec<_> = given.filter_map(unfit).collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    // Its own space of fingerprints: what somebody creates never counts on an alert of the system.
    let fingerprint = match &new.fingerprint {
        Some(fingerprint) => format!("manual:{fingerprint}"),
        None => format!("manual:{source}: {}", new.title),
    };
    let id = raising::report(
        tx,
        &Reported {
            fingerprint: &fingerprint,
            severity: new.severity,
            source,
            title: &new.title,
            message: &new.message,
            is_manual: true,
        },
    )?;
    tx.find(id)
}

fn unfit((field, text, shortest, longest): (&str, &str, usize, usize)) -> Option<FieldError> {
    if text.trim().len() < shortest {
        return Some(FieldError::new(field, "required", "Must not be empty."));
    }
    if text.chars().count() > longest {
        return Some(FieldError::new(field, "too_long", format!("At most {longest} characters.")));
    }
    let is_odd = |c: char| c.is_control() && (c != '\n' || field != "message");
    text.chars().any(is_odd).then(|| FieldError::new(field, "not_allowed", "Holds control characters."))
}

/// Takes notice of an alert, for ADMIN. A second time changes nothing.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn acknowledge(tx: &mut Tx<'_>, id: Id<Alert>) -> Result<Alert> {
    check(tx)?;
    if tx.lock(id)?.fields.acknowledged {
        return tx.find(id);
    }
    let (now, user) = (tx.ctx.now, tx.ctx.actor.user());
    tx.sql::<st::Integer>(
        "UPDATE alerts SET acknowledged_at = {}, acknowledged_by = {}, updated_at = {}, version = version + 1 \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(now).bind(user).bind(now).bind(id))
    .run(tx)?;
    tx.find(id)
}

/// Refuses who may not see and manage alerts: all but ADMIN.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, Alert::KIND))
}
