//! The contract as an integrator reads it, tried on every operation of the document at once.
use actix_web::http::Method;
use gateway::{
    document,
    endpoint::{Access, Endpoint},
    routes,
};
use serde_json::{Value, json};

use crate::{
    client::{Reply, Server},
    coverage::Things,
};

/// What the document says of an endpoint.
fn told<'d>(document: &'d Value, endpoint: &Endpoint) -> &'d Value {
    &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()]
}

/// The document's example of the endpoint's JSON body, with ids of things that are there.
fn example(document: &Value, endpoint: &Endpoint, things: &Things) -> Option<Value> {
    let mut body = told(document, endpoint)["requestBody"]["content"]["application/json"].get("example")?.clone();
    name_things("", &mut body, things);
    Some(body)
}

fn name_things(name: &str, value: &mut Value, things: &Things) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| name_things(name, value, things)),
        Value::Array(items) => {
            let name = name.strip_suffix('s').unwrap_or(name).to_owned();
            items.iter_mut().for_each(|item| name_things(&name, item, things));
        }
        Value::String(text) if text.starts_with("019b2638-4400-7000-8000-") => {
            if let Some(id) = things.id_of(name) {
                *value = id.clone();
            }
        }
        _ => {}
    }
}

/// Sends every example of a JSON body to its address. Signing in and signed messages have tests of their own, a list of all
/// stages names no example's, an example's instant to snooze until is past, and what is deleted or replaced as a whole
/// comes last or not at all.
fn send_examples(server: &Server, things: &Things, mut look: impl FnMut(&Endpoint, Reply)) {
    let document = document::document();
    let mut endpoints = routes::all();
    endpoints.retain(|it| {
        let special = ["/api/auth/", "/api/webhooks/in/"].iter().any(|start| it.path.starts_with(start));
        let late = ["/stages/order", "/snooze"].iter().any(|end| it.path.ends_with(end));
        !special && !late && it.method != Method::DELETE
    });
    endpoints.sort_by_key(|it| it.path == "/api/reason-codes");
    for endpoint in endpoints {
        let Some(body) = example(&document, &endpoint, things) else { continue };
        let reply = server.admin().send(endpoint.method.as_str(), &things.address(&endpoint), &[], Some(&body));
        assert!((200..300).contains(&reply.status), "{endpoint:?} {body}: {}", reply.body);
        look(&endpoint, reply);
    }
}

#[test]
fn every_example_of_a_request_is_accepted_and_what_it_makes_is_found() {
    let server = Server::start();
    let things = Things::make(&server);
    let (mut sent, mut made) = (0, 0);
    send_examples(&server, &things, |endpoint, reply| {
        sent += 1;
        if matches!(reply.status, 201 | 202) {
            let location = reply.header("location");
            assert!(location.starts_with("/api/"), "{endpoint:?}: {location}");
            let found = server.admin().get(location);
            assert_eq!(found.status, 200, "{endpoint:?}: {location}: {}", found.body);
            made += 1;
        }
    });
    assert!(sent > 25 && made > 12, "{sent} sent, {made} made");
}

/// Every GET that the admin can send without further ado, and what comes of it.
fn read_everything(server: &Server, things: &Things) -> Vec<(Endpoint, Reply)> {
    let mut read = Vec::new();
    for endpoint in routes::all() {
        let is_json = endpoint.operation["responses"]["200"]["content"].get("application/json").is_some();
        if endpoint.method != Method::GET
            || !is_json
            || endpoint.path.ends_with("/as-of")
            || endpoint.path == "/openapi.json"
        {
            continue;
        }
        let query = if endpoint.path == "/api/search" { "?q=acme" } else { "" };
        let reply = server.admin().get(&format!("{}{query}", things.address(&endpoint)));
        let is_absent = reply.status == 404 && endpoint.path.ends_with("/win-loss");
        assert!(reply.status == 200 || is_absent, "{endpoint:?}: {}", reply.body);
        read.push((endpoint, reply));
    }
    read
}

