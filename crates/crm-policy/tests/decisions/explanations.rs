//! Traces, drafts in shadow mode, and what a changed set would have decided.

use crm_policy::{Action, Caller, Effect, Engine, Policy, Request, Role};
use serde_json::{Value, json};

use crate::world::{above, decide, facts, policy};

fn policies() -> Vec<Policy> {
    vec![
        policy("open", "ANY edit deal allow", &Value::Null),
        policy(
            "large",
            "MANAGER edit deal deny",
            &json!({"all": [above(10), {"attr": "ownerId", "op": "ne", "ref": "caller.id"}]}),
        ),
        policy("elsewhere", "MANAGER edit lead deny", &Value::Null),
        Policy { is_draft: true, ..policy("draft", "MANAGER edit deal deny", &above(5)) },
        Policy { is_active: false, ..policy("off", "MANAGER edit deal deny", &Value::Null) },
    ]
}

#[test]
fn a_trace_tells_what_fired_and_which_clause_failed() {
    let engine = Engine::compile(policies()).unwrap();
    let record = json!({"value": 7, "currency": "EUR", "ownerId": "you"});
    let decision = decide(&engine, Some(Role::Manager), Action::Edit, "deal", &record);
    let trace = serde_json::to_value(&decision.trace).unwrap();
    let entry = |id: &str, effect: &str, fired: bool, draft: bool, condition: &str, clause: Value| {
        json!({"policyId": id, "policyName": format!("Policy {id}"), "effect": effect, "fired": fired, "isDraft": draft,
            "condition": condition, "failedClause": clause})
    };
    let clause = json!({"pointer": "/all/0", "attr": "value", "op": "gt", "truth": "false",
        "wanted": {"amount": 10, "currency": "EUR"}, "found": {"amount": 7, "currency": "EUR"}});
    let expected = json!([
        entry("open", "allow", true, false, "true", Value::Null),
        entry("large", "deny", false, false, "false", clause),
        entry("draft", "deny", true, true, "true", Value::Null),
    ]);
    assert_eq!(trace, expected);
    let summary = serde_json::to_value(decision.without_trace()).unwrap();
    assert_eq!(
        summary,
        json!({"allowed": true, "effect": "allow", "reason": "Policy “Policy open” allows edit on deal to MANAGER.",
            "policyId": "open", "policyName": "Policy open"})
    );
}

#[test]
fn a_draft_tells_what_it_would_have_refused_and_refuses_nothing() {
    let engine = Engine::compile(policies()).unwrap();
    let caller = Caller::new("me");
    let cases = [(7, true, Some("draft")), (4, true, None), (11, false, None)];
    for (value, allowed, shadow) in cases {
        let facts = facts(&json!({"value": value, "currency": "EUR", "ownerId": "you"}));
        let request = Request::new(Role::Manager, Action::Edit, "deal", &caller, &facts);
        assert_eq!(engine.decide(&request).allowed, allowed, "{value}");
        let would_be = engine.shadow(&request);
        assert_eq!(would_be.as_ref().and_then(|decision| decision.policy_id.as_deref()), shadow, "{value}");
        assert!(would_be.is_none_or(|decision| decision.effect == Effect::Deny));
    }
}

#[test]
fn flips_are_the_questions_that_another_set_answers_differently() {
    let enforced = policies().into_iter().map(|policy| Policy { is_draft: false, ..policy }).collect();
    let (before, after) = (Engine::compile(policies()).unwrap(), Engine::compile(enforced).unwrap());
    let caller = Caller::new("me");
    let records = [3, 7, 9, 20].map(|value| facts(&json!({"value": value, "currency": "EUR", "ownerId": "you"})));
    let requests = records.iter().map(|facts| Request::new(Role::Manager, Action::Edit, "deal", &caller, facts));
    let flips = before.flips(&after, requests);
    let seen: Vec<_> = flips.iter().map(|flip| (flip.index, flip.before.effect, flip.after.effect)).collect();
    assert_eq!(seen, [(1, Effect::Allow, Effect::Deny), (2, Effect::Allow, Effect::Deny)]);
}
