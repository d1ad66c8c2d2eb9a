//! What a policy hides can't be found out: not by reading, nor by sorting, filtering, searching, counting or comparing.
use crm_core::testing::TestDatabase;
use diesel::connection::SimpleConnection;
use gateway::{
    endpoint::{Access, Endpoint},
    routes,
};
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    coverage::Things,
};

/// Ways to ask a list for what it should not tell, each of which is understood where the field is visible.
const ORACLES: [&str; 11] = [
    "sort=value",
    "sort=-value",
    "value=1111",
    "value[gte]=1000",
    "value[empty]=false",
    "q=1111",
    "count=true&value[lt]=5000",
    "fieldName=value",
    "fieldName=customFields.region",
    "customFields.region=north",
    "sort=createdAt&limit=1",
];

/// A house in which the value of deals is hidden from representatives, by the example that waits to be switched on, and
/// from managers.
fn house() -> (Server, Things, String) {
    let server = Server::governed();
    let things = Things::make(&server);
    let waiting = server.admin().get("/api/policies?isActive=false").expect(200)["policies"].clone();
    for policy in waiting.as_array().unwrap() {
        let path = format!("/api/policies/{}", policy["id"].as_str().unwrap());
        server.admin().patch(&path, &json!({"isActive": true})).expect(200);
    }
    let policy = json!({"name": "Blind managers", "role": "MANAGER", "action": "view_field", "resource": "deal",
        "field": "value"});
    server.admin().post("/api/policies", &policy).expect(201);
    let unit = server.house.unit;
    let deal = json!({"title": "Acme 1111", "value": 1111, "businessUnitId": unit});
    let deal = server.admin().post("/api/deals", &deal).expect(201)["deal"].clone();
    let path = format!("/api/deals/{}", deal["id"].as_str().unwrap());
    server.admin().patch(&path, &json!({"value": 2222, "title": "Acme Ltd"})).expect(200);
    (server, things, path)
}

/// Hides one of two custom fields of deals from representatives and managers.
fn hide_region(server: &Server, path: &str) {
    for (key, kind) in [("region", "text"), ("seats", "number")] {
        let field = json!({"entityType": "deal", "key": key, "label": key, "type": kind});
        server.admin().post("/api/custom-fields", &field).expect(201);
    }
    for role in ["SALES_REP", "MANAGER"] {
        let policy = json!({"name": format!("No regions for {role}"), "role": role, "action": "view_field",
            "resource": "deal.customFields.region"});
        server.admin().post("/api/policies", &policy).expect(201);
    }
    for region in ["south", "north"] {
        server.admin().patch(path, &json!({"customFields": {"region": region, "seats": 3}})).expect(200);
    }
}

/// Another world, in which deals are worth something else and are in another region, and all else is as it was.
fn change_values(database: &TestDatabase) {
    let text = "UPDATE deals SET value = coalesce(value, 0) * 31 + 987654.25;
        UPDATE field_history SET old_value = '3', new_value = '4' WHERE entity_type = 'deal' AND field_name = 'value';
        UPDATE deals SET custom_fields = custom_fields || '{\"region\": \"a longer one\"}' WHERE custom_fields ? 'region';
        UPDATE field_history SET old_value = '\"e\"', new_value = '\"w\"' WHERE field_name = 'customFields.region';
        UPDATE approvals SET changes = replace(changes::text, '1111', '4711')::jsonb, request = '{\"value\": 4711}'";
    database.connect().batch_execute(text).unwrap();
}

