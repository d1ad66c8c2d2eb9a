//! The daily focus over HTTP.
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use crm_core::clock;
use serde_json::{Value, json};

use crate::{client::Server, forecasting::Past};

fn focus(server: &Server) -> Vec<Value> {
    let body = server.rep().get("/api/copilot/daily-focus").expect(200);
    assert!(body["dailyFocus"]["generatedAt"].is_string());
    body["dailyFocus"]["items"].as_array().unwrap().clone()
}

pub(crate) fn codes(item: &Value) -> Vec<&str> {
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

/// Notes an activity of the rep so many days ago.
fn noted(server: &Server, days_ago: i64, members: &Value) -> Value {
    let mut body = members.clone();
    body["occurredAt"] = json!(clock::now() - TimeDelta::days(days_ago));
    server.rep().post("/api/activities", &body).expect(201)["activity"].clone()
}

#[test]
fn a_message_waits_until_somebody_answers_it() {
    let server = Server::governed();
    let past = Past::of(&server, &server.house.rep);
    let contact =
        server.rep().post("/api/contacts", &json!({"lastName": "Byron"})).expect(201)["contact"]["id"].clone();
    let acme = past.deal(12.0, &json!({"title": "Acme"}));
    past.deal(2.0, &json!({"title": "Globex", "contactId": contact}));
    let lead = json!({"lastName": "Lovelace", "ownerId": server.house.rep.id});
    let lead = server.rep().post("/api/leads", &lead).expect(201)["lead"]["id"].clone();
    noted(&server, 40, &json!({"type": "email", "direction": "in", "dealId": acme}));
    noted(&server, 30, &json!({"type": "call", "dealId": acme}));
    assert_eq!(focus(&server), Vec::<Value>::new(), "a call has answered the message before it");
    let first = noted(&server, 10, &json!({"type": "email", "direction": "in", "dealId": acme, "subject": "Price?"}));
    noted(&server, 8, &json!({"type": "email", "direction": "in", "dealId": acme}));
    noted(&server, 7, &json!({"type": "email", "dealId": acme, "subject": "Which way is not known"}));
    noted(&server, 9, &json!({"type": "other", "direction": "in", "contactId": contact}));
    noted(&server, 9, &json!({"type": "email", "direction": "in", "leadId": lead}));
    let items = focus(&server);
    assert_eq!(items.iter().map(codes).collect::<Vec<_>>(), [["inbound_unanswered"]; 3]);
    let titles: Vec<_> = items.iter().map(|item| item["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Acme", "Globex", "Lovelace"]);
    let reason = &items[0]["reasons"][0];
    assert_eq!((&reason["activityId"], &reason["points"]), (&first["id"], &json!(35)));
    assert!(reason["text"].as_str().unwrap().contains("business hours"), "{reason}");
    assert_eq!((&items[0]["suggestedAction"], &reason["taskId"]), (&json!("reply"), &Value::Null));

    noted(&server, 0, &json!({"type": "email", "direction": "out", "dealId": acme}));
    noted(&server, 0, &json!({"type": "meeting", "contactId": contact}));
    assert_eq!(focus(&server)[0]["leadId"], lead);
    server.rep().patch(&format!("/api/leads/{}", lead.as_str().unwrap()), &json!({"doNotContact": true})).expect(200);
    assert_eq!(focus(&server), Vec::<Value>::new());
    noted(&server, 3, &json!({"type": "email", "direction": "in", "dealId": acme}));
    assert_eq!(focus(&server), Vec::<Value>::new(), "answered already");
}

#[test]
fn messages_are_no_reason_for_whoever_does_not_see_which_way_they_went() {
    let server = Server::governed();
    let acme = Past::of(&server, &server.house.rep).deal(12.0, &json!({"title": "Acme"}));
    noted(&server, 10, &json!({"type": "email", "direction": "in", "dealId": acme}));
    assert_eq!(focus(&server).len(), 1);
    let policy = json!({"name": "Hides the direction", "role": "SALES_REP", "action": "view_field",
        "resource": "activity", "field": "direction", "effect": "deny", "isActive": true});
    server.admin().post("/api/policies", &policy).expect(201);
    assert_eq!(focus(&server), Vec::<Value>::new());
}

#[test]
fn a_meeting_today_wants_a_note_before_it() {
    let server = Server::start();
    // Wherever it is not near midnight now, what is a minute away is today.
    let zone = if clock::now().hour() >= 20 { "Asia/Tokyo" } else { "UTC" };
    server.admin().patch("/api/organization", &json!({"timezone": zone})).expect(200);
    let past = Past::of(&server, &server.house.rep);
    let acme = past.deal(2.0, &json!({"title": "Acme"}));
    let lead = json!({"lastName": "Lovelace", "ownerId": server.house.rep.id});
    let lead = server.rep().post("/api/leads", &lead).expect(201)["lead"]["id"].clone();
    let meeting = |members: Value, at: DateTime<Utc>| {
        let mut body = members;
        (body["type"], body["occurredAt"]) = (json!("meeting"), json!(at));
        server.rep().post("/api/activities", &body).expect(201)["activity"]["id"].clone()
    };
    let soon = clock::now() + TimeDelta::minutes(2);
    meeting(json!({"dealId": acme}), soon + TimeDelta::days(2));
    meeting(json!({"dealId": acme}), soon - TimeDelta::minutes(30));
    meeting(json!({"dealId": acme, "body": "Show the second option"}), soon);
    assert_eq!(focus(&server), Vec::<Value>::new(), "another day, over, or with words of its own");
    let bare = meeting(json!({"dealId": acme, "body": "  "}), soon);
    meeting(json!({"leadId": lead}), soon);
    let items = focus(&server);
    assert_eq!(items.iter().map(codes).collect::<Vec<_>>(), [["meeting_unprepared"]; 2]);
    assert_eq!(items[0]["reasons"][0]["activityId"], bare);
    assert_eq!((&items[0]["suggestedAction"], &items[0]["score"]), (&json!("prepare_meeting"), &json!(15)));
    noted(&server, 8, &json!({"type": "note", "dealId": acme}));
    assert_eq!(focus(&server).len(), 2, "a note of the week before last");
    noted(&server, 1, &json!({"type": "note", "dealId": acme}));
    assert_eq!(focus(&server)[0]["leadId"], lead);
}

#[test]
fn a_deal_stands_in_its_stage_no_longer_than_that_allows() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.rep);
    let q = crate::forecasting::stage(&server, "Qualification");
    let pipeline = server.admin().get("/api/pipelines").expect(200)["pipelines"][0]["id"].clone();
    let address = format!("/api/pipelines/{}/stages/{}", pipeline.as_str().unwrap(), q.as_str().unwrap());
    let limit = |days: Value| server.manager().patch(&address, &json!({"maxDaysInStage": days}));
    for days in [json!(0), json!(3651), json!("12")] {
        assert_eq!(limit(days).bad_fields(), ["maxDaysInStage"]);
    }
    assert_eq!(server.rep().patch(&address, &json!({"maxDaysInStage": 12})).status, 403);
    let deals = [11.9, 12.1].map(|days| past.deal(days, &json!({"title": format!("{days}"), "stageId": q})));
    for deal in deals {
        noted(&server, 0, &json!({"type": "call", "dealId": deal}));
    }
    assert_eq!(focus(&server), Vec::<Value>::new());
    assert_eq!(limit(json!(12)).expect(200)["stage"]["maxDaysInStage"], json!(12));
    let history = format!("/api/field-history/stage/{}/maxDaysInStage", q.as_str().unwrap());
    let history = server.manager().get(&history).expect(200)["fieldHistory"][0].clone();
    assert_eq!((&history["oldValue"], &history["newValue"]), (&Value::Null, &json!(12)));
    let items = focus(&server);
    assert_eq!(
        items.iter().map(|item| (&item["dealId"], codes(item))).collect::<Vec<_>>(),
        [(&json!(deals[1]), vec!["overstayed"])]
    );
    assert_eq!(items[0]["reasons"][0]["text"], json!("12 days in its stage; 12 are allowed."));

    let stale = |query: &str| {
        server.rep().get(&format!("/api/forecasting/stale-deals{query}")).expect(200)["staleDeals"].clone()
    };
    assert_eq!(stale(""), json!([]), "they were touched");
    let told = stale("?includeOverstayed=true");
    assert_eq!(told.as_array().unwrap().len(), 1);
    let members = ["id", "daysSinceUpdate", "daysInStage", "maxDaysInStage", "isOverstayed"].map(|name| &told[0][name]);
    assert_eq!(members, [&json!(deals[1]), &json!(0), &json!(12), &json!(12), &json!(true)]);
    let all = stale("?daysInactive=0");
    let overstayed: Vec<_> = all.as_array().unwrap().iter().map(|deal| deal["isOverstayed"].clone()).collect();
    assert!(overstayed.contains(&json!(false)) && overstayed.contains(&json!(true)), "{all}");
}

