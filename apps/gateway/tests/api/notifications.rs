//! Who is told of what, and who is not.
use std::sync::Arc;

use crm_core::gate::Roles;
use gateway::worker;
use serde_json::{Value, json};

use crate::client::{Client, Server};

fn made(client: Client<'_>, path: &str, body: &Value) -> String {
    let reply = client.post(path, body).expect(201);
    let (_, record) = reply.as_object().unwrap().iter().next().unwrap();
    record["id"].as_str().unwrap().to_owned()
}

fn told(client: Client<'_>, query: &str) -> Vec<Value> {
    client.get(&format!("/api/notifications{query}")).expect(200)["notifications"].as_array().unwrap().clone()
}

fn unread(client: Client<'_>) -> Value {
    client.get("/api/notifications").expect(200)["unreadCount"].clone()
}

#[test]
fn what_others_assign_to_somebody_they_are_told() {
    let server = Server::start();
    let rep = json!(server.house.rep.id);
    let task = made(server.manager(), "/api/tasks", &json!({"title": "Send the proposal", "assigneeId": rep}));
    let lead = made(server.manager(), "/api/leads", &json!({"firstName": "Ann", "lastName": "Bee", "ownerId": rep}));
    let deal = made(server.manager(), "/api/deals", &json!({"title": "40 seats"}));
    server.manager().patch(&format!("/api/deals/{deal}"), &json!({"ownerId": rep})).expect(200);
    server.manager().patch(&format!("/api/deals/{deal}"), &json!({"title": "50 seats"})).expect(200);
    let told = told(server.rep(), "");
    let seen: Vec<_> =
        told.iter().map(|n| (&n["kind"], &n["title"], &n["body"], &n["entityType"], &n["entityId"])).collect();
    let expected = [
        ("deal_assigned", "A deal was assigned to you", "50 seats", "deal", &deal),
        ("lead_assigned", "A lead was assigned to you", "Ann Bee", "lead", &lead),
        ("task_assigned", "A task was assigned to you", "Send the proposal", "task", &task),
    ]
    .map(|(kind, title, body, entity, id)| (json!(kind), json!(title), json!(body), json!(entity), json!(id)));
    assert_eq!(seen, expected.iter().map(|(a, b, c, d, e)| (a, b, c, d, e)).collect::<Vec<_>>());
    for notification in &told {
        assert_eq!(notification["actor"], json!({"id": server.house.manager.id, "name": "manager"}));
        assert_eq!((&notification["readAt"], &notification["entitiesCount"]), (&Value::Null, &json!(1)));
    }
}

#[test]
fn what_one_does_oneself_is_no_news() {
    let server = Server::start();
    let rep = json!(server.house.rep.id);
    made(server.rep(), "/api/tasks", &json!({"title": "Mine"}));
    let deal = made(server.rep(), "/api/deals", &json!({"title": "Mine", "ownerId": null}));
    server.rep().patch(&format!("/api/deals/{deal}"), &json!({"ownerId": rep})).expect(200);
    let key = server.rep().post("/api/api-keys", &json!({"name": "k", "scopes": ["write"]})).expect(201);
    made(
        server.with(key["apiKey"]["key"].as_str().unwrap()),
        "/api/tasks",
        &json!({"title": "Mine", "assigneeId": rep}),
    );
    assert!(told(server.rep(), "").is_empty());
    assert!(told(server.manager(), "").is_empty());
}

#[test]
fn what_one_request_does_is_told_once() {
    let server = Server::start();
    let leads: Vec<_> =
        (0..3).map(|n| made(server.manager(), "/api/leads", &json!({"lastName": n.to_string()}))).collect();
    let change = json!({"ids": leads, "set": {"ownerId": server.house.rep.id}});
    server.manager().post("/api/leads/bulk", &change).expect(200);
    let told = told(server.rep(), "");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["title"], "3 leads were assigned to you");
    assert_eq!(
        (&told[0]["entitiesCount"], &told[0]["entityId"], &told[0]["body"]),
        (&json!(3), &Value::Null, &Value::Null)
    );
}

