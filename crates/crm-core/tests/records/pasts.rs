//! Records as they stood.
use chrono::TimeDelta;
use crm_core::{
    Ctx, Patch, Record, Result,
    business_units::BusinessUnit,
    custom_fields::CustomField,
    deals, history, leads,
    pipelines::{self, Stage},
    users::Role,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::house::{House, code, now, patch};

fn later(ctx: &Ctx, minutes: i64) -> Ctx {
    Ctx { now: now() + TimeDelta::minutes(minutes), ..ctx.clone() }
}

fn stood(house: &House, ctx: &Ctx, kind: &str, id: Uuid, minutes: i64) -> Result<Map<String, Value>> {
    let at = (now() + TimeDelta::minutes(minutes)).to_rfc3339();
    house.run(ctx, |tx| history::as_of(tx, &[], kind, id, Some(&at))).map(|record| record.members)
}

#[test]
fn a_record_reads_as_every_read_of_it_did_then() {
    let house = House::new();
    let admin = house.admin();
    let body = json!({"entityType": "lead", "key": "region", "label": "Region", "type": "text"});
    house.make::<CustomField>(&admin, body);
    let lead = house.lead(&admin, json!({"lastName": "Ada", "customFields": {"region": "EMEA"}, "tags": ["a"]}));
    let read = |ctx: &Ctx| serde_json::to_value(house.find(ctx, lead.id)).unwrap();
    let mut reads = vec![read(&admin)];
    let changes = [
        json!({"lastName": "Byron", "score": 5}),
        json!({"customFields": {"region": null}, "tags": ["a", "b"]}),
        json!({"customFields": {"region": "APAC"}, "businessUnitId": house.north, "score": null}),
    ];
    for (i, body) in (1..).zip(changes) {
        let ctx = later(&admin, i * 10);
        house.run(&ctx, |tx| leads::update(tx, lead.id, patch(body))).unwrap();
        reads.push(read(&ctx));
    }
    house.run(&later(&admin, 60), |tx| tx.delete(lead.id, &Patch::default())).unwrap();
    for (i, expected) in (0..).zip(&reads) {
        for minutes in [i * 10, i * 10 + 9] {
            let found = stood(&house, &admin, "lead", lead.id.uuid(), minutes).unwrap();
            assert_eq!(&Value::Object(found), expected, "after {minutes} minutes");
        }
    }
    for minutes in [-1, 60, 90] {
        assert_eq!(code(stood(&house, &admin, "lead", lead.id.uuid(), minutes)), "not_found", "{minutes}");
    }
}

#[test]
fn versions_order_the_past_where_clocks_disagree() {
    let house = House::new();
    let admin = house.admin();
    let lead = house.lead(&admin, json!({"lastName": "Ada"}));
    for (minutes, score) in [(20, 1), (10, 2)] {
        house.run(&later(&admin, minutes), |tx| leads::update(tx, lead.id, patch(json!({"score": score})))).unwrap();
    }
    let score = |minutes| stood(&house, &admin, "lead", lead.id.uuid(), minutes).unwrap()["score"].clone();
    assert_eq!((score(5), score(15), score(25)), (Value::Null, json!(2), json!(2)));
}

#[test]
fn every_kind_that_changes_has_a_past() {
    let house = House::new();
    let admin = house.admin();
    let deal = house.run(&admin, |tx| deals::create(tx, patch(json!({"title": "D", "value": 10.5})))).unwrap();
    let stages = house.run(&admin, |tx| pipelines::stages_of(tx, &[deal.fields.pipeline_id])).unwrap();
    let ctx = later(&admin, 10);
    house.run(&ctx, |tx| deals::update(tx, deal.id, patch(json!({"stageId": stages[1].id, "value": 7})))).unwrap();
    let before = stood(&house, &admin, "deal", deal.id.uuid(), 5).unwrap();
    assert_eq!(Value::Object(before), serde_json::to_value(&deal).unwrap());
    house
        .run(&ctx, |tx| pipelines::update_stage(tx, deal.fields.pipeline_id, stages[0].id, patch(json!({"name": "X"}))))
        .unwrap();
    let name = |minutes| stood(&house, &admin, Stage::KIND, stages[0].id.uuid(), minutes).unwrap()["name"].clone();
    assert_eq!((name(5), name(10)), (json!("Qualification"), json!("X")));
    let members = [admin.actor.user().unwrap()];
    house.run(&ctx, |tx| crm_core::business_units::set_members(tx, house.north, &members, &Patch::default())).unwrap();
    let unit = stood(&house, &admin, "business_unit", house.north.uuid(), 20).unwrap();
    assert_eq!(Value::Object(unit), serde_json::to_value(house.find::<BusinessUnit>(&admin, house.north)).unwrap());
    for (kind, id) in [("user", members[0].uuid()), ("organization", house.organization.uuid())] {
        assert!(stood(&house, &admin, kind, id, 10_000_000).is_ok(), "{kind}");
    }
    let refusals = [
        ("reason_code", members[0].uuid(), "not_found"),
        ("nonsense", members[0].uuid(), "unknown_entity_type"),
        ("deal", house.north.uuid(), "not_found"),
    ];
    for (kind, id, refusal) in refusals {
        assert_eq!(code(stood(&house, &admin, kind, id, 20)), refusal, "{kind}");
    }
}

#[test]
fn the_past_of_what_the_caller_may_not_see_does_not_exist() {
    let house = House::new();
    let admin = house.admin();
    let lead = house.lead(&admin, json!({"lastName": "Ada", "businessUnitId": house.north})).id.uuid();
    let southerner = house.person("southern manager", Role::Manager, Some(&[house.south]));
    for ctx in [&southerner, &house.stranger()] {
        assert_eq!(code(stood(&house, ctx, "lead", lead, 5)), "not_found");
    }
    for at in [None, Some("yesterday"), Some("")] {
        assert_eq!(code(house.run(&admin, |tx| history::as_of(tx, &[], "lead", lead, at))), "invalid_value");
        assert_eq!(code(house.run(&southerner, |tx| history::as_of(tx, &[], "lead", lead, at))), "not_found");
    }
}

#[test]
fn what_was_done_later_was_not_done_yet() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let body = json!({"type": "call", "leadId": lead.id});
    house.run(&later(&rep, 10), |tx| crm_core::activities::create(tx, patch(body))).unwrap();
    let noted = |minutes| stood(&house, &rep, "lead", lead.id.uuid(), minutes).unwrap()["lastActivityAt"].clone();
    assert_eq!(noted(5), Value::Null);
    assert!(noted(15).is_string());
}