#[test]
fn nobody_is_told_to_write_to_a_suppressed_address() {
    let server = Server::start();
    let unit = json!(server.house.unit);
    let made = |path: &str, mut body: Value| {
        body.as_object_mut().unwrap().insert("businessUnitId".into(), unit.clone());
        let reply = server.rep().post(path, &body).expect(201);
        reply.as_object().unwrap().values().next().unwrap()["id"].clone()
    };
    let hot =
        json!({"lastName": "Hopper", "score": 90, "email": " Grace@Navy.example", "ownerId": server.house.rep.id});
    let lead = made("/api/leads", hot);
    let contact =
        made("/api/contacts", json!({"lastName": "Lovelace", "email": "ada@engine.example", "phone": "+44 20 1"}));
    let deal = made("/api/deals", json!({"title": "Engine", "contactId": contact, "ownerId": server.house.rep.id}));
    let wrote = json!({"type": "email", "direction": "in", "subject": "Well?", "dealId": deal,
        "occurredAt": clock::now() - TimeDelta::days(20)});
    made("/api/activities", wrote);
    let told = || -> Vec<(Value, Value)> {
        focus(&server)
            .iter()
            .map(|item| (item["reasons"][0]["code"].clone(), item["suggestedAction"].clone()))
            .collect()
    };
    let both = [(json!("inbound_unanswered"), json!("reply")), (json!("hot_lead"), json!("get_in_touch"))];
    assert_eq!(told(), both);

    let suppress = |email: &str, unit: Value| {
        let body = json!({"email": email, "reason": "unsubscribe", "businessUnitId": unit});
        server.admin().post("/api/suppressions", &body).expect(201)["suppression"]["id"].clone()
    };
    suppress("grace@navy.example", json!(server.house.other_unit));
    suppress("ada@engine.example", json!(server.house.other_unit));
    assert_eq!(told(), both, "another unit's suppressions do not bind this one");
    let of_unit = suppress("grace@navy.example", unit.clone());
    suppress("ADA@engine.example", Value::Null);
    assert_eq!(told(), [], "there is no other way to the lead, and no answer can be sent to the contact");

    server.rep().patch(&format!("/api/leads/{}", lead.as_str().unwrap()), &json!({"phone": "+1 555 0100"})).expect(200);
    assert_eq!(told(), [(json!("hot_lead"), json!("call"))]);
    server.admin().delete(&format!("/api/suppressions/{}", of_unit.as_str().unwrap())).expect(204);
    assert_eq!(told(), [(json!("hot_lead"), json!("get_in_touch"))]);
}