/// Everything that can be read with these credentials, without what differs between any two answers.
fn everything(client: Client<'_>, server: &Server, things: &Things, deal: &str) -> Vec<(String, u16, Value)> {
    // The other world is made by hand, which `verify` is there to find out.
    let reads = |endpoint: &Endpoint| {
        endpoint.method == "GET"
            && endpoint.access != Access::Public
            && !endpoint.path.ends_with("/verify")
            && endpoint.path != "/api/events"
    };
    let mut paths: Vec<String> = Vec::new();
    for endpoint in routes::all().iter().filter(|endpoint| reads(endpoint)) {
        let path = things.address(endpoint);
        paths.extend(ORACLES.map(|query| format!("{path}?{query}")));
        paths.push(path);
    }
    let history = deal.replace("/api/deals", "/api/field-history/deal");
    paths.extend([
        deal.to_owned(),
        history.clone(),
        format!("{history}/value"),
        format!("{history}/customFields.region"),
    ]);
    paths.push("/api/deals/export?format=json".into());
    paths.push(format!("{history}/as-of?at=2100-01-01"));
    paths.push(format!("/api/business-units/{}/stats", server.house.unit));
    paths.extend(["1111", "2222", "acme"].map(|q| format!("/api/search?q={q}")));
    let mut answers = Vec::new();
    for path in paths {
        let mut reply = client.get(&path);
        // A moment is written with as many digits as it has, so the length counts without them.
        let length = reply.header("content-length").parse::<usize>().ok();
        let length = length.map(|length| length - neutral(&mut reply.body));
        let headers = ["etag", "content-type", "location"].map(|name| reply.header(name).to_owned());
        answers.push((path, reply.status, json!([reply.body, length, headers])));
    }
    answers
}

