//! The gate at work: what policies make of changes of records, in every process.

use crm_core::change;
use crm_core::companies::Company;
use crm_core::custom_fields::{self, CustomField};
use crm_core::deals::{self, Deal};
use crm_core::gate::{Action, Ask};
use crm_core::leads;
use crm_core::pipelines::{self, Stage};
use crm_core::users::Role;
use crm_core::{Id, Result, Tx};
use crm_policy::stored_policies;
use serde_json::{Value, json};

use crate::world::{World, patch, refusal};

fn deal(world: &World, fields: &Value) -> Deal {
    let members = [("title", json!("Acme")), ("currency", json!("EUR"))];
    let mut body = fields.clone();
    for (name, value) in members {
        body[name] = value;
    }
    world.as_role(Role::Manager, |tx| deals::create(tx, patch(&body))).unwrap()
}

fn stage(tx: &mut Tx<'_>, deal: &Deal, kind: &str) -> Result<Id<Stage>> {
    let stages = pipelines::stages_of(tx, &[deal.fields.pipeline_id])?;
    let other = |stage: &&Stage| stage.fields.kind == kind && stage.id != deal.fields.stage_id;
    Ok(stages.iter().find(other).unwrap().id)
}

fn close(world: &World, role: Role, deal: &Deal) -> Result<Deal> {
    world.as_role(role, |tx| {
        let review = json!({"primaryReasonCode": "best_price"});
        let body = json!({"stageId": stage(tx, deal, "won")?, "winLossReview": review});
        deals::update(tx, deal.id, patch(&body))
    })
}

#[test]
fn the_example_policies_hold_from_the_first_day() {
    let world = World::new();
    let deal = deal(&world, &json!({"value": 100}));
    assert_eq!(
        refusal(close(&world, Role::SalesRep, &deal)),
        (
            "policy_denied".to_owned(),
            "Policy “Only managers and administrators mark deals won or lost” refuses mark_won_lost on deal to SALES_REP."
                .to_owned()
        )
    );
    let write = |body: &Value| world.as_role(Role::SalesRep, |tx| deals::update(tx, deal.id, patch(body)));
    for same_or_other in [100, 200] {
        assert_eq!(refusal(write(&json!({"value": same_or_other}))).0, "field_not_viewable");
    }
    let made = |body: &Value| world.as_role(Role::SalesRep, |tx| deals::create(tx, patch(body)));
    assert_eq!(refusal(made(&json!({"title": "Mine", "value": 5}))).0, "field_not_viewable");
    assert_eq!(made(&json!({"title": "Mine"})).unwrap().fields.owner_id, Some(world.user(Role::SalesRep)));
    assert_eq!(write(&json!({"title": "Acme Ltd"})).unwrap().fields.title, "Acme Ltd");
    let export = world.as_role(Role::SalesRep, |tx| tx.ctx.gate.check(tx.ctx, &Ask::about(Action::ExportData, "lead")));
    assert!(refusal(export).1.contains("Sales representatives cannot export leads"));
    close(&world, Role::Manager, &deal).unwrap();
}

#[test]
fn a_condition_is_judged_on_the_record_as_it_is_and_as_it_would_be() {
    let world = World::new();
    let limit = json!({"attr": "value", "op": "gt", "value": {"amount": 1000, "currency": "EUR"}});
    let policy = json!({"name": "Large deals stay open", "role": "MANAGER", "action": "mark_won_lost", "resource": "deal",
        "effect": "deny", "condition": limit});
    world.policy(&policy).unwrap();
    close(&world, Role::Manager, &deal(&world, &json!({"value": 1000}))).unwrap();
    let (code, reason) = refusal(close(&world, Role::Manager, &deal(&world, &json!({"value": 1001}))));
    assert_eq!((code.as_str(), reason.contains("Large deals stay open")), ("policy_denied", true));
    let unknown = deal(&world, &json!({}));
    assert_eq!(refusal(close(&world, Role::Manager, &unknown)).0, "policy_denied", "no value may be any value");
    let large = deal(&world, &json!({"value": 5000}));
    let smuggled = world.as_role(Role::Manager, |tx| {
        let body =
            json!({"value": 1, "stageId": stage(tx, &large, "won")?, "winLossReview": {"primaryReasonCode": "timing"}});
        deals::update(tx, large.id, patch(&body))
    });
    assert_eq!(refusal(smuggled).0, "policy_denied");
    let arrives = world.as_role(Role::Manager, |tx| {
        let body = json!({"title": "Big", "value": 5000, "currency": "EUR", "stageId": stage(tx, &large, "won")?,
            "winLossReview": {"primaryReasonCode": "timing"}});
        deals::create(tx, patch(&body))
    });
    assert_eq!(refusal(arrives).0, "policy_denied");
    close(&world, Role::Admin, &large).unwrap();
}

