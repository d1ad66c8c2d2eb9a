//! What a caller sees of events: that something happened to what they see, and to which of its fields that they see.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{DomainEvent, PERSONAL};
use crate::{
    Ctx, Id,
    gate::{Action, Ask},
    history::kinds,
    masks,
    users::{Role, User},
};

/// An event as a caller sees it. It holds no values; who wants them reads the record.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenEvent {
    /// Its number in the organization.
    #[serde(skip)]
    pub seq: i64,
    /// What happened: `deal.won`.
    #[serde(rename = "type")]
    #[schema(example = "deal.stage_changed")]
    pub kind: String,
    /// To what kind of record.
    #[schema(example = "deal")]
    pub entity_type: String,
    /// To which one.
    pub entity_id: Uuid,
    /// The version that the record got by it; 0 where it has none.
    pub version: i64,
    /// The names of the fields that changed, without those that are hidden from the caller.
    #[schema(example = json!(["stageId"]))]
    pub changed_fields: Vec<String>,
    /// Who did it; nobody where the program did.
    pub actor_id: Option<Id<User>>,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// What the caller sees of events, in their order.
pub fn seen(ctx: &Ctx, events: Vec<DomainEvent>) -> Vec<SeenEvent> {
    let mut kinds: BTreeMap<String, Sight> = BTreeMap::new();
    let mut seen = Vec::new();
    for event in events {
        if !kinds.contains_key(&event.entity_type) {
            kinds.insert(event.entity_type.clone(), Sight::of(ctx, &event.entity_type));
        }
        let Some(Sight { may_view: true, hidden }) = kinds.get(&event.entity_type) else { continue };
        if !concerns(ctx, &event) {
            continue;
        }
        let Some(changed_fields) = shown(hidden, &event.changed_fields) else { continue };
        seen.push(SeenEvent {
            seq: event.seq,
            kind: event.kind,
            entity_type: event.entity_type,
            entity_id: event.entity_id,
            version: event.entity_version,
            changed_fields,
            actor_id: event.actor_user_id,
            occurred_at: event.occurred_at,
        });
    }
    seen
}

/// The changed fields that somebody is told of from whom these are hidden. `None` where every one of them is hidden: that there
/// was such a change at all would tell of it.
pub fn shown(hidden: &[String], changed: &[String]) -> Option<Vec<String>> {
    let shown: Vec<_> = changed.iter().filter(|name| !masks::is_hidden(hidden, name)).cloned().collect();
    (changed.is_empty() || !shown.is_empty()).then_some(shown)
}

/// What the caller sees of a kind of record.
struct Sight {
    may_view: bool,
    hidden: Vec<String>,
}

impl Sight {
    fn of(ctx: &Ctx, entity_type: &str) -> Self {
        let kind = kinds::named(entity_type).map(|kind| kind.name);
        let may_view = kind.is_none_or(|kind| ctx.gate.check(ctx, &Ask::about(Action::View, kind)).is_ok());
        Self { may_view, hidden: ctx.gate.hidden(ctx, entity_type, None) }
    }
}

/// Is it in the caller's units, and is it theirs where it is somebody's? Of alerts ADMINs hear, and of approvals those who
/// can give them and who asked for them.
fn concerns(ctx: &Ctx, event: &DomainEvent) -> bool {
    let user = ctx.actor.user();
    let is_in_units = match (&ctx.scope.units, event.business_unit_id) {
        (Some(units), Some(unit)) => units.contains(&unit),
        _ => true,
    };
    let is_own = event.actor_user_id.is_some() && event.actor_user_id == user;
    is_in_units
        && match event.entity_type.as_str() {
            PERSONAL => {
                let addressee = event.details.as_ref().and_then(|details| details["userId"].as_str());
                addressee.is_some() && addressee == user.map(|user| user.to_string()).as_deref()
            }
            "alert" => ctx.role == Role::Admin,
            "approval" => ctx.role >= Role::Manager || is_own,
            _ => true,
        }
}
