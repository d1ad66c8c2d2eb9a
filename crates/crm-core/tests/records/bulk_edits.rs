use crm_core::{
    Ctx, Result,
    bulk::{BulkOutcome, BulkStatus},
    deals, history, leads, page,
    users::Role,
};
use serde_json::{Value, json};

use crate::house::{House, bad, code, patch};

fn bulk(house: &House, ctx: &Ctx, body: Value) -> Result<BulkOutcome> {
    house.run(ctx, |tx| leads::bulk(tx, patch(body)))
}

fn statuses(outcome: &BulkOutcome) -> Vec<BulkStatus> {
    outcome.results.iter().map(|result| result.status).collect()
}

#[test]
fn each_lead_has_its_own_result_and_one_bad_row_undoes_no_other() {
    use BulkStatus::{Failed, Unchanged, Updated};
    let house = House::new();
    let rep = house.rep();
    let lead = |body| house.lead(&rep, body).id;
    let one = lead(json!({"lastName": "One"}));
    let contacted = lead(json!({"lastName": "Two", "status": "contacted"}));
    let converted = lead(json!({"lastName": "Three"}));
    house.run(&rep, |tx| leads::convert(tx, converted, patch(json!({})))).unwrap();
    let last = lead(json!({"lastName": "Four"}));
    let ids = json!([one, contacted, converted, "nonsense", one.to_string().to_uppercase(), last]);
    let body = json!({"ids": ids, "set": {"status": "contacted"}, "reasonCode": "progressed"});
    let outcome = bulk(&house, &rep, body).unwrap();
    assert_eq!(statuses(&outcome), [Updated, Unchanged, Failed, Failed, Updated]);
    assert_eq!((outcome.updated, outcome.unchanged, outcome.failed, outcome.deleted), (2, 1, 2, 0));
    let codes: Vec<_> = outcome.results.iter().filter_map(|r| r.error.as_ref()).map(|e| e.code.as_str()).collect();
    assert_eq!(codes, ["converted", "not_found"]);
    assert_eq!(house.find(&rep, last).fields.status, "contacted");
    let told = |id: crm_core::Id<leads::Lead>| {
        house.run(&rep, |tx| history::of_field(tx, "lead", id.uuid(), "status", &[])).unwrap().items.remove(0)
    };
    let (first, second) = (told(one), told(last));
    assert_eq!(first.change_set_id, second.change_set_id);
    assert_eq!(first.reason_code.as_deref(), Some("progressed"));
}

#[test]
fn a_filter_finds_the_rows_and_bad_fields_are_told_for_each() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    for i in 0..3 {
        house.lead(&rep, json!({"lastName": format!("Ada {i}"), "source": "fair"}));
    }
    house.lead(&rep, json!({"companyName": "Other"}));
    let outcome = bulk(&house, &rep, json!({"filter": {"source": "fair"}, "set": {"score": 101}})).unwrap();
    assert_eq!(outcome.failed, 3);
    let error = outcome.results[0].error.as_ref().unwrap();
    assert_eq!((error.code.as_str(), error.errors[0].field.as_str()), ("range", "score"));
    let outcome = bulk(&house, &rep, json!({"filter": {"source": "fair"}, "set": {"score": 7, "tags": ["warm"]}}));
    assert_eq!(outcome.unwrap().updated, 3);
    let outcome = bulk(&house, &manager, json!({"filter": {"tags": "warm"}, "delete": true})).unwrap();
    assert_eq!((outcome.deleted, statuses(&outcome)), (3, vec![BulkStatus::Deleted; 3]));
    assert_eq!(house.run(&rep, |tx| page::list::<leads::Lead>(tx, &[])).unwrap().items.len(), 1);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_whole() {
    let house = House::new();
    let rep = house.rep();
    let id = house.lead(&rep, json!({"lastName": "One"})).id;
    let many: Vec<_> = (0..1001).map(|i| i.to_string()).collect();
    let cases: [(Value, &[&str]); 6] = [
        (json!({}), &["ids exactly_one", "set exactly_one"]),
        (json!({"ids": [id], "filter": {"status": "new"}, "set": {"score": 1}}), &["ids exactly_one"]),
        (json!({"ids": [id], "set": {"score": 1}, "delete": true}), &["set exactly_one"]),
        (json!({"ids": many, "set": {"score": 1}}), &["ids length"]),
        (json!({"filter": {}, "set": {"score": 1}}), &["filter required"]),
        (
            json!({"filter": {"stageId": "none", "status": "old"}, "set": {"score": 1}}),
            &["filter.stageId unknown_parameter", "filter.status invalid_value"],
        ),
    ];
    for (body, errors) in cases {
        assert_eq!(bad(bulk(&house, &rep, body.clone())), errors, "{body}");
    }
    assert_eq!(code(bulk(&house, &rep, json!({"ids": [id], "sets": {}}))), "unknown_member");
    assert_eq!(code(bulk(&house, &rep, json!({"ids": [id], "set": {"colour": "red"}}))), "unknown_member");
    assert_eq!(code(bulk(&house, &rep, json!({"ids": [id], "delete": true}))), "role_required", "a rep may not delete");
}

#[test]
fn rows_of_other_units_and_organizations_do_not_exist() {
    let house = House::new();
    let rep = house.rep();
    let hidden = house.lead(&rep, json!({"lastName": "North", "businessUnitId": house.north, "source": "fair"})).id;
    for ctx in [&house.southerner(), &house.stranger()] {
        let outcome = bulk(&house, ctx, json!({"ids": [hidden], "set": {"score": 1}})).unwrap();
        assert_eq!(outcome.results[0].error.as_ref().unwrap().code, "not_found");
        let outcome = bulk(&house, ctx, json!({"filter": {"source": "fair"}, "set": {"score": 1}})).unwrap();
        assert!(outcome.results.is_empty());
    }
    assert_eq!(house.find(&rep, hidden).fields.score, None);
}

#[test]
fn deals_are_closed_with_one_review() {
    let house = House::new();
    let manager = house.person("manager", Role::Manager, None);
    let deal = |title: &str| house.run(&manager, |tx| deals::create(tx, patch(json!({"title": title})))).unwrap();
    let (one, two) = (deal("One"), deal("Two"));
    let stages = house.run(&manager, |tx| crm_core::pipelines::stages_of(tx, &[one.fields.pipeline_id])).unwrap();
    let lost = stages.iter().find(|stage| stage.fields.kind == "lost").unwrap().id;
    let close = |review: Value| {
        let body = json!({"ids": [one.id, two.id], "set": {"stageId": lost, "winLossReview": review}});
        house.run(&manager, |tx| deals::bulk(tx, patch(body))).unwrap()
    };
    let outcome = close(Value::Null);
    assert_eq!(outcome.failed, 2);
    assert_eq!(outcome.results[0].error.as_ref().unwrap().code, "win_loss_review_required");
    assert_eq!(close(json!({"primaryReasonCode": "price"})).updated, 2);
    assert_eq!(house.find(&manager, two.id).fields.status, "lost");
}
