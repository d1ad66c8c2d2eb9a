//! Writing policies: the grammar, the lock-out, the history, the first ones.

use crm_core::Reason;
use crm_core::change;
use crm_core::custom_fields::{self, CustomField};
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
            json!({"condition": {"attr": "customFields.size", "op": "eq", "value": 1}}),
            vec![("condition.attr", "unknown_attribute")],
        ),
        (
            json!({"condition": {"all": [
                {"attr": "ownerId", "op": "in", "value": [world.user(Role::Admin), world.organization, "nobody"]},
                {"not": {"attr": "stageId", "op": "eq", "value": world.organization}}
            ]}}),
            vec![
                ("condition.all[0].value[1]", "unknown_reference"),
                ("condition.all[0].value[2]", "unknown_reference"),
                ("condition.all[1].not.value", "unknown_reference"),
            ],
        ),
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
    assert_eq!(faults(activate), [("isActive".to_owned(), "lockout".to_owned())]);
    let update = |body: Value| world.as_role(Role::Admin, |tx| stored_policies::update(tx, harmless.id, patch(&body)));
    update(json!({"isDraft": true, "isActive": true})).unwrap();
    assert_eq!(faults(update(json!({"isDraft": false}))), [("isDraft".to_owned(), "lockout".to_owned())]);
    update(json!({"isDraft": false, "role": "MANAGER"})).unwrap();
    let both =
        faults(update(json!({"role": "ANY", "condition": {"attr": "request.weekday", "op": "eq", "value": "sunday"}})));
    let both: Vec<_> = both.iter().map(|(field, code)| (field.as_str(), code.as_str())).collect();
    assert_eq!(both, [("role", "lockout"), ("condition", "lockout")], "on some days is out as well");
    update(json!({"name": "Of another name"})).unwrap();
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

#[test]
fn an_id_of_another_organization_is_as_unknown_as_any() {
    let (world, other) = (World::new(), World::new());
    let stage = |of: &World| {
        of.as_role(Role::Admin, |tx| {
            let text = "SELECT id FROM stages WHERE organization_id = {org} LIMIT 1";
            Ok(tx.sql::<diesel::sql_types::Uuid>(text).one::<uuid::Uuid>(tx)?)
        })
        .unwrap()
    };
    let on = |stage: uuid::Uuid| with(&json!({"condition": {"attr": "stageId", "op": "eq", "value": stage}}));
    let policy = world.policy(&on(stage(&world))).unwrap();
    let foreign = faults(world.policy(&on(stage(&other))));
    assert_eq!(foreign, [("condition.value".to_owned(), "unknown_reference".to_owned())]);
    let change = patch(&json!({"condition": {"attr": "ownerId", "op": "ne", "value": other.user(Role::Admin)}}));
    let changed = world.as_role(Role::Admin, |tx| stored_policies::update(tx, policy.id, change));
    assert_eq!(faults(changed), [("condition.value".to_owned(), "unknown_reference".to_owned())]);
}

/// A custom field of deals.
fn field(world: &World, key: &str, kind: &str) -> CustomField {
    let options = if kind == "select" { json!(["small", "large"]) } else { json!([]) };
    let field = json!({"entityType": "deal", "key": key, "label": key, "type": kind, "options": options});
    world.as_role(Role::Admin, |tx| change::create::<CustomField>(tx, patch(&field))).unwrap()
}

#[test]
fn custom_fields_are_compared_by_their_types() {
    let world = World::new();
    for (key, kind) in [("size", "select"), ("seats", "number"), ("signedOn", "date"), ("isPublic", "boolean")] {
        field(&world, key, kind);
    }
    let on = |key: &str, op: &str, value: Value| {
        let attr = format!("customFields.{key}");
        world.policy(&with(&json!({"condition": {"attr": attr, "op": op, "value": value}})))
    };
    for (key, op, value) in
        [("size", "in", json!(["small"])), ("seats", "gt", json!(2.5)), ("signedOn", "lt", json!("2026-01-01"))]
    {
        on(key, op, value).unwrap();
    }
    on("isPublic", "eq", json!(true)).unwrap();
    for (key, op, value, place, code) in [
        ("size", "eq", json!("huge"), "condition.value", "invalid_value"),
        ("size", "gt", json!("small"), "condition.op", "invalid_operator"),
        ("seats", "gt", json!("2"), "condition.value", "invalid_value"),
        ("signedOn", "lt", json!("soon"), "condition.value", "invalid_value"),
        ("gone", "eq", json!(1), "condition.attr", "unknown_attribute"),
    ] {
        assert_eq!(faults(on(key, op, value)), [(place.to_owned(), code.to_owned())], "{key}");
    }
}

#[test]
fn what_a_policy_speaks_of_may_be_gone_while_it_is_renamed_and_switched_off() {
    let world = World::new();
    let region = field(&world, "region", "text");
    let hides = json!({"name": "Hides", "role": "SALES_REP", "action": "view_field", "resource": "deal",
        "field": "customFields.region"});
    let compares = with(&json!({"condition": {"attr": "customFields.region", "op": "eq", "value": "north"}}));
    let policies = [hides, compares].map(|policy| world.policy(&policy).unwrap().id);
    world.as_role(Role::Admin, |tx| custom_fields::delete(tx, region.id, &patch(&json!({})))).unwrap();
    let places = [("field", "unknown_field"), ("condition.attr", "unknown_attribute")];
    for (id, (place, code)) in policies.into_iter().zip(places) {
        let update = |body: Value| world.as_role(Role::Admin, |tx| stored_policies::update(tx, id, patch(&body)));
        update(json!({"name": "Renamed"})).unwrap();
        assert!(!update(json!({"isActive": false})).unwrap().fields.is_active);
        let gone = [(place.to_owned(), code.to_owned())];
        assert_eq!(faults(update(json!({"isActive": true}))), gone);
        update(json!({"isDraft": true})).unwrap();
        assert_eq!(faults(update(json!({"isDraft": false, "isActive": true}))), gone);
    }
    let change = json!({"condition": {"not": {"attr": "customFields.region", "op": "eq", "value": "north"}}});
    let edited = world.as_role(Role::Admin, |tx| stored_policies::update(tx, policies[1], patch(&change)));
    assert_eq!(faults(edited), [("condition.not.attr".to_owned(), "unknown_attribute".to_owned())]);
}
