//! Messages to webhooks and from sources, as administrators see them.
use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Page, Record, Result, Tx,
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind},
    record_rows,
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{sources::WebhookSource, subscriptions::Webhook};
use crate::schema::webhook_events;

/// A message to a webhook or from a source, without what it carries.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhook_events)]
pub struct WebhookEvent {
    /// Its id here.
    pub id: Id<WebhookEvent>,
    /// Its state.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: WebhookEventFields,
    /// When it was made or received.
    pub created_at: DateTime<Utc>,
    /// When its state last changed.
    pub updated_at: DateTime<Utc>,
    /// Always 1: its state is no edit.
    pub version: i64,
}

/// What can become of a message.
pub const STATUSES: [&str; 6] = ["pending", "delivered", "processed", "ignored", "failed", "cancelled"];
/// Which way it goes.
pub const DIRECTIONS: [&str; 2] = ["out", "in"];

/// The state of a message. Nobody sets it but the delivery.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhook_events, treat_none_as_null = true)]
pub struct WebhookEventFields {
    /// `out` to a webhook, `in` from a source.
    pub direction: String,
    /// The webhook that it goes to.
    pub webhook_id: Option<Id<Webhook>>,
    /// The source that it came from.
    pub source_id: Option<Id<WebhookSource>>,
    /// The id that both sides know it by: `webhook-id`.
    pub event_id: String,
    /// What happened.
    #[schema(example = "deal.won")]
    pub event: String,
    /// To what kind of record.
    pub entity_type: Option<String>,
    /// To which one.
    pub entity_id: Option<Uuid>,
    /// Out: `pending`, `delivered`, `failed`, `cancelled`. In: `pending`, `processed`, `ignored`, `failed`.
    pub status: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Not before this instant is it tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub response_status: Option<i32>,
    /// The beginning of the last answer's body.
    pub response_excerpt: Option<String>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it arrived, was processed or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Record for WebhookEvent {
    const KIND: &'static str = "webhook_event";
    const TABLE: &'static str = "webhook_events";
    const FIELDS: &'static [Field] = &[
        Field::new("direction", "direction", FieldKind::Choice(&DIRECTIONS)).read_only(),
        Field::new("webhookId", "webhook_id", FieldKind::Reference("webhooks")).read_only(),
        Field::new("sourceId", "source_id", FieldKind::Reference("webhook_sources")).read_only(),
        Field::new("eventId", "event_id", FieldKind::Text).read_only(),
        Field::new("event", "event", FieldKind::Text).read_only(),
        Field::new("entityType", "entity_type", FieldKind::Text).read_only(),
        Field::new("entityId", "entity_id", FieldKind::Text).read_only().unfiltered(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).read_only(),
        Field::new("attempts", "attempts", FieldKind::Int).read_only(),
        Field::new("nextAttemptAt", "next_attempt_at", FieldKind::Instant).read_only(),
        Field::new("responseStatus", "response_status", FieldKind::Int).read_only(),
        Field::new("responseExcerpt", "response_excerpt", FieldKind::LongText).read_only(),
        Field::new("lastError", "last_error", FieldKind::LongText).read_only(),
        Field::new("occurredAt", "occurred_at", FieldKind::Instant).read_only(),
        Field::new("finishedAt", "finished_at", FieldKind::Instant).read_only(),
    ];
    record_rows!(WebhookEventFields, webhook_events);
}

/// A page of messages, either way. `from` and `to` limit when they were made.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: Vec<(String, String)>) -> Result<Page<WebhookEvent>> {
    check_may_read(tx)?;
    let named = query.into_iter().map(|(name, value)| match name.as_str() {
        "from" => ("createdAfter".to_owned(), value),
        "to" => ("createdBefore".to_owned(), value),
        _ => (name, value),
    });
    page::list(tx, &named.collect::<Vec<_>>())
}

/// A page of the messages that were given up.
///
/// # Errors
/// As [`list`]; [`Error::Malformed`] for another status.
pub fn list_failed(tx: &mut Tx<'_>, mut query: Vec<(String, String)>) -> Result<Page<WebhookEvent>> {
    if query.iter().any(|(name, _)| name == "status") {
        let detail = "These are the failed ones; ask for others without `/failed`.".into();
        return Err(Error::Malformed { code: "unknown_parameter", detail });
    }
    query.push(("status".into(), "failed".into()));
    list(tx, query)
}

/// One message.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<WebhookEvent>) -> Result<WebhookEvent> {
    check_may_read(tx)?;
    tx.find(id)
}

pub(super) fn check_may_read(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, WebhookEvent::KIND))
}
