//! Signing in over HTTP: tokens, the console's cookie, users and API keys.
use crm_core::testing::PASSWORD;
use serde_json::json;

use crate::client::Server;

#[test]
fn signing_in_gives_tokens_that_end_with_signing_out() {
    let server = Server::start();
    let login = json!({"email": server.house.rep.email, "password": PASSWORD});
    let tokens = server.nobody().post("/api/auth/login", &login).expect(200);
    assert_eq!((&tokens["tokenType"], &tokens["user"]["role"]), (&json!("Bearer"), &json!("SALES_REP")));
    assert!(tokens["expiresIn"].is_i64() && tokens["user"]["organizationId"].is_string());
    let access = tokens["accessToken"].as_str().unwrap();
    let me = server.with(access).get("/api/auth/me").expect(200);
    assert_eq!(me["user"], tokens["user"]);
    let refresh = json!({"refreshToken": tokens["refreshToken"]});
    let next = server.nobody().post("/api/auth/refresh", &refresh).expect(200);
    server.with(next["accessToken"].as_str().unwrap()).get("/api/auth/me").expect(200);
    assert_eq!(server.nobody().post("/api/auth/refresh", &refresh).refused(401), "invalid_token", "each is good once");
    assert_eq!(server.with(next["accessToken"].as_str().unwrap()).get("/api/auth/me").refused(401), "invalid_token");
    server.rep().send("POST", "/api/auth/logout", &[], None).expect(204);
    assert_eq!(server.rep().get("/api/auth/me").refused(401), "invalid_token");
}

#[test]
fn a_failed_sign_in_tells_nothing_and_is_slowed() {
    let server = Server::start();
    let attempt = |email: &str| {
        server.nobody().post("/api/auth/login", &json!({"email": email, "password": "wrong horse battery"}))
    };
    let (known, unknown) = (attempt(&server.house.rep.email), attempt("nobody@acme.test"));
    let (mut known, mut unknown) = (known.expect(401), unknown.expect(401));
    for body in [&mut known, &mut unknown] {
        body["requestId"] = json!(null);
    }
    assert_eq!(known, unknown);
    let slowed = (0..6).map(|_| attempt(&server.house.rep.email)).find(|reply| reply.status != 401).unwrap();
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(slowed.refused(429), "rate_limited");
    assert_eq!(server.nobody().post("/api/auth/login", &json!({"email": "x"})).bad_fields(), ["password"]);
    assert_eq!(
        server.nobody().post("/api/auth/login", &json!({"email": "x", "pasword": "y"})).refused(400),
        "unknown_member"
    );
}

#[test]
fn the_console_gets_a_cookie_and_proves_itself() {
    let server = Server::start();
    let login = json!({"email": server.house.admin.email, "password": PASSWORD});
    let reply = server.nobody().send("POST", "/api/auth/login", &[("x-heimdell-console", "1")], Some(&login));
    let cookie = reply.header("set-cookie").to_owned();
    for part in ["__Host-heimdell=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(reply.expect(200).get("accessToken").is_none());
    let cookie = cookie.split(';').next().unwrap();
    let as_console = |method, headers: &[(&str, &str)]| {
        let body = json!({"name": "Acme"});
        let headers: Vec<_> = [("cookie", cookie)].iter().chain(headers).copied().collect();
        server.nobody().send(method, "/api/companies", &headers, (method == "POST").then_some(&body))
    };
    as_console("GET", &[]).expect(200);
    assert_eq!(as_console("POST", &[]).refused(403), "cross_site_request");
    let elsewhere = [("x-heimdell-console", "1"), ("origin", "https://evil.example")];
    assert_eq!(as_console("POST", &elsewhere).refused(403), "cross_site_request");
    as_console("POST", &[("x-heimdell-console", "1"), ("origin", &server.base)]).expect(201);
}

#[test]
fn admins_add_people_and_nobody_locks_themselves_out() {
    let server = Server::start();
    let new = json!({"email": "new@acme.test", "name": "New", "role": "MANAGER", "password": "a long enough one"});
    assert_eq!(server.manager().post("/api/users", &new).refused(403), "role_required");
    let made = server.admin().post("/api/users", &new).expect(201);
    assert!(made["user"].get("password").is_none() && made["user"].get("passwordHash").is_none());
    assert_eq!(server.admin().post("/api/users", &new).refused(409), "email_taken");
    assert_eq!(server.with(&server.house.stranger.token).post("/api/users", &new).refused(409), "email_taken");
    let bad = json!({"email": "x", "name": "", "role": "BOSS", "password": "short"});
    assert_eq!(server.admin().post("/api/users", &bad).bad_fields(), ["email", "name", "password", "role"]);
    let own = format!("/api/users/{}", server.house.admin.id);
    assert_eq!(server.admin().patch(&own, &json!({"role": "SALES_REP"})).refused(409), "last_admin");
    let other = format!("/api/users/{}", server.house.rep.id);
    server.admin().patch(&other, &json!({"isActive": false})).expect(200);
    assert_eq!(server.rep().get("/api/auth/me").refused(401), "invalid_token");
}

#[test]
fn a_key_is_shown_once_and_never_above_its_maker() {
    let server = Server::start();
    let make = |scopes| server.manager().post("/api/api-keys", &json!({"name": "CI", "scopes": scopes})).expect(201);
    let (reads, writes) = (make(json!(["read"])), make(json!(["write"])));
    let key = |made: &serde_json::Value| made["apiKey"]["key"].as_str().unwrap().to_owned();
    let (reads, writes) = (key(&reads), key(&writes));
    assert!(reads.starts_with("hmd_"));
    server.with(&reads).get("/api/companies").expect(200);
    assert_eq!(server.with(&reads).post("/api/companies", &json!({"name": "x"})).refused(403), "scope_required");
    server.with(&writes).post("/api/companies", &json!({"name": "x"})).expect(201);
    let listed = server.manager().get("/api/api-keys").expect(200);
    assert!(!listed.to_string().contains(&reads));
    assert_eq!(
        server.rep().post("/api/api-keys", &json!({"name": "x", "scopes": ["admin"]})).refused(403),
        "role_required"
    );
    let id = listed["apiKeys"][0]["id"].as_str().unwrap();
    assert_eq!(server.rep().delete(&format!("/api/api-keys/{id}")).refused(404), "not_found");
    server.manager().delete(&format!("/api/api-keys/{id}")).expect(204);
}
