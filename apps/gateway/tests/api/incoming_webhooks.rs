//! Webhooks from outside over HTTP: verified, stored once, and processed by a real worker.
use std::thread;

use chrono::{TimeDelta, Utc};
use crm_core::clock;
use crm_ops::webhooks::signature::{self, Message, Secret};
use serde_json::{Value, json};

use crate::{
    client::{Reply, Server},
    receiver::until,
    webhooks::{events, id, work},
};

/// A source and what signs in its name.
struct Source<'s> {
    server: &'s Server,
    path: String,
    secret: Secret,
}

impl<'s> Source<'s> {
    fn make(server: &'s Server) -> (Self, String) {
        let made = server.admin().post("/api/webhooks/sources", &json!({"name": "Mail"})).expect(201);
        let source = &made["webhookSource"];
        let secret = Secret::parse(source["secret"].as_str().unwrap()).unwrap();
        let path = source["path"].as_str().unwrap().to_owned();
        assert!(path.starts_with("/api/webhooks/in/"));
        (Self { server, path, secret }, id(source))
    }

    fn send(&self, id: &str, body: &Value) -> Reply {
        self.send_at(id, body.to_string().into_bytes(), 0)
    }

    fn send_at(&self, id: &str, body: Vec<u8>, ago: i64) -> Reply {
        let sent_at = clock::now() - TimeDelta::seconds(ago);
        let message = Message { id, sent_at, body: &body };
        let signature = signature::sign(std::slice::from_ref(&self.secret), &message).unwrap();
        self.send_signed(id, sent_at.timestamp(), &signature, body)
    }

    fn send_signed(&self, id: &str, timestamp: i64, signature: &str, body: Vec<u8>) -> Reply {
        let timestamp = timestamp.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", signature)];
        self.server.nobody().send_bytes("POST", &self.path, &headers, body)
    }
}

fn mail_event(kind: &str, email: &str) -> Value {
    json!({"type": kind, "timestamp": "2025-12-16T10:00:00Z", "data": {"email": email, "reason": "Mailbox is full"}})
}

#[test]
fn a_message_from_outside_is_verified_and_has_one_effect() {
    let server = Server::governed();
    let (source, source_id) = Source::make(&server);
    let lead = id(&server
        .admin()
        .post("/api/leads", &json!({"lastName": "Ann", "email": "ann_1@x.example"}))
        .expect(201)["lead"]);
    server.admin().post("/api/leads", &json!({"lastName": "Bob", "email": "annX1@x.example"})).expect(201);
    let worker = work(&server);
    let complaint = mail_event("email.complained", "Ann_1@x.example");
    let mut statuses = thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| source.send("evt_1", &complaint).status));
        both.map(|one| one.join().unwrap())
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202], "one is stored, one is known");
    until(|| events(&server, "direction=in&status=processed").len() == 1);
    source.send("evt_1", &complaint).expect(200);
    assert_eq!(source.send("evt_1", &mail_event("email.bounced", "ann_1@x.example")).refused(409), "other_body");

    let activities = server.admin().get("/api/activities").expect(200)["activities"].clone();
    assert_eq!(activities.as_array().unwrap().len(), 1, "{activities}");
    assert_eq!((&activities[0]["leadId"], &activities[0]["body"]), (&json!(lead), &json!("Mailbox is full")));
    assert_eq!(server.admin().get(&format!("/api/leads/{lead}")).expect(200)["lead"]["doNotContact"], true);
    let history = server.admin().get(&format!("/api/field-history/lead/{lead}/doNotContact")).expect(200);
    let rows = history["fieldHistory"].as_array().unwrap();
    assert_eq!(
        (rows.len(), &rows[0]["reasonCode"], &rows[0]["actor"]),
        (1, &json!("customer_request"), &json!("system"))
    );

    source.send("evt_2", &json!({"type": "invoice.paid", "data": {}})).expect(202);
    source.send("evt_3", &mail_event("email.delivered", "nobody@x.example")).expect(202);
    until(|| events(&server, &format!("sourceId={source_id}&status=ignored")).len() == 2);
    let stored = id(&events(&server, "status=processed")[0]);
    server.admin().post(&format!("/api/system/webhook-events/{stored}/replay"), &json!({})).expect(202);
    // Whoever replays what was processed wants its effect once more.
    let noted = || server.admin().get("/api/activities").expect(200)["activities"].as_array().unwrap().len();
    until(|| noted() == 2);
    worker.stop();
}

