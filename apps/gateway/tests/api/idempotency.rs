//! A POST that is sent again is done once and answered again, whoever answers.
use std::{sync::Barrier, time::Duration};

use diesel::{PgConnection, RunQueryDsl, connection::SimpleConnection, sql_types as st};
use serde_json::{Value, json};

use crate::client::{Client, Reply, Server};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn keyed(client: Client<'_>, path: &str, key: &str, body: &Value) -> Reply {
    client.send("POST", path, &[("idempotency-key", key)], Some(body))
}

/// How many companies there are of a name.
fn companies(server: &Server, name: &str) -> usize {
    let list = server.admin().get("/api/companies?limit=200").expect(200);
    list["companies"].as_array().unwrap().iter().filter(|company| company["name"] == name).count()
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == "true"
}

#[test]
fn the_same_request_is_answered_again() {
    let server = Server::start();
    let body = json!({"name": "Acme"});
    let first = keyed(server.rep(), "/api/companies", KEY, &body);
    let again = keyed(server.rep(), "/api/companies", KEY, &body);
    assert!(!is_replayed(&first) && is_replayed(&again));
    for header in ["location", "etag", "content-type"] {
        assert!(!first.header(header).is_empty());
        assert_eq!(first.header(header), again.header(header));
    }
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(companies(&server, "Acme"), 1);
}

#[test]
fn a_key_stands_for_one_request() {
    let server = Server::start();
    keyed(server.rep(), "/api/companies", KEY, &json!({"name": "Acme"})).expect(201);
    for (path, body) in [
        ("/api/companies", json!({"name": "Acme "})),
        ("/api/companies?x=1", json!({"name": "Acme"})),
        ("/api/contacts", json!({"name": "Acme"})),
    ] {
        let reply = keyed(server.rep(), path, KEY, &body);
        assert_eq!(reply.body["errors"][0]["field"], "Idempotency-Key");
        assert_eq!(reply.refused(422), "idempotency_key_reused", "{path} {body}");
    }
    assert_eq!(companies(&server, "Acme"), 1);
}

#[test]
fn a_key_belongs_to_its_sender() {
    let server = Server::start();
    let body = json!({"name": "Acme"});
    let new_key = json!({"name": "Sync", "scopes": ["write"]});
    let api_key = server.rep().post("/api/api-keys", &new_key).expect(201)["apiKey"]["key"].clone();
    let senders = [
        server.rep(),
        server.admin(),
        server.with(api_key.as_str().unwrap()),
        server.with(&server.house.stranger.token),
    ];
    for sender in senders {
        let reply = keyed(sender, "/api/companies", KEY, &body);
        assert!(!is_replayed(&reply), "{}", reply.body);
        reply.expect(201);
    }
    assert_eq!(companies(&server, "Acme"), 3, "the stranger's is elsewhere");
    assert_eq!(keyed(server.nobody(), "/api/companies", KEY, &body).status, 401);
}

#[test]
fn what_is_refused_before_it_is_carried_out_leaves_the_key_free() {
    let server = Server::start();
    keyed(server.rep(), "/api/companies", KEY, &json!({"name": ""})).expect(422);
    keyed(server.rep(), "/api/companies", KEY, &json!({"nmae": "Acme"})).expect(400);
    keyed(server.rep(), "/api/business-units", KEY, &json!({"name": "A", "slug": "a"})).expect(403);
    let made = keyed(server.rep(), "/api/companies", KEY, &json!({"name": "Acme"}));
    assert!(!is_replayed(&made));
    made.expect(201);
}

#[test]
fn a_conflict_is_an_answer_that_is_kept() {
    let server = Server::start();
    let unit = json!({"name": "East", "slug": "east"});
    let made = server.admin().post("/api/business-units", &unit).expect(201);
    let first = keyed(server.admin(), "/api/business-units", KEY, &unit);
    let path = format!("/api/business-units/{}", made["businessUnit"]["id"].as_str().unwrap());
    server.admin().patch(&path, &json!({"slug": "far-east"})).expect(200);
    let again = keyed(server.admin(), "/api/business-units", KEY, &unit);
    assert!(is_replayed(&again), "the slug is free now, but the question is the same");
    assert_eq!(again.header("content-type"), "application/problem+json");
    assert_eq!(first.body, again.body);
    assert_eq!((first.refused(409), again.refused(409)), ("already_exists".into(), "already_exists".into()));
}