#[test]
fn nobody_is_told_of_a_record_that_they_may_not_see() {
    let server = Server::start();
    let (rep, own, other) = (json!(server.house.rep.id), json!(server.house.unit), json!(server.house.other_unit));
    made(server.manager(), "/api/deals", &json!({"title": "Elsewhere", "businessUnitId": other, "ownerId": rep}));
    assert!(told(server.rep(), "").is_empty(), "not in the first place");
    let deal = made(server.manager(), "/api/deals", &json!({"title": "Here", "businessUnitId": own, "ownerId": rep}));
    let task =
        made(server.manager(), "/api/tasks", &json!({"title": "Here", "businessUnitId": own, "assigneeId": rep}));
    let notifications = told(server.rep(), "");
    assert_eq!((notifications.len(), unread(server.rep())), (2, json!(2)));
    server.manager().patch(&format!("/api/deals/{deal}"), &json!({"businessUnitId": other})).expect(200);
    server.manager().delete(&format!("/api/tasks/{task}")).expect(204);
    assert!(told(server.rep(), "").is_empty(), "nor when it has gone");
    assert_eq!(unread(server.rep()), json!(0));
    for notification in notifications {
        let path = format!("/api/notifications/{}/read", notification["id"].as_str().unwrap());
        server.rep().send("POST", &path, &[], None).expect(404);
    }
}

#[test]
fn a_hidden_name_is_not_told() {
    let server = Server::governed();
    let policy =
        json!({"name": "Blind", "role": "SALES_REP", "action": "view_field", "resource": "deal", "field": "title"});
    server.admin().post("/api/policies", &policy).expect(201);
    let deal = json!({"title": "Secret", "ownerId": server.house.rep.id});
    let deal = made(server.manager(), "/api/deals", &deal);
    let told = told(server.rep(), "");
    assert_eq!((&told[0]["body"], &told[0]["entityId"]), (&Value::Null, &json!(deal)));
}