#[test]
fn a_message_that_is_not_the_sources_is_refused() {
    let server = Server::governed();
    let (source, source_id) = Source::make(&server);
    let body = mail_event("email.bounced", "ann@x.example");
    let bytes = || body.to_string().into_bytes();
    let now = clock::now().timestamp();
    let refused = [
        source.send_signed("evt", now, "v1,AAAA", bytes()),
        source.send_signed("evt", now, "v2,AAAA", bytes()),
        source.send_at("evt", bytes(), 301),
        source.send_at("evt", bytes(), -330),
    ];
    for reply in refused {
        assert_eq!(reply.refused(401), "invalid_signature");
    }
    let unsigned = |headers: &[(&str, &str)]| {
        let reply = server.nobody().send_bytes("POST", &source.path, headers, bytes());
        let words = reply.body["detail"].as_str().unwrap().to_owned();
        assert_eq!(reply.refused(401), "missing_signature");
        words
    };
    let all = "there is no header `webhook-id`, `webhook-timestamp`, `webhook-signature`.";
    assert!(unsigned(&[]).ends_with(all), "{}", unsigned(&[]));
    let one = unsigned(&[("webhook-id", "evt"), ("webhook-timestamp", &now.to_string())]);
    assert!(one.ends_with("there is no header `webhook-signature`."), "{one}");
    for (kind, words) in [("", "needs a `type`"), ("a b", "other characters"), (&"x".repeat(101), "longer than 100")] {
        let reply = source.send("evt", &json!({"type": kind}));
        assert!(reply.body["detail"].as_str().unwrap().contains(words), "{kind}: {}", reply.body);
        assert_eq!(reply.refused(400), "invalid_message");
    }
    assert_eq!(source.send_at("evt", b"no json".to_vec(), 0).refused(400), "invalid_message");
    assert_eq!(source.send("evt", &json!({"data": 1})).refused(400), "invalid_message");
    assert_eq!(source.send("evt", &json!({"type": "a", "b": "\u{0}"})).refused(400), "invalid_message");
    assert!(events(&server, "").is_empty(), "nothing of it is stored");
    server.nobody().send_bytes("POST", "/api/webhooks/in/nobody", &[], bytes()).refused(404);

    let path = format!("/api/webhooks/sources/{source_id}");
    let renewed = server.admin().post(&format!("{path}/renew-secret"), &json!({})).expect(200);
    assert!(renewed["webhookSource"]["secret"].as_str().unwrap().starts_with("whsec_"));
    source.send("evt", &body).expect(202);
    assert_eq!(server.admin().post("/api/webhooks/sources", &json!({"name": "MAIL"})).bad_fields(), ["name"]);
    server.admin().patch(&path, &json!({"isActive": false})).expect(200);
    source.send("evt", &body).refused(404);
    server.admin().delete(&path).expect(204);
    assert!(events(&server, "").is_empty());
}

#[test]
fn what_cannot_have_happened_then_is_taken_to_have_happened_now() {
    let server = Server::governed();
    let (source, _) = Source::make(&server);
    server.admin().post("/api/leads", &json!({"lastName": "Ann", "email": "ann@x.example"})).expect(201);
    let worker = work(&server);
    let now = clock::now();
    let days_ago = |days| (now - TimeDelta::days(days)).to_rfc3339();
    let told = ["2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "noon", &days_ago(400), &days_ago(-1), &days_ago(30)];
    for (number, at) in told.iter().enumerate() {
        let body = json!({"type": "email.delivered", "timestamp": at, "data": {"email": "ann@x.example"}});
        source.send(&format!("evt_{number}"), &body).expect(202);
    }
    until(|| events(&server, "direction=in&status=processed").len() == told.len());
    worker.stop();
    let activities = server.admin().get("/api/activities?sort=occurredAt").expect(200)["activities"].clone();
    let at: Vec<chrono::DateTime<Utc>> =
        activities.as_array().unwrap().iter().map(|it| it["occurredAt"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(at.len(), told.len());
    assert_eq!((now - at[0]).num_days(), 30, "what can be so is taken as it is told");
    assert!(at[1..].iter().all(|at| (*at - now).abs() < TimeDelta::minutes(5)), "{at:?}");
    for event in events(&server, "direction=in") {
        let occurred_at: chrono::DateTime<Utc> = event["occurredAt"].as_str().unwrap().parse().unwrap();
        assert!(at.contains(&occurred_at), "the list says the same: {event}");
    }
}