/// Takes out what tells the request and the moment. Gives back how long it was.
fn neutral(body: &mut Value) -> usize {
    const MOMENTS: [&str; 6] = ["requestId", "lastUsedAt", "computedAt", "generatedAt", "asOf", "timestamp"];
    match body {
        Value::Object(members) => {
            let own = MOMENTS.iter().filter_map(|name| members.shift_remove(*name)).map(|it| it.to_string().len());
            own.sum::<usize>() + members.values_mut().map(neutral).sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(neutral).sum(),
        _ => 0,
    }
}

#[test]
fn two_worlds_that_differ_in_a_hidden_field_alone_look_alike() {
    let (server, things, deal) = house();
    hide_region(&server, &deal);
    let clients = [server.rep(), server.manager(), server.admin()];
    let before = clients.map(|client| everything(client, &server, &things, &deal));
    change_values(&server.database);
    let after = clients.map(|client| everything(client, &server, &things, &deal));
    for (before, after) in before[..2].iter().zip(&after[..2]) {
        for (one, other) in before.iter().zip(after) {
            assert_eq!(one, other);
        }
    }
    let told = before[2].iter().zip(&after[2]).filter(|(one, other)| one != other).count();
    assert!(told > 10, "whoever sees the value sees the difference: {told}");
}

#[test]
fn a_hidden_field_is_absent_and_named() {
    let (server, _, path) = house();
    let seen = server.rep().get(&path).expect(200)["deal"].clone();
    assert_eq!((seen.get("value"), &seen["maskedFields"]), (None, &json!(["value"])));
    assert_eq!((&seen["title"], &seen["currency"]), (&json!("Acme Ltd"), &json!("USD")));
    let list = server.rep().get("/api/deals").expect(200);
    assert!(list["deals"].as_array().unwrap().iter().all(|deal| deal["maskedFields"] == json!(["value"])));
    let written = server.rep().patch(&path, &json!({"title": "Acme"})).expect(200)["deal"].clone();
    assert_eq!((written.get("value"), &written["maskedFields"]), (None, &json!(["value"])));
    let whole = server.admin().get(&path).expect(200)["deal"].clone();
    assert_eq!((&whole["value"], whole.get("maskedFields")), (&json!(2222), None));
    for query in ["sort=value", "sort=-value", "value=2222", "value[gt]=1", "value[empty]=true"] {
        assert_eq!(server.rep().get(&format!("/api/deals?{query}")).refused(403), "field_not_viewable", "{query}");
    }
    for body in [json!({"value": 2222}), json!({"value": null})] {
        assert_eq!(server.rep().patch(&path, &body).refused(403), "field_not_viewable");
    }
}

#[test]
fn history_exports_and_figures_keep_what_is_hidden() {
    let (server, _, path) = house();
    let manager = server.manager();
    let history = path.replace("/api/deals", "/api/field-history/deal");
    let fields = |client: Client<'_>| -> Vec<String> {
        let rows = client.get(&history).expect(200)["fieldHistory"].as_array().unwrap().clone();
        rows.iter().map(|row| row["fieldName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(fields(manager), ["title"]);
    assert_eq!(fields(server.admin()).len(), 2);
    assert_eq!(manager.get(&format!("{history}/value")).refused(403), "field_not_viewable");
    let past = manager.get(&format!("{history}/as-of?at=2100-01-01")).expect(200)["deal"].clone();
    assert_eq!((past.get("value"), &past["maskedFields"]), (None, &json!(["value"])));
    let recent = manager.get("/api/field-history/recent?entityType=deal").expect(200).to_string();
    assert!(recent.contains("title") && !recent.contains("2222"), "{recent}");
    let csv = manager.get("/api/deals/export").expect(200);
    let head = csv.as_str().unwrap().lines().next().unwrap().to_owned();
    assert!(head.contains("title,currency"), "{head}");
    let rows = manager.get("/api/deals/export?format=json").expect(200);
    assert!(rows.as_array().unwrap().iter().all(|row| row["maskedFields"] == json!(["value"])));
    let path = format!("/api/business-units/{}/stats", server.house.unit);
    let stats = manager.get(&path).expect(200)["stats"].clone();
    assert_eq!(stats["maskedFields"], json!(["pipelineValue", "wonValue"]));
    assert_eq!((stats.get("pipelineValue"), &stats["dealsCount"]), (None, &json!(1)));
    assert_eq!(server.admin().get(&path).expect(200)["stats"]["pipelineValue"], 2222);
}

#[test]
fn a_field_may_be_hidden_in_some_records_alone() {
    let server = Server::governed();
    let admin = server.admin();
    let condition = json!({"attr": "ownerId", "op": "ne", "ref": "caller.id"});
    let policy = json!({"name": "Own contacts only", "role": "SALES_REP", "action": "view_field", "resource": "contact",
        "field": "phone", "effect": "deny", "condition": condition});
    admin.post("/api/policies", &policy).expect(201);
    let contact = |name: &str, owner: Value| {
        let body = json!({"lastName": name, "phone": "555", "ownerId": owner});
        admin.post("/api/contacts", &body).expect(201);
    };
    contact("Mine", json!(server.house.rep.id));
    contact("Theirs", json!(server.house.admin.id));
    contact("Nobody's", Value::Null);
    let list = server.rep().get("/api/contacts?sort=createdAt").expect(200);
    let phones: Vec<_> = list["contacts"].as_array().unwrap().iter().map(|c| c.get("phone")).collect();
    assert_eq!(phones, [Some(&json!("555")), None, None]);
    for query in ["phone=555", "q=555"] {
        let path = format!("/api/contacts?{query}");
        assert_eq!(server.rep().get(&path).refused(403), "field_not_viewable", "the filter looks at all of them");
        assert_eq!(admin.get(&path).expect(200)["contacts"].as_array().unwrap().len(), 3);
    }
    assert_eq!(server.rep().get("/api/search?q=theirs").expect(200)["results"], json!([]));
    assert_eq!(server.rep().get("/api/search?q=theirs&types=contact").refused(403), "field_not_viewable");
}

#[test]
fn references_do_not_tell_the_hidden_names_of_others() {
    let (server, _, path) = house();
    let policy = json!({"name": "Blind reps", "role": "SALES_REP", "action": "view_field", "resource": "company",
        "field": "name"});
    server.admin().post("/api/policies", &policy).expect(201);
    let company =
        server.admin().post("/api/companies", &json!({"name": "Globex"})).expect(201)["company"]["id"].clone();
    server.admin().patch(&path, &json!({"companyId": company})).expect(200);
    let history = path.replace("/api/deals", "/api/field-history/deal");
    let label = |client: Client<'_>| {
        let rows = client.get(&format!("{history}/companyId")).expect(200)["fieldHistory"].clone();
        assert_eq!(rows[0]["newValue"], company);
        rows[0]["newLabel"].clone()
    };
    assert_eq!((label(server.rep()), label(server.admin())), (Value::Null, json!("Globex")));
}

#[test]
fn a_conversion_does_not_tell_which_companies_there_are_by_what_is_hidden_of_them() {
    let server = Server::governed();
    let admin = server.admin();
    let hide = |field: &str, condition: &Value| {
        let policy = json!({"name": format!("No {field}"), "role": "SALES_REP", "action": "view_field",
            "resource": "company", "field": field, "effect": "deny", "condition": condition});
        admin.post("/api/policies", &policy).expect(201)["policy"]["id"].as_str().unwrap().to_owned()
    };
    let unowned = json!({"attr": "ownerId", "op": "isNull"});
    let company = |name: &str, domain: &str, owner: Value| {
        let body = json!({"name": name, "domain": domain, "ownerId": owner});
        admin.post("/api/companies", &body).expect(201)["company"]["id"].clone()
    };
    let mine = json!(server.house.rep.id);
    let hidden = company("Globex", "globex.example", Value::Null);
    let seen = company("Globex", "globex.example", mine.clone());
    let convert = |name: &str, email: &str| {
        let lead = server.rep().post("/api/leads", &json!({"companyName": name, "email": email})).expect(201);
        let path = format!("/api/leads/{}/convert", lead["lead"]["id"].as_str().unwrap());
        server.rep().post(&path, &json!({"deal": "none", "contact": "none"})).expect(200)["company"]["id"].clone()
    };
    // By the domain, and by the name of who writes from an address that everybody can have.
    let (by_domain, by_name) = (("Else", "a@globex.example"), ("Globex", "a@gmail.com"));
    let found = || [by_domain, by_name].map(|(name, email)| convert(name, email));
    assert_eq!(found(), [hidden.clone(), hidden.clone()], "the oldest, while nothing is hidden");
    // That conversion has given it an owner; now nobody has it again.
    let path = format!("/api/companies/{}", hidden.as_str().unwrap());
    admin.patch(&path, &json!({"ownerId": null})).expect(200);
    for field in ["name", "domain"] {
        hide(field, &unowned);
    }
    assert_eq!(found(), [seen.clone(), seen.clone()], "the oldest of which the caller sees it");
    for field in ["name", "domain"] {
        hide(field, &Value::Null);
    }
    for made in found() {
        assert!(made != hidden && made != seen, "a company of its own");
    }
}

#[test]
fn a_conversion_carries_nothing_to_where_the_caller_would_see_what_is_hidden_of_the_lead() {
    let server = Server::governed();
    let (admin, rep) = (server.admin(), server.rep());
    for (resource, field) in [("lead", "phone"), ("lead", "email"), ("lead", "jobTitle"), ("contact", "jobTitle")] {
        let policy = json!({"name": format!("No {resource}.{field}"), "role": "SALES_REP", "action": "view_field",
            "resource": resource, "field": field});
        admin.post("/api/policies", &policy).expect(201);
    }
    let lead = json!({"lastName": "Hopper", "companyName": "Navy", "email": "grace@navy.example", "phone": "555 0100",
        "jobTitle": "Admiral", "ownerId": server.house.rep.id, "tags": ["large"]});
    let convert = |client: Client<'_>, body: &Value| {
        let lead = admin.post("/api/leads", &lead).expect(201)["lead"]["id"].clone();
        client.post(&format!("/api/leads/{}/convert", lead.as_str().unwrap()), body).expect(200)
    };
    let made = convert(rep, &json!({}));
    assert_eq!(made["leftOut"], json!(["email", "phone"]));
    assert_eq!(made["contact"]["maskedFields"], json!(["jobTitle"]));
    let path = format!("/api/contacts/{}", made["contact"]["id"].as_str().unwrap());
    let contact = admin.get(&path).expect(200)["contact"].clone();
    assert_eq!([&contact["phone"], &contact["email"]], [&Value::Null; 2], "the caller would see them there");
    assert_eq!((&contact["jobTitle"], &contact["lastName"]), (&json!("Admiral"), &json!("Hopper")));
    assert_eq!((&made["company"]["domain"], &made["deal"]["title"]), (&Value::Null, &json!("Navy")));
    let bare = convert(rep, &json!({"company": "none", "contact": "none"}));
    assert_eq!(
        (&bare["leftOut"], &bare["contact"]),
        (&json!(["email"]), &Value::Null),
        "a deal is called by it at need"
    );
    let whole = convert(admin, &json!({"company": "none"}));
    assert_eq!((&whole["leftOut"], &whole["contact"]["phone"]), (&json!([]), &json!("555 0100")));
    // Where the contact is hidden in some records alone, the caller could come to see it.
    let condition = json!({"attr": "ownerId", "op": "isNull"});
    let policy = json!({"name": "Some phones", "role": "SALES_REP", "action": "view_field", "resource": "contact",
        "field": "phone", "condition": condition});
    admin.post("/api/policies", &policy).expect(201);
    assert_eq!(convert(rep, &json!({}))["leftOut"], json!(["email", "phone"]));
}
