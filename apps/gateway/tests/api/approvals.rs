//! Approvals over HTTP: what waits, what can't, and that it is done as it was asked.
use std::sync::Arc;

use crm_policy::PolicyGates;
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply, Server},
    imports,
};

/// Writes a policy that wants approvals.
pub(crate) fn require(server: &Server, role: &str, action: &str, resource: &str) {
    let policy = json!({"name": format!("Four eyes on {action}"), "role": role, "action": action, "resource": resource,
        "effect": "require_approval"});
    server.admin().post("/api/policies", &policy).expect(201);
}

/// The address of something that the admin makes.
pub(crate) fn made(server: &Server, path: &str, body: &Value) -> String {
    let reply = server.admin().post(path, body);
    let location = reply.header("location").to_owned();
    reply.expect(201);
    location
}

pub(crate) fn deal(server: &Server) -> String {
    made(server, "/api/deals", &json!({"title": "Deal", "value": 1, "businessUnitId": server.house.unit}))
}

pub(crate) fn stage(server: &Server, position: usize) -> Value {
    server.admin().get("/api/pipelines").expect(200)["pipelines"][0]["stages"][position]["id"].clone()
}

pub(crate) fn won(server: &Server) -> Value {
    let pipelines = server.admin().get("/api/pipelines").expect(200);
    let stages = pipelines["pipelines"][0]["stages"].as_array().unwrap().clone();
    stages.iter().find(|stage| stage["kind"] == "won").unwrap()["id"].clone()
}

/// The address of the request that waits.
#[track_caller]
pub(crate) fn waits(reply: Reply) -> String {
    let location = reply.header("location").to_owned();
    let approval = reply.expect(202)["approval"].clone();
    assert_eq!(approval["status"], "pending", "{approval}");
    assert_eq!(location, format!("/api/approvals/{}", approval["id"].as_str().unwrap()));
    location
}

pub(crate) fn approve(client: Client<'_>, approval: &str) -> Reply {
    client.post(&format!("{approval}/approve"), &json!({}))
}

pub(crate) fn status(server: &Server, approval: &str) -> Value {
    server.admin().get(approval).expect(200)["approval"]["status"].clone()
}

/// A house in which representatives need approval to change deals, one deal, and a request of the rep to change its value.
pub(crate) fn asked() -> (Server, String, String) {
    let server = Server::governed();
    require(&server, "SALES_REP", "edit", "deal");
    let deal = deal(&server);
    let approval = waits(server.rep().patch(&deal, &json!({"value": 7, "reasonCode": "correction", "note": "Typo"})));
    (server, deal, approval)
}

