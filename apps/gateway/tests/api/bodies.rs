//! Bodies: every bad member is told at once, by its path, in words that a person understands.
use crm_core::testing::PASSWORD;
use gateway::routes;
use serde_json::{Value, json};

use crate::{
    client::{Reply, Server},
    coverage::Things,
};

/// The bad fields, once no message speaks in the words of the library that reads JSON.
#[track_caller]
fn told(reply: Reply) -> Vec<String> {
    for error in reply.body["errors"].as_array().into_iter().flatten() {
        let message = error["message"].as_str().unwrap();
        for raw in ["invalid type", "UUID", " at line ", "expected ", "struct ", "variant"] {
            assert!(!message.contains(raw), "{message}");
        }
        assert!(message.ends_with('.'), "{message}");
    }
    reply.bad_fields()
}

#[test]
fn typed_bodies_tell_every_bad_member() {
    let server = Server::start();
    let (admin, nobody) = (server.admin(), server.nobody());
    let unit = format!("/api/business-units/{}/members", server.house.unit);
    let pipeline = admin.get("/api/pipelines").expect(200)["pipelines"][0]["id"].as_str().unwrap().to_owned();
    let order = format!("/api/pipelines/{pipeline}/stages/order");
    let cases = [
        (nobody.post("/api/auth/login", &json!({})), vec!["email", "password"]),
        (nobody.post("/api/auth/login", &json!({"email": 5, "password": []})), vec!["email", "password"]),
        (nobody.post("/api/auth/refresh", &json!({"refreshToken": 7})), vec!["refreshToken"]),
        (admin.post("/api/auth/password", &json!({})), vec!["currentPassword", "newPassword"]),
        (
            admin.post("/api/auth/password", &json!({"currentPassword": "not mine", "newPassword": "short"})),
            vec!["currentPassword", "newPassword"],
        ),
        (
            admin.post("/api/users", &json!({"email": 5, "name": 7, "role": "BOSS", "password": 9})),
            vec!["email", "name", "password", "role"],
        ),
        (
            admin.post("/api/api-keys", &json!({"name": 1, "scopes": ["all"], "expiresAt": "never", "reasonCode": 5})),
            vec!["expiresAt", "name", "reasonCode", "scopes"],
        ),
        (
            admin.put(&unit, &json!({"userIds": ["x", server.house.rep.id, 7], "note": 5})),
            vec!["note", "userIds[0]", "userIds[2]"],
        ),
        (admin.put(&unit, &json!({"userIds": ["x", server.house.stranger.id]})), vec!["userIds[0]", "userIds[1]"]),
        (
            admin.post(
                "/api/policies/simulate",
                &json!({"role": "BOSS", "action": 5, "resource": "moon", "attributes": []}),
            ),
            vec!["action", "attributes", "resource", "role"],
        ),
        (
            admin.post(
                "/api/forecasting/stage-probability",
                &json!({"pipelineId": 1, "stageId": "x", "probability": "high"}),
            ),
            vec!["pipelineId", "probability", "stageId"],
        ),
        (
            admin.post("/api/leads/bulk", &json!({"ids": "all", "set": [], "delete": "no"})),
            vec!["delete", "ids", "set"],
        ),
        (
            admin.post("/api/leads/bulk", &json!({"ids": [1, "x", 2], "set": {}, "note": 5})),
            vec!["ids[0]", "ids[2]", "note", "set"],
        ),
        (
            admin.post(
                "/api/policies",
                &json!({"name": "", "role": "BOSS", "action": "fly", "resource": 5, "effect": "maybe"}),
            ),
            vec!["action", "effect", "name", "resource", "role"],
        ),
    ];
    for (reply, expected) in cases {
        assert_eq!(told(reply), expected);
    }
    let fields = told(admin.put(&order, &json!({"stageIds": ["x", 5], "reasonCode": []})));
    assert!(
        ["reasonCode", "stageIds[0]", "stageIds[1]"].iter().all(|field| fields.contains(&(*field).to_owned())),
        "{fields:?}"
    );
}

