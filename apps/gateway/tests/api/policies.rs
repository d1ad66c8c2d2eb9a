//! Policies over HTTP, in a house that is governed by them.
use serde_json::{Value, json};

use crate::client::Server;

fn policy() -> Value {
    json!({"name": "Units stay", "role": "SALES_REP", "action": "edit_field", "resource": "lead", "field": "businessUnitId"})
}

#[test]
fn a_policy_is_written_read_changed_and_removed() {
    let server = Server::governed();
    let admin = server.admin();
    let first = admin.get("/api/policies").expect(200);
    assert_eq!(first["policies"].as_array().unwrap().len(), 3);
    let reply = admin.post("/api/policies", &policy());
    let path = reply.header("location").to_owned();
    assert_eq!(reply.header("etag"), "\"v1\"");
    let made = reply.expect(201)["policy"].clone();
    assert_eq!((&made["effect"], &made["builtIn"], &made["condition"]), (&json!("deny"), &json!(false), &Value::Null));
    assert_eq!(admin.get(&path).expect(200)["policy"], made);
    let stale = admin.send("PATCH", &path, &[("if-match", "\"v9\"")], Some(&json!({"isActive": false})));
    assert_eq!(stale.refused(412), "stale_version");
    assert_eq!(admin.patch(&path, &json!({"isActive": false})).expect(200)["policy"]["isActive"], false);
    let bad = json!({"condition": {"any": [{"attr": "scoer", "op": "gt", "value": 1}]}});
    assert_eq!(admin.patch(&path, &bad).bad_fields(), ["condition.any[0].attr"]);
    let everything = json!({"name": "P", "role": "ANY", "action": "manage", "resource": "*", "effect": "deny"});
    assert_eq!(admin.post("/api/policies", &everything).refused(422), "lockout");
    admin.delete(&path).expect(204);
    assert_eq!(admin.get(&path).refused(404), "not_found");
}

#[test]
fn built_in_policies_are_there_to_be_read() {
    let server = Server::governed();
    let admin = server.admin();
    let listed = admin.get("/api/policies?builtIn=true").expect(200);
    let listed = listed["policies"].as_array().unwrap();
    assert!(listed.iter().all(|policy| policy["builtIn"] == true));
    let path = "/api/policies/built-in:SALES_REP:edit:lead";
    let one = admin.get(path).expect(200)["policy"].clone();
    assert!(listed.contains(&one));
    assert_eq!(admin.patch(path, &json!({"isActive": false})).refused(403), "built_in");
    assert_eq!(admin.delete(path).refused(403), "built_in");
    assert_eq!(admin.get("/api/policies?builtIn=perhaps").refused(400), "invalid_value");
    assert_eq!(admin.get("/api/policies?builtIn=true&limit=1").refused(400), "unknown_parameter");
}

#[test]
fn a_refusal_names_its_policy_from_the_next_request_on() {
    let server = Server::governed();
    let lead = server.rep().post("/api/leads", &json!({"lastName": "Lovelace"})).expect(201)["lead"].clone();
    let path = format!("/api/leads/{}", lead["id"].as_str().unwrap());
    let body = json!({"businessUnitId": null});
    server.rep().patch(&path, &body).expect(200);
    server.admin().post("/api/policies", &policy()).expect(201);
    let refused = server.rep().patch(&path, &body).expect(403);
    assert_eq!(refused["code"], "policy_denied");
    assert_eq!(refused["error"], "Policy “Units stay” refuses edit_field on lead.businessUnitId to SALES_REP.");
    server.manager().patch(&path, &body).expect(200);
    assert_eq!(server.rep().get("/api/leads/export").refused(403), "policy_denied");
    assert_eq!(server.manager().get("/api/policies").refused(403), "policy_denied");
}

#[test]
fn the_roles_are_told_apart_as_the_document_says() {
    let server = Server::governed();
    for (path, body) in [("/api/users", json!({})), ("/api/business-units", json!({"name": "x", "slug": "x"}))] {
        for client in [server.manager(), server.rep()] {
            assert_eq!(client.post(path, &body).refused(403), "policy_denied", "{path}");
        }
    }
    assert_eq!(server.rep().post("/api/pipelines", &json!({"name": "x"})).refused(403), "policy_denied");
    server.manager().post("/api/pipelines", &json!({"name": "x"})).expect(201);
    let task = server.rep().post("/api/tasks", &json!({"title": "Call"})).expect(201)["task"].clone();
    server.rep().delete(&format!("/api/tasks/{}", task["id"].as_str().unwrap())).expect(204);
}

#[test]
fn a_simulation_tells_how_it_came_about() {
    let server = Server::governed();
    let question = json!({"role": "SALES_REP", "action": "mark_won_lost", "resource": "deal", "attributes": {}});
    let decision = server.admin().post("/api/policies/simulate", &question).expect(200)["decision"].clone();
    assert_eq!((&decision["allowed"], &decision["effect"]), (&json!(false), &json!("deny")));
    assert_eq!(decision["policyName"], "Only managers and administrators mark deals won or lost");
    assert_eq!(decision["trace"][0]["fired"], true);
    let wrong = json!({"role": "SALES_REP", "action": "win", "resource": "deal", "attributes": {"size": 1}});
    assert_eq!(server.admin().post("/api/policies/simulate", &wrong).bad_fields(), ["action", "attributes.size"]);
    assert_eq!(server.manager().post("/api/policies/simulate", &question).refused(403), "policy_denied");
}
