//! Webhooks over HTTP, real receivers on loopback, a real worker, real signatures.
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use crm_core::clock;
use crm_ops::{
    runner::Running,
    webhooks::signature::{Secret, SignatureError},
};
use crm_policy::PolicyGates;
use diesel::RunQueryDsl;
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    client::{Server, equipment},
    receiver::{Receiver, until},
};

pub(crate) fn work(server: &Server) -> Running {
    let runner = worker::runner(server.door.database().clone(), Arc::new(PolicyGates::new()));
    equipment().plugged_into(runner).start().unwrap()
}

fn webhook(server: &Server, receiver: &Receiver, more: Value) -> (String, Secret) {
    let mut body = json!({"url": receiver.url, "events": ["deal.*"]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = server.admin().post("/api/webhooks", &body).expect(201);
    let webhook = &made["webhook"];
    (id(webhook), Secret::parse(webhook["secret"].as_str().unwrap()).unwrap())
}

pub(crate) fn id(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}

fn deal(server: &Server, title: &str) -> String {
    id(&server.admin().post("/api/deals", &json!({"title": title})).expect(201)["deal"])
}

fn rename(server: &Server, deal: &str, title: &str) {
    server.admin().patch(&format!("/api/deals/{deal}"), &json!({"title": title})).expect(200);
}

pub(crate) fn events(server: &Server, query: &str) -> Vec<Value> {
    let list = server.admin().get(&format!("/api/system/webhook-events?{query}")).expect(200);
    list["webhookEvents"].as_array().unwrap().clone()
}

fn run(server: &Server, sql: &str) {
    diesel::sql_query(sql).execute(&mut server.database.connect()).unwrap();
}

/// How many tries of this process have ended so.
fn tries(server: &Server, outcome: &str) -> u64 {
    let text = server.nobody().get("/metrics").expect(200);
    let name = format!("heimdell_webhook_deliveries_total{{outcome=\"{outcome}\"}} ");
    text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[test]
fn what_happens_is_told_in_order_signed_and_listed() {
    let (server, receiver) = (Server::governed(), Receiver::start());
    let delivered = tries(&server, "delivered");
    deal(&server, "Before anybody wanted to know");
    let (webhook, secret) = webhook(&server, &receiver, json!({}));
    let worker = work(&server);
    let deal = deal(&server, "One");
    for title in ["Two", "Three", "Four"] {
        rename(&server, &deal, title);
    }
    server.admin().post("/api/leads", &json!({"lastName": "Not asked for"})).expect(201);
    let seen = receiver.wait_for(4);
    let told: Vec<_> = seen.iter().map(|it| (it.text("type"), it.body["data"]["version"].as_i64().unwrap())).collect();
    assert_eq!(
        told.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(),
        ["deal.created", "deal.updated", "deal.updated", "deal.updated"]
    );
    assert!(told.is_sorted_by_key(|(_, version)| *version), "{told:?}");
    for it in &seen {
        assert_eq!(it.verify(&[&secret]), Ok(()));
        assert_eq!((it.text("id"), it.text("entityType")), (it.header("webhook-id"), "deal".to_owned()));
        assert_eq!(it.body["data"]["id"], json!(deal));
        assert_eq!(it.verify(&[&Secret::from_bytes(&[7; 32]).unwrap()]), Err(SignatureError::InvalidSignature));
    }
    until(|| events(&server, "status=delivered").len() == 4);
    until(|| tries(&server, "delivered") >= delivered + 4);
    let all = events(&server, &format!("webhookId={webhook}&event=deal.updated&direction=out&from=2020-01-01"));
    assert_eq!((all.len(), &all[0]["responseStatus"], &all[0]["attempts"]), (3, &json!(200), &json!(1)));
    assert!(events(&server, "direction=in").is_empty() && events(&server, "to=2020-01-01").is_empty());

    let path = format!("/api/webhooks/{webhook}");
    let renewed = server.admin().post(&format!("{path}/renew-secret"), &json!({})).expect(200);
    let new = Secret::parse(renewed["webhook"]["secret"].as_str().unwrap()).unwrap();
    server.admin().post(&format!("{path}/test"), &json!({})).expect(202);
    let test = receiver.wait_for(5).pop().unwrap();
    assert_eq!(test.text("type"), "webhook.test");
    assert_eq!((test.verify(&[&new]), test.verify(&[&secret])), (Ok(()), Ok(())), "both sign for a day");
    assert!(server.admin().get(&path).expect(200)["webhook"].get("secret").is_none());
    worker.stop();
}

#[test]
fn a_message_waits_for_the_one_before_it_and_for_nobody_else() {
    let (server, receiver) = (Server::governed(), Receiver::start());
    webhook(&server, &receiver, json!({}));
    receiver.answer_next("500 Oops", "");
    let retried = tries(&server, "retried");
    let worker = work(&server);
    let first = deal(&server, "First");
    receiver.wait_for(1);
    rename(&server, &first, "First again");
    let second = deal(&server, "Second");
    let seen = receiver.wait_for(2);
    assert_eq!(seen[1].body["data"]["id"], json!(second));
    until(|| events(&server, "status=pending").len() == 2);
    until(|| tries(&server, "retried") > retried);
    let failed = &events(&server, "status=pending&event=deal.created")[0];
    assert_eq!((&failed["responseStatus"], &failed["responseExcerpt"]), (&json!(500), &json!("seen")));
    assert!(failed["nextAttemptAt"].as_str().unwrap() > failed["createdAt"].as_str().unwrap());

    run(&server, "UPDATE webhook_events SET next_attempt_at = now() WHERE status = 'pending'");
    run(&server, "UPDATE queue_jobs SET run_at = now() WHERE status = 'waiting' AND kind = 'deliver_webhook'");
    let seen = receiver.wait_for(4);
    let kinds: Vec<_> = seen.iter().map(|it| it.text("type")).collect();
    assert_eq!(kinds, ["deal.created", "deal.created", "deal.created", "deal.updated"]);
    assert_eq!(seen[0].header("webhook-id"), seen[2].header("webhook-id"), "another try of the same message");
    worker.stop();
}

#[test]
fn an_endpoint_that_asks_for_patience_is_left_alone() {
    let (server, receiver) = (Server::governed(), Receiver::start());
    let (webhook, _) = webhook(&server, &receiver, json!({}));
    receiver.answer_next("429 Slow down", "retry-after: 900\r\n");
    let worker = work(&server);
    deal(&server, "One");
    receiver.wait_for(1);
    let paused = || server.admin().get(&format!("/api/webhooks/{webhook}")).expect(200)["webhook"].clone();
    until(|| paused()["pausedUntil"].is_string());
    let before = clock::now();
    deal(&server, "Two");
    until(|| events(&server, "status=pending").len() == 2);
    let waits = "SELECT 1 FROM queue_jobs WHERE kind = 'deliver_webhook' AND status = 'waiting' AND run_at > now() + interval '10 min'";
    until(|| diesel::sql_query(waits).execute(&mut server.database.connect()).unwrap() == 2);
    assert_eq!(receiver.seen().len(), 1);
    let until = paused()["pausedUntil"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap();
    assert!(until > before + TimeDelta::minutes(14), "{until}");
    worker.stop();
}

#[test]
fn who_is_gone_or_fails_for_days_is_disabled_and_can_be_told_later() {
    let (server, receiver) = (Server::governed(), Receiver::start());
    let (webhook, _) = webhook(&server, &receiver, json!({}));
    let path = format!("/api/webhooks/{webhook}");
    let read = || server.admin().get(&path).expect(200)["webhook"].clone();
    let alerts = || server.admin().get("/api/system/alerts?source=webhooks").expect(200)["alerts"].clone();
    let worker = work(&server);
    receiver.answer_next("410 Gone", "");
    let missed = deal(&server, "Missed");
    until(|| read()["isActive"] == json!(false));
    assert_eq!(read()["disabledReason"], json!("gone"));
    assert_eq!(
        server.admin().get("/api/system/webhook-events/failed").expect(200)["webhookEvents"][0]["responseStatus"],
        410
    );
    assert_eq!(alerts()[0]["title"], json!("A webhook was disabled"));
    rename(&server, &missed, "Missed too");
    assert_eq!(server.admin().post(&format!("{path}/test"), &json!({})).refused(409), "not_active");

    server.admin().patch(&path, &json!({"isActive": true})).expect(200);
    assert_eq!((read()["disabledReason"].clone(), alerts()[0]["resolvedAt"].is_string()), (Value::Null, true));
    let range = json!({"from": clock::now() - TimeDelta::hours(1), "to": clock::now() + TimeDelta::hours(1)});
    let replayed = server.admin().post(&format!("{path}/replay"), &range).expect(202);
    assert_eq!(replayed["replay"]["count"], 2, "what failed, and what was never sent");
    let seen = receiver.wait_for(3);
    assert_eq!([seen[1].text("type"), seen[2].text("type")], ["deal.created", "deal.updated"]);
    until(|| events(&server, "status=delivered").len() == 2);
    let again = server.admin().post(&format!("{path}/replay"), &range).expect(202);
    assert_eq!(again["replay"]["count"], 0);
    assert_eq!(
        server.admin().post(&format!("{path}/replay"), &json!({"from": range["to"], "to": range["from"]})).bad_fields(),
        ["to"]
    );

    let one = id(&events(&server, "event=deal.updated")[0]);
    server.admin().post(&format!("/api/system/webhook-events/{one}/replay"), &json!({})).expect(202);
    let seen = receiver.wait_for(4);
    assert_eq!(seen[3].header("webhook-id"), seen[2].header("webhook-id"));

    receiver.answer_next("500 Oops", "");
    run(&server, "UPDATE webhooks SET failing_since = now() - interval '6 days'");
    deal(&server, "The last straw");
    until(|| read()["disabledReason"] == json!("failing"));
    worker.stop();
}

#[test]
fn a_message_shows_what_its_role_and_unit_see() {
    let (server, receiver) = (Server::governed(), Receiver::start());
    let hide = json!({"name": "Values are for managers", "role": "SALES_REP", "action": "view_field", "resource": "deal", "field": "value", "effect": "deny"});
    server.admin().post("/api/policies", &hide).expect(201);
    webhook(&server, &receiver, json!({"role": "SALES_REP", "businessUnitId": server.house.unit}));
    let worker = work(&server);
    let make = |title: &str, unit: &str| {
        let body = json!({"title": title, "value": 77777.77, "businessUnitId": unit});
        id(&server.admin().post("/api/deals", &body).expect(201)["deal"])
    };
    make("Elsewhere", &server.house.other_unit.to_string());
    let here = make("Here", &server.house.unit.to_string());
    // A change of what is hidden alone is not told: that it was changed would be.
    server.admin().patch(&format!("/api/deals/{here}"), &json!({"value": 77777.79})).expect(200);
    server.admin().patch(&format!("/api/deals/{here}"), &json!({"value": 77777.78, "title": "Still here"})).expect(200);
    server.admin().delete(&format!("/api/deals/{here}")).expect(204);
    let seen = receiver.wait_for(3);
    assert_eq!(
        seen.iter().map(|it| it.text("type")).collect::<Vec<_>>(),
        ["deal.created", "deal.updated", "deal.deleted"]
    );
    for it in &seen {
        assert_eq!(it.body["data"]["id"], json!(here));
        assert!(!it.raw.contains("77777"), "{}", it.raw);
    }
    assert_eq!(seen[1].body["changedFields"], json!(["title"]));
    assert_eq!(seen[2].body["data"], json!({"id": here}), "what is gone is told by its id");
    worker.stop();
}

#[test]
fn a_bad_webhook_is_refused_field_by_field() {
    let server = Server::governed();
    let make = |body: Value| server.admin().post("/api/webhooks", &body);
    assert_eq!(make(json!({})).bad_fields(), ["events", "url"]);
    assert_eq!(make(json!({"url": "ftp://x.example", "events": ["deal.moved"]})).bad_fields(), ["events", "url"]);
    assert_eq!(
        make(json!({"url": "https://u:p@x.example", "events": ["*"], "role": "BOSS"})).bad_fields(),
        ["role", "url"]
    );
    for client in [server.rep(), server.manager()] {
        client.get("/api/webhooks").refused(403);
        client.get("/api/system/webhook-events").refused(403);
        client.post("/api/webhooks", &json!({"url": "https://x.example", "events": ["*"]})).refused(403);
        client.post("/api/webhooks/sources", &json!({"name": "x"})).refused(403);
    }
    assert_eq!(
        server.admin().get("/api/system/webhook-events/failed?status=pending").refused(400),
        "unknown_parameter"
    );
}