#[test]
fn fields_are_closed_one_by_one() {
    let world = World::new();
    let policy = |action: &str, field: &str| {
        let json = json!({"name": format!("{action} {field}"), "role": "MANAGER", "action": action, "resource": "lead",
            "field": field, "effect": "deny"});
        world.policy(&json).unwrap()
    };
    policy("edit_field", "email");
    policy("view_field", "score");
    let made = world.as_role(Role::Manager, |tx| leads::create(tx, patch(&json!({"lastName": "Lovelace"})))).unwrap();
    let write = |role, body: Value| world.as_role(role, |tx| leads::update(tx, made.id, patch(&body)));
    let (code, reason) = refusal(write(Role::Manager, json!({"email": "ada@example.com"})));
    assert_eq!(code, "policy_denied");
    assert_eq!(reason, "Policy “edit_field email” refuses edit_field on lead.email to MANAGER.");
    assert_eq!(refusal(write(Role::Manager, json!({"score": 5}))).0, "field_not_viewable");
    write(Role::Manager, json!({"phone": "123"})).unwrap();
    write(Role::SalesRep, json!({"email": "ada@example.com", "score": 5})).unwrap();
}

#[test]
fn moving_may_be_left_to_who_may_not_edit() {
    let world = World::new();
    let policy =
        json!({"name": "Reps only move", "role": "SALES_REP", "action": "edit", "resource": "deal", "effect": "deny"});
    world.policy(&policy).unwrap();
    let deal = deal(&world, &json!({}));
    let moved = world.as_role(Role::SalesRep, |tx| {
        let body = json!({"stageId": stage(tx, &deal, "open")?});
        deals::update(tx, deal.id, patch(&body))
    });
    assert_eq!(moved.unwrap().version, 2);
    let edited = world.as_role(Role::SalesRep, |tx| deals::update(tx, deal.id, patch(&json!({"title": "x"}))));
    assert!(refusal(edited).1.contains("Reps only move"));
}

#[test]
fn a_change_of_policies_holds_at_the_next_request_in_every_process() {
    let world = World::new();
    let neighbour = world.neighbour();
    let create = |tx: &mut Tx<'_>| change::create::<Company>(tx, patch(&json!({"name": "Acme"})));
    world.through(&neighbour, Role::SalesRep, create).unwrap();
    let policy = json!({"name": "Closed list", "role": "SALES_REP", "action": "create", "resource": "company", "effect": "deny"});
    let made = world.policy(&policy).unwrap();
    for door in [&neighbour, &world.door] {
        assert!(refusal(world.through(door, Role::SalesRep, create)).1.contains("Closed list"));
    }
    let draft = patch(&json!({"isDraft": true}));
    world.as_role(Role::Admin, |tx| stored_policies::update(tx, made.id, draft)).unwrap();
    for door in [&neighbour, &world.door] {
        world.through(door, Role::SalesRep, create).unwrap();
    }
}

#[test]
fn a_change_that_fails_leaves_the_policies_in_force() {
    let world = World::new();
    let version = || {
        let text = "SELECT policy_version FROM organizations WHERE organization_id = {org}";
        world.as_role(Role::Admin, |tx| Ok(tx.sql::<diesel::sql_types::BigInt>(text).one::<i64>(tx)?)).unwrap()
    };
    let before = version();
    world.policy(&json!({"name": ""})).unwrap_err();
    assert_eq!(version(), before);
    world.policy(&json!({"name": "P", "role": "ANY", "action": "export_data", "resource": "lead"})).unwrap();
    assert_eq!(version(), before + 1);
}

#[test]
fn custom_fields_and_tags_decide_until_the_field_is_gone() {
    let world = World::new();
    let field = json!({"entityType": "deal", "key": "region", "label": "Region", "type": "text"});
    let field = world.as_role(Role::Admin, |tx| change::create::<CustomField>(tx, patch(&field))).unwrap();
    let is = |attr: &str, op: &str, value: &str| json!({"attr": attr, "op": op, "value": value});
    let either = json!({"any": [is("customFields.region", "eq", "north"), is("tags", "contains", "vip")]});
    let policy = json!({"name": "Hands off", "role": "MANAGER", "action": "edit", "resource": "deal", "effect": "deny",
        "condition": either});
    world.policy(&policy).unwrap();
    let made = |fields: Value| deal(&world, &fields).id;
    let edit = |id| world.as_role(Role::Manager, |tx| deals::update(tx, id, patch(&json!({"title": "Other"})))).is_ok();
    let north = made(json!({"customFields": {"region": "north"}}));
    let vip = made(json!({"customFields": {"region": "south"}, "tags": ["vip"]}));
    let south = made(json!({"customFields": {"region": "south"}, "tags": ["new"]}));
    let unknown = made(json!({}));
    assert_eq!([north, vip, south, unknown].map(edit), [false, false, true, false], "no region may be any region");
    let into = json!({"customFields": {"region": "north"}});
    let smuggled = world.as_role(Role::Manager, |tx| deals::update(tx, south, patch(&into)));
    assert!(refusal(smuggled).1.contains("Hands off"));
    world.as_role(Role::Admin, |tx| custom_fields::delete(tx, field.id, &patch(&json!({})))).unwrap();
    assert!(!edit(south), "what a field that is gone would say is unknown");
}
