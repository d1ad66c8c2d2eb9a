//! Who may do what in which way: a table that a person can read, each cell of it tried over HTTP.
use std::sync::Arc;

use crm_policy::PolicyGates;
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply, Server},
    imports,
};

/// To each action, and each way of doing it, what comes of it for the three roles and for keys of an ADMIN with the
/// scopes `read`, `write` and `admin`. Then what comes of it for whoever may, once a policy denies the action to anybody,
/// and once one wants it approved.
///
/// `done`: it is done. `no`: refused, and nothing has changed. `waits`: a request for approval is made, and nothing has changed.
/// `-`: such a policy is refused itself. A way that could not wait would be `asks`, and there is none.
const MATRIX: &str = "
    action        | way        | ADMIN | MANAGER | SALES_REP | read | write | admin | denied | to be approved
    view          | read       | done  | done    | done      | done | done  | done  | no     | -
    view          | list       | done  | done    | done      | done | done  | done  | no     | -
    view          | search     | done  | done    | done      | done | done  | done  | no     | -
    view          | history    | done  | done    | done      | done | done  | done  | no     | -
    view          | as-of      | done  | done    | done      | done | done  | done  | no     | -
    view_field    | read       | done  | done    | done      | done | done  | done  | no     | -
    view_field    | sort       | done  | done    | done      | done | done  | done  | no     | -
    view_field    | PATCH      | done  | done    | done      | no   | done  | done  | no     | -
    view_field    | import     | done  | done    | done      | no   | done  | done  | no     | -
    export_data   | export     | done  | done    | no        | done | done  | done  | no     | -
    manage        | members    | done  | no      | no        | no   | no    | done  | no     | -
    create        | POST       | done  | done    | done      | no   | done  | done  | no     | waits
    create        | new import | done  | done    | done      | no   | done  | done  | no     | waits
    create        | convert    | done  | done    | done      | no   | done  | done  | no     | waits
    edit          | PATCH      | done  | done    | done      | no   | done  | done  | no     | waits
    edit          | bulk       | done  | done    | done      | no   | done  | done  | no     | waits
    edit          | import     | done  | done    | done      | no   | done  | done  | no     | waits
    edit          | revert     | done  | done    | done      | no   | done  | done  | no     | waits
    edit_field    | PATCH      | done  | done    | done      | no   | done  | done  | no     | waits
    edit_field    | bulk       | done  | done    | done      | no   | done  | done  | no     | waits
    edit_field    | import     | done  | done    | done      | no   | done  | done  | no     | waits
    edit_field    | revert     | done  | done    | done      | no   | done  | done  | no     | waits
    change_stage  | move       | done  | done    | done      | no   | done  | done  | no     | waits
    change_stage  | bulk move  | done  | done    | done      | no   | done  | done  | no     | waits
    change_stage  | revert     | done  | done    | done      | no   | done  | done  | no     | waits
    mark_won_lost | win        | done  | done    | no        | no   | done  | done  | no     | waits
    mark_won_lost | win-loss   | done  | done    | no        | no   | done  | done  | no     | waits
    mark_won_lost | bulk win   | done  | done    | no        | no   | done  | done  | no     | waits
    mark_won_lost | POST won   | done  | done    | no        | no   | done  | done  | no     | waits
    mark_won_lost | revert     | done  | done    | no        | no   | done  | done  | no     | waits
    delete        | DELETE     | done  | done    | no        | no   | done  | done  | no     | waits
    delete        | bulk away  | done  | done    | no        | no   | done  | done  | no     | waits
";

/// One line of the table.
struct Line<'t> {
    action: &'t str,
    way: &'t str,
    callers: Vec<&'t str>,
    denied: &'t str,
    to_approve: &'t str,
}

fn lines() -> Vec<Line<'static>> {
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let lines = MATRIX.trim().lines().skip(1).map(cells);
    lines
        .map(|cells| Line {
            action: cells[0],
            way: cells[1],
            callers: cells[2..8].to_vec(),
            denied: cells[8],
            to_approve: cells[9],
        })
        .collect()
}

/// The ways that only look.
const READING: [&str; 8] = ["read", "list", "sort", "search", "history", "as-of", "export", "members"];
/// The ways that make something new.
const MAKING: [&str; 4] = ["POST", "POST won", "new import", "convert"];

/// What a caller tries it on: of what is changed, nobody else touches it.
#[derive(Clone)]
struct Case {
    name: String,
    deal: String,
    id: String,
    /// What is converted.
    lead: String,
    /// What a revert takes back.
    change_set: Value,
}

/// The stages that deals of this test are in.
struct Stages {
    second: Value,
    won: Value,
}

fn stages(server: &Server) -> Stages {
    let pipelines = server.admin().get("/api/pipelines").expect(200);
    let stages = pipelines["pipelines"][0]["stages"].as_array().unwrap().clone();
    let won = stages.iter().find(|stage| stage["kind"] == "won").unwrap();
    Stages { second: stages[1]["id"].clone(), won: won["id"].clone() }
}

