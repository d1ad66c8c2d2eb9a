use chrono::TimeDelta;
use crm_core::{
    Ctx, Patch, Result,
    companies::{self, Company},
    history::{self, FieldChange},
    leads, organizations, saved_views,
    users::Role,
};
use serde_json::json;

use crate::house::{House, code, now, patch, query};

/// A lead with three changes, an hour apart.
fn story(house: &House, ctx: &Ctx, unit: Option<crm_core::Id<crm_core::business_units::BusinessUnit>>) -> leads::Lead {
    let lead = house.lead(ctx, json!({"lastName": "Ada", "businessUnitId": unit}));
    for (hour, body) in [
        json!({"status": "contacted", "reasonCode": "progressed", "note": "Called"}),
        json!({"score": 5}),
        json!({"status": "qualified", "score": 9}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut ctx = ctx.clone();
        ctx.now = now() + TimeDelta::hours(i64::try_from(hour).unwrap());
        ctx.change_set = uuid::Uuid::from_u128(hour as u128);
        house.run(&ctx, |tx| leads::update(tx, lead.id, patch(body))).unwrap();
    }
    lead
}

fn fields(items: &[FieldChange]) -> Vec<&str> {
    items.iter().map(|change| change.field_name.as_str()).collect()
}

fn recent(house: &House, ctx: &Ctx, parameters: &[(&str, &str)]) -> Result<Vec<FieldChange>> {
    house.run(ctx, |tx| history::recent(tx, &query(parameters))).map(|page| page.items)
}

#[test]
fn the_changes_of_a_record_and_of_a_field_are_told_newest_first() {
    let house = House::new();
    let rep = house.rep();
    let id = story(&house, &rep, None).id.uuid();
    let page = house.run(&rep, |tx| history::of_entity(tx, "lead", id, &[])).unwrap();
    assert_eq!(fields(&page.items[2..]), ["score", "status"]);
    assert_eq!(page.items.len(), 4);
    assert_eq!(page.next_cursor, None);
    let first = serde_json::to_value(&page.items[3]).unwrap();
    assert_eq!(first["entityType"], "lead");
    assert_eq!(first["entityId"], json!(id));
    assert_eq!((&first["oldValue"], &first["newValue"]), (&json!("new"), &json!("contacted")));
    assert_eq!(first["changedBy"], json!({"id": rep.actor.user(), "name": "rep"}));
    assert_eq!(
        (&first["actor"], &first["reasonCode"], &first["note"]),
        (&json!("user"), &json!("progressed"), &json!("Called"))
    );
    assert_eq!((&first["requestId"], &first["changedAt"]), (&json!("request-of-rep"), &json!("2025-06-01T12:00:00Z")));
    assert_eq!(page.items[0].change_set_id, page.items[1].change_set_id);

    let of_status = |parameters: &[(&str, &str)]| {
        house.run(&rep, |tx| history::of_field(tx, "lead", id, "status", &query(parameters)))
    };
    let page = of_status(&[("limit", "1")]).unwrap();
    assert_eq!(page.items[0].new_value, json!("qualified"));
    let cursor = page.next_cursor.unwrap();
    let page = of_status(&[("limit", "1"), ("cursor", &cursor)]).unwrap();
    assert_eq!((page.items[0].new_value.clone(), page.next_cursor), (json!("contacted"), None));
    let other = house.run(&rep, |tx| history::of_field(tx, "lead", id, "score", &query(&[("cursor", &cursor)])));
    assert_eq!(code(other), "invalid_cursor", "a cursor of another list");
    assert_eq!(code(of_status(&[("limit", "0")])), "invalid_value");
    assert_eq!(code(of_status(&[("userId", "me")])), "unknown_parameter");
}

#[test]
fn pages_are_whole_where_many_changes_are_of_one_instant() {
    let house = House::new();
    let rep = house.rep();
    let company: Company = house.make(&rep, json!({"name": "Acme"}));
    let body = json!({"name": "A", "city": "B", "industry": "C", "employees": 4, "country": "GB", "tags": ["x"]});
    house.run(&rep, |tx| companies::update(tx, company.id, patch(body))).unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..6 {
        let mut parameters = vec![("limit", "1")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = house.run(&rep, |tx| history::of_entity(tx, "company", company.id.uuid(), &query(&parameters)));
        let page = page.unwrap();
        seen.extend(page.items.into_iter().map(|change| change.field_name));
        cursor = page.next_cursor;
    }
    seen.sort();
    assert_eq!(seen, ["city", "country", "employees", "industry", "name", "tags"]);
    assert_eq!(cursor, None);
}

#[test]
fn recent_changes_are_filtered_and_for_managers() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    let lead = story(&house, &rep, None);
    let company: Company = house.make(&manager, json!({"name": "Acme"}));
    house.run(&manager, |tx| companies::update(tx, company.id, patch(json!({"city": "York"})))).unwrap();
    let user = manager.actor.user().unwrap().to_string();
    let count = |parameters: &[(&str, &str)]| recent(&house, &manager, parameters).unwrap().len();
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&[("entityType", "company")]), 1);
    assert_eq!(count(&[("userId", &user)]), 1);
    assert_eq!(count(&[("userId", "me")]), 1);
    assert_eq!(count(&[("fieldName", "score")]), 2);
    assert_eq!(count(&[("reasonCode", "progressed"), ("entityType", "lead")]), 1);
    assert_eq!(count(&[("from", "2025-06-01T13:00:00Z"), ("to", "2025-06-01T14:00:00Z")]), 1);
    assert_eq!(count(&[("to", "2025-06-01")]), 0);
    for (parameters, refusal) in [
        ([("from", "yesterday")], "invalid_value"),
        ([("userId", "rep")], "invalid_value"),
        ([("reasonCode", "a\0")], "invalid_value"),
        ([("entityId", "1")], "unknown_parameter"),
    ] {
        assert_eq!(code(recent(&house, &manager, &parameters)), refusal);
    }
    assert_eq!(code(recent(&house, &rep, &[])), "role_required");
    assert!(recent(&house, &house.stranger(), &[]).unwrap().is_empty());
    assert_eq!(house.find(&rep, lead.id).version, 4);
}

