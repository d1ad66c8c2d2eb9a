//! From events to messages: one message for each webhook that asks for the event.
use std::collections::{BTreeMap, BTreeSet};

use crm_core::{
    Error, Id, Result, Tx,
    events::{self as outbox, DISPATCH_JOB, DISPATCH_QUEUE, DomainEvent},
    jobs::{self, Enqueue, Failure, Job, JobRun},
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    deliveries::DeliverWebhook,
    events,
    messages::WebhookEvent,
    payloads,
    subscriptions::{self, Webhook},
};

/// How many events one step dispatches.
const BATCH: i64 = 200;

/// The job that dispatches an organization's events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DispatchEvents {}

impl Job for DispatchEvents {
    const NAME: &'static str = DISPATCH_JOB;
    const QUEUE: &'static str = DISPATCH_QUEUE;

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        loop {
            if run.is_stopping() {
                return Err(run.leave());
            }
            let is_empty = run.step(dispatch)?;
            if is_empty && run.finish_if(outbox::is_dispatched)? {
                return Ok(());
            }
        }
    }
}

/// Dispatches some events. Says whether there were none.
pub(super) fn dispatch(tx: &mut Tx<'_>) -> Result<bool> {
    // Webhooks before events: whoever changes a webhook holds the two in this order.
    let webhooks = subscriptions::active(tx)?;
    let events = outbox::undispatched(tx, BATCH)?;
    let Some(last) = events.last().map(|event| event.seq) else { return Ok(true) };
    for webhook in &webhooks {
        send(tx, webhook, &events, Again::Never)?;
    }
    outbox::mark_dispatched(tx, last)?;
    Ok(false)
}

/// Which messages that were made before are sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// None.
    Never,
    /// Those that did not arrive.
    Unarrived,
    /// All but those that wait to be sent.
    All,
}

/// Makes messages of those events that a webhook asks for and of which its role sees something, and wakes their delivery. Gives back how many.
pub(super) fn send(tx: &mut Tx<'_>, webhook: &Webhook, events: &[DomainEvent], again: Again) -> Result<usize> {
    let mut wanted: Vec<_> = events.iter().filter(|event| wants(webhook, event)).collect();
    if wanted.iter().any(|event| !event.changed_fields.is_empty()) {
        let reader = payloads::reader(tx, webhook)?;
        let mut hidden: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        wanted.retain(|event| {
            let of_kind = || reader.gate.hidden(&reader, &event.entity_type, None);
            let hidden = hidden.entry(&event.entity_type).or_insert_with(of_kind);
            outbox::shown(hidden, &event.changed_fields).is_some()
        });
    }
    if wanted.is_empty() {
        return Ok(0);
    }
    let rows = wanted.iter().map(|event| {
        json!({
            "id": Id::<WebhookEvent>::new(), "event_id": message_id(event), "event": event.kind,
            "entity_type": event.entity_type, "entity_id": event.entity_id, "seq": event.seq,
            "occurred_at": event.occurred_at,
        })
    });
    let repeated: Vec<String> = match again {
        Again::Never => vec![],
        Again::Unarrived => vec!["failed".into(), "cancelled".into()],
        Again::All => vec!["failed".into(), "cancelled".into(), "delivered".into()],
    };
    let now = tx.ctx.now;
    let made = tx.sql::<st::Uuid>(INSERT).with(|s| {
        s.bind(now).bind(now).bind(now).bind(rows.collect::<serde_json::Value>()).bind(webhook.id).bind(repeated)
    });
    let made = made.all::<Uuid>(tx)?;
    for entity in made.iter().copied().collect::<BTreeSet<_>>() {
        wake(tx, webhook.id, entity)?;
    }
    Ok(made.len())
}

/// Lets the messages of a webhook about one record be sent, in their order, by one job.
pub(super) fn wake(tx: &mut Tx<'_>, webhook: Id<Webhook>, entity: Uuid) -> Result<()> {
    let key = format!("{webhook}:{entity}");
    let how = Enqueue { unique_key: Some(key.clone()), ..Enqueue::default() };
    jobs::enqueue(tx, &DeliverWebhook { webhook: webhook.uuid(), entity }, &how)?;
    jobs::bring_forward::<DeliverWebhook>(tx, &key)
}

