//! Addresses that nothing is sent to, over HTTP: set by hand, and by what mail services tell.
use std::{collections::BTreeSet, sync::Arc};

use crm_core::{Record, clock};
use crm_deliverability::suppressions::Suppression;
use crm_ops::webhooks::signature::{self, Message, Secret};
use crm_policy::{PolicyGates, catalogue::catalogue};
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    client::{Server, equipment},
    receiver::until,
};

const ALL: &str = "/api/suppressions";

fn suppress(server: &Server, body: Value) -> Value {
    server.manager().post(ALL, &body).expect(201)["suppression"].clone()
}

fn emails(list: &Value) -> Vec<&str> {
    list["suppressions"].as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap()).collect()
}

#[test]
fn an_address_is_suppressed_once_and_found() {
    let server = Server::governed();
    let made = suppress(&server, json!({"email": " Ann@B\u{DC}CHER.example ", "note": "Asked for it"}));
    assert_eq!(
        (&made["email"], &made["reason"], &made["businessUnitId"], &made["note"]),
        (&json!("ann@xn--bcher-kva.example"), &json!("manual"), &Value::Null, &json!("Asked for it"))
    );
    let again = json!({"email": "ANN@xn--bcher-kva.example", "reason": "complaint"});
    assert_eq!(server.manager().post(ALL, &again).refused(409), "already_exists");
    suppress(&server, json!({"email": "ann@xn--bcher-kva.example", "businessUnitId": server.house.unit}));
    suppress(
        &server,
        json!({"email": "bob@x.example", "reason": "unsubscribe", "businessUnitId": server.house.other_unit}),
    );

    let admin = server.admin();
    let list = |query: &str| admin.get(&format!("{ALL}?{query}")).expect(200);
    assert_eq!(emails(&list("q=bcher&count=true")).len(), 2);
    assert_eq!(list("reason=unsubscribe&count=true")["total"], 1);
    assert_eq!(emails(&list("email=BOB@x.example")), ["bob@x.example"]);
    assert_eq!(emails(&list("businessUnitId=none")), ["ann@xn--bcher-kva.example"]);
    assert_eq!(emails(&list("sort=-email&limit=1")), ["bob@x.example"]);
    let first = list("sort=email&limit=2");
    let next = list(&format!("sort=email&limit=2&cursor={}", first["nextCursor"].as_str().unwrap()));
    assert_eq!((emails(&first).len(), emails(&next)), (2, vec!["bob@x.example"]));
    assert_eq!(admin.get(&format!("{ALL}?sort=note")).refused(400), "unknown_sort");

    // Who works in one unit sees its suppressions and those of all.
    assert_eq!(emails(&server.rep().get(ALL).expect(200)), vec!["ann@xn--bcher-kva.example"; 2]);
    server.rep().post(ALL, &json!({"email": "x@x.example"})).refused(403);

    let path = format!("{ALL}/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.get(&path).expect(200)["suppression"], made);
    assert_eq!(admin.send("DELETE", &path, &[("if-match", "\"v9\"")], None).status, 412);
    assert_eq!(server.manager().delete(&path).refused(403), "policy_denied");
    admin.send("DELETE", &path, &[], Some(&json!({"note": "The address is good again"}))).expect(204);
    admin.get(&path).refused(404);
    let history = admin.get(&format!("/api/field-history/suppression/{}", made["id"].as_str().unwrap())).expect(200);
    let gone = history["fieldHistory"].as_array().unwrap().iter().find(|row| row["fieldName"] == "deletedAt").unwrap();
    assert_eq!(gone["note"], "The address is good again");
}

#[test]
fn a_bad_suppression_is_refused_member_by_member() {
    let server = Server::governed();
    let make = |body: Value| server.admin().post(ALL, &body);
    assert_eq!(make(json!({})).bad_fields(), ["email"]);
    assert_eq!(make(json!({"email": "nobody", "reason": "whim"})).bad_fields(), ["email", "reason"]);
    assert_eq!(make(json!({"email": "a@127.0.0.1"})).bad_fields(), ["email"]);
    assert_eq!(make(json!({"email": format!("{}@x.example", "a".repeat(400))})).bad_fields(), ["email"]);
    assert_eq!(make(json!({"email": "a@x.example", "note": 1})).bad_fields(), ["note"]);
    assert_eq!(make(json!({"email": "a@x.example", "scope": "all"})).refused(400), "unknown_member");
    server.nobody().get(ALL).refused(401);
    assert_eq!(emails(&server.admin().get(ALL).expect(200)).len(), 0);
}

#[test]
fn an_address_can_be_hidden_like_that_of_a_lead() {
    let told = catalogue().resource(Suppression::KIND).unwrap().attributes();
    let own: BTreeSet<_> = Suppression::FIELDS.iter().map(|field| field.name).collect();
    assert!(own.iter().all(|name| told.contains_key(*name)), "{told:?}");
    let server = Server::governed();
    let hide = json!({"name": "Addresses are for managers", "role": "SALES_REP", "action": "view_field",
        "resource": "suppression", "field": "email", "effect": "deny"});
    server.admin().post("/api/policies", &hide).expect(201);
    suppress(&server, json!({"email": "ann@x.example"}));
    let seen = server.rep().get(ALL).expect(200)["suppressions"][0].clone();
    assert_eq!((seen.get("email"), &seen["maskedFields"]), (None, &json!(["email"])));
    for query in ["sort=email", "email=ann@x.example", "q=ann"] {
        server.rep().get(&format!("{ALL}?{query}")).refused(403);
    }
}

#[test]
fn what_becomes_of_mail_suppresses_its_address_once() {
    let server = Server::governed();
    let source = server.admin().post("/api/webhooks/sources", &json!({"name": "Mail"})).expect(201);
    let source = &source["webhookSource"];
    let secret = Secret::parse(source["secret"].as_str().unwrap()).unwrap();
    let path = source["path"].as_str().unwrap().to_owned();
    let tell = |id: &str, kind: &str, data: Value| {
        let body = json!({"type": kind, "data": data}).to_string().into_bytes();
        let sent_at = clock::now();
        let signed = Message { id, sent_at, body: &body };
        let signature = signature::sign(std::slice::from_ref(&secret), &signed).unwrap();
        let timestamp = sent_at.timestamp().to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        server.nobody().send_bytes("POST", &path, &headers, body).expect(202);
    };
    let runner = worker::runner(server.door.database().clone(), Arc::new(PolicyGates::new()));
    let worker = equipment().plugged_into(runner).start().unwrap();
    let processed = |count: usize| {
        let ended = |status: &str| {
            let path = format!("/api/system/webhook-events?direction=in&status={status}");
            server.admin().get(&path).expect(200)["webhookEvents"].as_array().unwrap().len()
        };
        until(|| ended("processed") + ended("ignored") == count);
    };
    let of = |email: &str| {
        let list = server.admin().get(&format!("{ALL}?email={email}")).expect(200);
        list["suppressions"].as_array().unwrap().clone()
    };

    tell("1", "email.bounced", json!({"email": "Gone@x.example", "reason": "550 5.1.1 User unknown"}));
    tell("2", "email.bounced", json!({"email": "policy@x.example", "reason": "550 5.7.1 Blocked"}));
    tell("3", "email.bounced", json!({"email": "status@x.example", "status": "5.1.10", "reason": "Sorry"}));
    tell("4", "email.bounced", json!({"email": "full@x.example", "status": "5.2.2"}));
    tell("5", "email.replied", json!({"email": "answers@x.example", "reason": "550 5.1.1"}));
    tell("6", "email.complained", json!({"email": "angry@x.example"}));
    processed(6);
    let gone = of("gone@x.example").pop().unwrap();
    assert_eq!((&gone["reason"], &gone["note"]), (&json!("bounce"), &json!("Mail: 550 5.1.1 User unknown")));
    assert_eq!((of("status@x.example").len(), of("angry@x.example")[0]["reason"].clone()), (1, json!("complaint")));
    for email in ["policy@x.example", "full@x.example", "answers@x.example"] {
        assert!(of(email).is_empty(), "{email}");
    }
    // Nobody has that address, and yet something follows.
    let stored = server.admin().get("/api/system/webhook-events?status=processed").expect(200);
    assert_eq!(stored["webhookEvents"].as_array().unwrap().len(), 3);

    // A weightier reason takes the place of a lighter one, a lighter one changes nothing, and since when stays.
    tell("7", "email.complained", json!({"email": "gone@x.example"}));
    tell("8", "email.bounced", json!({"email": "angry@x.example", "status": "5.1.1"}));
    tell("9", "email.bounced", json!({"email": "gone@x.example", "status": "5.1.1"}));
    processed(9);
    let [now] = of("gone@x.example").try_into().unwrap();
    assert_eq!((&now["reason"], &now["createdAt"], &now["id"]), (&json!("complaint"), &gone["createdAt"], &gone["id"]));
    let [angry] = of("angry@x.example").try_into().unwrap();
    assert_eq!((&angry["reason"], &angry["version"]), (&json!("complaint"), &json!(1)));
    let history = format!("/api/field-history/suppression/{}/reason", gone["id"].as_str().unwrap());
    let history = server.manager().get(&history).expect(200)["fieldHistory"].clone();
    assert_eq!((&history[0]["oldValue"], &history[0]["newValue"]), (&json!("bounce"), &json!("complaint")));
    assert_eq!((history.as_array().unwrap().len(), &history[0]["actor"]), (1, &json!("system")));
    worker.stop();
}