#[test]
fn whatever_changes_one_record_waits_and_is_then_done_as_asked() {
    let server = Server::governed();
    for (role, action, resource) in [
        ("SALES_REP", "edit", "company"),
        ("SALES_REP", "create", "lead"),
        ("SALES_REP", "change_stage", "deal"),
        ("SALES_REP", "edit_field", "deal.value"),
        ("MANAGER", "delete", "contact"),
        ("MANAGER", "mark_won_lost", "deal"),
    ] {
        require(&server, role, action, resource);
    }
    let review = json!({"outcome": "won", "primaryReasonCode": "best_price"});
    let closing = json!({"stageId": won(&server), "winLossReview": review});
    let deals: Vec<_> = (0..4).map(|_| deal(&server)).collect();
    let win_loss = format!("{}/win-loss", deals[3]);
    let company = made(&server, "/api/companies", &json!({"name": "Acme"}));
    let contact = made(&server, "/api/contacts", &json!({"lastName": "Lovelace"}));
    let (rep, manager) = (server.rep(), server.manager());
    for (client, method, path, read, body, action) in [
        (rep, "PATCH", &company, &company, Some(json!({"name": "Globex"})), "edit"),
        (rep, "POST", &"/api/leads".into(), &"/api/leads".into(), Some(json!({"lastName": "Byron"})), "create"),
        (rep, "PATCH", &deals[0], &deals[0], Some(json!({"stageId": stage(&server, 1)})), "change_stage"),
        (rep, "PATCH", &deals[1], &deals[1], Some(json!({"value": 2, "title": "Larger"})), "edit"),
        (manager, "DELETE", &contact, &contact, None, "delete"),
        (manager, "PATCH", &deals[2], &deals[2], Some(closing), "mark_won_lost"),
        (manager, "POST", &win_loss, &deals[3], Some(review), "mark_won_lost"),
    ] {
        let before = server.admin().get(read).expect(200);
        let approval = waits(client.send(method, path, &[], body.as_ref()));
        assert_eq!(server.admin().get(read).expect(200), before, "{method} {path} is done already");
        let asked = client.get(&approval).expect(200)["approval"].clone();
        assert_eq!(asked["action"], action, "{asked}");
        assert!(asked["reason"].as_str().unwrap().starts_with("Policy “Four eyes on "), "{asked}");
        let changes = asked["changes"].as_array().unwrap();
        let unset = if method == "DELETE" { "newValue" } else { "oldValue" };
        assert!(!changes.is_empty(), "{asked}");
        let is_whole = matches!(method, "DELETE") || (method, path.as_str()) == ("POST", "/api/leads");
        assert!(!is_whole || changes.iter().all(|change| change[unset].is_null()), "{asked}");
        assert_eq!(
            waits(client.send(method, path, &[], body.as_ref())),
            approval,
            "asked again, it is the same request"
        );
        let done = approve(server.admin(), &approval).expect(200)["approval"].clone();
        assert_eq!((&done["status"], &done["decidedBy"]), (&json!("executed"), &json!(server.house.admin.id)));
        let after = server.admin().get(read);
        assert_eq!(after.status, if method == "DELETE" { 404 } else { 200 });
        assert_ne!(after.body, before, "{method} {path}");
        assert_eq!(approve(server.admin(), &approval).refused(409), "already_decided");
    }
    let closed = |path: &str| server.admin().get(path).expect(200)["deal"]["status"].clone();
    assert_eq!((closed(&deals[2]), closed(&deals[3])), (json!("won"), json!("won")));
    assert_eq!(server.admin().get(&win_loss).expect(200)["winLossReview"]["createdBy"], json!(server.house.manager.id));
}

#[test]
fn the_history_names_who_asked_and_who_approved() {
    let (server, deal, approval) = asked();
    approve(server.manager(), &approval).expect(200);
    let history = deal.replace("/api/deals", "/api/field-history/deal");
    let row = server.admin().get(&history).expect(200)["fieldHistory"][0].clone();
    assert_eq!((&row["fieldName"], &row["newValue"]), (&json!("value"), &json!(7)));
    assert_eq!((&row["reasonCode"], &row["note"]), (&json!("correction"), &json!("Typo")));
    assert_eq!(row["changedBy"], json!({"id": server.house.rep.id, "name": "rep"}));
    assert_eq!(row["approvedBy"], json!({"id": server.house.manager.id, "name": "manager"}));
    let history = approval.replace("/api/approvals", "/api/field-history/approval");
    let rows = server.manager().get(&history).expect(200)["fieldHistory"].clone();
    let status = rows.as_array().unwrap().iter().find(|row| row["fieldName"] == "status").unwrap().clone();
    assert_eq!((&status["oldValue"], &status["newValue"]), (&json!("pending"), &json!("executed")));
    assert_eq!(server.rep().get(&history).refused(403), "policy_denied");
}

