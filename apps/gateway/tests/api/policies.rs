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

#[test]
fn a_change_holds_in_every_process_at_its_next_request() {
    let server = Server::governed();
    let beside = server.beside();
    let (rep, admin) = (beside.with(&server.house.rep.token), beside.with(&server.house.admin.token));
    let lead = rep.post("/api/leads", &json!({"lastName": "Lovelace"})).expect(201)["lead"]["id"].clone();
    let path = format!("/api/leads/{}", lead.as_str().unwrap());
    for turn in 0..3 {
        let made = server.admin().post("/api/policies", &policy()).expect(201)["policy"]["id"].clone();
        assert_eq!(rep.patch(&path, &json!({"businessUnitId": null})).refused(403), "policy_denied", "{turn}");
        admin.delete(&format!("/api/policies/{}", made.as_str().unwrap())).expect(204);
        for client in [rep, server.rep()] {
            client.patch(&path, &json!({"businessUnitId": null})).expect(200);
        }
    }
}

#[test]
fn a_policy_is_read_as_it_stood_and_set_back() {
    let server = Server::governed();
    let admin = server.admin();
    let id = admin.post("/api/policies", &policy()).expect(201)["policy"]["id"].clone();
    let (path, history) = (
        format!("/api/policies/{}", id.as_str().unwrap()),
        format!("/api/field-history/policy/{}", id.as_str().unwrap()),
    );
    let before = admin.get(&path).expect(200)["policy"].clone();
    let condition = json!({"attr": "score", "op": "lt", "value": 10});
    let change = json!({"name": "Other", "role": "ANY", "field": "score", "condition": condition, "isActive": false});
    let after = admin.patch(&path, &change).expect(200)["policy"].clone();
    let rows = admin.get(&history).expect(200)["fieldHistory"].as_array().unwrap().clone();
    let mut names: Vec<_> = rows.iter().map(|row| row["fieldName"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["condition", "field", "isActive", "name", "role"]);
    let at = before["createdAt"].as_str().unwrap();
    let stood = admin.get(&format!("{history}/as-of?at={at}")).expect(200)["policy"].clone();
    for (name, value) in stood.as_object().unwrap() {
        assert_eq!(&before[name], value, "{name}");
    }
    assert_eq!(server.manager().get(&format!("{history}/as-of?at={at}")).refused(403), "policy_denied");
    let revert = format!("/api/field-history/change-sets/{}/revert", rows[0]["changeSetId"].as_str().unwrap());
    let reverted = admin.post(&revert, &json!({})).expect(200)["reversion"].clone();
    assert_eq!(reverted["reverted"], 1, "{reverted}");
    let now = admin.get(&path).expect(200)["policy"].clone();
    assert_eq!((&now["name"], &now["condition"], &now["isActive"]), (&before["name"], &Value::Null, &json!(true)));
    assert_ne!(after["name"], now["name"]);
    let lead = server.rep().post("/api/leads", &json!({"lastName": "L"})).expect(201)["lead"]["id"].clone();
    let lead = format!("/api/leads/{}", lead.as_str().unwrap());
    assert_eq!(server.rep().patch(&lead, &json!({"businessUnitId": null})).refused(403), "policy_denied");
}

#[test]
fn setting_a_policy_back_locks_nobody_out() {
    let server = Server::governed();
    let admin = server.admin();
    let name =
        |role: &str| json!({"name": "P", "role": role, "action": "manage", "resource": "policy", "effect": "deny"});
    let id = admin.post("/api/policies", &name("MANAGER")).expect(201)["policy"]["id"].clone();
    let path = format!("/api/policies/{}", id.as_str().unwrap());
    admin.patch(&path, &json!({"isActive": false, "role": "ANY"})).expect(200);
    let back = admin.patch(&path, &json!({"isActive": true}));
    assert_eq!(back.refused(422), "lockout");
}

#[test]
fn a_draft_tells_what_it_would_have_decided() {
    let server = Server::governed();
    let admin = server.admin();
    let draft = |action: &str, more: &Value| {
        let mut policy = json!({"name": "Draft", "role": "SALES_REP", "action": action, "resource": "lead",
            "effect": "deny", "isDraft": true});
        policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = admin.post("/api/policies", &policy).expect(201)["policy"]["id"].clone();
        format!("/api/policies/{}", id.as_str().unwrap())
    };
    let edit = draft("edit", &json!({"condition": {"attr": "score", "op": "gt", "value": 10}}));
    let phones = draft("view_field", &json!({"field": "phone"}));
    let shadow = |policy: &str| admin.get(&format!("{policy}/shadow")).expect(200)["shadow"].clone();
    assert_eq!((&shadow(&edit)["count"], &shadow(&edit)["examples"]), (&json!(0), &json!([])));
    let lead =
        server.rep().post("/api/leads", &json!({"lastName": "L", "score": 11})).expect(201)["lead"]["id"].clone();
    let path = format!("/api/leads/{}", lead.as_str().unwrap());
    let beside = server.beside();
    for client in [server.rep(), server.rep(), beside.with(&server.house.rep.token)] {
        client.patch(&path, &json!({"lastName": "M"})).expect(200);
        server.manager().patch(&path, &json!({"lastName": "N"})).expect(200);
    }
    let would = shadow(&edit);
    assert_eq!(would["count"], 2, "those of the other process are there once it has kept them: {would}");
    let latest = &would["examples"][0];
    assert_eq!((&latest["role"], &latest["action"]), (&json!("SALES_REP"), &json!("edit")));
    assert_eq!((&latest["resource"], &latest["effect"]), (&json!("lead"), &json!("deny")));
    assert_eq!((&latest["userId"], &latest["at"]), (&json!(server.house.rep.id), &would["lastAt"]));
    server.rep().get("/api/leads").expect(200);
    let hidden = shadow(&phones);
    assert_eq!(
        (&hidden["examples"][0]["resource"], &hidden["examples"][0]["action"]),
        (&json!("lead.phone"), &json!("view_field"))
    );
    assert!(server.rep().get(&path).expect(200)["lead"].get("maskedFields").is_none(), "a draft hides nothing");
    admin.patch(&edit, &json!({"condition": null})).expect(200);
    assert_eq!(shadow(&edit)["count"], 0, "it is another one now");
    admin.patch(&edit, &json!({"isDraft": false})).expect(200);
    assert_eq!(server.rep().patch(&path, &json!({"lastName": "O"})).refused(403), "policy_denied");
    assert_eq!(server.manager().get(&format!("{edit}/shadow")).refused(403), "policy_denied");
}

#[test]
fn a_policy_knows_when_and_a_simulation_answers_for_another_moment() {
    let server = Server::governed();
    let admin = server.admin();
    let closed = json!({"attr": "request.time", "op": "ge", "value": "00:00"});
    let policy = json!({"name": "Never open", "role": "MANAGER", "action": "export_data", "resource": "company",
        "condition": closed});
    let path = admin.post("/api/policies", &policy).header("location").to_owned();
    let export = || server.manager().get("/api/companies/export");
    assert_eq!(export().refused(403), "policy_denied");
    let reopened = json!({"attr": "request.on", "op": "lt", "value": "2020-01-01"});
    admin.patch(&path, &json!({"condition": reopened})).expect(200);
    assert_eq!(export().status, 200);
    admin.patch("/api/organization", &json!({"timezone": "Asia/Tokyo"})).expect(200);
    let question = |at: Option<&str>| {
        let question = json!({"role": "MANAGER", "action": "export_data", "resource": "company", "at": at});
        admin.post("/api/policies/simulate", &question).expect(200)["decision"].clone()
    };
    let then = question(Some("2019-12-31T14:59:59Z"));
    assert_eq!((&then["allowed"], &then["policyName"]), (&json!(false), &json!("Never open")));
    let clock = json!({"at": "2019-12-31T14:59:59Z", "on": "2019-12-31", "time": "23:59", "weekday": "tuesday",
        "timezone": "Asia/Tokyo"});
    assert_eq!(then["clock"], clock);
    assert_eq!(question(Some("2019-12-31T15:00:00Z"))["allowed"], true);
    assert_eq!(question(None)["allowed"], true);
    let soon = json!({"role": "MANAGER", "action": "edit", "resource": "deal", "at": "soon"});
    assert_eq!(admin.post("/api/policies/simulate", &soon).bad_fields(), ["at"]);
    let none = json!({"attr": "ownerId", "op": "eq", "value": "01890000-0000-7000-8000-000000000000"});
    let policy =
        json!({"name": "P", "role": "ANY", "action": "edit", "resource": "deal", "effect": "deny", "condition": none});
    assert_eq!(admin.post("/api/policies", &policy).bad_fields(), ["condition.value"]);
    let off =
        json!({"name": "P", "role": "ANY", "action": "manage", "resource": "*", "effect": "deny", "isActive": false});
    let off = admin.post("/api/policies", &off).header("location").to_owned();
    assert_eq!(admin.patch(&off, &json!({"isActive": true})).bad_fields(), ["isActive"]);
}
