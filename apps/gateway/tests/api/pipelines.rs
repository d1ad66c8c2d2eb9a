//! Pipelines and stages over HTTP.
use serde_json::{Value, json};

use crate::client::Server;

fn stage_names(pipeline: &Value) -> Vec<&str> {
    pipeline["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect()
}

#[test]
fn a_new_organization_has_a_pipeline_to_work_with() {
    let server = Server::start();
    let pipelines = server.rep().get("/api/pipelines").expect(200)["pipelines"].clone();
    assert_eq!(pipelines[0]["isDefault"], true);
    assert_eq!(stage_names(&pipelines[0]), ["Qualification", "Discovery", "Proposal", "Negotiation", "Won", "Lost"]);
    assert_eq!(pipelines[0]["stages"][4]["probability"], 1);
}

#[test]
fn stages_are_added_moved_and_removed() {
    let server = Server::start();
    let manager = server.manager();
    let made = manager.post("/api/pipelines", &json!({"name": "Renewals"})).expect(201)["pipeline"].clone();
    let path = format!("/api/pipelines/{}", made["id"].as_str().unwrap());
    assert_eq!(stage_names(&made), ["Open", "Won", "Lost"]);
    let stages = format!("{path}/stages");
    manager.post(&stages, &json!({"name": "Legal", "probability": 0.8})).expect(201);
    let now = manager.get(&path).expect(200)["pipeline"].clone();
    assert_eq!(stage_names(&now), ["Open", "Legal", "Won", "Lost"]);
    let ids: Vec<_> = now["stages"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect();
    let order = json!({"stageIds": [ids[1], ids[0], ids[2], ids[3]]});
    assert_eq!(now["version"], 2, "a pipeline's version moves with its stages");
    let ordered = manager.put(&format!("{stages}/order"), &order).expect(200)["pipeline"].clone();
    assert_eq!(stage_names(&ordered), ["Legal", "Open", "Won", "Lost"]);
    assert_eq!(manager.put(&format!("{stages}/order"), &json!({"stageIds": [ids[1], ids[1]]})).bad_fields().len(), 4);
    let won = format!("{stages}/{}", ids[2].as_str().unwrap());
    assert_eq!(manager.delete(&won).bad_fields(), ["stages"], "a pipeline in which nothing can be won");
    manager.delete(&format!("{stages}/{}", ids[1].as_str().unwrap())).expect(204);
    let left = manager.get(&path).expect(200)["pipeline"].clone();
    assert_eq!(left["stages"][0]["position"], 1);
    let bad = json!({"name": "Won", "probability": 1.5, "kind": "maybe"});
    assert_eq!(manager.post(&stages, &bad).bad_fields(), ["kind", "probability"]);
    assert_eq!(manager.post(&stages, &json!({"name": "won"})).refused(409), "already_exists");
    assert_eq!(server.rep().post(&stages, &json!({"name": "x"})).refused(403), "role_required");
}

#[test]
fn what_deals_stand_in_cannot_be_deleted() {
    let server = Server::start();
    let deal = server.rep().post("/api/deals", &json!({"title": "D"})).expect(201)["deal"].clone();
    let pipeline = format!("/api/pipelines/{}", deal["pipelineId"].as_str().unwrap());
    let stage = format!("{pipeline}/stages/{}", deal["stageId"].as_str().unwrap());
    for path in [&stage, &pipeline] {
        assert_eq!(server.manager().delete(path).refused(409), "in_use");
    }
    assert_eq!(server.manager().patch(&stage, &json!({"kind": "won"})).refused(409), "in_use");
    assert_eq!(server.manager().patch(&pipeline, &json!({"isDefault": false})).bad_fields(), ["isDefault"]);
    let made = server.manager().post("/api/pipelines", &json!({"name": "New", "isDefault": true})).expect(201);
    assert_eq!(server.rep().get(&pipeline).expect(200)["pipeline"]["isDefault"], false);
    server.manager().delete(&format!("/api/pipelines/{}", made["pipeline"]["id"].as_str().unwrap())).refused(409);
}