#[test]
fn a_bad_key_is_refused_and_other_methods_have_none() {
    let server = Server::start();
    let long = "k".repeat(256);
    for key in ["", "two words", long.as_str(), "tab\there"] {
        let reply = keyed(server.rep(), "/api/companies", key, &json!({"name": "Acme"}));
        assert_eq!(reply.refused(400), "invalid_idempotency_key", "{key:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let reply = server.rep().send("POST", "/api/companies", &twice, Some(&json!({"name": "Acme"})));
    assert_eq!(reply.refused(400), "invalid_idempotency_key");
    assert_eq!(companies(&server, "Acme"), 0);
    let made = keyed(server.rep(), "/api/companies", &long[1..], &json!({"name": "Acme"})).expect(201);
    let path = format!("/api/companies/{}", made["company"]["id"].as_str().unwrap());
    for name in ["Globex", "Initech"] {
        let reply = server.rep().send("PATCH", &path, &[("idempotency-key", KEY)], Some(&json!({"name": name})));
        assert_eq!(reply.expect(200)["company"]["name"], name);
    }
}

#[test]
fn where_nothing_can_be_kept_a_key_is_passed_over() {
    let server = Server::start();
    let login = json!({"email": server.house.rep.email, "password": crm_core::testing::PASSWORD});
    let sign_in = || keyed(server.nobody(), "/api/auth/login", KEY, &login).expect(200);
    let (first, second) = (sign_in(), sign_in());
    assert_ne!(first["accessToken"], second["accessToken"], "each sign-in is a session");
    let refresh = json!({"refreshToken": first["refreshToken"]});
    keyed(server.nobody(), "/api/auth/refresh", KEY, &refresh).expect(200);
    assert_eq!(keyed(server.nobody(), "/api/auth/refresh", KEY, &refresh).refused(401), "invalid_token");
    let token = second["accessToken"].as_str().unwrap();
    let new = json!({"currentPassword": crm_core::testing::PASSWORD, "newPassword": "another long enough one"});
    let change = || keyed(server.with(token), "/api/auth/password", KEY, &new);
    change().expect(204);
    assert_eq!(change().refused(401), "invalid_token", "a password change ends the session that made it");
    assert!(rows(&mut server.database.connect()).is_empty());
    for path in ["/api/auth/login", "/api/auth/refresh"] {
        assert_eq!(keyed(server.nobody(), path, "a b", &login).refused(400), "invalid_idempotency_key");
    }
}

#[test]
fn a_secret_is_shown_again_and_stored_nowhere() {
    let server = Server::start();
    let body = json!({"name": "Nightly export", "scopes": ["read"]});
    let first = keyed(server.rep(), "/api/api-keys", KEY, &body).expect(201);
    let again = keyed(server.rep(), "/api/api-keys", KEY, &body);
    assert!(is_replayed(&again));
    assert_eq!(first, again.expect(201));
    let secret = first["apiKey"]["key"].as_str().unwrap();
    server.with(secret).get("/api/leads").expect(200);
    let rows = rows(&mut server.database.connect());
    assert_eq!(rows.len(), 1);
    for plain in [secret, "hmd_", KEY, "Nightly export", "apiKey"] {
        assert!(!rows[0].contains(plain), "{plain} stands in {}", rows[0]);
    }
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = st::Text)]
    row: String,
}

fn rows(connection: &mut PgConnection) -> Vec<String> {
    let rows = diesel::sql_query("SELECT to_jsonb(k)::text AS row FROM idempotency_keys k").load::<Row>(connection);
    rows.unwrap().into_iter().map(|row| row.row).collect()
}

#[test]
fn what_only_reads_and_what_answers_nothing_are_answered_again_too() {
    let server = Server::governed();
    let question = json!({"role": "SALES_REP", "action": "export_data", "resource": "lead", "attributes": {}});
    let first = keyed(server.admin(), "/api/policies/simulate", KEY, &question).expect(200);
    let again = keyed(server.admin(), "/api/policies/simulate", KEY, &question);
    assert!(is_replayed(&again));
    assert_eq!(first, again.expect(200));
    let lead = server.rep().post("/api/leads", &json!({"lastName": "L", "companyName": "Acme"})).expect(201);
    let path = format!("/api/leads/{}/convert", lead["lead"]["id"].as_str().unwrap());
    let first = keyed(server.rep(), &path, KEY, &json!({})).expect(200);
    let again = keyed(server.rep(), &path, KEY, &json!({})).expect(200);
    assert_eq!((&first, &again["alreadyConverted"]), (&again, &json!(false)));
    let session = [("idempotency-key", KEY)];
    server.manager().send("POST", "/api/auth/logout", &session, None).expect(204);
    server.manager().send("POST", "/api/auth/logout", &session, None).expect(401);
}

/// A form with its parts between marks of this name.
fn form(mark: &str, rows: &str) -> (String, Vec<u8>) {
    let part = |head: &str, text: &str| format!("--{mark}\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    let body = [
        part("name=\"entityType\"", "company"),
        part("name=\"mapping\"", "{\"Name\":\"name\"}"),
        part("name=\"file\"; filename=\"c.csv\"", rows),
        format!("--{mark}--\r\n"),
    ];
    (format!("multipart/form-data; boundary={mark}"), body.concat().into_bytes())
}

