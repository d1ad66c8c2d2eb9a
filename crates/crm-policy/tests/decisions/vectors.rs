//! Six policies and what they decide.

use crm_policy::{Action, Effect, Engine, Role};
use serde_json::{Value, json};

use crate::world::{above, decide, policy};

fn engine() -> Engine {
    let policies = vec![
        policy("1", "ANY view_field deal.* allow", &Value::Null),
        policy("2", "SALES_REP view_field deal.value deny", &Value::Null),
        policy("3", "MANAGER mark_won_lost deal allow", &Value::Null),
        policy("4", "SALES_REP mark_won_lost deal allow", &Value::Null),
        policy("5", "SALES_REP mark_won_lost deal deny", &above(1_000_000)),
        policy("6", "MANAGER mark_won_lost deal require_approval", &above(5_000_000)),
    ];
    Engine::compile(policies).unwrap()
}

#[test]
fn the_vectors_are_decided_by_the_named_policy() {
    use Action::{ExportData, MarkWonLost, ViewField};
    let (rep, manager) = (Some(Role::SalesRep), Some(Role::Manager));
    let value = |amount: i64| json!({"value": amount, "currency": "EUR"});
    let cases = [
        (rep, ViewField, "deal.title", json!({}), Effect::Allow, Some("1")),
        (rep, ViewField, "deal.value", json!({}), Effect::Deny, Some("2")),
        (manager, ViewField, "deal.value", json!({}), Effect::Allow, Some("1")),
        (rep, ExportData, "deal", json!({}), Effect::Deny, None),
        (rep, MarkWonLost, "deal", value(1_000_000), Effect::Allow, Some("4")),
        (rep, MarkWonLost, "deal", value(1_000_001), Effect::Deny, Some("5")),
        (rep, MarkWonLost, "deal", json!({}), Effect::Deny, Some("5")),
        (rep, MarkWonLost, "deal", json!({"value": null, "currency": "EUR"}), Effect::Deny, Some("5")),
        (rep, MarkWonLost, "deal", json!({"value": 1, "currency": "USD"}), Effect::Deny, Some("5")),
        (manager, MarkWonLost, "deal", value(9_999_999), Effect::RequireApproval, Some("6")),
        (manager, MarkWonLost, "deal", value(5_000_000), Effect::Allow, Some("3")),
        (manager, MarkWonLost, "deal", json!({}), Effect::RequireApproval, Some("6")),
        (None, ViewField, "deal.title", json!({}), Effect::Deny, None),
        (rep, ViewField, "dealx.title", json!({}), Effect::Deny, None),
        (rep, ViewField, "deal", json!({}), Effect::Deny, None),
        (rep, ViewField, "deal.*", json!({}), Effect::Deny, None),
    ];
    let engine = engine();
    for (role, action, resource, record, effect, decided_by) in cases {
        let decision = decide(&engine, role, action, resource, &record);
        let context = format!("{role:?} {action} {resource} {record}: {decision:?}");
        assert_eq!((decision.effect, decision.policy_id.as_deref()), (effect, decided_by), "{context}");
        assert_eq!(decision.allowed, effect == Effect::Allow, "{context}");
    }
}

#[test]
fn an_approval_without_anything_that_allows_is_a_refusal() {
    let engine =
        Engine::compile(vec![policy("6", "MANAGER mark_won_lost deal require_approval", &Value::Null)]).unwrap();
    let decision = decide(&engine, Some(Role::Manager), Action::MarkWonLost, "deal", &json!({}));
    assert_eq!((decision.effect, decision.policy_id), (Effect::Deny, None));
}