/// The id that a message about an event bears, the same for each try.
pub(super) fn message_id(event: &DomainEvent) -> String {
    format!("msg_{}", event.id)
}

/// The event that a message is about.
pub(super) fn event_of(message_id: &str) -> Result<Id<DomainEvent>> {
    let id = message_id.strip_prefix("msg_").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::internal("a message is about no event"))
}

fn wants(webhook: &Webhook, event: &DomainEvent) -> bool {
    let unit = webhook.fields.business_unit_id;
    let is_within = unit.is_none() || event.business_unit_id.is_none() || event.business_unit_id == unit;
    // Alerts are about the house itself, which nobody but its administrators looks after.
    let is_shown = event.entity_type != "alert" || webhook.fields.role == "ADMIN";
    is_within && is_shown && events::asks_for(&webhook.fields.events, &event.kind)
}

/// One statement for any number of messages. Those that are there already are only sent once more where that is wanted.
const INSERT: &str = "INSERT INTO webhook_events AS e (organization_id, id, direction, webhook_id, event_id, event, \
     entity_type, entity_id, seq, status, next_attempt_at, occurred_at, created_at, updated_at) \
     SELECT w.organization_id, r.id, 'out', w.id, r.event_id, r.event, r.entity_type, r.entity_id, r.seq, 'pending', \
     {}, r.occurred_at, {}, {} \
     FROM webhooks w, jsonb_to_recordset({}) AS r (id uuid, event_id text, event text, entity_type text, entity_id uuid, \
     seq bigint, occurred_at timestamptz) WHERE w.organization_id = {org} AND w.id = {} \
     ON CONFLICT (organization_id, webhook_id, event_id) WHERE webhook_id IS NOT NULL DO UPDATE \
     SET status = 'pending', attempts = 0, next_attempt_at = excluded.next_attempt_at, finished_at = NULL, \
     updated_at = excluded.updated_at WHERE e.status = ANY({}) RETURNING entity_id";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::subscriptions::WebhookFields;

    fn webhook(role: &str, unit: Option<u128>) -> Webhook {
        let at = "2025-12-16T10:00:00Z".parse().unwrap();
        let fields = WebhookFields {
            events: vec!["*".into()],
            role: role.into(),
            business_unit_id: unit.map(|unit| Uuid::from_u128(unit).into()),
            ..WebhookFields::default()
        };
        Webhook {
            id: Id::default(),
            fields,
            failing_since: None,
            paused_until: None,
            last_delivered_at: None,
            created_by: None,
            created_at: at,
            updated_at: at,
            version: 1,
        }
    }

    #[test]
    fn a_webhook_is_told_what_concerns_it() {
        let table = [
            ("deal", None, webhook("SALES_REP", None), true),
            ("deal", Some(1), webhook("SALES_REP", Some(1)), true),
            ("deal", Some(2), webhook("SALES_REP", Some(1)), false),
            ("deal", None, webhook("SALES_REP", Some(1)), true),
            ("alert", None, webhook("MANAGER", None), false),
            ("alert", None, webhook("ADMIN", None), true),
        ];
        for (entity_type, unit, webhook, told) in table {
            let kind = if entity_type == "alert" { "alert.raised" } else { "deal.won" };
            let event = DomainEvent {
                id: Id::default(),
                seq: 1,
                kind: kind.into(),
                entity_type: entity_type.into(),
                entity_id: Uuid::nil(),
                entity_version: 1,
                business_unit_id: unit.map(|unit| Uuid::from_u128(unit).into()),
                changed_fields: Vec::new(),
                details: None,
                actor: "system".into(),
                actor_user_id: None,
                change_set_id: Uuid::nil(),
                occurred_at: webhook.created_at,
            };
            assert_eq!(wants(&webhook, &event), told, "{event:?} {:?}", webhook.fields);
            assert_eq!(event_of(&message_id(&event)).unwrap(), event.id);
        }
    }
}
