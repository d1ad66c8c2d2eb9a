//! Asking what would be decided.

use crm_core::users::Role;
use crm_policy::simulations::{Simulation, simulate};
use serde_json::{Value, json};

use crate::world::{World, faults, refusal};

fn ask(world: &World, role: Role, question: &Value) -> crm_core::Result<Value> {
    let question: Simulation = serde_json::from_value(question.clone()).unwrap();
    world.as_role(role, |tx| simulate(tx, &question)).map(|decision| serde_json::to_value(decision).unwrap())
}

#[test]
fn the_decision_comes_with_its_policy_and_a_trace() {
    let world = World::new();
    let limit = json!({"attr": "value", "op": "gt", "value": {"amount": 5_000_000, "currency": "EUR"}});
    let policy = json!({"name": "Two pairs of eyes", "role": "MANAGER", "action": "mark_won_lost", "resource": "deal",
        "effect": "require_approval", "condition": limit});
    let made = world.policy(&policy).unwrap();
    let question = |value: i64| {
        json!({"role": "MANAGER", "action": "mark_won_lost", "resource": "deal",
            "attributes": {"value": value, "currency": "EUR"}})
    };
    let large = ask(&world, Role::Admin, &question(9_999_999)).unwrap();
    assert_eq!((&large["allowed"], &large["effect"]), (&json!(false), &json!("require_approval")));
    assert_eq!(large["policyId"], json!(made.id));
    assert_eq!(large["trace"].as_array().unwrap().len(), 2);
    let small = ask(&world, Role::Admin, &question(5_000_000)).unwrap();
    assert_eq!(
        (&small["allowed"], &small["policyName"]),
        (&json!(true), &json!("Built in: allow MANAGER mark_won_lost on everything"))
    );
    let clause = small["trace"].as_array().unwrap().iter().find(|entry| entry["policyId"] == json!(made.id)).unwrap();
    assert_eq!(clause["failedClause"]["attr"], "value");
    let rep = world.user(Role::SalesRep);
    let hidden = json!({"userId": rep, "action": "view_field", "resource": "deal.value"});
    assert_eq!(
        ask(&world, Role::Admin, &hidden).unwrap()["policyName"],
        "Sales representatives cannot view the value of deals"
    );
}

#[test]
fn a_question_without_sense_is_told_so() {
    let world = World::new();
    let cases = [
        (json!({"action": "fly", "resource": "order"}), vec!["role", "action", "resource"]),
        (json!({"role": "KING", "action": "edit", "resource": "deal"}), vec!["role"]),
        (json!({"userId": world.organization, "action": "edit", "resource": "deal"}), vec!["userId"]),
        (json!({"role": "ADMIN", "action": "edit", "resource": "deal.value"}), vec!["resource"]),
        (json!({"role": "ADMIN", "action": "edit_field", "resource": "deal"}), vec!["resource"]),
        (json!({"role": "ADMIN", "action": "edit_field", "resource": "deal.size"}), vec!["resource"]),
        (
            json!({"role": "ADMIN", "action": "edit", "resource": "deal", "attributes": {"size": 1, "episode": "x"}}),
            vec!["attributes.size", "attributes.episode"],
        ),
    ];
    for (question, expected) in cases {
        let told = faults(ask(&world, Role::Admin, &question));
        assert_eq!(told.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), expected, "{question}");
    }
    let question = json!({"role": "ADMIN", "action": "edit", "resource": "deal"});
    assert_eq!(refusal(ask(&world, Role::Manager, &question)).0, "policy_denied");
}
