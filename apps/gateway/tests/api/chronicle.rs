//! The field history over HTTP: proof, the past, reasons, labels and undoing.
use serde_json::{Value, json};

use crate::client::Server;

fn deal(server: &Server, title: &str) -> String {
    let body = json!({"title": title, "value": 100});
    server.rep().post("/api/deals", &body).expect(201)["deal"]["id"].as_str().unwrap().to_owned()
}

fn stage(server: &Server, number: usize) -> Value {
    server.rep().get("/api/pipelines").expect(200)["pipelines"][0]["stages"][number].clone()
}

#[test]
fn the_history_proves_itself() {
    let server = Server::start();
    let id = deal(&server, "D");
    server.rep().patch(&format!("/api/deals/{id}"), &json!({"value": 7.5, "note": "Less"})).expect(200);
    assert_eq!(server.rep().get("/api/field-history/verify").refused(403), "role_required");
    assert_eq!(server.manager().get("/api/field-history/verify?x=1").refused(400), "unknown_parameter");
    let found = server.manager().get("/api/field-history/verify").expect(200)["verification"].clone();
    assert_eq!((&found["ok"], &found["firstBroken"]), (&json!(true), &Value::Null), "{found}");
    let rows = server.rep().get(&format!("/api/field-history/deal/{id}")).expect(200)["fieldHistory"].clone();
    assert_eq!(rows[0]["seq"], found["checked"]);
    let stranger = server.with(&server.house.stranger.token);
    let theirs = stranger.get("/api/field-history/verify").expect(200)["verification"].clone();
    assert_ne!(theirs["head"], found["head"]);
}

#[test]
fn a_record_is_read_as_it_stood() {
    let server = Server::start();
    let id = deal(&server, "Before");
    let path = format!("/api/deals/{id}");
    let before = server.rep().get(&path).expect(200);
    server.rep().patch(&path, &json!({"title": "After", "stageId": stage(&server, 1)["id"]})).expect(200);
    let as_of = format!("/api/field-history/deal/{id}/as-of");
    let at = before["deal"]["createdAt"].as_str().unwrap();
    assert_eq!(server.rep().get(&format!("{as_of}?at={at}")).expect(200), before);
    let now = server.rep().get(&format!("{as_of}?at=2100-01-01")).expect(200);
    assert_eq!(now, server.rep().get(&path).expect(200));
    assert_eq!(server.rep().get(&format!("{as_of}?at=2001-01-01")).refused(404), "not_found");
    assert_eq!(server.rep().get(&as_of).refused(400), "invalid_value");
    server.manager().delete(&path).expect(204);
    assert_eq!(server.rep().get(&format!("{as_of}?at={at}")).expect(200), before, "a deleted one too");
    assert_eq!(server.rep().get(&format!("{as_of}?at=2100-01-01")).refused(404), "not_found");
    let ship = server.rep().get(&format!("/api/field-history/ship/{id}/as-of?at={at}"));
    assert_eq!(ship.refused(404), "unknown_entity_type");
}

#[test]
fn kinds_and_fields_that_there_are_not_are_told() {
    let server = Server::start();
    let id = deal(&server, "D");
    let history = |rest: &str| server.manager().get(&format!("/api/field-history/{rest}"));
    for (rest, status, code, word) in [
        (format!("ship/{id}"), 404, "unknown_entity_type", "business_unit"),
        (format!("ship/{id}/stageId"), 404, "unknown_entity_type", "deal"),
        (format!("deal/{id}/valeu"), 404, "unknown_field", "`valeu`"),
        (format!("deal/{id}/customFields.planet"), 404, "unknown_field", "customFields.planet"),
        ("recent?entityType=ship".into(), 400, "invalid_value", "`entityType`"),
        ("recent?entityType=deal&fieldName=valeu".into(), 400, "invalid_value", "`fieldName`"),
        ("recent?fieldName=valeu".into(), 400, "invalid_value", "`fieldName`"),
    ] {
        let reply = history(&rest);
        assert!(reply.body["detail"].as_str().unwrap().contains(word), "{rest}: {}", reply.body);
        assert_eq!(reply.refused(status), code, "{rest}");
    }
    assert_eq!(server.rep().get(&format!("/api/field-history/ship/{id}")).refused(404), "unknown_entity_type");
    for rest in
        [format!("deal/{id}/value"), format!("deal/{id}/deletedAt"), "recent?fieldName=value&entityType=deal".into()]
    {
        history(&rest).expect(200);
    }
    for kind in ["policy", "api_key", "import"] {
        history(&format!("{kind}/{id}")).expect(200);
    }
}