#[test]
fn names_instants_and_amounts_are_written_one_way() {
    let server = Server::start();
    let things = Things::make(&server);
    for (endpoint, reply) in read_everything(&server, &things) {
        walk("", &reply.body, &mut |name, value| {
            let is_own = name.is_empty() || name.contains('-') || name.len() <= 1;
            let is_camel = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('_');
            assert!(is_own || is_camel, "{endpoint:?}: {name}");
            if let (true, Some(text)) = (name.ends_with("At") || name == "timestamp", value.as_str()) {
                assert!(text.ends_with('Z') && text.contains('T'), "{endpoint:?}: {name} {text}");
            }
            if matches!(name, "value" | "annualRevenue" | "pipelineValue" | "expectedValue") {
                assert!(value.is_number() || value.is_null(), "{endpoint:?}: {name} {value}");
            }
        });
    }
}

fn walk(name: &str, value: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(name, value);
    match value {
        // The columns of a file are called as their owner likes.
        Value::Object(_) if name == "mapping" => {}
        Value::Object(members) => members.iter().for_each(|(name, value)| walk(name, value, look)),
        Value::Array(items) => items.iter().for_each(|item| walk("", item, look)),
        _ => {}
    }
}

#[test]
fn every_list_is_paged_alike() {
    let server = Server::start();
    let things = Things::make(&server);
    let mut lists = 0;
    for endpoint in routes::all() {
        let parameters = endpoint.operation["parameters"].as_array().unwrap();
        if !parameters.iter().any(|it| it["in"] == "query" && it["name"] == "cursor") {
            continue;
        }
        let path = things.address(&endpoint);
        let body = server.admin().get(&format!("{path}?limit=1")).expect(200);
        let members = body.as_object().unwrap();
        assert!(members.contains_key("nextCursor"), "{endpoint:?}: {body}");
        assert!(members.values().any(|it| it.as_array().is_some_and(|items| items.len() <= 1)), "{endpoint:?}: {body}");
        for (query, code) in [
            ("limit=0", "invalid_value"),
            ("limit=201", "invalid_value"),
            ("limit=x", "invalid_value"),
            ("cursor=forged", "invalid_cursor"),
            ("nonsense=1", "unknown_parameter"),
            ("limit=1&limit=1", "repeated_parameter"),
        ] {
            assert_eq!(server.admin().get(&format!("{path}?{query}")).refused(400), code, "{endpoint:?} {query}");
        }
        lists += 1;
    }
    assert!(lists > 12, "{lists}");
}

/// Has it a body whose members nobody counts: a list of all stages, and what others send?
fn is_unusual(path: &str) -> bool {
    path.ends_with("/order") || path.starts_with("/api/webhooks/in/")
}

#[test]
fn unknown_parameters_and_members_never_pass_silently() {
    let server = Server::start();
    let things = Things::make(&server);
    let document = document::document();
    for endpoint in routes::all() {
        let path = things.address(&endpoint);
        if endpoint.method == Method::GET && endpoint.access != Access::Public {
            let reply = server.admin().get(&format!("{path}?nonsense=1"));
            assert!(matches!(reply.status, 400 | 404), "{endpoint:?}: {}", reply.status);
        }
        if let (Some(mut body), true) = (example(&document, &endpoint, &things), !is_unusual(endpoint.path)) {
            body["nonsense"] = json!(1);
            let reply = server.admin().send(endpoint.method.as_str(), &path, &[], Some(&body));
            assert_eq!(reply.refused(400), "unknown_member", "{endpoint:?}");
        }
    }
}

