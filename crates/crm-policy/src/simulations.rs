//! What would be decided, and why: a question put to the policies as they stand, without doing anything.

use chrono::{DateTime, Utc};
use crm_core::users::User;
use crm_core::{Actor, Error, FieldError, Id, Result, Tx, sessions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::attributes::{Caller, Facts, Registry};
use crate::clocks::{Clock, ClockReading};
use crate::decisions::Decision;
use crate::engine::Request;
use crate::gate;
use crate::policies::{Action, Role};
use crate::registries::registry_for;
use crate::resource_patterns::ResourcePattern;
use crate::stored_policies::{self, check_may_manage, field_at};

/// A question to the policies.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Simulation {
    /// Somebody of this role, who is bound to no business unit. Either this or `userId`.
    pub role: Option<String>,
    /// This user, with the role and the business units that they have.
    #[schema(value_type = Option<String>)]
    pub user_id: Option<Id<User>>,
    /// What they want to do.
    #[schema(example = "mark_won_lost")]
    pub action: String,
    /// What they want to do it to: `deal`, or `deal.value` where the action is on fields.
    #[schema(example = "deal")]
    pub resource: String,
    /// What is known of the record: its fields, as they would stand in an answer.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"value": 9999999, "currency": "EUR"}))]
    pub attributes: Map<String, Value>,
    /// When it is asked, on a Sunday say; now, where it is left out.
    pub at: Option<DateTime<Utc>>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// What would be decided, and how it comes about.
    #[serde(flatten)]
    pub decision: Decision,
    /// When, as `request.at`, `request.on`, `request.time` and `request.weekday` tell it, and `now` and `today`.
    pub clock: ClockReading,
}

/// Answers a question, with what every policy on it came to.
///
/// # Errors
/// [`Error::Forbidden`] where the caller may not manage policies; [`Error::Invalid`] naming every part of the question
/// that makes no sense.
pub fn simulate(tx: &mut Tx<'_>, question: &Simulation) -> Result<Simulated> {
    check_may_manage(tx)?;
    let mut errors = Vec::new();
    let who = principal(tx, question).map_err(|error| errors.push(error));
    let action = action(question).map_err(|error| errors.push(error));
    let registry = registry_for(tx, &question.resource)?;
    let facts = facts(question, &registry, action.ok()).map_err(|mut found| errors.append(&mut found));
    let (Ok((role, caller)), Ok(action), Ok(facts)) = (who, action, facts) else { return Err(Error::Invalid(errors)) };
    let house = stored_policies::house(tx)?;
    let clock = Clock::new(question.at.unwrap_or(tx.ctx.now), house.zone);
    let request = Request::new(role, action, &question.resource, &caller, &facts).when(clock);
    Ok(Simulated { decision: house.engine.simulate(&request), clock: clock.shown() })
}

fn principal(tx: &mut Tx<'_>, question: &Simulation) -> Result<(Option<Role>, Caller), FieldError> {
    match (&question.role, question.user_id) {
        (Some(role), None) => {
            let known = Role::from_name(role).map(|role| (Some(role), Caller::default()));
            known.ok_or_else(|| FieldError::new("role", "not_allowed", format!("One of: {}.", Role::NAMES.join(", "))))
        }
        (None, Some(user)) => match sessions::in_name_of(tx, &Actor::User(user)) {
            Ok(ctx) => Ok((gate::role(&ctx), gate::caller(&ctx))),
            Err(_) => Err(FieldError::new("userId", "unknown_reference", "There is no such active user.")),
        },
        _ => Err(FieldError::new("role", "required", "Either a role or a userId must be given.")),
    }
}

fn action(question: &Simulation) -> Result<Action, FieldError> {
    let message = || FieldError::new("action", "not_allowed", format!("One of: {}.", Action::NAMES.join(", ")));
    Action::from_name(&question.action).ok_or_else(message)
}

/// What is known of the record, where the resource is one that the action is asked about.
fn facts(question: &Simulation, registry: &Registry, action: Option<Action>) -> Result<Facts, Vec<FieldError>> {
    let wrong = |code: &str, message: String| vec![FieldError::new("resource", code, message)];
    let name = &question.resource;
    let root = match ResourcePattern::parse(name) {
        Some(ResourcePattern::Exact(name)) => name.split('.').next().map(str::to_owned),
        _ => None,
    };
    let resource = root.and_then(|root| registry.resource(&root));
    let resource = resource.ok_or_else(|| wrong("unknown_resource", format!("There is no resource “{name}”.")))?;
    let field = name.split_once('.').map(|(_, field)| field);
    match (action.is_some_and(Action::is_on_fields), field) {
        (true, Some(field)) if !resource.has(field) => {
            return Err(wrong("unknown_field", format!("{} has no field “{field}”.", resource.name())));
        }
        (true, None) => return Err(wrong("required", format!("Name the field: {}.title, say.", resource.name()))),
        (false, Some(_)) if action.is_some() => {
            return Err(wrong("field_not_applicable", format!("Asked about the record: {}.", resource.name())));
        }
        _ => {}
    }
    Facts::read(resource, &question.attributes).map_err(|faults| {
        let place = |pointer: &str| format!("attributes.{}", field_at(pointer));
        faults.into_iter().map(|fault| FieldError::new(place(&fault.pointer), fault.code, fault.message)).collect()
    })
}