#[test]
fn the_history_of_what_the_caller_may_not_see_does_not_exist() {
    let house = House::new();
    let (rep, admin) = (house.rep(), house.admin());
    let hidden = story(&house, &rep, Some(house.north)).id;
    let open = story(&house, &rep, Some(house.south)).id;
    let southerner = house.person("southern manager", Role::Manager, Some(&[house.south]));
    let northerner = house.person("northern manager", Role::Manager, Some(&[house.north]));
    let read = |ctx: &Ctx, kind: &str, id: uuid::Uuid| {
        house.run(ctx, |tx| history::of_entity(tx, kind, id, &[])).map(|page| page.items.len())
    };
    assert_eq!(read(&southerner, "lead", open.uuid()).unwrap(), 4);
    for ctx in [&southerner, &house.stranger()] {
        assert_eq!(code(read(ctx, "lead", hidden.uuid())), "not_found");
    }
    assert_eq!(recent(&house, &southerner, &[]).unwrap().len(), 4);
    assert_eq!(recent(&house, &admin, &[]).unwrap().len(), 8);
    assert_eq!(code(read(&rep, "lead", uuid::Uuid::max())), "not_found");
    assert_eq!(code(read(&rep, "deal", hidden.uuid())), "not_found");
    assert_eq!(read(&southerner, "business_unit", house.south.uuid()).unwrap(), 0);
    assert_eq!(code(read(&southerner, "business_unit", house.north.uuid())), "not_found");

    house.run(&admin, |tx| tx.delete(hidden, &Patch::default())).unwrap();
    assert!(read(&northerner, "lead", hidden.uuid()).unwrap() > 4, "what it was can still be told");
    assert_eq!(code(read(&southerner, "lead", hidden.uuid())), "not_found");
    assert_eq!(recent(&house, &southerner, &[]).unwrap().len(), 4);
}

#[test]
fn private_views_and_kinds_of_managers_stay_with_those_who_may_see_them() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    let body = json!({"entityType": "lead", "name": "Mine"});
    let view = house.run(&rep, |tx| saved_views::create(tx, patch(body))).unwrap();
    house.run(&rep, |tx| saved_views::update(tx, view.id, patch(json!({"name": "Still mine"})))).unwrap();
    house.run(&house.admin(), |tx| organizations::update(tx, patch(json!({"name": "Home"})))).unwrap();
    let read = |ctx: &Ctx, kind: &str, id: uuid::Uuid| {
        house.run(ctx, |tx| history::of_entity(tx, kind, id, &[])).map(|page| page.items.len())
    };
    assert_eq!(read(&rep, "saved_view", view.id.uuid()).unwrap(), 1);
    assert_eq!(code(read(&manager, "saved_view", view.id.uuid())), "not_found");
    assert_eq!(recent(&house, &manager, &[]).unwrap().len(), 1, "the organization's alone");
    assert_eq!(read(&rep, "organization", house.organization.uuid()).unwrap(), 1);
    assert_eq!(code(read(&rep, "policy", uuid::Uuid::max())), "role_required");
    assert_eq!(read(&manager, "policy", uuid::Uuid::max()).unwrap(), 0);
    assert_eq!(code(read(&manager, "le\0ad", uuid::Uuid::max())), "unknown_entity_type");
}
