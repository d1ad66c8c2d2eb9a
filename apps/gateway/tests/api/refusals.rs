//! Whoever is refused by a policy is told which: on every path that uses what is hidden, and of every action.
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    imports::send,
};

/// A house in which this policy holds for managers, with a deal, and that deal's path.
fn house(policy: &Value) -> (Server, String) {
    let server = Server::governed();
    let admin = server.admin();
    let deal = admin.post("/api/deals", &json!({"title": "Acme", "value": 1000})).expect(201)["deal"]["id"].clone();
    let mut policy = policy.clone();
    policy["name"] = json!(NAME);
    policy["role"] = json!("MANAGER");
    admin.post("/api/policies", &policy).expect(201);
    (server, format!("/api/deals/{}", deal.as_str().unwrap()))
}

const NAME: &str = "Of our own";

/// A refusal of a whole request: its code, once it names the policy.
#[track_caller]
fn named(client: Client<'_>, method: &str, path: &str, body: Option<&Value>) -> String {
    let reply = client.send(method, path, &[], body);
    assert_eq!(reply.status, 403, "{method} {path}: {}", reply.body);
    let detail = reply.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(NAME), "{method} {path}: {detail}");
    reply.body["code"].as_str().unwrap().to_owned()
}

#[test]
fn whatever_looks_at_a_hidden_field_says_which_policy_hides_it() {
    let (server, path) = house(&json!({"action": "view_field", "resource": "deal", "field": "value"}));
    let manager = server.manager();
    let history = path.replace("/api/deals", "/api/field-history/deal");
    let list = ["sort=value", "sort=-value", "value=1", "value[gte]=1", "value[empty]=true"];
    let reads = list.iter().flat_map(|query| ["/api/deals", "/api/deals/export"].map(|list| format!("{list}?{query}")));
    let others = [format!("{history}/value"), "/api/forecasting/backtest".into(), "/api/forecasting/snapshots".into()];
    for read in reads.chain(others) {
        assert_eq!(named(manager, "GET", &read, None), "field_not_viewable", "{read}");
    }
    let view = |members: Value| {
        let mut view = json!({"entityType": "deal", "name": "Large"});
        view.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        view
    };
    let writes = [
        ("PATCH", path.as_str(), json!({"value": 5})),
        ("POST", "/api/deals", json!({"title": "Globex", "value": 5})),
        ("POST", "/api/deals/bulk", json!({"filter": {"value[gte]": 5}, "set": {"title": "Large"}})),
        ("POST", "/api/saved-views", view(json!({"filters": {"value[gte]": 5}}))),
        ("POST", "/api/saved-views", view(json!({"sort": "-value"}))),
    ];
    for (method, path, body) in writes {
        assert_eq!(named(manager, method, path, Some(&body)), "field_not_viewable", "{path} {body}");
    }
    let parts = [("entityType", "deal"), ("mapping", r#"{"T": "title", "V": "value"}"#)];
    let import = send(manager, "/api/imports", &parts, "T,V\r\nGlobex,5\r\n").expect(403);
    assert!(import["detail"].as_str().unwrap().contains(NAME), "{import}");
    let ids = json!([path.rsplit('/').next().unwrap()]);
    let bulk = manager.post("/api/deals/bulk", &json!({"ids": ids, "set": {"value": 5}})).expect(200)["bulk"].clone();
    assert!(bulk["results"][0]["error"]["message"].as_str().unwrap().contains(NAME), "{bulk}");
}

#[test]
fn what_is_searched_is_hidden_by_name_too() {
    let (server, _) = house(&json!({"action": "view_field", "resource": "contact", "field": "phone"}));
    for path in ["/api/contacts?q=555", "/api/search?q=acme&types=contact"] {
        assert_eq!(named(server.manager(), "GET", path, None), "field_not_viewable");
    }
}

#[test]
fn where_a_field_is_hidden_in_some_records_the_policy_that_does_so_is_named() {
    let condition = json!({"attr": "ownerId", "op": "isNull"});
    let policy = json!({"action": "view_field", "resource": "deal", "field": "value", "condition": condition});
    let (server, path) = house(&policy);
    let list = named(server.manager(), "GET", "/api/deals?sort=value", None);
    assert_eq!((list.as_str(), server.manager().get(&path).status), ("field_not_viewable", 200));
}

#[test]
fn every_action_that_a_policy_refuses_says_which() {
    let review = json!({"outcome": "won", "primaryReasonCode": "price"});
    let title = json!({"title": "Globex"});
    let cases = [
        ("edit_field", Some("title"), "PATCH", "", Some(title.clone())),
        ("edit", None, "PATCH", "", Some(title.clone())),
        ("create", None, "POST", "/api/deals", Some(title)),
        ("delete", None, "DELETE", "", None),
        ("view", None, "GET", "", None),
        ("view", None, "GET", "/api/deals", None),
        ("export_data", None, "GET", "/api/deals/export", None),
        ("mark_won_lost", None, "POST", "/win-loss", Some(review)),
    ];
    for (action, field, method, path, body) in cases {
        let (server, deal) = house(&json!({"action": action, "resource": "deal", "field": field, "effect": "deny"}));
        let path = if path.starts_with("/api") { path.to_owned() } else { format!("{deal}{path}") };
        assert_eq!(named(server.manager(), method, &path, body.as_ref()), "policy_denied", "{action}");
    }
}

#[test]
fn moving_a_deal_and_what_waits_for_an_approval_name_their_policy() {
    let (server, deal) = house(&json!({"action": "change_stage", "resource": "deal", "effect": "deny"}));
    let pipelines = server.admin().get("/api/pipelines").expect(200)["pipelines"].clone();
    let stage = json!({"stageId": pipelines[0]["stages"][1]["id"]});
    assert_eq!(named(server.manager(), "PATCH", &deal, Some(&stage)), "policy_denied");
    let (server, deal) = house(&json!({"action": "edit", "resource": "deal", "effect": "require_approval"}));
    let ids = json!([deal.rsplit('/').next().unwrap()]);
    let bulk =
        server.manager().post("/api/deals/bulk", &json!({"ids": ids, "set": {"title": "x"}})).expect(200)["bulk"]
            .clone();
    assert_eq!(bulk["results"][0]["status"], "waiting", "{bulk}");
    let approval = format!("/api/approvals/{}", bulk["results"][0]["approvalId"].as_str().unwrap());
    let reason = server.manager().get(&approval).expect(200)["approval"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains(NAME), "{reason}");
    let convert = server.manager().post("/api/leads", &json!({"lastName": "x"})).expect(201)["lead"]["id"].clone();
    let convert = format!("/api/leads/{}/convert", convert.as_str().unwrap());
    let policy = json!({"name": NAME, "role": "MANAGER", "action": "create", "resource": "contact", "effect": "require_approval"});
    server.admin().post("/api/policies", &policy).expect(201);
    let waits = server.manager().post(&convert, &json!({})).expect(202)["approval"].clone();
    assert!(waits["reason"].as_str().unwrap().contains(NAME), "{waits}");
}

#[test]
fn what_the_roles_may_not_names_the_built_in_policy() {
    let server = Server::governed();
    let (manager, rep) = (server.manager(), server.rep());
    let suppression = server.admin().post("/api/suppressions", &json!({"email": "no@acme.example"})).expect(201);
    let suppression = format!("/api/suppressions/{}", suppression["suppression"]["id"].as_str().unwrap());
    let lead = rep.post("/api/leads", &json!({"lastName": "x"})).expect(201)["lead"]["id"].clone();
    let lead = format!("/api/leads/{}", lead.as_str().unwrap());
    let key = json!({"name": "k", "scopes": ["admin"]});
    let codes = server.admin().get("/api/reason-codes").expect(200);
    let codes = json!({"reasonCodes": [], "rules": codes["rules"]});
    let cases = [
        (manager, "PUT", "/api/reason-codes", Some(&codes), "“Built in: deny MANAGER edit on reason_code” refuses"),
        (rep, "PUT", "/api/reason-codes", Some(&codes), "“Built in: allow ADMIN edit on everything” does so to ADMIN"),
        (manager, "DELETE", suppression.as_str(), None, "“Built in: deny MANAGER delete on suppression” refuses"),
        (manager, "POST", "/api/api-keys", Some(&key), "“Built in: allow ADMIN manage on everything” does so to ADMIN"),
        (
            rep,
            "GET",
            "/api/field-history/recent",
            None,
            "“Built in: allow MANAGER view on everything” does so to MANAGER",
        ),
        (
            rep,
            "GET",
            "/api/field-history/verify",
            None,
            "“Built in: allow MANAGER view on everything” does so to MANAGER",
        ),
        (rep, "DELETE", lead.as_str(), None, "“Built in: allow MANAGER delete on everything” does so to MANAGER"),
        (rep, "GET", "/api/companies/export", None, "“Built in: allow MANAGER export_data on everything” does so"),
    ];
    for (client, method, path, body, expected) in cases {
        let reply = client.send(method, path, &[], body);
        assert_eq!(reply.refused(403), "policy_denied", "{method} {path}");
        let reply = client.send(method, path, &[], body);
        assert!(reply.body["detail"].as_str().unwrap().contains(expected), "{method} {path}: {}", reply.body);
    }
    let parts = [("entityType", "deal"), ("mapping", r#"{"T": "title"}"#), ("options", r#"{"asHistory": true}"#)];
    let import = send(manager, "/api/imports", &parts, "T\r\nGlobex\r\n").expect(403);
    assert!(import["detail"].as_str().unwrap().contains("“Built in: allow ADMIN manage on everything”"), "{import}");
    server.admin().delete(&suppression).expect(204);
}

/// The answer of a read to managers, who do not see a field of this kind of record.
fn seen_without(kind: &str, field: &str, path: &str) -> crate::client::Reply {
    let server = Server::governed();
    let admin = server.admin();
    let deal = json!({"title": "Acme", "value": 1000, "expectedCloseDate": "2031-04-04"});
    let deal = admin.post("/api/deals", &deal).expect(201)["deal"]["id"].clone();
    let intel = json!({"competitors": ["Secret Rival"], "objections": ["Too dear"]});
    admin.put(&format!("/api/deals/{}/intel", deal.as_str().unwrap()), &intel).expect(200);
    let review = json!({"outcome": "lost", "primaryReasonCode": "price"});
    admin.post(&format!("/api/deals/{}/win-loss", deal.as_str().unwrap()), &review).expect(201);
    admin.post("/api/deals", &json!({"title": "Globex", "value": 1000})).expect(201);
    let policy = json!({"name": NAME, "role": "MANAGER", "action": "view_field", "resource": kind, "field": field});
    admin.post("/api/policies", &policy).expect(201);
    server.manager().get(path)
}

#[test]
fn figures_leave_out_what_they_would_tell_of_a_hidden_field() {
    let (patterns, forecast) = ("/api/deals/win-loss/patterns", "/api/forecasting/pipeline");
    for (kind, field, path, name, withheld) in [
        ("deal_intel", "competitors", patterns, "patterns", &["byCompetitor"] as &[&str]),
        ("deal_intel", "objections", patterns, "patterns", &["byObjection"]),
        ("deal", "value", patterns, "patterns", &["bySize"]),
        (
            "deal",
            "stageId",
            forecast,
            "forecast",
            &["expectedValue", "probableValue", "distribution", "dealsByStage", "unconfiguredStages"],
        ),
        (
            "deal",
            "probability",
            forecast,
            "forecast",
            &["expectedValue", "probableValue", "distribution", "unconfiguredStages"],
        ),
        ("deal", "pipelineId", forecast, "forecast", &["dealsByStage", "unconfiguredStages"]),
    ] {
        let answer = seen_without(kind, field, path).expect(200)[name].clone();
        assert_eq!(answer["maskedFields"], json!(withheld), "{kind}.{field}");
        assert!(withheld.iter().all(|member| answer.get(member).is_none()), "{kind}.{field}: {answer}");
    }
    for path in [patterns, forecast, "/api/forecasting/stale-deals"] {
        assert_eq!(seen_without("deal", "status", path).refused(403), "field_not_viewable", "{path}");
    }
    let stale = seen_without("deal", "value", "/api/forecasting/stale-deals?daysInactive=0").expect(200);
    let rows = stale["staleDeals"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["title"] == "Globex" && row.get("value").is_none()), "{stale}");
    assert_eq!(rows.len(), 1, "{stale}");
}
