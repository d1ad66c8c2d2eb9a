//! Deals over HTTP: moving, closing, reopening.
use serde_json::{Value, json};

use crate::client::Server;

/// The ids of the first pipeline's stages by name.
fn stage(server: &Server, name: &str) -> Value {
    let pipelines = server.admin().get("/api/pipelines").expect(200);
    let stages = pipelines["pipelines"][0]["stages"].as_array().unwrap().clone();
    stages.into_iter().find(|s| s["name"] == name).unwrap()["id"].clone()
}

fn deal(server: &Server) -> String {
    let body = json!({"title": "Acme: 40 seats", "value": 50000.5, "expectedCloseDate": "2027-03-31"});
    let deal = server.rep().post("/api/deals", &body).expect(201)["deal"].clone();
    assert_eq!(deal["value"].to_string(), "50000.5");
    format!("/api/deals/{}", deal["id"].as_str().unwrap())
}

#[test]
fn a_deal_begins_at_the_start_of_the_default_pipeline() {
    let server = Server::start();
    let made = server.rep().get(&deal(&server)).expect(200)["deal"].clone();
    assert_eq!(made["stageId"], stage(&server, "Qualification"));
    assert_eq!((&made["status"], &made["currency"]), (&json!("open"), &json!("USD")));
    assert_eq!(made["ownerId"], json!(server.house.rep.id));
    let bad = json!({"title": "x", "value": -1, "probability": 2, "currency": "XYZ", "expectedCloseDate": "31/12/2026", "stageId": server.house.unit});
    let fields = ["currency", "expectedCloseDate", "probability", "stageId", "value"];
    assert_eq!(server.rep().post("/api/deals", &bad).bad_fields(), fields);
}

#[test]
fn closing_needs_a_review_and_the_right() {
    let server = Server::start();
    let path = deal(&server);
    let won = stage(&server, "Won");
    let review = json!({"primaryReasonCode": "best_price", "notes": "Cheaper and better"});
    let close = json!({"stageId": won, "winLossReview": review});
    assert_eq!(server.rep().patch(&path, &close).refused(403), "role_required");
    let bare = server.manager().patch(&path, &json!({"stageId": won}));
    assert_eq!(bare.refused(422), "win_loss_review_required");
    for (review, field) in [
        (json!({"primaryReasonCode": "competitor"}), "winLossReview.primaryReasonCode"),
        (json!({"primaryReasonCode": "other", "notes": "short"}), "winLossReview.notes"),
        (json!({"primaryReasonCode": "timing", "outcome": "lost"}), "winLossReview.outcome"),
        (json!({"notes": "x"}), "winLossReview.primaryReasonCode"),
    ] {
        let reply = server.manager().patch(&path, &json!({"stageId": won, "winLossReview": review}));
        assert_eq!(reply.bad_fields(), [field]);
    }
    assert_eq!(server.manager().get(&path).expect(200)["deal"]["status"], "open", "nothing is half done");
    let closed = server.manager().patch(&path, &close).expect(200)["deal"].clone();
    assert_eq!(closed["status"], "won");
    assert!(closed["closedAt"].is_string());
    assert_eq!(server.manager().patch(&path, &json!({"stageId": stage(&server, "Lost")})).refused(409), "reopen_first");
    let reopened =
        server.manager().patch(&path, &json!({"stageId": stage(&server, "Proposal")})).expect(200)["deal"].clone();
    assert_eq!((&reopened["status"], &reopened["closedAt"]), (&json!("open"), &Value::Null));
    assert_eq!(reopened["episode"], 2);
    assert_eq!(server.manager().patch(&path, &json!({"winLossReview": review})).bad_fields(), ["winLossReview"]);
}

#[test]
fn reps_move_deals_through_open_stages() {
    let server = Server::start();
    let path = deal(&server);
    let body = json!({"stageId": stage(&server, "Proposal"), "reasonCode": "progressed", "note": "Qualified after discovery call"});
    let moved = server.rep().patch(&path, &body).expect(200)["deal"].clone();
    assert_eq!(moved["stageId"], body["stageId"]);
    assert_eq!(moved["version"], 2);
    assert_eq!(server.rep().patch(&path, &json!({"status": "won"})).refused(400), "read_only_member");
    let other = server.manager().post("/api/pipelines", &json!({"name": "Other"})).expect(201)["pipeline"].clone();
    let mixed = json!({"pipelineId": other["id"], "stageId": stage(&server, "Discovery")});
    assert_eq!(server.rep().patch(&path, &mixed).bad_fields(), ["stageId"]);
    let there = server.rep().patch(&path, &json!({"pipelineId": other["id"]})).expect(200)["deal"].clone();
    assert_eq!(there["stageId"], other["stages"][0]["id"]);
    let back = server.rep().patch(&path, &json!({"stageId": stage(&server, "Discovery")})).expect(200)["deal"].clone();
    assert_ne!(back["pipelineId"], other["id"]);
}
