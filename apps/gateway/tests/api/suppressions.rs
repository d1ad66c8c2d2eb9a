//! Addresses that nothing is sent to, over HTTP: set by hand, and by what mail services tell.
use std::{cell::Cell, collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{Record, clock};
use crm_deliverability::{soft_bounces, suppressions::Suppression};
use crm_ops::{
    runner::Running,
    webhooks::signature::{self, Message, Secret},
};
use crm_policy::{PolicyGates, catalogue::catalogue};
use diesel::RunQueryDsl;
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

/// A mail service that tells what became of mail, and a worker that hears it.
struct MailService<'s> {
    server: &'s Server,
    path: String,
    secret: Secret,
    worker: Running,
    told: Cell<usize>,
}

impl<'s> MailService<'s> {
    fn start(server: &'s Server) -> Self {
        let source = server.admin().post("/api/webhooks/sources", &json!({"name": "Mail"})).expect(201);
        let source = &source["webhookSource"];
        let secret = Secret::parse(source["secret"].as_str().unwrap()).unwrap();
        let path = source["path"].as_str().unwrap().to_owned();
        let runner = worker::runner(server.door.database().clone(), Arc::new(PolicyGates::new()));
        let worker = equipment().plugged_into(runner).start().unwrap();
        Self { server, path, secret, worker, told: Cell::default() }
    }

    fn tell(&self, kind: &str, data: Value) {
        self.tell_of(kind, data, clock::now());
    }