#[test]
fn what_cannot_wait_is_refused_and_not_done() {
    let server = Server::governed();
    let company = made(&server, "/api/companies", &json!({"name": "Acme"}));
    let id = company.rsplit('/').next().unwrap().to_owned();
    server.rep().patch(&company, &json!({"name": "Globex"})).expect(200);
    let history = company.replace("/api/companies", "/api/field-history/company");
    let change_set = server.admin().get(&history).expect(200)["fieldHistory"][0]["changeSetId"].clone();
    for (action, resource) in [("edit", "company"), ("create", "company"), ("create", "stage")] {
        require(&server, "ANY", action, resource);
    }
    let rep = server.rep();
    let revert = format!("/api/field-history/change-sets/{}/revert", change_set.as_str().unwrap());
    let undone = rep.post(&revert, &json!({"note": "Mistaken"}));
    let approval = undone.header("location").to_owned();
    let reverted = undone.expect(202)["reversion"].clone();
    assert_eq!((&reverted["waiting"], &reverted["results"][0]["status"]), (&json!(1), &json!("waiting")), "{reverted}");
    assert_eq!(approval, format!("/api/approvals/{}", reverted["results"][0]["approvalId"].as_str().unwrap()));
    approve(server.admin(), &approval).expect(200);
    let row = server.admin().get(&history).expect(200)["fieldHistory"][0].clone();
    assert_eq!(
        (&row["newValue"], &row["reasonCode"], &row["note"]),
        (&json!("Acme"), &json!("revert"), &json!("Mistaken"))
    );
    let pipelines = server.admin().get("/api/pipelines").expect(200);
    // Its stages would need the approval, and a body that makes a pipeline is about no stage.
    assert_eq!(server.manager().post("/api/pipelines", &json!({"name": "x"})).refused(403), "approval_required");
    assert_eq!(server.admin().get("/api/pipelines").expect(200), pipelines);
    let deals = deal(&server);
    require(&server, "ANY", "edit", "deal");
    let ids = json!([deals.rsplit('/').next().unwrap()]);
    assert_eq!(server.admin().get("/api/approvals?status=pending&count=true").expect(200)["total"], 0);
    let edit = json!({"ids": ids, "set": {"title": "x"}, "note": "Renamed"});
    let bulk = || server.manager().post("/api/deals/bulk", &edit).expect(200)["bulk"].clone();
    let first = bulk();
    assert_eq!((&first["waiting"], &first["failed"], &first["updated"]), (&json!(1), &json!(0), &json!(0)), "{first}");
    assert_eq!(first["results"][0]["status"], "waiting");
    assert_eq!(bulk(), first, "asked for again, it is the same request");
    assert_eq!(server.admin().get(&deals).expect(200)["deal"]["title"], "Deal");
    let approval = format!("/api/approvals/{}", first["results"][0]["approvalId"].as_str().unwrap());
    server.manager().post(&format!("{approval}/approve"), &json!({})).refused(403);
    server.admin().post(&format!("{approval}/approve"), &json!({})).expect(200);
    assert_eq!(server.admin().get(&deals).expect(200)["deal"]["title"], "x");
    let told = server.admin().get(&deals.replace("/api/deals", "/api/field-history/deal")).expect(200);
    assert_eq!(told["fieldHistory"][0]["note"], "Renamed");
    assert_eq!(server.admin().get(&format!("/api/companies/{id}")).expect(200)["company"]["name"], "Acme");
}