#[test]
fn nested_bodies_tell_every_bad_member_by_its_path() {
    let server = Server::start();
    let admin = server.admin();
    let stages = json!([{"name": "", "probability": 2}, 5, {"name": "Won", "kind": "vonn"}, {"name": "won", "rottenAfterDays": 0, "maxDaysInStage": 3651}]);
    let pipeline = admin.post("/api/pipelines", &json!({"name": "", "stages": stages}));
    let expected = [
        "name",
        "stages[0].name",
        "stages[0].probability",
        "stages[1]",
        "stages[2].kind",
        "stages[3].maxDaysInStage",
        "stages[3].name",
        "stages[3].rottenAfterDays",
    ];
    assert_eq!(told(pipeline), expected);
    let incomplete = json!({"name": "P", "stages": [{"name": "A"}, {"name": "B", "kind": "won"}]});
    assert_eq!(told(admin.post("/api/pipelines", &incomplete)), ["stages"]);
    let unknown = json!({"name": "", "stages": [{"nmae": "A"}]});
    assert_eq!(admin.post("/api/pipelines", &unknown).refused(400), "unknown_member");

    let lead = admin.post("/api/leads", &json!({"lastName": "Hopper", "companyName": "Navy"})).expect(201);
    let convert = format!("/api/leads/{}/convert", lead["lead"]["id"].as_str().unwrap());
    let body = json!({"company": {"create": {"name": "", "employees": -1}}, "contact": "maybe",
        "deal": {"create": {"title": 5, "value": -1, "leadId": "x"}}, "note": 5});
    let expected = [
        "company.create.employees",
        "company.create.name",
        "contact",
        "deal.create.leadId",
        "deal.create.title",
        "deal.create.value",
        "note",
    ];
    assert_eq!(told(admin.post(&convert, &body)), expected);
    assert_eq!(
        told(admin.post(&convert, &json!({"company": {"id": "x"}, "contact": {"id": 5}}))),
        ["company.id", "contact.id"]
    );
    for unknown in
        [json!({"company": {"crate": {}}}), json!({"deal": {"create": {"tilte": "x"}}}), json!({"person": "none"})]
    {
        assert_eq!(admin.post(&convert, &unknown).refused(400), "unknown_member");
    }

    let settings = json!({"reasonCodes": [{"code": "A B", "label": ""}, 7], "rules": [{"entityType": "moon", "condition": {"type": "always"}},
        {"entityType": "deal", "fieldName": "value", "condition": {"type": "value_lowered", "byMoreThanPercent": "x"}}]});
    let expected =
        ["reasonCodes[0].code", "reasonCodes[0].label", "reasonCodes[1]", "rules[0].entityType", "rules[1].condition"];
    let fields = told(admin.put("/api/reason-codes", &settings));
    assert!(expected.iter().all(|field| fields.contains(&(*field).to_owned())), "{fields:?}");

    let condition =
        json!({"all": [{"attr": "moon", "op": "is", "value": 1}, {"attr": "value", "op": "gt", "value": "x"}]});
    let policy = json!({"name": "", "role": "SALES_REP", "action": "mark_won_lost", "resource": "deal", "effect": "deny", "condition": condition});
    let fields = told(admin.post("/api/policies", &policy));
    assert_eq!(fields[0], "condition.all[0].attr", "{fields:?}");
    assert!(
        fields.contains(&"name".to_owned()) && fields.iter().any(|f| f.starts_with("condition.all[1]")),
        "{fields:?}"
    );
}

#[test]
fn reviews_are_held_to_their_shape_beside_the_deal() {
    let server = Server::start();
    let admin = server.admin();
    let deal = admin.post("/api/deals", &json!({"title": "D"})).expect(201)["deal"].clone();
    let path = format!("/api/deals/{}", deal["id"].as_str().unwrap());
    let pipelines = admin.get("/api/pipelines").expect(200);
    let stage = |kind: &str| {
        let stages = pipelines["pipelines"][0]["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["kind"] == kind).unwrap()["id"].clone()
    };
    let close = |review: Value| json!({"stageId": stage("won"), "title": "", "winLossReview": review});
    let bad = close(json!({"outcome": "lost", "notes": 5}));
    let expected = ["title", "winLossReview.notes", "winLossReview.outcome", "winLossReview.primaryReasonCode"];
    assert_eq!(told(admin.patch(&path, &bad)), expected);
    assert_eq!(
        admin.patch(&path, &close(json!({"primaryReasonCode": "best_price", "nots": "x"}))).refused(400),
        "unknown_member"
    );
    let review = format!("{path}/win-loss");
    assert_eq!(
        told(admin.post(&review, &json!({"outcome": "maybe", "notes": 5}))),
        ["notes", "outcome", "primaryReasonCode"]
    );
    let closing =
        json!({"stageId": stage("won"), "winLossReview": {"outcome": "won", "primaryReasonCode": "best_price"}});
    admin.patch(&path, &closing).expect(200);
    assert_eq!(admin.patch(&path, &closing).refused(409), "already_reviewed", "the same close again");
    let again = json!({"winLossReview": {"primaryReasonCode": "best_fit"}});
    assert_eq!(admin.patch(&path, &again).refused(409), "already_reviewed");
    admin.patch(&path, &json!({"stageId": stage("open")})).expect(200);
    assert_eq!(told(admin.patch(&path, &again)), ["winLossReview"], "the deal is open and stays it");
    admin.patch(&path, &closing).expect(200);
}

#[test]
fn what_is_no_json_is_told_by_its_place() {
    let server = Server::start();
    let kind = [("content-type", "application/json")];
    let reply = server.admin().send_bytes("POST", "/api/companies", &kind, b"{\"name\":\n nonsense}".to_vec());
    assert_eq!(reply.body["detail"], "The body is not JSON: see line 2, column 3.");
    let login = json!({"email": server.house.rep.email, "password": PASSWORD});
    server.nobody().post("/api/auth/login", &login).expect(200);
}

#[test]
fn whoever_says_a_thing_twice_is_asked_which_was_meant() {
    let server = Server::start();
    let things = Things::make(&server);
    let twice = br#"{"effect": "allow", "name": {"a": [{"b": 1}]}, "effect": "deny"}"#;
    let mut tried = 0;
    for endpoint in routes::all() {
        let body = endpoint.operation.get("requestBody").map(|body| &body["content"]["application/json"]);
        // What others sign is looked at once the signature is.
        if !body.is_some_and(Value::is_object) || endpoint.path == "/api/webhooks/in/{source}" {
            continue;
        }
        let path = things.address(&endpoint);
        let json = [("content-type", "application/json")];
        let reply = server.admin().send_bytes(endpoint.method.as_str(), &path, &json, twice.to_vec());
        assert_eq!(reply.status, 400, "{endpoint:?}: {}", reply.body);
        assert_eq!(reply.refused(400), "repeated_member", "{endpoint:?}");
        tried += 1;
    }
    assert!(tried > 60, "{tried}");
}
