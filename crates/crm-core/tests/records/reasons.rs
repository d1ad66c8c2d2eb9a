//! Which changes need a reason, on every path.
use crm_core::{
    Ctx, Patch, Result, activities,
    business_units::{self},
    deals::{self, Deal},
    history,
    leads::{self, Lead},
    pipelines,
    reason_codes::{self, ReasonSettings},
    users::Role,
};
use serde_json::{Value, json};

use crate::house::{House, bad, code, patch, query};

fn read(house: &House, ctx: &Ctx) -> Value {
    serde_json::to_value(house.run(ctx, reason_codes::read).unwrap()).unwrap()
}

fn replace(house: &House, ctx: &Ctx, body: Value) -> Result<ReasonSettings> {
    house.run(ctx, |tx| reason_codes::replace(tx, patch(body)))
}

/// The codes as they are, and these rules.
fn rule(house: &House, admin: &Ctx, rules: Value) {
    let mut settings = read(house, admin);
    settings["rules"] = rules;
    replace(house, admin, settings).unwrap();
}

#[test]
fn a_new_organization_has_codes_and_no_rule() {
    let house = House::new();
    let settings = read(&house, &house.rep());
    let codes = |outcome: &str| {
        let all = settings["reasonCodes"].as_array().unwrap().iter();
        all.filter(|code| code["outcome"] == outcome)
            .map(|code| code["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        codes("change"),
        ["progressed", "regressed", "correction", "customer_request", "data_quality", "revert", "other"]
    );
    assert_eq!(codes("won"), ["best_price", "best_fit", "relationship", "timing", "other"]);
    assert_eq!(
        codes("lost"),
        ["price", "competitor", "no_budget", "no_decision", "timing", "missing_feature", "other"]
    );
    assert_eq!(settings["rules"], json!([]));
}

#[test]
fn codes_that_are_in_use_stay_and_the_rest_is_replaced() {
    let house = House::new();
    let (admin, rep) = (house.admin(), house.rep());
    let before = read(&house, &admin);
    replace(&house, &admin, before.clone()).unwrap();
    assert_eq!(read(&house, &admin), before, "what was read can be sent back, and changes nothing");
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let change = |body: Value| house.run(&rep, |tx| leads::update(tx, lead.id, patch(body)));
    change(json!({"score": 1, "reasonCode": "correction"})).unwrap();
    let body = json!({
        "reasonCodes": [
            {"code": "other", "label": "Something else"},
            {"code": "typo", "label": "Typo", "entityType": "lead", "fieldName": "lastName"},
            {"code": "price", "label": "Too dear", "outcome": "lost"},
        ],
        "rules": [],
    });
    replace(&house, &admin, body).unwrap();
    let after = read(&house, &admin);
    let codes: Vec<_> = after["reasonCodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| {
            format!("{} {} {}", code["outcome"].as_str().unwrap(), code["code"].as_str().unwrap(), code["isActive"])
        })
        .collect();
    assert_eq!(codes, ["change other true", "change typo true", "change correction false", "lost price true"]);
    let id = |settings: &Value| {
        let all = settings["reasonCodes"].as_array().unwrap().iter();
        all.clone().find(|code| code["code"] == "price").unwrap()["id"].clone()
    };
    assert_eq!(id(&after), id(&before), "a code that stays keeps its id");
    for (body, refusal) in [
        (json!({"score": 2, "reasonCode": "correction"}), Some("unknown_reason_code")),
        (json!({"score": 2, "reasonCode": "price"}), Some("unknown_reason_code")),
        (json!({"score": 2, "reasonCode": "typo"}), Some("unknown_reason_code")),
        (json!({"lastName": "Byron", "reasonCode": "typo"}), None),
        (json!({"reasonCode": "nonsense"}), Some("unknown_reason_code")),
        (json!({"score": 2, "reasonCode": "other"}), None),
    ] {
        let done = change(body.clone()).map(|_| ());
        assert_eq!(done.err().map(|error| error.code().to_owned()).as_deref(), refusal, "{body}");
    }
    let labels = query(&[("entityType", "reason_code"), ("fieldName", "label")]);
    let told = house.run(&admin, |tx| history::recent(tx, &labels)).unwrap().items;
    assert!(told.iter().any(|change| change.new_value == "Something else"), "changes of codes are told too");
}

#[test]
fn every_bad_entry_is_told_and_nothing_is_half_replaced() {
    let house = House::new();
    let (admin, manager) = (house.admin(), house.person("manager", Role::Manager, None));
    let before = read(&house, &admin);
    let always = json!({"type": "always"});
    let body = json!({
        "reasonCodes": [
            {"code": "Bad Code", "label": ""},
            {"code": "x", "label": "X", "outcome": "draw"},
            {"code": "y", "label": "Y", "entityType": "ship"},
            {"code": "z", "label": "Z", "outcome": "won", "entityType": "lead"},
            {"code": "w", "label": "W"},
            {"code": "w", "label": "W"},
            {"code": "v", "label": "V", "fieldName": "score"},
        ],
        "rules": [
            {"entityType": "deal", "fieldName": "colour", "condition": always},
            {"entityType": "deal", "fieldName": "stageId", "condition": {"type": "sometimes"}},
            {"entityType": "deal", "fieldName": "title", "condition": {"type": "date_pushed_out"}},
            {"entityType": "deal", "fieldName": "title", "condition": {"type": "value_lowered", "byMoreThanPercent": 5}},
            {"entityType": "deal", "fieldName": "value", "condition": {"type": "value_lowered", "byMoreThanPercent": 101}},
            {"entityType": "lead", "fieldName": "status", "condition": {"type": "stage_moved_backwards"}},
            {"condition": always},
            {"entityType": "deal"},
            {"entityType": "lead", "fieldName": "customFields.none", "condition": always},
        ],
    });
    let found = bad(replace(&house, &admin, body));
    for expected in [
        "reasonCodes[0].code invalid_code",
        "reasonCodes[0].label required",
        "reasonCodes[1].outcome not_allowed",
        "reasonCodes[2].entityType not_allowed",
        "reasonCodes[3].entityType not_allowed",
        "reasonCodes[5].entityType duplicate",
        "reasonCodes[6].fieldName not_allowed",
        "rules[0].fieldName not_allowed",
        "rules[1].condition.type not_allowed",
        "rules[2].condition not_allowed",
        "rules[3].condition not_allowed",
        "rules[4].condition not_allowed",
        "rules[5].condition not_allowed",
        "rules[6].entityType required",
        "rules[7].condition required",
        "rules[8].fieldName not_allowed",
    ] {
        assert!(found.iter().any(|error| error == expected), "{expected} is not in {found:#?}");
    }
    assert_eq!(found.len(), 16, "{found:#?}");
    assert_eq!(read(&house, &admin), before);
    assert_eq!(bad(replace(&house, &admin, json!({"rules": 5}))), ["reasonCodes required", "rules invalid_type"]);
    assert_eq!(code(replace(&house, &manager, before.clone())), "role_required");
    assert_eq!(code(replace(&house, &admin, json!({"reasonCodes": [], "rules": [], "x": 1}))), "unknown_member");
}

#[test]
fn a_rule_holds_on_every_path() {
    let house = House::new();
    let (admin, manager) = (house.admin(), house.person("manager", Role::Manager, None));
    let deal = |title: &str| {
        let body =
            json!({"title": title, "value": 100, "expectedCloseDate": "2025-07-01", "businessUnitId": house.north});
        house.run(&manager, |tx| deals::create(tx, patch(body))).unwrap()
    };
    let one = deal("One");
    let stages = house.run(&manager, |tx| pipelines::stages_of(tx, &[one.fields.pipeline_id])).unwrap();
    rule(
        &house,
        &admin,
        json!([
            {"entityType": "deal", "fieldName": "stageId", "condition": {"type": "stage_moved_backwards"}},
            {"entityType": "deal", "fieldName": "expectedCloseDate", "condition": {"type": "date_pushed_out"}},
            {"entityType": "deal", "fieldName": "value", "condition": {"type": "value_lowered", "byMoreThanPercent": 10}},
            {"entityType": "deal", "fieldName": "businessUnitId", "condition": {"type": "always"}},
            {"entityType": "deal", "fieldName": "deletedAt", "condition": {"type": "always"}},
            {"entityType": "lead", "fieldName": null, "condition": {"type": "always"}},
            {"entityType": "task", "fieldName": "title", "condition": {"type": "always"}, "isRequired": false},
        ]),
    );
    let update = |body: Value| house.run(&manager, |tx| deals::update(tx, one.id, patch(body)));
    for (body, is_refused) in [
        (json!({"stageId": stages[2].id}), false),
        (json!({"stageId": stages[0].id}), true),
        (json!({"stageId": stages[0].id, "reasonCode": "regressed"}), false),
        (json!({"expectedCloseDate": "2025-06-30"}), false),
        (json!({"expectedCloseDate": "2025-07-31"}), true),
        (json!({"expectedCloseDate": null}), true),
        (json!({"value": 90}), false),
        (json!({"value": 80}), true),
        (json!({"title": "Uno"}), false),
    ] {
        let done = update(body.clone()).map(|_| ());
        let expected = is_refused.then_some("reason_code_required");
        assert_eq!(done.err().map(|error| error.code().to_owned()).as_deref(), expected, "{body}");
    }
    assert_eq!(
        bad(update(json!({"value": 1, "probability": 2}))),
        ["probability range", "reasonCode reason_code_required"]
    );
    let delete = |body: Value| house.run(&manager, |tx| tx.delete(deal("Two").id, &patch(body)).map(|_| ()));
    assert_eq!(code(delete(json!({}))), "reason_code_required");
    assert_eq!(code(delete(json!({"reasonCode": "best_price"}))), "unknown_reason_code");
    delete(json!({"reasonCode": "data_quality"})).unwrap();
    let body = json!({"ids": [one.id], "set": {"value": 1}});
    let bulk = |body: Value| house.run(&manager, |tx| deals::bulk(tx, patch(body))).unwrap();
    assert_eq!(bulk(body.clone()).results[0].error.as_ref().unwrap().code, "reason_code_required");
    let mut explained = body;
    explained["reasonCode"] = "correction".into();
    assert_eq!(bulk(explained).updated, 1);
    let deactivate = |body: Value| {
        house.run(&admin, |tx| business_units::deactivate(tx, house.north, Some(house.south), patch(body)))
    };
    assert_eq!(code(deactivate(json!({}))), "reason_code_required");
    deactivate(json!({"reasonCode": "other"})).unwrap();
    assert_eq!(house.find::<Deal>(&admin, one.id).fields.business_unit_id, Some(house.south));
    let lead: Lead = house.lead(&manager, json!({"lastName": "Ada"}));
    let convert = |body: Value| house.run(&manager, |tx| leads::convert(tx, lead.id, patch(body))).map(|_| ());
    assert_eq!(code(convert(json!({}))), "reason_code_required");
    let body = json!({"type": "call", "leadId": lead.id});
    house.run(&manager, |tx| activities::create(tx, patch(body))).unwrap();
    convert(json!({"reasonCode": "progressed"})).unwrap();
    let unchanged = house.run(&manager, |tx| deals::update(tx, one.id, Patch::default())).unwrap();
    assert_eq!(unchanged.version, house.find::<Deal>(&manager, one.id).version);
    assert_eq!(
        code(house.run(&manager, |tx| leads::create(tx, patch(json!({"lastName": "B", "reasonCode": "best_fit"}))))),
        "unknown_reason_code"
    );
}