#[test]
fn rows_of_an_import_that_need_an_approval_wait_one_by_one() {
    let server = Server::governed();
    let worker = worker::start(server.door.database().clone(), Arc::new(PolicyGates::new())).unwrap();
    let condition = json!({"attr": "country", "op": "eq", "value": "DE"});
    let policy = json!({"name": "Germany", "role": "ANY", "action": "create", "resource": "company",
        "effect": "require_approval", "condition": condition});
    server.admin().post("/api/policies", &policy).expect(201);
    let mapping = json!({"Name": "name", "Land": "country"}).to_string();
    let parts = [("entityType", "company"), ("mapping", mapping.as_str())];
    let germans: String = (0..103).map(|number| format!("German {number},DE\r\n")).collect();
    let file = format!("Name,Land\r\nAcme,GB\r\n{germans}");
    let file = file.as_str();
    let manager = server.manager();
    let import = imports::ended(manager, imports::send(manager, "/api/imports", &parts, file));
    let counted = |import: &Value| ["created", "waiting", "failed"].map(|name| import[name].as_i64().unwrap());
    assert_eq!(counted(&import), [1, 100, 3], "{import}");
    let path = format!("/api/imports/{}", import["id"].as_str().unwrap());
    let errors = manager.get(&format!("{path}/errors")).expect(200);
    let errors = errors.as_str().unwrap();
    assert!(errors.contains("German 102,DE") && errors.contains("approval_required") && errors.contains("Germany"));
    assert_eq!(errors.lines().count(), 4, "{errors}");
    assert!(manager.get(&format!("{path}/warnings")).expect(200).as_str().unwrap().contains("waits_for_approval"));
    let count = |path: &str| server.admin().get(&format!("{path}count=true")).expect(200)["total"].clone();
    assert_eq!((count("/api/companies?"), count("/api/approvals?status=pending&")), (json!(1), json!(100)));
    let again = imports::ended(manager, imports::send(manager, "/api/imports", &parts, file));
    assert_eq!(again["waiting"], 100, "{again}");
    assert_eq!(count("/api/approvals?status=pending&"), 100, "the same rows of the same person wait once");
    let waiting = server.admin().get("/api/approvals?status=pending&limit=2").expect(200)["approvals"].clone();
    let address = |place: usize| format!("/api/approvals/{}", waiting[place]["id"].as_str().unwrap());
    approve(server.admin(), &address(0)).expect(200);
    server.admin().post(&format!("{}/reject", address(1)), &json!({})).expect(200);
    let now = || manager.get(&path).expect(200)["import"].clone();
    assert_eq!(counted(&now()), [2, 98, 4], "{}", now());
    assert!(manager.get(&format!("{path}/errors")).expect(200).as_str().unwrap().contains("approval_rejected"));
    server.admin().post(&format!("{path}/revert"), &json!({})).expect(202);
    for _ in 0..100 {
        if now()["status"] == "reverted" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!((count("/api/companies?"), count("/api/approvals?status=pending&")), (json!(0), json!(0)));
    assert_eq!(counted(&now()), [2, 0, 102], "{}", now());
    worker.stop();
}

#[test]
fn what_is_asked_at_once_takes_no_approval() {
    let server = Server::governed();
    for action in ["view", "export_data", "manage", "send_email"] {
        let policy = json!({"name": "P", "role": "SALES_REP", "action": action, "resource": "deal",
            "effect": "require_approval"});
        assert_eq!(server.admin().post("/api/policies", &policy).refused(422), "invalid_effect", "{action}");
    }
}

#[test]
fn a_key_asks_in_its_makers_name_and_no_longer_than_it_lives() {
    let (server, deal, _) = asked();
    let key =
        server.rep().post("/api/api-keys", &json!({"name": "k", "scopes": ["write"]})).expect(201)["apiKey"].clone();
    let program = server.with(key["key"].as_str().unwrap());
    let [first, second] = [8, 9].map(|value| waits(program.patch(&deal, &json!({"value": value}))));
    assert_eq!(server.rep().get(&first).expect(200)["approval"]["apiKeyId"], key["id"]);
    approve(server.manager(), &first).expect(200);
    let history = deal.replace("/api/deals", "/api/field-history/deal");
    let row = server.admin().get(&history).expect(200)["fieldHistory"][0].clone();
    assert_eq!((&row["actor"], &row["newValue"]), (&json!("api_key"), &json!(8)));
    let third = waits(program.patch(&deal, &json!({"title": "Program's"})));
    server.rep().delete(&format!("/api/api-keys/{}", key["id"].as_str().unwrap())).expect(204);
    assert_eq!(approve(server.manager(), &third).refused(409), "cancelled");
    assert_eq!(status(&server, &third), "cancelled");
    assert_eq!(approve(server.manager(), &second).refused(409), "stale", "the first has changed the value");
}
