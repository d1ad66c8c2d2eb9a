//! What a message says: built for each try, as the webhook's role sees the record at that moment.
use crm_core::{
    Actor, Ctx, Error, ReadScope, Result, Tx,
    ctx::Credential,
    events::{self, DomainEvent},
    users::Role,
};
use diesel::sql_types as st;
use serde_json::{Map, Value, json};

use super::subscriptions::Webhook;

/// The body of a message about an event; none where all that changed is hidden from the webhook's role by now.
pub(super) fn body(
    tx: &mut Tx<'_>,
    webhook: &Webhook,
    event: &DomainEvent,
    message_id: &str,
) -> Result<Option<Vec<u8>>> {
    let ctx = reader(tx, webhook)?;
    let hidden = ctx.gate.hidden(&ctx, &event.entity_type, None);
    let Some(changed_fields) = events::shown(&hidden, &event.changed_fields) else { return Ok(None) };
    let data = match event.kind.ends_with(".deleted") {
        true => None,
        false => tx.acting(&ctx, |tx| events::record_as_seen(tx, &event.entity_type, event.entity_id))?,
    };
    let mut data = data.unwrap_or_else(|| Map::from_iter([("id".to_owned(), json!(event.entity_id))]));
    if let Some(Value::Object(details)) = &event.details {
        data.extend(details.clone());
    }
    written(&json!({
        "id": message_id,
        "type": event.kind,
        "timestamp": event.occurred_at,
        "entityType": event.entity_type,
        "changedFields": changed_fields,
        "data": data,
    }))
    .map(Some)
}

/// The body of a message that only shows that messages arrive.
pub(super) fn test_body(tx: &Tx<'_>, webhook: &Webhook, message_id: &str) -> Result<Vec<u8>> {
    written(&json!({
        "id": message_id,
        "type": super::replays::TEST,
        "timestamp": tx.ctx.now,
        "entityType": "webhook",
        "changedFields": [],
        "data": {"id": webhook.id, "events": webhook.fields.events},
    }))
}

fn written(body: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| Error::Internal(Box::new(error)))
}

/// Somebody with the webhook's role who sees its unit, as policies stand now.
pub(super) fn reader(tx: &mut Tx<'_>, webhook: &Webhook) -> Result<Ctx> {
    let role: Role = webhook.fields.role.parse().map_err(Error::internal)?;
    let version = "SELECT policy_version FROM organizations WHERE organization_id = {org}";
    let version: i64 = tx.sql::<st::BigInt>(version).one(tx)?;
    let gates = std::sync::Arc::clone(&tx.ctx.gates);
    let gate = gates.of(tx, version)?;
    let scope = ReadScope { units: webhook.fields.business_unit_id.map(|unit| vec![unit]) };
    let actor = Actor::User(webhook.created_by.unwrap_or_default());
    Ok(Ctx { actor, credential: Credential::Program, role, scope, gate, ..tx.ctx.clone() })
}
