//! Sending once more, and sending a message that only shows that messages arrive.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{Error, Id, Result, Tx, events as outbox, jobs};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    dispatch::{self, Again},
    messages::{self, WebhookEvent},
    receiving,
    subscriptions::{self, Webhook},
};

/// The name of the event that a test message tells of.
pub const TEST: &str = "webhook.test";

/// The most events that one request replays.
const MOST: usize = 10_000;
/// How many events are looked at at a time.
const BATCH: i64 = 500;
/// The longest time that one request replays.
const LONGEST: TimeDelta = TimeDelta::days(31);

/// Which time is replayed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayRange {
    /// From this instant.
    pub from: DateTime<Utc>,
    /// Before this instant.
    #[schema(example = "2025-12-17T10:00:00Z")]
    pub to: DateTime<Utc>,
    /// Are messages that have arrived sent again too?
    #[serde(default)]
    pub include_delivered: bool,
}

/// What is being replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// How many messages are sent.
    pub count: usize,
}

/// Sends a message that only shows that messages arrive, to an active webhook.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Conflict`] where the webhook is not active.
pub fn test(tx: &mut Tx<'_>, id: Id<Webhook>) -> Result<WebhookEvent> {
    let webhook = hold(tx, id)?;
    let (event, now) = (Id::<WebhookEvent>::new(), tx.ctx.now);
    tx.sql::<st::Integer>(
        "INSERT INTO webhook_events (organization_id, id, direction, webhook_id, event_id, event, entity_type, entity_id, \
         status, next_attempt_at, occurred_at, created_at, updated_at) \
         VALUES ({org}, {}, 'out', {}, {}, {}, 'webhook', {}, 'pending', {}, {}, {}, {})",
    )
    .with(|s| {
        s.bind(event)
            .bind(webhook.id)
            .bind(format!("msg_{event}"))
            .bind(TEST)
            .bind(webhook.id)
            .bind(now)
            .bind(now)
            .bind(now)
            .bind(now)
    })
    .run(tx)?;
    dispatch::wake(tx, webhook.id, webhook.id.uuid())?;
    tx.find(event)
}

/// Sends one message once more, or processes one again.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Conflict`] for one that still waits, or whose webhook is not active.
pub fn one(tx: &mut Tx<'_>, id: Id<WebhookEvent>) -> Result<WebhookEvent> {
    messages::check_may_read(tx)?;
    let message = tx.lock(id)?;
    if message.fields.status == "pending" {
        let detail = "The message has not come to its end yet.".into();
        return Err(Error::Conflict { code: "pending", detail });
    }
    if let Some(webhook) = message.fields.webhook_id {
        hold(tx, webhook)?;
    }
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE webhook_events SET status = 'pending', attempts = 0, next_attempt_at = {}, finished_at = NULL, \
         updated_at = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(now).bind(now).bind(id))
    .run(tx)?;
    match (message.fields.webhook_id, message.fields.entity_id) {
        (Some(webhook), Some(entity)) => dispatch::wake(tx, webhook, entity)?,
        _ => drop(jobs::enqueue(tx, &receiving::ProcessWebhook { event: id.uuid() }, &jobs::Enqueue::default())?),
    }
    tx.find(id)
}

/// Sends what happened in a time and did not arrive, also what no message was made of since the webhook was not active.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Conflict`] where the webhook is not active, [`Error::Invalid`].
pub fn range(tx: &mut Tx<'_>, id: Id<Webhook>, range: &ReplayRange) -> Result<Replay> {
    let webhook = hold(tx, id)?;
    if range.from >= range.to || range.to - range.from > LONGEST {
        return Err(Error::invalid("to", "out_of_range", "After `from`, by 31 days at most."));
    }
    let again = if range.include_delivered { Again::All } else { Again::Unarrived };
    outbox::number(tx)?;
    let (mut count, mut seq, mut seen) = (0, 0, 0);
    loop {
        let events = outbox::between(tx, range.from, range.to, seq, BATCH)?;
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(Replay { count }) };
        seq = last;
        seen += events.len();
        if seen > MOST {
            let message = format!("More than {MOST} events happened in that time; narrow it down.");
            return Err(Error::invalid("to", "too_many", message));
        }
        count += dispatch::send(tx, &webhook, &events, again)?;
    }
}

/// An active webhook, which stays until the transaction ends: see [`subscriptions::active`].
fn hold(tx: &mut Tx<'_>, id: Id<Webhook>) -> Result<Webhook> {
    subscriptions::check_may_manage(tx)?;
    let webhook = tx.find(id)?;
    if !webhook.fields.is_active {
        let detail = "The webhook is not active; activate it first.".into();
        return Err(Error::Conflict { code: "not_active", detail });
    }
    tx.sql::<st::Uuid>("SELECT id FROM webhooks WHERE organization_id = {org} AND id = {} FOR KEY SHARE")
        .with(|s| s.bind(id))
        .first::<Uuid>(tx)?;
    Ok(webhook)
}
