//! Drives every operation of the document as nobody, with too low a role, and with another organization's ids. An
//! operation that this file does not know fails, so that none is added without its walls being tried.
use crm_core::{
    change::FieldDiff,
    clock,
    gate::{Action, Ask},
    proposals::Proposal,
    testing::Person,
};
use crm_policy::approvals;
use gateway::{
    endpoint::{Access, Endpoint, places},
    routes,
};
use serde_json::{Map, Value, json};

use crate::client::{Client, Server};

/// One of everything that has an id in some address, made by the admin and visible to the rep.
pub(crate) struct Things(Map<String, Value>);

impl Things {
    pub(crate) fn make(server: &Server) -> Self {
        let admin = server.admin();
        let made = |path: &str, body: Value| {
            let reply = admin.post(path, &body).expect(201);
            let (_, thing) = reply.as_object().unwrap().iter().next().unwrap();
            thing["id"].clone()
        };
        let mut ids = Map::new();
        let mut keep = |path: &str, id: Value| ids.insert(path.to_owned(), id);
        let company = made("/api/companies", json!({"name": "Acme"}));
        let deal = made("/api/deals", json!({"title": "Deal", "companyId": company}));
        let pipelines = admin.get("/api/pipelines").expect(200);
        keep("/api/leads", made("/api/leads", json!({"lastName": "Lead"})));
        keep("/api/contacts", made("/api/contacts", json!({"lastName": "Contact"})));
        keep(
            "/api/activities",
            made("/api/activities", json!({"type": "note", "subject": "Activity", "dealId": deal})),
        );
        keep("/api/tasks", made("/api/tasks", json!({"title": "Task", "dealId": deal})));
        keep(
            "/api/saved-views",
            made("/api/saved-views", json!({"entityType": "deal", "name": "View", "isShared": true})),
        );
        keep("/api/suppressions", made("/api/suppressions", json!({"email": "no@acme.example"})));
        keep("/api/imports", import(server));
        keep("/api/system/jobs", admin.get("/api/system/jobs").expect(200)["jobs"][0]["id"].clone());
        keep(
            "/api/policies",
            made(
                "/api/policies",
                json!({"name": "p", "role": "SALES_REP", "action": "export_data", "resource": "task", "effect": "deny"}),
            ),
        );
        let history = format!("/api/field-history/deal/{}", deal.as_str().unwrap());
        admin.patch(&format!("/api/deals/{}", deal.as_str().unwrap()), &json!({"value": 1})).expect(200);
        keep("changeSetId", admin.get(&history).expect(200)["fieldHistory"][0]["changeSetId"].clone());
        keep("entityType", json!("deal"));
        keep("entityId", deal.clone());
        keep("fieldName", json!("stageId"));
        keep("/api/companies", company);
        keep("/api/deals", deal.clone());
        keep("dealId", deal.clone());
        keep("/api/pipelines", pipelines["pipelines"][0]["id"].clone());
        keep("stageId", pipelines["pipelines"][0]["stages"][0]["id"].clone());
        keep("/api/business-units", json!(server.house.unit));
        keep(
            "/api/custom-fields",
            made("/api/custom-fields", json!({"entityType": "lead", "key": "k", "label": "K", "type": "text"})),
        );
        let given = json!({"title": "For you", "assigneeId": server.house.admin.id, "dueAt": clock::now()});
        let [given, pressing] =
            [0, 1].map(|_| server.manager().post("/api/tasks", &given).expect(201)["task"]["id"].clone());
        keep("taskId", pressing);
        let dismissals = "/api/copilot/daily-focus/dismissals";
        keep(dismissals, made(dismissals, json!({"taskId": given, "reason": "Later"})));
        let told = admin.get("/api/notifications?limit=200").expect(200)["notifications"].as_array().unwrap().clone();
        let told = told.into_iter().find(|notification| notification["kind"] == "task_assigned").unwrap();
        keep("/api/notifications", told["id"].clone());
        keep("/api/system/alerts", made("/api/system/alerts", json!({"severity": "info", "title": "Alert"})));
        let webhook = made("/api/webhooks", json!({"url": "https://hooks.acme.example/", "events": ["deal.won"]}));
        let test = format!("/api/webhooks/{}/test", webhook.as_str().unwrap());
        let message = admin.post(&test, &json!({})).expect(202);
        keep("/api/system/webhook-events", message["webhookEvent"]["id"].clone());
        keep("/api/webhooks", webhook);
        let source = made("/api/webhooks/sources", json!({"name": "Mail"}));
        keep("source", source.clone());
        keep("/api/webhooks/sources", source);
        keep("/api/users", json!(server.house.rep.id));
        keep("/api/api-keys", made("/api/api-keys", json!({"name": "k", "scopes": ["read"]})));
        keep("/api/approvals", approval(server, &deal));
        keep("/api/auth/sessions", admin.get("/api/auth/sessions").expect(200)["sessions"][0]["id"].clone());
        Self(ids)
    }