#[test]
fn a_form_is_the_same_whatever_stands_between_its_parts() {
    let server = Server::start();
    let send = |mark: &str, rows: &str| {
        let (kind, body) = form(mark, rows);
        let headers = [("content-type", kind.as_str()), ("idempotency-key", KEY)];
        server.rep().send_bytes("POST", "/api/imports", &headers, body)
    };
    let (first, again, other) = (send("a", "Name\r\nAcme"), send("b", "Name\r\nAcme"), send("a", "Name\r\nGlobex"));
    assert!(is_replayed(&again));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.expect(202), again.expect(202));
    assert_eq!(other.refused(422), "idempotency_key_reused");
    assert_eq!(server.rep().get("/api/imports").expect(200)["imports"].as_array().unwrap().len(), 1);
}

#[test]
fn twenty_at_once_on_two_gateways_make_one_record() {
    let server = Server::start();
    let second = server.beside();
    let (start, body) = (Barrier::new(20), json!({"name": "Acme"}));
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let send = |n: usize| {
            let client = if n.is_multiple_of(2) { server.rep() } else { server.rep().at(&second) };
            let (start, body) = (&start, &body);
            scope.spawn(move || {
                start.wait();
                keyed(client, "/api/companies", KEY, body)
            })
        };
        (0..20).map(send).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (made, others): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(made.iter().filter(|reply| !is_replayed(reply)).count(), 1, "one of them did it");
    assert!(made.iter().all(|reply| reply.body == made[0].body && reply.header("etag") == made[0].header("etag")));
    for reply in others {
        assert_eq!(reply.header("retry-after"), "1");
        assert_eq!(reply.refused(409), "idempotency_key_in_use");
    }
    assert_eq!(companies(&server, "Acme"), 1);
    let later = keyed(server.rep().at(&second), "/api/companies", KEY, &body);
    assert!(is_replayed(&later));
    assert_eq!(later.expect(201), made[0].body);
}

/// Waits until a request stands before the locked table, and says which of the server's processes carries it.
fn waiting(connection: &mut PgConnection) -> i32 {
    #[derive(diesel::QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = st::Integer)]
        pid: i32,
    }
    let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        if let Some(found) = diesel::sql_query(query).load::<Waiting>(connection).unwrap().first() {
            return found.pid;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn one_that_runs_is_not_begun_again_and_one_that_died_leaves_nothing() {
    let server = Server::start();
    let second = server.beside();
    let (mut holder, mut watcher) = (server.database.connect(), server.database.connect());
    let body = json!({"name": "Acme"});
    let (first, meanwhile) = std::thread::scope(|scope| {
        holder.batch_execute("BEGIN; LOCK TABLE companies IN SHARE MODE").unwrap();
        let first = scope.spawn(|| keyed(server.rep(), "/api/companies", KEY, &body));
        let pid = waiting(&mut watcher);
        let meanwhile = keyed(server.rep().at(&second), "/api/companies", KEY, &body);
        // As if the gateway had been killed: the database loses the connection that does the work.
        diesel::sql_query("SELECT pg_terminate_backend($1)").bind::<st::Integer, _>(pid).execute(&mut watcher).unwrap();
        (first.join().unwrap(), meanwhile)
    });
    holder.batch_execute("ROLLBACK").unwrap();
    assert_eq!(meanwhile.header("retry-after"), "1");
    assert_eq!(meanwhile.refused(409), "idempotency_key_in_use");
    first.expect(503);
    let again = keyed(server.rep().at(&second), "/api/companies", KEY, &body);
    assert!(!is_replayed(&again), "the first had no effect");
    again.expect(201);
    assert_eq!(companies(&server, "Acme"), 1);
}

#[test]
fn an_answer_is_not_given_again_to_somebody_who_sees_less_since() {
    let server = Server::governed();
    let deal = json!({"title": "Acme", "value": 424242.5});
    let make = || keyed(server.manager(), "/api/deals", KEY, &deal);
    make().expect(201);
    assert!(is_replayed(&make()));
    let policy =
        json!({"name": "Blind", "role": "MANAGER", "action": "view_field", "resource": "deal", "field": "value"});
    server.admin().post("/api/policies", &policy).expect(201);
    let again = make();
    assert!(!again.body.to_string().contains("424242"), "{}", again.body);
    assert_eq!(again.refused(409), "idempotency_answer_withheld");
    let deals = server.admin().get("/api/deals").expect(200)["deals"].clone();
    assert_eq!(deals.as_array().unwrap().len(), 1, "nothing is done twice");
}
