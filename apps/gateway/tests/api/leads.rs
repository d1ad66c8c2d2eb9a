//! Leads over HTTP.
use std::time::Duration;

use serde_json::{Value, json};

use crate::{client::Server, imports};

#[test]
fn a_lead_belongs_to_who_makes_it_and_needs_a_name() {
    let server = Server::start();
    let lead =
        server.rep().post("/api/leads", &json!({"lastName": "Hopper", "email": "grace@navy.example"})).expect(201);
    assert_eq!(lead["lead"]["ownerId"], json!(server.house.rep.id));
    assert_eq!(lead["lead"]["status"], "new");
    assert_eq!(server.rep().post("/api/leads", &json!({"firstName": "Grace"})).bad_fields(), ["lastName"]);
    let bad = json!({"lastName": "x", "email": "nowhere", "score": 101, "status": "hot", "ownerId": server.house.stranger.id});
    assert_eq!(server.rep().post("/api/leads", &bad).bad_fields(), ["email", "ownerId", "score", "status"]);
    assert_eq!(
        server.rep().post("/api/leads", &json!({"lastName": "x", "status": "converted"})).bad_fields(),
        ["status"]
    );
}

#[test]
fn leads_are_filtered_by_business_unit() {
    let server = Server::start();
    for (name, unit) in [("A", server.house.unit), ("B", server.house.other_unit)] {
        server.admin().post("/api/leads", &json!({"lastName": name, "businessUnitId": unit})).expect(201);
    }
    let found = server.admin().get(&format!("/api/leads?businessUnitId={}", server.house.unit)).expect(200);
    assert_eq!(found["leads"].as_array().unwrap().len(), 1);
    assert_eq!(found["leads"][0]["lastName"], "A");
    let mine = server.admin().get("/api/leads?ownerId=me&status=new,contacted").expect(200);
    assert_eq!(mine["leads"].as_array().unwrap().len(), 2);
}

#[test]
fn addresses_are_found_whatever_their_case() {
    let server = Server::start();
    let admin = server.admin();
    let body = json!({"lastName": "Hopper", "email": "Grace@Navy.example"});
    admin.post("/api/leads", &body).expect(201);
    admin.post("/api/contacts", &body).expect(201);
    for (list, email) in [
        ("leads", "grace@NAVY.example"),
        ("contacts", "GRACE@navy.example"),
        ("users", &*server.house.rep.email.to_uppercase()),
    ] {
        let found = admin.get(&format!("/api/{list}?email={email}")).expect(200);
        assert_eq!(found[list].as_array().unwrap().len(), 1, "{list}");
    }
}

#[test]
fn what_somebody_makes_is_theirs_unless_they_say_otherwise() {
    let server = Server::start();
    for (path, name, body) in [
        ("/api/leads", "lead", json!({"lastName": "x"})),
        ("/api/deals", "deal", json!({"title": "x"})),
        ("/api/companies", "company", json!({"name": "x"})),
        ("/api/contacts", "contact", json!({"lastName": "x"})),
    ] {
        assert_eq!(server.rep().post(path, &body).expect(201)[name]["ownerId"], json!(server.house.rep.id), "{path}");
        let mut nobodys = body.clone();
        nobodys["ownerId"] = json!(null);
        assert_eq!(server.rep().post(path, &nobodys).expect(201)[name]["ownerId"], json!(null), "{path}");
    }
}

#[test]
fn custom_fields_are_checked_and_found() {
    let server = Server::start();
    let define = |body| server.manager().post("/api/custom-fields", &body).expect(201);
    define(
        json!({"entityType": "lead", "key": "region", "label": "Region", "type": "select", "options": ["EMEA", "APAC"]}),
    );
    define(json!({"entityType": "lead", "key": "seats", "label": "Seats", "type": "number", "required": true}));
    let bad = json!({"lastName": "x", "customFields": {"region": "MARS", "planet": 1}});
    let fields = ["customFields.planet", "customFields.region", "customFields.seats"];
    assert_eq!(server.rep().post("/api/leads", &bad).bad_fields(), fields);
    let good = json!({"lastName": "x", "customFields": {"region": "EMEA", "seats": 12}});
    let lead = server.rep().post("/api/leads", &good).expect(201)["lead"].clone();
    let path = format!("/api/leads/{}", lead["id"].as_str().unwrap());
    let changed = server.rep().patch(&path, &json!({"customFields": {"region": "APAC"}})).expect(200);
    assert_eq!(changed["lead"]["customFields"], json!({"region": "APAC", "seats": 12}));
    for (query, count) in [
        ("customFields.region=APAC", 1),
        ("customFields.region=EMEA", 0),
        ("customFields.seats=12", 1),
        ("customFields.seats=12.0", 1),
    ] {
        let found = server.rep().get(&format!("/api/leads?{query}")).expect(200);
        assert_eq!(found["leads"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, code) in [
        ("customFields.planet=1", "unknown_parameter"),
        ("customFields.seats=many", "invalid_value"),
        ("customFields.seats=null", "invalid_value"),
        ("customFields.seats=", "invalid_value"),
        ("customFields.region=MARS", "invalid_value"),
        ("customFields.seats[gte]=1", "unknown_parameter"),
    ] {
        assert_eq!(server.rep().get(&format!("/api/leads?{query}")).refused(400), code, "{query}");
    }
    let view = json!({"entityType": "lead", "name": "V", "filters": {"customFields.planet": "x"}});
    assert_eq!(server.rep().post("/api/saved-views", &view).bad_fields(), ["filters.customFields.planet"]);
    assert_eq!(
        server.rep().patch(&path, &json!({"customFields": {"seats": null}})).bad_fields(),
        ["customFields.seats"]
    );
}

#[test]
fn a_deleted_custom_field_leaves_the_records_with_a_word_in_their_history() {
    let server = Server::start();
    let seats = json!({"entityType": "lead", "key": "seats", "label": "Seats", "type": "number"});
    let made = server.manager().post("/api/custom-fields", &seats).expect(201);
    let lead = |values: Value| {
        let made = server.rep().post("/api/leads", &json!({"lastName": "x", "customFields": values})).expect(201);
        format!("/api/leads/{}", made["lead"]["id"].as_str().unwrap())
    };
    let (with, without) = (lead(json!({"seats": 12})), lead(json!({})));
    let field = format!("/api/custom-fields/{}", made["customField"]["id"].as_str().unwrap());
    server.manager().delete(&field).expect(204);
    assert_eq!(server.manager().post("/api/custom-fields", &seats).bad_fields(), ["key"], "its values are still there");
    let worker = imports::work(&server);
    let is_gone = || server.rep().get(&with).expect(200)["lead"]["customFields"] == json!({});
    assert!((0..200).any(|_| is_gone() || {
        std::thread::sleep(Duration::from_millis(50));
        false
    }));
    let told = server.rep().get(&with.replace("/api/leads", "/api/field-history/lead")).expect(200);
    let row = &told["fieldHistory"][0];
    assert_eq!(row["fieldName"], "customFields.seats");
    assert_eq!([&row["oldValue"], &row["newValue"]], [&json!(12), &json!(null)]);
    assert_eq!(server.rep().get(&without).expect(200)["lead"]["version"], 1, "what has no value is left alone");
    let again = || server.manager().post("/api/custom-fields", &seats).status == 201;
    assert!((0..200).any(|_| again() || {
        std::thread::sleep(Duration::from_millis(50));
        false
    }));
    worker.stop();
}
