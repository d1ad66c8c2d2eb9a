//! Writing policies: the grammar, the lock-out, the history, the first ones.

use crm_core::Reason;
use crm_core::users::Role;
use crm_policy::listings;
use crm_policy::stored_policies::{self, StoredPolicy};
use serde_json::{Value, json};

use crate::world::{World, faults, patch, refusal};

fn large_deals() -> Value {
    json!({
        "name": "Large deals stay open", "role": "MANAGER", "action": "mark_won_lost", "resource": "deal", "effect": "deny",
        "condition": {"attr": "value", "op": "gt", "value": {"amount": 5_000_000, "currency": "EUR"}}
    })
}

fn with(changes: &Value) -> Value {
    let mut policy = large_deals();
    for (name, value) in changes.as_object().unwrap() {
        policy[name] = value.clone();
    }
    policy
}

#[test]
fn a_new_organization_has_the_three_of_the_specification() {
    let world = World::new();
    let page = world.as_role(Role::Admin, |tx| listings::own(tx, &[])).unwrap();
    let told: Vec<_> = page.items.iter().map(|p| (p.fields.action.as_str(), p.fields.resource.as_str())).collect();
    assert_eq!(told, [("export_data", "lead"), ("view_field", "deal"), ("mark_won_lost", "deal")]);
    assert!(
        page.items.iter().all(|p| p.fields.is_active && !p.fields.is_draft && !p.built_in && p.fields.effect == "deny")
    );
    let built_in = world.as_role(Role::Admin, listings::built_in_ones).unwrap();
    assert!(built_in.items.iter().all(|p| p.built_in) && built_in.items.len() > 30);
    let id = "built-in:SALES_REP:create:deal";
    let one = world.as_role(Role::Admin, |tx| listings::one(tx, id)).unwrap();
    assert_eq!((one.id.as_str(), one.fields.role.as_str()), (id, "SALES_REP"));
    assert_eq!(refusal(listings::changeable::<StoredPolicy>(id)).0, "built_in");
}

#[test]
fn a_policy_is_kept_as_written_and_its_changes_are_history() {
    let world = World::new();
    let made = world.policy(&large_deals()).unwrap();
    let written = serde_json::to_value(&made).unwrap();
    for (name, value) in large_deals().as_object().unwrap() {
        assert_eq!(&written[name], value, "{name}");
    }
    let change = patch(&json!({"isActive": false, "reasonCode": "correction", "note": "Too strict"}));
    assert_eq!(change.reason, Reason { code: Some("correction".into()), note: Some("Too strict".into()) });
    let changed = world.as_role(Role::Admin, |tx| stored_policies::update(tx, made.id, change)).unwrap();
    assert_eq!((changed.version, changed.fields.is_active), (2, false));
    world.as_role(Role::Admin, |tx| stored_policies::delete(tx, made.id, &patch(&json!({})))).unwrap();
    let history = world.as_role(Role::Admin, |tx| {
        let rows = tx.sql::<diesel::sql_types::Text>(
            "SELECT field_name FROM field_history WHERE organization_id = {org} AND entity_type = 'policy' ORDER BY id",
        );
        Ok(rows.all::<String>(tx)?)
    });
    let history = history.unwrap();
    assert_eq!(history.first().map(String::as_str), Some("isActive"));
    assert_eq!(history.last().map(String::as_str), Some("deletedAt"));
    assert_eq!(refusal(world.as_role(Role::Admin, |tx| stored_policies::read(tx, made.id))).0, "not_found");
}

#[test]
fn every_fault_is_told_with_its_place() {
    let world = World::new();
    let cases = [
        (json!({"name": "  "}), vec![("name", "required")]),
        (json!({"effect": "Deny"}), vec![("effect", "not_allowed")]),
        (json!({"effect": ""}), vec![("effect", "required")]),
        (json!({"resource": "order", "condition": null}), vec![("resource", "unknown_resource")]),
        (json!({"action": "edit_field", "field": "valeu"}), vec![("field", "unknown_field")]),
        (json!({"field": "value"}), vec![("field", "field_not_applicable")]),
        (
            json!({"condition": {"all": [{"attr": "value", "op": "gt", "value": 5}, {"attr": "size", "op": "eq", "value": 1}]}}),
            vec![("condition.all[0].value", "invalid_value"), ("condition.all[1].attr", "unknown_attribute")],
        ),
        (
            json!({"condition": {"attr": "tags", "op": "eq", "value": "vip"}}),
            vec![("condition.op", "invalid_operator")],
        ),
        (json!({"action": "export_data"}), vec![("condition", "condition_not_applicable")]),
        (
            json!({"action": "export_data", "condition": null, "effect": "require_approval"}),
            vec![("effect", "invalid_effect")],
        ),
        (json!({"action": "view", "effect": "require_approval"}), vec![("effect", "invalid_effect")]),
    ];
    for (changes, expected) in cases {
        let told = faults(world.policy(&with(&changes)));
        let told: Vec<_> = told.iter().map(|(field, code)| (field.as_str(), code.as_str())).collect();
        assert_eq!(told, expected, "{changes}");
    }
}

#[test]
fn nobody_locks_everybody_out() {
    let world = World::new();
    for action in ["manage", "delete", "view"] {
        let policy = json!({"name": "P", "role": "ANY", "action": action, "resource": "*", "effect": "deny"});
        assert_eq!(faults(world.policy(&policy)), [("effect".to_owned(), "lockout".to_owned())], "{action}");
    }
    let policy = json!({"name": "P", "role": "ADMIN", "action": "manage", "resource": "policy", "effect": "deny", "isActive": false});
    let harmless = world.policy(&policy).unwrap();
    let activate =
        world.as_role(Role::Admin, |tx| stored_policies::update(tx, harmless.id, patch(&json!({"isActive": true}))));
    assert_eq!(faults(activate), [("effect".to_owned(), "lockout".to_owned())]);
}

#[test]
fn policies_are_for_administrators() {
    let world = World::new();
    for role in [Role::Manager, Role::SalesRep] {
        let (code, reason) = refusal(world.as_role(role, |tx| stored_policies::list(tx, &[])));
        assert_eq!(code, "policy_denied");
        assert!(reason.contains("manage on policy"), "{reason}");
        let written = world.as_role(role, |tx| stored_policies::create(tx, patch(&large_deals())));
        assert_eq!(refusal(written).0, "policy_denied");
    }
}
