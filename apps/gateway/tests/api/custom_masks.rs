//! One custom field can be hidden, or closed to changes, and the others not.
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    imports::send,
};

const HIDDEN: &str = "No regions";

/// A house in which managers do not see in which region a deal is and may not change its tier; a deal, and its path.
fn house() -> (Server, String) {
    let server = Server::governed();
    let admin = server.admin();
    for (key, kind) in [("region", "text"), ("seats", "number"), ("tier", "text")] {
        let field = json!({"entityType": "deal", "key": key, "label": key, "type": kind});
        admin.post("/api/custom-fields", &field).expect(201);
    }
    let policies = [
        json!({"name": HIDDEN, "role": "MANAGER", "action": "view_field", "resource": "deal.customFields.region"}),
        json!({"name": "Tiers stay", "role": "MANAGER", "action": "edit_field", "resource": "deal",
            "field": "customFields.tier"}),
    ];
    for policy in policies {
        admin.post("/api/policies", &policy).expect(201);
    }
    let deal = json!({"title": "Acme", "customFields": {"region": "north", "seats": 3, "tier": "gold"}});
    let deal = admin.post("/api/deals", &deal).expect(201)["deal"]["id"].clone();
    (server, format!("/api/deals/{}", deal.as_str().unwrap()))
}

#[track_caller]
fn refused(client: Client<'_>, method: &str, path: &str, body: Option<&Value>, policy: &str) {
    let reply = client.send(method, path, &[], body);
    assert_eq!(reply.status, 403, "{method} {path}: {}", reply.body);
    assert!(reply.body["detail"].as_str().unwrap().contains(policy), "{path}: {}", reply.body);
}

#[test]
fn it_is_absent_and_named_and_the_others_are_there() {
    let (server, path) = house();
    let manager = server.manager();
    let hidden = |deal: &Value| {
        assert_eq!(deal["customFields"], json!({"seats": 3, "tier": "gold"}));
        assert_eq!(deal["maskedFields"], json!(["customFields.region"]));
    };
    hidden(&manager.get(&path).expect(200)["deal"]);
    hidden(&manager.get("/api/deals?customFields.seats=3").expect(200)["deals"][0]);
    hidden(&manager.patch(&path, &json!({"title": "Acme Ltd"})).expect(200)["deal"]);
    hidden(&manager.get("/api/deals/export?format=json").expect(200)[0]);
    let history = path.replace("/api/deals", "/api/field-history/deal");
    hidden(&manager.get(&format!("{history}/as-of?at=2100-01-01")).expect(200)["deal"]);
    let head = manager.get("/api/deals/export").expect(200).as_str().unwrap().lines().next().unwrap().to_owned();
    assert!(head.contains("customFields.seats") && !head.contains("region"), "{head}");
    let whole = server.admin().get(&path).expect(200)["deal"].clone();
    assert_eq!((&whole["customFields"]["region"], whole.get("maskedFields")), (&json!("north"), None));
}

