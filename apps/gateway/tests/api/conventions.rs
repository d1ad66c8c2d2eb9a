//! What holds for every route: envelopes, pages, filters, versions, problems.
use serde_json::{Value, json};

use crate::client::{Client, Server};

fn companies(client: Client<'_>, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| {
            let body = client.post("/api/companies", &json!({"name": name, "employees": name.len()})).expect(201);
            body["company"]["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn names(body: &Value) -> Vec<&str> {
    body["companies"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat_in_every_order() {
    let server = Server::start();
    let all = ["Delta", "Alpha", "Echo", "Bravo", "Charlie"];
    let ids = companies(server.admin(), &all);
    for id in &ids[..2] {
        server.admin().patch(&format!("/api/companies/{id}"), &json!({"employees": null})).expect(200);
    }
    for (sort, expected) in [
        ("name", ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]),
        ("-name", ["Echo", "Delta", "Charlie", "Bravo", "Alpha"]),
        ("createdAt", ["Delta", "Alpha", "Echo", "Bravo", "Charlie"]),
        ("-createdAt", ["Charlie", "Bravo", "Echo", "Alpha", "Delta"]),
        ("employees", ["Echo", "Bravo", "Charlie", "Delta", "Alpha"]),
        ("-employees", ["Charlie", "Bravo", "Echo", "Alpha", "Delta"]),
    ] {
        for limit in 1..=6 {
            let mut found = Vec::new();
            let mut path = format!("/api/companies?sort={sort}&limit={limit}");
            loop {
                let body = server.admin().get(&path).expect(200);
                found.extend(names(&body).into_iter().map(str::to_owned));
                let Some(cursor) = body["nextCursor"].as_str() else { break };
                path = format!("/api/companies?sort={sort}&limit={limit}&cursor={cursor}");
            }
            assert_eq!(found, expected, "{sort} by {limit}");
        }
    }
}

#[test]
fn a_cursor_fits_its_own_list_alone() {
    let server = Server::start();
    companies(server.admin(), &["Alpha", "Bravo", "Charlie"]);
    let cursor = server.admin().get("/api/companies?limit=1").expect(200)["nextCursor"].as_str().unwrap().to_owned();
    for path in [
        format!("/api/companies?limit=1&sort=name&cursor={cursor}"),
        format!("/api/companies?limit=1&name=Alpha&cursor={cursor}"),
        format!("/api/leads?limit=1&cursor={cursor}"),
        format!("/api/companies?cursor={}x", &cursor[..cursor.len() - 1]),
        "/api/companies?cursor=e30".into(),
        "/api/companies?cursor=%00".into(),
    ] {
        assert_eq!(server.admin().get(&path).refused(400), "invalid_cursor", "{path}");
    }
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(stranger.get(&format!("/api/companies?limit=1&cursor={cursor}")).refused(400), "invalid_cursor");
    assert_eq!(
        names(&server.admin().get(&format!("/api/companies?limit=2&cursor={cursor}")).expect(200)),
        ["Bravo", "Alpha"]
    );
}

#[test]
fn filters_find_what_they_say() {
    let server = Server::start();
    companies(server.admin(), &["Alpha Ltd", "Bravo", "Köln Süd 100%"]);
    for (query, expected) in [
        ("name=Bravo", vec!["Bravo"]),
        ("name[contains]=LTD", vec!["Alpha Ltd"]),
        ("name%5Bcontains%5D=100%25", vec!["Köln Süd 100%"]),
        ("q=koln", vec!["Köln Süd 100%"]),
        ("q=sud+koln", vec!["Köln Süd 100%"]),
        ("q=alpha+bravo", vec![]),
        ("employees[gte]=9&employees[lt]=10", vec!["Alpha Ltd"]),
        ("employees=5", vec!["Bravo"]),
        ("industry[empty]=true", vec!["Köln Süd 100%", "Bravo", "Alpha Ltd"]),
        ("industry[empty]=false", vec![]),
        ("ownerId=me", vec!["Köln Süd 100%", "Bravo", "Alpha Ltd"]),
        ("ownerId=none", vec![]),
        ("createdAfter=2099-01-01", vec![]),
        ("createdBefore=2099-01-01T00:00:00Z", vec!["Köln Süd 100%", "Bravo", "Alpha Ltd"]),
    ] {
        assert_eq!(names(&server.admin().get(&format!("/api/companies?{query}")).expect(200)), expected, "{query}");
    }
    let body = server.admin().get("/api/companies?count=true&limit=1").expect(200);
    assert_eq!(body["total"], 3);
}

#[test]
fn bad_parameters_are_told_and_never_ignored() {
    let server = Server::start();
    for (query, code) in [
        ("nmae=x", "unknown_parameter"),
        ("limit=0", "invalid_value"),
        ("limit=201", "invalid_value"),
        ("limit=1000000000000000000000", "invalid_value"),
        ("limit=-1", "invalid_value"),
        ("sort=city", "unknown_sort"),
        ("sort=name;drop table companies", "unknown_sort"),
        ("ownerId=nobody", "invalid_value"),
        ("employees=many", "invalid_value"),
        ("employees[like]=1", "unknown_operator"),
        ("name[gt]=1", "unknown_operator"),
        ("createdAfter=yesterday", "invalid_value"),
        ("createdAfter=10000000-01-01", "invalid_value"),
        ("count=maybe", "invalid_value"),
        ("name=%00", "invalid_value"),
    ] {
        let reply = server.admin().get(&format!("/api/companies?{}", query.replace(' ', "%20")));
        assert_eq!(reply.refused(400), code, "{query}");
    }
    for (query, name) in [
        ("createdAfter=yesterday", "`createdAfter`"),
        ("updatedBefore=2025-13-01", "`updatedBefore`"),
        ("employees[gte]=many", "`employees[gte]`"),
        ("annualRevenue[lt]=x", "`annualRevenue[lt]`"),
        ("limit=1&limit=2", "`limit` is given twice"),
        ("country=GB&country=DE", "put commas between them"),
        ("customFields.xyz=1", "`customFields.xyz`"),
    ] {
        let reply = server.admin().get(&format!("/api/companies?{query}"));
        assert!(reply.body["detail"].as_str().unwrap().contains(name), "{query}: {}", reply.body);
        assert_eq!(reply.status, 400, "{query}");
    }
    assert_eq!(server.admin().get("/api/deals?status=open,gone").refused(400), "invalid_value");
}

#[test]
fn a_version_guards_against_lost_changes() {
    let server = Server::start();
    let id = &companies(server.admin(), &["Alpha"])[0];
    let path = format!("/api/companies/{id}");
    let read = server.admin().get(&path);
    let etag = read.header("etag").to_owned();
    assert_eq!(etag, "\"v1\"");
    let change = json!({"city": "Leeds"});
    let changed = server.admin().send("PATCH", &path, &[("if-match", &etag)], Some(&change));
    assert_eq!(changed.header("etag"), "\"v2\"");
    assert_eq!(changed.expect(200)["company"]["version"], 2);
    let other = json!({"city": "York"});
    let stale = server.admin().send("PATCH", &path, &[("if-match", &etag)], Some(&other));
    assert_eq!(stale.header("etag"), "\"v2\"");
    assert_eq!(stale.refused(412), "stale_version");
    assert_eq!(server.admin().send("DELETE", &path, &[("if-match", &etag)], None).refused(412), "stale_version");
    assert_eq!(
        server.admin().send("PATCH", &path, &[("if-match", "2")], Some(&other)).refused(400),
        "invalid_if_match"
    );
    let unchanged = server.admin().patch(&path, &change).expect(200);
    assert_eq!(unchanged["company"]["version"], 2, "a change of nothing is none");
}

#[test]
fn bodies_are_held_to_their_shape() {
    let server = Server::start();
    let admin = server.admin();
    let send = |kind: &str, body: &str| {
        admin.send_bytes("POST", "/api/companies", &[("content-type", kind)], body.as_bytes().to_vec())
    };
    assert_eq!(send("application/json", "{\"name\": ").refused(400), "invalid_json");
    assert_eq!(send("application/json", "[]").refused(400), "invalid_json");
    assert_eq!(send("application/json", "{\"name\":\"x\",\"nmae\":1}").refused(400), "unknown_member");
    assert_eq!(
        send("application/json", "{\"name\":\"x\",\"createdAt\":\"2020-01-01T00:00:00Z\"}").refused(400),
        "read_only_member"
    );
    assert_eq!(send("text/plain", "{}").refused(415), "unsupported_media_type");
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(2_000_000));
    assert_eq!(send("application/json", &long).refused(413), "body_too_large");
    let deep = format!("{{\"customFields\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(send("application/json", &deep).refused(400), "invalid_json");
    let bad = json!({"name": "", "employees": "many", "domain": "http://x", "country": "UK", "annualRevenue": "5", "tags": "x"});
    let fields = admin.post("/api/companies", &bad).bad_fields();
    assert_eq!(fields, ["annualRevenue", "country", "domain", "employees", "name", "tags"]);
    assert_eq!(admin.post("/api/companies", &json!({"name": "a\u{0}b"})).bad_fields(), ["name"]);
}

#[test]
fn known_addresses_say_which_methods_they_know() {
    let server = Server::start();
    let reply = server.admin().send("PUT", "/api/companies", &[], None);
    assert_eq!(reply.header("allow"), "GET, POST, HEAD");
    assert_eq!(reply.refused(405), "method_not_allowed");
    assert_eq!(server.admin().get("/api/nothing").refused(404), "unknown_address");
    assert_eq!(server.admin().send("HEAD", "/api/companies", &[], None).status, 200);
}

#[test]
fn nobody_learns_nothing_before_signing_in() {
    let server = Server::start();
    for (method, path) in
        [("GET", "/api/companies?nonsense=1"), ("POST", "/api/companies"), ("GET", "/api/companies/x")]
    {
        let reply = server.nobody().send_bytes(method, path, &[("content-type", "application/json")], b"{".to_vec());
        assert_eq!(reply.refused(401), "missing_token", "{path}");
    }
    assert_eq!(server.with("hmd_nonsense").get("/api/companies").refused(401), "invalid_token");
}

#[test]
fn requests_are_named_and_answers_dressed() {
    let server = Server::start();
    let reply = server.admin().send("GET", "/api/companies", &[("x-request-id", "my-request-0001")], None);
    assert_eq!(reply.header("x-request-id"), "my-request-0001");
    for (given, is_kept) in
        [("a", true), ("A-z_0.9", true), (&*"x".repeat(128), true), (&*"x".repeat(129), false), ("a/b", false)]
    {
        let reply = server.admin().send("GET", "/api/companies", &[("x-request-id", given)], None);
        assert_eq!(reply.header("x-request-id") == given, is_kept, "{given}");
    }
    let refused = server.admin().send("GET", "/api/nothing", &[("x-request-id", "mine")], None);
    assert_eq!((refused.header("x-request-id"), &refused.body["requestId"]), ("mine", &json!("mine")));
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.header("content-security-policy").contains("default-src 'none'"));
    let odd = server.admin().send("GET", "/api/companies", &[("x-request-id", "no spaces, please")], None);
    assert_ne!(odd.header("x-request-id"), "no spaces, please");
}