    fn tell_of(&self, kind: &str, data: Value, at: DateTime<Utc>) {
        self.told.set(self.told.get() + 1);
        let (id, sent_at) = (self.told.get().to_string(), clock::now());
        let body = json!({"type": kind, "timestamp": at.to_rfc3339(), "data": data}).to_string().into_bytes();
        let signed = Message { id: &id, sent_at, body: &body };
        let signature = signature::sign(std::slice::from_ref(&self.secret), &signed).unwrap();
        let timestamp = sent_at.timestamp().to_string();
        let headers = [("webhook-id", &*id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        self.server.nobody().send_bytes("POST", &self.path, &headers, body).expect(202);
    }

    /// All that was told is processed.
    fn heard(&self) {
        until(|| self.with_status("processed") + self.with_status("ignored") == self.told.get());
    }

    fn with_status(&self, status: &str) -> usize {
        let path = format!("/api/system/webhook-events?direction=in&status={status}");
        self.server.admin().get(&path).expect(200)["webhookEvents"].as_array().unwrap().len()
    }

    /// The suppressions of an address.
    fn of(&self, email: &str) -> Vec<Value> {
        let list = self.server.admin().get(&format!("{ALL}?email={email}")).expect(200);
        list["suppressions"].as_array().unwrap().clone()
    }
}

#[test]
fn what_becomes_of_mail_suppresses_its_address_once() {
    let server = Server::governed();
    let service = MailService::start(&server);
    let of = |email: &str| service.of(email);
    service.tell("email.bounced", json!({"email": "Gone@x.example", "reason": "550 5.1.1 User unknown"}));
    service.tell("email.bounced", json!({"email": "policy@x.example", "reason": "550 5.7.1 Blocked"}));
    service.tell("email.bounced", json!({"email": "status@x.example", "status": "5.1.10", "reason": "Sorry"}));
    service.tell("email.bounced", json!({"email": "full@x.example", "status": "5.2.2"}));
    service.tell("email.replied", json!({"email": "answers@x.example", "reason": "550 5.1.1"}));
    service.tell("email.complained", json!({"email": "angry@x.example"}));
    service.heard();
    let gone = of("gone@x.example").pop().unwrap();
    assert_eq!((&gone["reason"], &gone["note"]), (&json!("bounce"), &json!("Mail: 550 5.1.1 User unknown")));
    assert_eq!((of("status@x.example").len(), of("angry@x.example")[0]["reason"].clone()), (1, json!("complaint")));
    for email in ["policy@x.example", "full@x.example", "answers@x.example"] {
        assert!(of(email).is_empty(), "{email}");
    }
    // Nobody has these addresses, and yet something follows: they are suppressed, or counted.
    assert_eq!((service.with_status("processed"), service.with_status("ignored")), (4, 2));

    // A weightier reason takes the place of a lighter one, a lighter one changes nothing, and since when stays.
    service.tell("email.complained", json!({"email": "gone@x.example"}));
    service.tell("email.bounced", json!({"email": "angry@x.example", "status": "5.1.1"}));
    service.tell("email.bounced", json!({"email": "gone@x.example", "status": "5.1.1"}));
    service.heard();
    let [now] = of("gone@x.example").try_into().unwrap();
    assert_eq!((&now["reason"], &now["createdAt"], &now["id"]), (&json!("complaint"), &gone["createdAt"], &gone["id"]));
    let [angry] = of("angry@x.example").try_into().unwrap();
    assert_eq!((&angry["reason"], &angry["version"]), (&json!("complaint"), &json!(1)));
    let history = format!("/api/field-history/suppression/{}/reason", gone["id"].as_str().unwrap());
    let history = server.manager().get(&history).expect(200)["fieldHistory"].clone();
    assert_eq!((&history[0]["oldValue"], &history[0]["newValue"]), (&json!("bounce"), &json!("complaint")));
    assert_eq!((history.as_array().unwrap().len(), &history[0]["actor"]), (1, &json!("system")));
    service.worker.stop();
}

#[test]
fn bounces_that_may_pass_are_counted_by_days() {
    let server = Server::governed();
    let service = MailService::start(&server);
    let now = clock::now();
    let bounce = |email: &str, days: &[i64], status: Value| {
        for ago in days {
            let data = json!({"email": email, "status": status, "reason": "Mailbox is full"});
            service.tell_of("email.bounced", data, now - TimeDelta::days(*ago));
            service.heard();
        }
    };
    let full = || json!("4.2.2");
    bounce("Full@x.example", &[8, 4], full());
    bounce("full@x.example", &[4, 4], full());
    bounce("rare@x.example", &[20, 10, 0], full());
    bounce("once@x.example", &[0, 0, 0, 0], full());
    bounce("late@x.example", &[2, 1], full());
    let old = json!({"email": "late@x.example"});
    service.tell_of("email.delivered", old, now - TimeDelta::days(5));
    service.heard();
    bounce("policy@x.example", &[3, 2, 1, 0], json!("5.7.1"));
    bounce("back@x.example", &[3, 2], full());
    service.tell("email.delivered", json!({"email": "BACK@x.example"}));
    service.heard();
    bounce("back@x.example", &[1, 0], full());
    for email in ["full@x.example", "rare@x.example", "once@x.example", "policy@x.example", "back@x.example"] {
        assert!(service.of(email).is_empty(), "{email}");
    }
    bounce("full@x.example", &[0], full());
    bounce("late@x.example", &[0], full());
    assert_eq!(service.of("late@x.example").len(), 1, "what arrived before it came back says nothing of now");
    bounce("off@x.example", &[5, 0], json!("5.2.1"));
    let [suppressed] = service.of("full@x.example").try_into().unwrap();
    assert_eq!(suppressed["reason"], "bounce");
    assert_eq!(suppressed["note"], "Mail: came back on several days, at last: Mailbox is full");
    assert_eq!(service.of("off@x.example").len(), 1);

    // Whoever lifts it gives the address another chance.
    server.admin().delete(&format!("{ALL}/{}", suppressed["id"].as_str().unwrap())).expect(204);
    bounce("full@x.example", &[0], full());
    assert!(service.of("full@x.example").is_empty());

    // What nobody sends a code for goes by the service's word.
    service.tell("email.bounced", json!({"email": "hard@x.example", "bounceType": "hard"}));
    service.tell("email.bounced", json!({"email": "soft@x.example", "bounceType": "transient", "reason": "550 no"}));
    service.heard();
    assert_eq!((service.of("hard@x.example").len(), service.of("soft@x.example").len()), (1, 0));
    service.worker.stop();

    let count = || -> i64 {
        let rows = diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM soft_bounces");
        rows.get_result(&mut server.database.connect()).unwrap()
    };
    let before = count();
    let organization = diesel::dsl::sql::<diesel::sql_types::Uuid>("SELECT organization_id FROM soft_bounces LIMIT 1");
    let organization: uuid::Uuid = organization.get_result(&mut server.database.connect()).unwrap();
    server.door.system_write(organization.into(), now, soft_bounces::prune).unwrap();
    assert_eq!(count(), before - 1, "the day that is twenty days ago");
}
