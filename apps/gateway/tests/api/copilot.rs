//! The daily focus over HTTP.
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{client::Server, forecasting::Past};

fn focus(server: &Server) -> Vec<Value> {
    let body = server.rep().get("/api/copilot/daily-focus").expect(200);
    assert!(body["dailyFocus"]["generatedAt"].is_string());
    body["dailyFocus"]["items"].as_array().unwrap().clone()
}

fn codes(item: &Value) -> Vec<&str> {
    item["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

#[test]
fn what_presses_most_comes_first_and_says_why() {
    let server = Server::start();
    assert_eq!(focus(&server), Vec::<Value>::new());
    let past = Past::of(&server, &server.house.rep);
    let day = |days: i64| (past.now + TimeDelta::days(days)).date_naive();
    let stale = past.deal(20.0, &json!({"title": "Acme", "expectedCloseDate": day(3)}));
    let task = json!({"title": "Send the proposal", "dealId": stale, "dueAt": past.now - TimeDelta::days(3),
        "assigneeId": server.house.rep.id});
    let task = server.rep().post("/api/tasks", &task).expect(201)["task"]["id"].clone();
    let alone = json!({"title": "Tidy up", "dueAt": past.now, "assigneeId": server.house.rep.id});
    let alone = server.rep().post("/api/tasks", &alone).expect(201)["task"]["id"].clone();
    let lead = json!({"firstName": "Grace", "lastName": "Hopper", "score": 90, "ownerId": server.house.rep.id});
    let lead = server.rep().post("/api/leads", &lead).expect(201)["lead"]["id"].clone();
    server.rep().post("/api/leads", &json!({"lastName": "Cold", "score": 10})).expect(201);
    server.admin().patch("/api/organization", &json!({"requireWinLossReview": false})).expect(200);
    let lost = past.deal(1.0, &json!({"title": "Globex"}));
    let closed = json!({"stageId": crate::forecasting::stage(&server, "Lost")});
    server.manager().patch(&format!("/api/deals/{lost}"), &closed).expect(200);

    let items = focus(&server);
    let first = &items[0];
    assert_eq!((&first["kind"], &first["dealId"], &first["title"]), (&json!("deal"), &json!(stale), &json!("Acme")));
    assert_eq!(codes(first), ["task_overdue", "closing_soon", "untouched"]);
    assert_eq!((&first["score"], &first["suggestedAction"]), (&json!(75), &json!("do_task")));
    assert_eq!((&first["reasons"][0]["taskId"], &first["reasons"][0]["points"]), (&task, &json!(40)));
    let rest: Vec<_> = items[1..].iter().map(|item| (item["kind"].as_str().unwrap(), codes(item))).collect();
    assert_eq!(rest, [("lead", vec!["hot_lead"]), ("task", vec!["task_due_today"]), ("deal", vec!["review_missing"])]);
    assert_eq!((&items[1]["leadId"], &items[1]["title"]), (&lead, &json!("Grace Hopper")));
    assert_eq!((&items[2]["taskId"], &items[2]["title"]), (&alone, &json!("Tidy up")));
    assert_eq!((&items[3]["dealId"], &items[3]["suggestedAction"]), (&json!(lost), &json!("write_review")));

    server.rep().post(&format!("/api/deals/{lost}/win-loss"), &json!({"primaryReasonCode": "price"})).expect(201);
    let done = json!({"status": "done"});
    server.rep().patch(&format!("/api/tasks/{}", alone.as_str().unwrap()), &done).expect(200);
    let kinds: Vec<_> = focus(&server).iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["deal", "lead"]);
}

#[test]
fn everybody_has_their_own_and_sees_no_other_units() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let south = past.deal(30.0, &json!({"title": "South", "businessUnitId": server.house.other_unit}));
    let task = json!({"title": "Help out", "dealId": south, "dueAt": past.now, "assigneeId": server.house.rep.id});
    server.manager().post("/api/tasks", &task).expect(201);
    let body = server.manager().get("/api/copilot/daily-focus").expect(200);
    assert_eq!(body["dailyFocus"]["items"][0]["dealId"], json!(south));
    assert_eq!(focus(&server), Vec::<Value>::new(), "a task of another unit is not theirs to see");
    let stranger = server.with(&server.house.stranger.token).get("/api/copilot/daily-focus").expect(200);
    assert_eq!(stranger["dailyFocus"]["items"], json!([]));
    assert_eq!(server.rep().get("/api/copilot/daily-focus?limit=1").refused(400), "unknown_parameter");
}

#[test]
fn what_is_hidden_is_neither_told_nor_ranked_by() {
    let server = Server::governed();
    let lead = json!({"firstName": "Grace", "lastName": "Hopper", "score": 90, "ownerId": server.house.rep.id});
    server.rep().post("/api/leads", &lead).expect(201);
    assert_eq!(focus(&server).iter().map(codes).collect::<Vec<_>>(), [["hot_lead"]]);
    let hide = |field: &str| {
        let policy = json!({"name": format!("Hides {field}"), "role": "SALES_REP", "action": "view_field",
            "resource": "lead", "field": field, "effect": "deny", "isActive": true});
        server.admin().post("/api/policies", &policy).expect(201);
    };
    hide("firstName");
    assert_eq!(focus(&server)[0]["title"], json!("Hopper"));
    hide("score");
    assert_eq!(focus(&server), Vec::<Value>::new(), "a score that is hidden makes no lead hot");
}

#[test]
fn a_policy_on_an_unknown_field_or_on_a_part_of_one_is_a_body_that_does_not_fit() {
    let server = Server::governed();
    let try_on = |resource: &str| {
        let policy = json!({"name": "P", "role": "SALES_REP", "action": "view_field", "resource": resource,
            "effect": "deny"});
        server.admin().post("/api/policies", &policy)
    };
    for (resource, code) in [("deal.nothing", "unknown_field"), ("deal.customFields.*", "field_not_applicable")] {
        assert_eq!(try_on(resource).refused(422), code);
    }
}