    /// Nothing at all: what an example names stays as it is.
    pub(crate) fn none() -> Self {
        Self(Map::new())
    }

    /// The address of an endpoint with the ids of these things in its places.
    pub(crate) fn address(&self, endpoint: &Endpoint) -> String {
        self.address_with(endpoint, None)
    }

    /// The id of the thing that a place or a member of this name means, where there is one.
    pub(crate) fn id_of(&self, name: &str) -> Option<&Value> {
        let list = match name {
            "leadId" => "/api/leads",
            "companyId" => "/api/companies",
            "contactId" => "/api/contacts",
            "pipelineId" => "/api/pipelines",
            "userId" | "ownerId" => "/api/users",
            "businessUnitId" => "/api/business-units",
            name => name,
        };
        self.0.get(list)
    }

    /// The same with another id wherever an id stands.
    fn address_with(&self, endpoint: &Endpoint, other: Option<&str>) -> String {
        let mut path = endpoint.path.to_owned();
        for place in places(endpoint.path) {
            let is_id = place == "id" || place.ends_with("Id");
            let mark = format!("{{{place}}}");
            let before = endpoint.path.split(&mark).next().unwrap().trim_end_matches('/');
            let id = self.0.get(place).or_else(|| self.0.get(before));
            let id = id.unwrap_or_else(|| panic!("coverage.rs does not know what {place} in {} is", endpoint.path));
            let id = other.filter(|_| is_id).unwrap_or_else(|| id.as_str().unwrap());
            path = path.replace(&mark, id);
        }
        path
    }
}

/// A request of the rep that waits for somebody's approval, in whatever way the house decides what needs one.
fn approval(server: &Server, deal: &Value) -> Value {
    let diffs = vec![FieldDiff { field_name: "value".into(), old_value: json!(1), new_value: json!(1111) }];
    let id = deal.as_str().map(|id| id.parse().unwrap());
    let proposal =
        Proposal { id, version: Some(2), diffs, ..Proposal::of(&Ask::about(Action::Edit, "deal"), Vec::new(), "Why") };
    let rep = Person::sign_in(&server.door, &server.house.rep.email, clock::now()).unwrap();
    let members = Map::from_iter([("value".to_owned(), json!(1111))]);
    json!(rep.write(|tx| approvals::request(tx, proposal, members)).unwrap().id)
}

/// An import that waits to be worked.
fn import(server: &Server) -> Value {
    let part =
        |name: &str, text: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    let file =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"c.csv\"\r\n\r\nName\r\nAcme\r\n--x--\r\n";
    let body = [part("entityType", "company"), part("mapping", "{\"Name\":\"name\"}"), file.to_owned()].concat();
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let reply = server.rep().send_bytes("POST", "/api/imports", &kind, body.into_bytes());
    reply.expect(202)["import"]["id"].clone()
}

/// A body that is JSON and no more: the walls stand before anybody looks into it.
fn send(client: Client<'_>, endpoint: &Endpoint, path: &str) -> crate::client::Reply {
    let takes_json =
        endpoint.operation.get("requestBody").is_some_and(|body| body["content"]["application/json"].is_object());
    let body = takes_json.then(|| json!({}));
    client.send(endpoint.method.as_str(), path, &[], body.as_ref())
}

fn everything_of(client: Client<'_>) -> String {
    [
        "leads",
        "contacts",
        "companies",
        "deals",
        "activities",
        "tasks",
        "saved-views",
        "suppressions",
        "pipelines",
        "business-units",
        "custom-fields",
        "users",
    ]
    .map(|list| client.get(&format!("/api/{list}?sort=createdAt")).expect(200).to_string())
    .concat()
}

#[test]
fn nobody_gets_past_any_door() {
    let server = Server::start();
    let things = Things::make(&server);
    let before = everything_of(server.admin());
    for endpoint in routes::all().iter().filter(|endpoint| endpoint.access != Access::Public) {
        for client in [server.nobody(), server.with("hmd_bogus"), server.with(&server.house.admin.token[1..])] {
            let reply = send(client, endpoint, &things.address(endpoint));
            assert_eq!(reply.status, 401, "{endpoint:?}: {}", reply.body);
        }
    }
    assert_eq!(everything_of(server.admin()), before, "refused, but written");
}

