//! A small world to decide in.

use crm_policy::{
    Action, Caller, Decision, Engine, Facts, Kind, Policy, Registry, Request, Resource, ResourceClass, Role,
};
use serde_json::{Value, json};

pub(crate) fn registry() -> Registry {
    let record = |name: &str| {
        Resource::new(name, ResourceClass::Record)
            .with("title", Kind::Text)
            .with("value", Kind::Money { currency: "currency".into() })
            .with("currency", Kind::Text)
            .with("score", Kind::Int)
            .with("ownerId", Kind::Id)
            .with("businessUnitId", Kind::Id)
            .with("dueOn", Kind::Date)
            .with("touchedAt", Kind::Instant)
            .with("tags", Kind::Texts)
            .with("customFields", Kind::Opaque)
    };
    Registry::new([
        record("deal")
            .with("stageId", Kind::Id)
            .with_part("value.part")
            .with_typed_part("customFields.region", Kind::Text)
            .with_typed_part("customFields.seats", Kind::Decimal),
        record("lead"),
        Resource::new("note", ResourceClass::Own),
        Resource::new("article", ResourceClass::Reference),
        Resource::new("policy", ResourceClass::Administration),
        Resource::new("user", ResourceClass::Administration),
    ])
}

/// `role action resource effect`, and a condition.
pub(crate) fn policy(id: &str, terms: &str, condition: &Value) -> Policy {
    let [role, action, resource, effect] = terms.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let json = json!({
        "name": format!("Policy {id}"), "role": role, "action": action, "resource": resource, "effect": effect,
        "condition": condition
    });
    Policy::read(id, &json, &registry()).unwrap()
}

pub(crate) fn above(amount: i64) -> Value {
    json!({"attr": "value", "op": "gt", "value": {"amount": amount, "currency": "EUR"}})
}

pub(crate) fn facts(record: &Value) -> Facts {
    Facts::read(registry().resource("deal").unwrap(), record.as_object().unwrap()).unwrap()
}

pub(crate) fn decide(engine: &Engine, role: Option<Role>, action: Action, resource: &str, record: &Value) -> Decision {
    engine.simulate(&Request::new(role, action, resource, &Caller::new("me").within(["north"]), &facts(record)))
}