fn case(server: &Server, name: String, line: &Line<'_>, stages: &Stages) -> Case {
    let admin = server.admin();
    let unit = server.house.unit;
    let deal = json!({"title": "Deal", "value": 1, "externalId": name, "businessUnitId": unit});
    let id = admin.post("/api/deals", &deal).expect(201)["deal"]["id"].as_str().unwrap().to_owned();
    let deal = format!("/api/deals/{id}");
    let mut lead = String::new();
    if line.way == "convert" {
        let body = json!({"lastName": name, "businessUnitId": unit});
        lead = admin.post("/api/leads", &body).expect(201)["lead"]["id"].as_str().unwrap().to_owned();
    }
    let mut change_set = Value::Null;
    if line.way == "revert" {
        let change = match line.action {
            "change_stage" => json!({"stageId": stages.second}),
            "mark_won_lost" => json!({"stageId": stages.won}),
            _ => json!({"title": "Changed"}),
        };
        admin.patch(&deal, &change).expect(200);
        let history = admin.get(&format!("/api/field-history/deal/{id}")).expect(200);
        change_set = history["fieldHistory"][0]["changeSetId"].clone();
    }
    Case { name, deal, id, lead, change_set }
}

/// Tries it, and tells what came of it.
fn attempt(server: &Server, client: Client<'_>, line: &Line<'_>, case: &Case, stages: &Stages) -> &'static str {
    let Case { name, deal, id, lead, .. } = case;
    let unit = server.house.unit;
    let bulk = |mut change: Value| {
        change["ids"] = json!([id]);
        one_of_many(client.post("/api/deals/bulk", &change), "bulk")
    };
    let reply = match line.way {
        "read" => client.get(deal),
        "list" => client.get("/api/deals"),
        "sort" => client.get("/api/deals?sort=title"),
        "search" => client.get("/api/search?q=deal&types=deal"),
        "history" => client.get(&format!("/api/field-history/deal/{id}")),
        "as-of" => client.get(&format!("/api/field-history/deal/{id}/as-of?at=2100-01-01")),
        "export" => client.get("/api/deals/export"),
        "members" => {
            let body = json!({"userIds": [server.house.rep.id]});
            client.put(&format!("/api/business-units/{unit}/members"), &body)
        }
        "POST" => client.post("/api/deals", &json!({"title": format!("new {name}"), "businessUnitId": unit})),
        "POST won" => {
            let body = json!({"title": format!("new {name}"), "businessUnitId": unit, "stageId": stages.won});
            client.post("/api/deals", &body)
        }
        "convert" => client.post(
            &format!("/api/leads/{lead}/convert"),
            &json!({"deal": {"create": {"title": format!("new {name}")}}}),
        ),
        "PATCH" => client.patch(deal, &json!({"title": "Changed"})),
        "move" => client.patch(deal, &json!({"stageId": stages.second})),
        "win" => client.patch(deal, &json!({"stageId": stages.won})),
        "win-loss" => {
            let review = json!({"outcome": "won", "primaryReasonCode": "best_price"});
            client.post(&format!("{deal}/win-loss"), &review)
        }
        "DELETE" => client.delete(deal),
        "bulk" => return bulk(json!({"set": {"title": "Changed"}})),
        "bulk move" => return bulk(json!({"set": {"stageId": stages.second}})),
        "bulk win" => return bulk(json!({"set": {"stageId": stages.won}})),
        "bulk away" => return bulk(json!({"delete": true})),
        "revert" => {
            let path = format!("/api/field-history/change-sets/{}/revert", case.change_set.as_str().unwrap());
            return one_of_many(client.post(&path, &json!({})), "reversion");
        }
        "import" => return import(client, &format!("Key,Title\r\n{name},Changed\r\n")),
        "new import" => return import(client, &format!("Key,Title\r\nkey-{name},new {name}\r\n")),
        way => panic!("nobody knows the way {way}"),
    };
    if reply.status == 200 && reply.body["deal"]["maskedFields"] == json!(["title"]) {
        return "no";
    }
    told(&reply)
}

fn told(reply: &Reply) -> &'static str {
    match (reply.status, reply.body["code"].as_str()) {
        (200 | 201 | 204, _) => "done",
        (202, _) if reply.body["approval"]["status"] == "pending" => "waits",
        (202, _) if reply.body["reversion"]["waiting"] == 1 => "waits",
        (403, Some("approval_required")) => "asks",
        (403, Some("policy_denied" | "field_not_viewable" | "scope_required")) => "no",
        _ => panic!("{} {}", reply.status, reply.body),
    }
}

fn one_of_many(reply: Reply, envelope: &str) -> &'static str {
    if reply.status != 200 {
        return told(&reply);
    }
    let result = &reply.body[envelope]["results"][0];
    match result["error"]["code"].as_str() {
        None if result["status"] == "waiting" => "waits",
        None => "done",
        Some("approval_required") => "asks",
        Some("policy_denied" | "field_not_viewable") => "no",
        Some(_) => panic!("{}", reply.body),
    }
}