#[test]
fn every_version_is_an_etag_that_guards() {
    let server = Server::start();
    let things = Things::make(&server);
    let document = document::document();
    for (endpoint, reply) in read_everything(&server, &things) {
        let body = reply.body.as_object().unwrap();
        let version = body.values().next().filter(|_| body.len() == 1).map(|thing| thing["version"].clone());
        let etag = version.filter(Value::is_i64).map(|version| format!("\"v{version}\"")).unwrap_or_default();
        assert_eq!(reply.header("etag"), etag, "{endpoint:?}");
        let headers = &told(&document, &endpoint)["responses"]["200"]["headers"];
        assert!(etag.is_empty() || headers["ETag"].is_object(), "{endpoint:?}");
    }
    let mut guarded = 0;
    for endpoint in routes::all() {
        let parameters = told(&document, &endpoint)["parameters"].as_array().unwrap();
        if !parameters.iter().any(|it| it["$ref"] == "#/components/parameters/IfMatch") {
            continue;
        }
        let body = example(&document, &endpoint, &Things::none()).unwrap_or_else(|| json!({}));
        let stale = [("if-match", "\"v999\"")];
        let reply = server.admin().send(endpoint.method.as_str(), &things.address(&endpoint), &stale, Some(&body));
        assert_eq!(reply.refused(412), "stale_version", "{endpoint:?}");
        guarded += 1;
    }
    assert!(guarded > 20, "{guarded}");
}

#[test]
fn the_documentation_answers_whoever_only_asks_for_its_head() {
    let server = Server::start();
    for path in ["/docs", "/docs/", "/openapi.json", "/health"] {
        let (get, head) = (server.nobody().get(path), server.nobody().send("HEAD", path, &[], None));
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        assert_eq!(head.body, "", "{path}");
    }
}

#[test]
fn a_reason_lands_in_the_history_with_its_change() {
    let server = Server::start();
    let things = Things::make(&server);
    for (path, kind, change) in [
        ("/api/leads/{id}", "lead", json!({"jobTitle": "CTO"})),
        ("/api/companies/{id}", "company", json!({"city": "Leeds"})),
        ("/api/contacts/{id}", "contact", json!({"jobTitle": "CTO"})),
        ("/api/tasks/{id}", "task", json!({"priority": "high"})),
        ("/api/business-units/{id}", "business_unit", json!({"country": "DE"})),
        ("/api/users/{id}", "user", json!({"name": "New name"})),
    ] {
        let endpoints = routes::all();
        let endpoint = endpoints.iter().find(|it| it.path == path && it.method == Method::PATCH).unwrap();
        let address = things.address(endpoint);
        let mut body = change.clone();
        body["reasonCode"] = json!("correction");
        body["note"] = json!("Asked on the phone");
        server.admin().patch(&address, &body).expect(200);
        let id = address.rsplit('/').next().unwrap();
        let rows = server.admin().get(&format!("/api/field-history/{kind}/{id}")).expect(200)["fieldHistory"].clone();
        assert_eq!((&rows[0]["reasonCode"], &rows[0]["note"]), (&body["reasonCode"], &body["note"]), "{kind}");
    }
}

#[test]
fn days_and_instants_are_taken_in_the_form_in_which_they_are_answered() {
    let server = Server::start();
    let field = json!({"entityType": "company", "key": "renewal", "label": "Renewal", "type": "date"});
    server.admin().post("/api/custom-fields", &field).expect(201);
    let company =
        |day: &str| server.rep().post("/api/companies", &json!({"name": "Acme", "customFields": {"renewal": day}}));
    company("2026-01-01").expect(201);
    assert_eq!(company("2026-1-1").refused(422), "invalid_date");
    let deal = |day: &str| server.rep().post("/api/deals", &json!({"title": "Acme", "expectedCloseDate": day}));
    deal("2026-01-01").expect(201);
    assert_eq!(deal("2026-1-1").refused(422), "invalid_date");
    let task = |at: &str| server.rep().post("/api/tasks", &json!({"title": "Call", "dueAt": at}));
    assert_eq!(task("9999-12-31T13:59:59-10:00").expect(201)["task"]["dueAt"], json!("9999-12-31T23:59:59Z"));
    assert_eq!(task("9999-12-31T23:59:59-10:00").refused(422), "invalid_instant");
}