#[test]
fn references_are_told_by_their_names() {
    let server = Server::start();
    let id = deal(&server, "D");
    let (first, second) = (stage(&server, 0), stage(&server, 1));
    let body = json!({"stageId": second["id"], "reasonCode": "progressed"});
    server.rep().patch(&format!("/api/deals/{id}"), &body).expect(200);
    let rows = server.rep().get(&format!("/api/field-history/deal/{id}/stageId")).expect(200)["fieldHistory"].clone();
    assert_eq!((&rows[0]["oldLabel"], &rows[0]["newLabel"]), (&first["name"], &second["name"]));
}

#[test]
fn a_rule_makes_people_say_why() {
    let server = Server::start();
    let id = deal(&server, "D");
    let settings = server.rep().get("/api/reason-codes").expect(200);
    assert_eq!((settings["reasonCodes"].as_array().unwrap().len(), &settings["rules"]), (19, &json!([])));
    let condition = json!({"type": "value_lowered", "byMoreThanPercent": 10});
    let rules = json!([{"entityType": "deal", "fieldName": "value", "condition": condition}]);
    let body = json!({"reasonCodes": settings["reasonCodes"], "rules": rules});
    assert_eq!(server.manager().put("/api/reason-codes", &body).refused(403), "role_required");
    let stored = server.admin().put("/api/reason-codes", &body).expect(200);
    assert_eq!((&stored["rules"][0]["condition"], &stored["rules"][0]["isRequired"]), (&condition, &json!(true)));
    assert_eq!(stored["reasonCodes"], settings["reasonCodes"]);
    let path = format!("/api/deals/{id}");
    assert_eq!(server.rep().patch(&path, &json!({"value": 50})).refused(422), "reason_code_required");
    let unknown = json!({"value": 50, "reasonCode": "mood"});
    assert_eq!(server.rep().patch(&path, &unknown).refused(422), "unknown_reason_code");
    server.rep().patch(&path, &json!({"value": 50, "reasonCode": "customer_request"})).expect(200);
    let bad = json!({"reasonCodes": [{"code": "A B", "label": "x"}], "rules": [{"entityType": "deal", "condition": {"type": "?"}}]});
    assert_eq!(
        server.admin().put("/api/reason-codes", &bad).bad_fields(),
        ["reasonCodes[0].code", "rules[0].condition.type"]
    );
    assert_eq!(server.admin().put("/api/reason-codes", &json!({})).bad_fields(), ["reasonCodes", "rules"]);
}

#[test]
fn a_change_set_is_undone() {
    let server = Server::start();
    let ids = ["A", "B"].map(|title| deal(&server, title));
    let bulk = json!({"ids": ids, "set": {"value": 1, "tags": ["x"]}});
    server.rep().post("/api/deals/bulk", &bulk).expect(200);
    let history = format!("/api/field-history/deal/{}", ids[0]);
    let set = server.rep().get(&history).expect(200)["fieldHistory"][0]["changeSetId"].as_str().unwrap().to_owned();
    server.rep().patch(&format!("/api/deals/{}", ids[1]), &json!({"value": 2})).expect(200);
    let path = format!("/api/field-history/change-sets/{set}/revert");
    let undone = server.rep().post(&path, &json!({"note": "By mistake"})).expect(200)["reversion"].clone();
    assert_eq!((&undone["reverted"], &undone["conflicts"]), (&json!(1), &json!(1)), "{undone}");
    let deal = |id: &str| server.rep().get(&format!("/api/deals/{id}")).expect(200)["deal"].clone();
    assert_eq!((&deal(&ids[0])["value"], &deal(&ids[0])["tags"]), (&json!(100), &json!([])));
    assert_eq!(deal(&ids[1])["value"], 2);
    assert_eq!(server.rep().get(&history).expect(200)["fieldHistory"][0]["reasonCode"], "revert");
    assert_eq!(server.rep().post(&path, &json!({"value": 1})).refused(400), "unknown_member");
    assert_eq!(server.rep().get(&path).status, 405);
}