fn import(client: Client<'_>, file: &str) -> &'static str {
    let mapping = json!({"Key": "externalId", "Title": "title"}).to_string();
    let parts = [("entityType", "deal"), ("mapping", mapping.as_str()), ("options", "{\"dedupe\":\"update\"}")];
    let started = imports::send(client, "/api/imports", &parts, file);
    if started.status != 202 {
        return told(&started);
    }
    let import = imports::ended(client, started);
    assert_eq!(import["rowsTotal"], 1, "{import}");
    if import["waiting"] == 1 {
        return "waits";
    }
    if import["failed"] == 0 {
        return "done";
    }
    let errors = client.get(&format!("/api/imports/{}/errors", import["id"].as_str().unwrap())).expect(200);
    let errors = errors.as_str().unwrap();
    match () {
        () if errors.contains("approval_required") => "asks",
        () if errors.contains("policy_denied") || errors.contains("field_not_viewable") => "no",
        () => panic!("{errors}"),
    }
}

/// What is there of a case, to see whether something has changed.
fn state(server: &Server, line: &Line<'_>, case: &Case) -> Value {
    if MAKING.contains(&line.way) {
        let path = format!("/api/deals?title=new%20{}&count=true", case.name);
        return server.admin().get(&path).expect(200)["total"].clone();
    }
    server.admin().get(&case.deal).body["deal"]["version"].clone()
}

/// Tries one line with each caller, under a policy or without one.
fn attempt_all(
    server: &Server,
    callers: &[Client<'_>],
    line: &Line<'_>,
    stages: &Stages,
    policy: Option<&Value>,
) -> Vec<&'static str> {
    let under = policy.map_or("default", |policy| policy["effect"].as_str().unwrap());
    let name = |place: usize| format!("{}-{}-{under}-{place}", line.action, line.way).replace([' ', '_'], "-");
    let cases: Vec<_> = match READING.contains(&line.way) {
        true => vec![case(server, name(0), line, stages); callers.len()],
        false => (0..callers.len()).map(|place| case(server, name(place), line, stages)).collect(),
    };
    let before: Vec<_> = cases.iter().map(|case| state(server, line, case)).collect();
    let written = policy.map(|policy| {
        let reply = server.admin().post("/api/policies", policy);
        let location = reply.header("location").to_owned();
        reply.expect(201);
        location
    });
    let came: Vec<_> =
        callers.iter().zip(&cases).map(|(caller, case)| attempt(server, *caller, line, case, stages)).collect();
    if let Some(policy) = written {
        server.admin().delete(&policy).expect(204);
    }
    for ((case, before), came) in cases.iter().zip(&before).zip(&came) {
        let has_changed = state(server, line, case) != *before;
        let is_done = *came == "done" && !READING.contains(&line.way);
        assert_eq!(has_changed, is_done, "{} by {} under {under}: {came}", line.action, line.way);
    }
    came
}

#[test]
fn every_role_may_do_what_the_table_says_in_every_way() {
    let server = Server::governed();
    let worker = worker::start(server.door.database().clone(), Arc::new(PolicyGates::new())).unwrap();
    server.admin().patch("/api/organization", &json!({"requireWinLossReview": false})).expect(200);
    let keys = ["read", "write", "admin"].map(|scope| {
        let body = json!({"name": scope, "scopes": [scope]});
        server.admin().post("/api/api-keys", &body).expect(201)["apiKey"]["key"].as_str().unwrap().to_owned()
    });
    let mut callers = vec![server.admin(), server.manager(), server.rep()];
    callers.extend(keys.iter().map(|key| server.with(key)));
    let stages = stages(&server);
    for line in lines() {
        let place = format!("{} by {}", line.action, line.way);
        assert_eq!(attempt_all(&server, &callers, &line, &stages, None), line.callers, "{place}");
        let resource = match line.action {
            "view_field" | "edit_field" => "deal.title",
            "manage" => "business_unit",
            _ => "deal",
        };
        let policy = |effect: &str| json!({"name": "P", "role": "ANY", "action": line.action, "resource": resource, "effect": effect});
        let of_all = |word: &'static str| {
            let may = |before: &&'static str| if *before == "done" { word } else { "no" };
            line.callers.iter().map(may).collect::<Vec<_>>()
        };
        let denied = attempt_all(&server, &callers, &line, &stages, Some(&policy("deny")));
        assert_eq!(denied, of_all(line.denied), "{place}, denied");
        let approved = policy("require_approval");
        if line.to_approve == "-" {
            assert_eq!(server.admin().post("/api/policies", &approved).refused(422), "invalid_effect", "{place}");
        } else {
            let asked = attempt_all(&server, &callers, &line, &stages, Some(&approved));
            assert_eq!(asked, of_all(line.to_approve), "{place}, to be approved");
        }
    }
    worker.stop();
}