#[test]
fn what_is_read_is_read() {
    let server = Server::start();
    let rep = json!(server.house.rep.id);
    for n in 0..5 {
        made(server.manager(), "/api/tasks", &json!({"title": n.to_string(), "assigneeId": rep}));
    }
    let all = told(server.rep(), "");
    let path = format!("/api/notifications/{}/read", all[2]["id"].as_str().unwrap());
    let first = server.rep().send("POST", &path, &[], None).expect(200);
    let again = server.rep().send("POST", &path, &[], None).expect(200);
    assert!(first["notification"]["readAt"].is_string());
    assert_eq!(first, again);
    assert_eq!((unread(server.rep()), told(server.rep(), "?unread=true").len()), (json!(4), 4));
    assert_eq!(told(server.rep(), "?unread=false"), vec![first["notification"].clone()]);
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let page = server.rep().get(&format!("/api/notifications?limit=2{next}")).expect(200);
        assert_eq!(page["unreadCount"], 4);
        pages.extend(page["notifications"].as_array().unwrap().iter().map(|n| n["id"].clone()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(pages, all.iter().map(|n| n["id"].clone()).collect::<Vec<_>>());
    let read_all = |client: Client<'_>| client.send("POST", "/api/notifications/read-all", &[], None).expect(200);
    assert_eq!(read_all(server.rep()), json!({"readCount": 4}));
    assert_eq!(read_all(server.rep()), json!({"readCount": 0}));
    assert_eq!(unread(server.rep()), json!(0));
}

#[test]
fn notifications_are_ones_own() {
    let server = Server::start();
    made(server.manager(), "/api/tasks", &json!({"title": "For the rep", "assigneeId": server.house.rep.id}));
    let path = format!("/api/notifications/{}/read", told(server.rep(), "")[0]["id"].as_str().unwrap());
    for client in [server.admin(), server.manager(), server.with(&server.house.stranger.token)] {
        assert!(told(client, "").is_empty());
        assert_eq!(client.send("POST", &path, &[], None).refused(404), "not_found");
    }
    for path in ["/api/notifications/x/read", "/api/notifications/01890000-0000-7000-8000-000000000000/read"] {
        server.rep().send("POST", path, &[], None).expect(404);
    }
    server.admin().send("POST", "/api/notifications/read-all", &[], None).expect(200);
    assert_eq!(unread(server.rep()), json!(1));
    assert_eq!(server.nobody().get("/api/notifications").status, 401);
    for query in ["?unread=maybe", "?limit=0", "?sort=kind", "?cursor=x"] {
        assert_eq!(server.rep().get(&format!("/api/notifications{query}")).status, 400, "{query}");
    }
}

#[test]
fn who_imports_hears_of_the_end_and_owners_are_not_flooded() {
    let server = Server::start();
    let worker = worker::start(server.door.database().clone(), Arc::new(Roles)).unwrap();
    let part = |head: &str, text: &str| format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    let body = [
        part("name=\"entityType\"", "lead"),
        part("name=\"mapping\"", "{\"Name\":\"lastName\",\"Owner\":\"owner\"}"),
        part(
            "name=\"file\"; filename=\"leads.csv\"",
            &format!("Name,Owner\r\nAnn,{0}\r\nBob,{0}", server.house.rep.email),
        ),
        "--x--\r\n".to_owned(),
    ];
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let started = server.manager().send_bytes("POST", "/api/imports", &kind, body.concat().into_bytes()).expect(202);
    let told_of_end = loop {
        match told(server.manager(), "").pop() {
            Some(notification) => break notification,
            None => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    };
    worker.stop();
    assert_eq!(
        (&told_of_end["kind"], &told_of_end["title"]),
        (&json!("import_completed"), &json!("Your import is done"))
    );
    assert_eq!((&told_of_end["body"], &told_of_end["entityId"]), (&json!("leads.csv"), &started["import"]["id"]));
    assert_eq!(server.rep().get("/api/leads").expect(200)["leads"].as_array().unwrap().len(), 2);
    assert!(told(server.rep(), "").is_empty());
}

#[test]
fn admins_hear_of_alerts_once_while_they_stand() {
    let server = Server::start();
    let alert = json!({"severity": "error", "title": "The disk is full"});
    let id = server.admin().post("/api/system/alerts", &alert).expect(201)["alert"]["id"].clone();
    assert!(told(server.manager(), "").is_empty() && told(server.rep(), "").is_empty());
    let door = &server.door;
    let organization = door
        .read(&crm_core::testing::with_token(&server.house.admin.token, crm_core::clock::now()), |tx| {
            Ok(tx.ctx.organization)
        });
    let cause = crm_core::alerts::Cause {
        fingerprint: "jobs",
        severity: crm_core::alerts::Severity::Error,
        source: "jobs",
        title: "A job has failed",
        message: "import".into(),
    };
    let organization = organization.unwrap();
    for _ in 0..2 {
        door.system_write(organization, crm_core::clock::now(), |tx| crm_core::alerts::raise(tx, &cause)).unwrap();
    }
    let told = told(server.admin(), "");
    let of_jobs: Vec<_> = told.iter().filter(|n| n["body"] == "A job has failed").collect();
    assert_eq!(of_jobs.len(), 1);
    assert_eq!((&of_jobs[0]["kind"], &of_jobs[0]["entityType"]), (&json!("alert_raised"), &json!("alert")));
    assert!(told.iter().all(|n| n["entityId"] != id), "who reports an alert knows of it");
}

#[test]
fn approvers_hear_of_requests_and_requesters_of_decisions() {
    let server = Server::governed();
    let deal = made(server.rep(), "/api/deals", &json!({"title": "D", "value": 1}));
    let policy = json!({"name": "Ask", "role": "SALES_REP", "action": "edit", "resource": "deal",
        "effect": "require_approval"});
    server.admin().post("/api/policies", &policy).expect(201);
    let asked = server.rep().patch(&format!("/api/deals/{deal}"), &json!({"value": 2})).expect(202);
    let approval = asked["approval"]["id"].clone();
    for client in [server.admin(), server.manager()] {
        let told = told(client, "");
        assert_eq!((told[0]["kind"].as_str(), &told[0]["entityId"]), (Some("approval_requested"), &approval));
    }
    assert!(told(server.rep(), "").is_empty());
    server.manager().post(&format!("/api/approvals/{}/reject", approval.as_str().unwrap()), &json!({})).expect(200);
    let told = told(server.rep(), "");
    assert_eq!((told[0]["kind"].as_str(), &told[0]["entityId"]), (Some("approval_decided"), &approval));
    assert_eq!(told[0]["actor"]["id"], json!(server.house.manager.id));
}