#[test]
fn nothing_is_found_out_about_it() {
    let (server, path) = house();
    let (admin, manager) = (server.admin(), server.manager());
    admin.patch(&path, &json!({"customFields": {"region": "south", "seats": 4}})).expect(200);
    let history = path.replace("/api/deals", "/api/field-history/deal");
    let rows = manager.get(&history).expect(200)["fieldHistory"].clone();
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["fieldName"].as_str().unwrap()).collect();
    assert_eq!(names, ["customFields.seats"]);
    assert_eq!(admin.get(&history).expect(200)["fieldHistory"].as_array().unwrap().len(), 2);
    let recent = manager.get("/api/field-history/recent?fieldName=customFields.region").expect(200);
    assert_eq!(recent["fieldHistory"], json!([]));
    for read in ["/api/deals?customFields.region=south", "/api/deals/export?customFields.region=south"] {
        refused(manager, "GET", read, None, HIDDEN);
    }
    refused(manager, "GET", &format!("{history}/customFields.region"), None, HIDDEN);
    let filter = json!({"customFields.region": "south"});
    let view = json!({"entityType": "deal", "name": "South", "filters": filter});
    refused(manager, "POST", "/api/saved-views", Some(&view), HIDDEN);
    let bulk = json!({"filter": filter, "set": {"title": "x"}});
    refused(manager, "POST", "/api/deals/bulk", Some(&bulk), HIDDEN);
    let parts = [("entityType", "deal"), ("mapping", r#"{"T": "title", "R": "customFields.region"}"#)];
    let import = send(manager, "/api/imports", &parts, "T,R\r\nGlobex,north\r\n").expect(403);
    assert!(import["detail"].as_str().unwrap().contains(HIDDEN), "{import}");
    let preview = [("entityType", "deal")];
    let preview = send(manager, "/api/imports/preview", &preview, "title,region\r\nGlobex,north\r\n").expect(200);
    assert!(!preview.to_string().contains("customFields.region"), "{preview}");
}

#[test]
fn it_is_written_by_nobody_who_does_not_see_it_or_may_not_change_it() {
    let (server, path) = house();
    let (admin, manager) = (server.admin(), server.manager());
    for (body, policy) in [
        (json!({"customFields": {"region": "south"}}), HIDDEN),
        (json!({"customFields": {"region": null}}), HIDDEN),
        (json!({"customFields": {"seats": 5, "tier": "iron"}}), "Tiers stay"),
        (json!({"customFields": null}), HIDDEN),
    ] {
        refused(manager, "PATCH", &path, Some(&body), policy);
    }
    let made = json!({"title": "Globex", "customFields": {"tier": "iron"}});
    refused(manager, "POST", "/api/deals", Some(&made), "Tiers stay");
    let ids = json!([path.rsplit('/').next().unwrap()]);
    let set = json!({"ids": ids, "set": {"customFields": {"tier": "iron"}}});
    let bulk = manager.post("/api/deals/bulk", &set).expect(200)["bulk"].clone();
    assert!(bulk["results"][0]["error"]["message"].as_str().unwrap().contains("Tiers stay"), "{bulk}");
    manager.patch(&path, &json!({"customFields": {"seats": 5}})).expect(200);
    admin.patch(&path, &json!({"customFields": {"tier": "iron"}})).expect(200);
    let history = path.replace("/api/deals", "/api/field-history/deal");
    let row = manager.get(&format!("{history}/customFields.tier")).expect(200)["fieldHistory"][0].clone();
    let revert = format!("/api/field-history/change-sets/{}/revert", row["changeSetId"].as_str().unwrap());
    let reverted = manager.post(&revert, &json!({})).expect(200)["reversion"].clone();
    assert_eq!(reverted["failed"], 1, "{reverted}");
    assert!(reverted["results"][0]["error"]["message"].as_str().unwrap().contains("Tiers stay"), "{reverted}");
    let now = admin.get(&path).expect(200)["deal"]["customFields"].clone();
    assert_eq!(now, json!({"region": "north", "seats": 5, "tier": "iron"}));
}

#[test]
fn a_policy_speaks_of_custom_fields_that_there_are() {
    let (server, _) = house();
    let admin = server.admin();
    let policy = |members: Value| {
        let mut policy = json!({"name": "P", "role": "SALES_REP", "action": "view_field", "resource": "deal"});
        policy.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        admin.post("/api/policies", &policy)
    };
    assert_eq!(policy(json!({"field": "customFields.planet"})).bad_fields(), ["field"]);
    assert_eq!(policy(json!({"resource": "deal.customFields.planet"})).bad_fields(), ["resource"]);
    assert_eq!(policy(json!({"resource": "lead.customFields.region"})).bad_fields(), ["resource"]);
    let compared = json!({"field": "value", "condition": {"attr": "customFields.planet", "op": "eq", "value": "x"}});
    assert_eq!(policy(compared).bad_fields(), ["condition.attr"]);
    let simulate = |role: &str, resource: &str| {
        let question = json!({"role": role, "action": "view_field", "resource": resource});
        admin.post("/api/policies/simulate", &question)
    };
    let decision = simulate("MANAGER", "deal.customFields.region").expect(200)["decision"].clone();
    assert_eq!((&decision["allowed"], &decision["policyName"]), (&json!(false), &json!(HIDDEN)));
    for (role, field) in [("MANAGER", "seats"), ("ADMIN", "region")] {
        let decision = simulate(role, &format!("deal.customFields.{field}")).expect(200)["decision"].clone();
        assert_eq!(decision["allowed"], true, "{decision}");
    }
    assert_eq!(simulate("MANAGER", "deal.customFields.planet").bad_fields(), ["resource"]);
    // The whole covers its parts.
    policy(json!({"name": "None of them", "field": "customFields"})).expect(201);
    let decision = simulate("SALES_REP", "deal.customFields.seats").expect(200)["decision"].clone();
    assert_eq!(decision["policyName"], "None of them");
    let listed = server.rep().get("/api/deals").expect(200)["deals"][0].clone();
    assert_eq!((listed.get("customFields"), &listed["maskedFields"]), (None, &json!(["customFields"])));
    refused(server.rep(), "GET", "/api/deals?customFields.seats=3", None, "None of them");
}

#[test]
fn that_one_is_missing_keeps_nobody_from_changing_another() {
    let (server, path) = house();
    let field = json!({"entityType": "deal", "key": "grade", "label": "Grade", "type": "text", "required": true});
    server.admin().post("/api/custom-fields", &field).expect(201);
    server.manager().patch(&path, &json!({"customFields": {"seats": 9}})).expect(200);
    assert_eq!(server.manager().post("/api/deals", &json!({"title": "x"})).bad_fields(), ["customFields.grade"]);
    server.manager().patch(&path, &json!({"customFields": {"grade": "a"}})).expect(200);
    let cleared = server.manager().patch(&path, &json!({"customFields": {"grade": null}}));
    assert_eq!(cleared.bad_fields(), ["customFields.grade"]);
}
