//! Activities, tasks, saved views, conversion, bulk edits, search, exports and the field history over HTTP.
use serde_json::{Value, json};

use crate::client::{Client, Server};

fn made(client: Client<'_>, path: &str, body: &Value) -> Value {
    let reply = client.post(path, body).expect(201);
    reply.as_object().unwrap().values().next().unwrap().clone()
}

fn at(path: &str, thing: &Value) -> String {
    format!("{path}/{}", thing["id"].as_str().unwrap())
}

#[test]
fn what_is_done_about_a_deal_is_its_last_activity() {
    let server = Server::start();
    let deal = made(server.rep(), "/api/deals", &json!({"title": "D"}));
    let call = json!({"type": "call", "subject": "Discovery", "dealId": deal["id"], "durationMinutes": 30});
    let activity = made(server.rep(), "/api/activities", &call);
    assert_eq!(activity["userId"], json!(server.house.rep.id));
    let touched = server.rep().get(&at("/api/deals", &deal)).expect(200)["deal"].clone();
    assert_eq!(touched["lastActivityAt"], activity["occurredAt"]);
    assert_eq!(touched["version"], 1, "doing something about a deal is no edit of it");
    let found =
        server.rep().get(&format!("/api/activities?dealId={}&type=call", deal["id"].as_str().unwrap())).expect(200);
    assert_eq!(found["activities"].as_array().unwrap().len(), 1);
    assert_eq!(
        server.manager().patch(&at("/api/activities", &activity), &json!({"subject": "x"})).refused(403),
        "not_author"
    );
    server.rep().patch(&at("/api/activities", &activity), &json!({"subject": "x"})).expect(200);
    let nowhere = server.rep().post("/api/activities", &json!({"type": "call"}));
    assert_eq!(nowhere.expect(422)["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn a_task_is_done_once_and_says_when() {
    let server = Server::start();
    let task =
        made(server.rep(), "/api/tasks", &json!({"title": "Send the proposal", "dueAt": "2026-12-01T09:00:00+01:00"}));
    assert_eq!((&task["assigneeId"], &task["dueAt"]), (&json!(server.house.rep.id), &json!("2026-12-01T08:00:00Z")));
    let done = server.rep().patch(&at("/api/tasks", &task), &json!({"status": "done"})).expect(200)["task"].clone();
    assert!(done["completedAt"].is_string());
    let overdue = server.rep().get("/api/tasks?assigneeId=me&status=open&dueBefore=2030-01-01&sort=dueAt").expect(200);
    assert_eq!(overdue["tasks"], json!([]));
}

#[test]
fn a_lead_becomes_a_company_a_contact_and_a_deal_once() {
    let server = Server::start();
    let body = json!({"firstName": "Grace", "lastName": "Hopper", "email": "grace@navy.example", "companyName": "Navy", "doNotContact": true});
    let lead = made(server.rep(), "/api/leads", &body);
    let path = format!("{}/convert", at("/api/leads", &lead));
    let first = server.rep().post(&path, &json!({})).expect(200);
    assert_eq!((&first["alreadyConverted"], &first["lead"]["status"]), (&json!(false), &json!("converted")));
    assert_eq!((&first["company"]["name"], &first["contact"]["doNotContact"]), (&json!("Navy"), &json!(true)));
    assert_eq!(first["deal"]["leadId"], lead["id"]);
    let second = server.rep().post(&path, &json!({})).expect(200);
    assert_eq!((&second["alreadyConverted"], &second["deal"]["id"]), (&json!(true), &first["deal"]["id"]));
    assert_eq!(server.rep().patch(&at("/api/leads", &lead), &json!({"lastName": "x"})).refused(409), "converted");
}

#[test]
fn many_are_edited_each_for_itself() {
    let server = Server::start();
    let ids: Vec<_> =
        ["A", "B", "C"].map(|name| made(server.rep(), "/api/leads", &json!({"lastName": name}))["id"].clone()).into();
    let body =
        json!({"ids": [ids[0], ids[1], server.house.unit], "set": {"status": "contacted"}, "reasonCode": "progressed"});
    let bulk = server.rep().post("/api/leads/bulk", &body).expect(200)["bulk"].clone();
    assert_eq!((&bulk["updated"], &bulk["failed"]), (&json!(2), &json!(1)));
    let delete = json!({"filter": {"status": "contacted"}, "delete": true});
    assert_eq!(server.rep().post("/api/leads/bulk", &delete).refused(403), "role_required");
    let bulk = server.manager().post("/api/leads/bulk", &delete).expect(200)["bulk"].clone();
    assert_eq!(bulk["deleted"], 2);
    assert_eq!(server.rep().get("/api/leads").expect(200)["leads"].as_array().unwrap().len(), 1);
}

#[test]
fn the_search_forgives_and_ranks() {
    let server = Server::start();
    made(server.admin(), "/api/companies", &json!({"name": "Müller Maschinenbau", "domain": "mueller.example"}));
    made(server.admin(), "/api/contacts", &json!({"lastName": "Müller", "phone": "+44 20 7946 0958"}));
    made(server.admin(), "/api/deals", &json!({"title": "Mueller renewal"}));
    let found = |q: &str| {
        let body = server.rep().get(&format!("/api/search?q={q}")).expect(200);
        body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("maschinenbua"), ["Müller Maschinenbau"]);
    assert_eq!(found("muller")[0], "Müller");
    assert_eq!(found("020%207946%200958"), ["Müller"]);
    for q in ["x", "%00", "%00%00", "ab%00c", "ab%01c", "ab%1F", "ab%7Fc", "a%C2%85b", "ab%0Acd"] {
        assert_eq!(server.rep().get(&format!("/api/search?q={q}")).refused(400), "invalid_value", "{q}");
    }
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(stranger.get("/api/search?q=muller").expect(200)["results"], json!([]));
}

#[test]
fn an_export_holds_what_the_list_does_and_no_formula() {
    let server = Server::start();
    made(
        server.manager(),
        "/api/custom-fields",
        &json!({"entityType": "company", "key": "tier", "label": "Tier", "type": "number"}),
    );
    let body = json!({"name": "=HYPERLINK(\"http://evil\")", "annualRevenue": 12.5, "tags": ["a", "b"], "customFields": {"tier": 1}});
    made(server.admin(), "/api/companies", &body);
    made(server.admin(), "/api/companies", &json!({"name": "Plain, \"quoted\""}));
    assert_eq!(server.rep().get("/api/companies/export").refused(403), "role_required");
    let reply = server.manager().get("/api/companies/export?sort=createdAt");
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"companies.csv\"");
    let text = reply.expect(200).as_str().unwrap().to_owned();
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').lines().collect();
    assert!(lines[0].contains("customFields.tier"), "{}", lines[0]);
    assert!(
        lines[1].contains("\"'=HYPERLINK(\"\"http://evil\"\")\"")
            && lines[1].contains(",12.5,")
            && lines[1].contains(",a;b,1,"),
        "{}",
        lines[1]
    );
    assert!(lines[2].contains("\"Plain, \"\"quoted\"\"\""), "{}", lines[2]);
    let json = server.manager().get("/api/companies/export?format=json&name[contains]=plain").expect(200);
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(server.manager().get("/api/companies/export?format=xlsx").refused(400), "invalid_value");
    assert_eq!(server.manager().get("/api/companies/export?limit=1").refused(400), "unknown_parameter");
}

#[test]
fn every_change_is_told_with_its_reason() {
    let server = Server::start();
    let deal = made(server.rep(), "/api/deals", &json!({"title": "D", "value": 5}));
    let path = at("/api/deals", &deal);
    let body = json!({"title": "E", "value": 7.5, "reasonCode": "correction", "note": "Typo"});
    server.rep().patch(&path, &body).expect(200);
    let history = format!("/api/field-history/deal/{}", deal["id"].as_str().unwrap());
    let rows = server.rep().get(&history).expect(200)["fieldHistory"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    let value = server.rep().get(&format!("{history}/value")).expect(200)["fieldHistory"][0].clone();
    assert_eq!((&value["oldValue"], &value["newValue"]), (&json!(5), &json!(7.5)));
    assert_eq!((&value["reasonCode"], &value["note"]), (&json!("correction"), &json!("Typo")));
    assert_eq!(value["changedBy"]["id"], json!(server.house.rep.id));
    assert_eq!(server.rep().get("/api/field-history/recent").refused(403), "role_required");
    let recent = server.manager().get("/api/field-history/recent?entityType=deal&reasonCode=correction").expect(200);
    assert_eq!(recent["fieldHistory"].as_array().unwrap().len(), 2);
    server.manager().delete(&path).expect(204);
    let after = server.manager().get(&history).expect(200)["fieldHistory"].clone();
    assert_eq!(after[0]["fieldName"], "deletedAt");
}