#[test]
fn too_low_a_role_is_refused_and_changes_nothing() {
    for (server, is_governed) in [(Server::start(), false), (Server::governed(), true)] {
        let things = Things::make(&server);
        let before = everything_of(server.admin());
        for endpoint in routes::all() {
            let path = things.address(&endpoint);
            let lower: &[Client<'_>] = match endpoint.access {
                Access::Admin => &[server.manager(), server.rep()],
                Access::Manager => &[server.rep()],
                Access::User | Access::Public => &[],
            };
            for client in lower {
                let reply = send(*client, &endpoint, &path);
                assert_eq!(reply.status, 403, "{endpoint:?}: {}", reply.body);
                let names_policy = reply.body["detail"].as_str().is_some_and(|detail| detail.contains("olicy “"));
                assert_eq!(names_policy, is_governed, "{endpoint:?}: {}", reply.body);
            }
        }
        assert_eq!(everything_of(server.admin()), before, "refused, but written");
    }
}

#[test]
fn another_organizations_ids_are_as_good_as_none() {
    let server = Server::start();
    let things = Things::make(&server);
    let before = everything_of(server.admin());
    let stranger = server.with(&server.house.stranger.token);
    let unknown = "01890000-0000-7000-8000-000000000000";
    // What is public belongs to no caller: a source is known by its id alone.
    let scoped = |endpoint: &&Endpoint| endpoint.path.contains('{') && endpoint.access != Access::Public;
    for endpoint in routes::all().iter().filter(scoped) {
        let mut theirs = send(stranger, endpoint, &things.address(endpoint));
        let mut nothing = send(stranger, endpoint, &things.address_with(endpoint, Some(unknown)));
        assert_eq!(theirs.status, 404, "{endpoint:?}: {}", theirs.body);
        for reply in [&mut theirs, &mut nothing] {
            reply.body["requestId"] = Value::Null;
        }
        assert_eq!((theirs.status, theirs.body), (nothing.status, nothing.body), "{endpoint:?}");
    }
    assert_eq!(everything_of(server.admin()), before, "refused, but written");
}

#[test]
fn hostile_values_are_never_a_fault_of_ours() {
    let server = Server::start();
    let things = Things::make(&server);
    let values = [
        json!(null),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("\u{202e}x"),
        json!("\r\nx: y"),
        json!("😀".repeat(300)),
        json!("' OR 1=1 --"),
        json!(-1),
        json!(0),
        json!(65.5),
        json!(2_147_483_648_i64),
        json!(9_007_199_254_740_993_i64),
        serde_json::from_str("1e400").unwrap(),
        serde_json::from_str(&"9".repeat(400)).unwrap(),
        json!(true),
        json!([]),
        json!({}),
        json!(["\u{0}"]),
        json!({"a": {"b": "\u{0}"}}),
        json!("9999-12-31"),
        json!("10000000-01-01"),
        json!("2025-02-30T25:61:61Z"),
        json!("00000000-0000-0000-0000-000000000000"),
    ];
    for endpoint in routes::all() {
        let properties = properties(&endpoint);
        let path = things.address(&endpoint);
        for (name, value) in properties.iter().flat_map(|name| values.iter().map(move |value| (name, value))) {
            let body = json!({name.as_str(): value});
            let reply = server.admin().send(endpoint.method.as_str(), &path, &[], Some(&body));
            assert!(reply.status < 500, "{endpoint:?} {body}: {}", reply.body);
            assert!(reply.status != 401, "{endpoint:?} {body} signed the admin out");
        }
    }
    for endpoint in routes::all().iter().filter(|endpoint| endpoint.method == "GET") {
        let path = things.address(endpoint);
        let parameters = endpoint.operation["parameters"].as_array().unwrap();
        for name in parameters.iter().filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap()) {
            for value in [
                "",
                "%00",
                "'%20OR%201=1--",
                "-1",
                "1e400",
                "%F0%9F%98%80",
                "null",
                "%E2%80%AE",
                "a%0d%0ab",
                "9999999999999999999",
                "%ff",
                "%25%27%22",
            ] {
                let reply = server.admin().get(&format!("{path}?{name}={value}"));
                assert!(reply.status < 500, "{endpoint:?} {name}={value}: {}", reply.body);
            }
        }
    }
}

/// The members that an endpoint's body can have.
fn properties(endpoint: &Endpoint) -> Vec<String> {
    // Signing out or changing one's own password would end the test; signing in has tests of its own.
    // What is deleted could not be tried any more.
    if endpoint.path.starts_with("/api/auth/") || endpoint.method == "DELETE" {
        return Vec::new();
    }
    let schema =
        endpoint.operation.get("requestBody").map(|body| &body["content"]["application/json"]["schema"]["$ref"]);
    let name = schema.and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
    let properties = name.and_then(|name| endpoint.schemas[name]["properties"].as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}
