//! Business units over HTTP: all seven routes of the specification, and members.
use serde_json::json;

use crate::client::Server;

#[test]
fn a_unit_is_made_as_the_specification_shows() {
    let server = Server::start();
    let body = json!({"name": "Brand Alpha", "slug": "brand-alpha", "timezone": "Europe/London", "country": "GB"});
    let unit = server.admin().post("/api/business-units", &body).expect(201)["businessUnit"].clone();
    for member in ["name", "slug", "timezone", "country"] {
        assert_eq!(unit[member], body[member]);
    }
    assert_eq!(unit["isActive"], true);
    assert_eq!(server.admin().post("/api/business-units", &body).refused(409), "already_exists");
    let bad = json!({"name": "x", "slug": "No Spaces", "timezone": "Mars/Olympus", "country": "XX"});
    assert_eq!(server.admin().post("/api/business-units", &bad).bad_fields(), ["country", "slug", "timezone"]);
    assert_eq!(server.manager().post("/api/business-units", &body).refused(403), "role_required");
}

#[test]
fn a_deactivated_unit_stays_readable_and_takes_nothing_new() {
    let server = Server::start();
    let (unit, other) = (server.house.unit, server.house.other_unit);
    let path = format!("/api/business-units/{unit}");
    let deal = server.admin().post("/api/deals", &json!({"title": "Open", "businessUnitId": unit})).expect(201);
    assert_eq!(server.manager().delete(&path).refused(403), "role_required");
    assert_eq!(server.admin().delete(&path).refused(409), "has_open_deals");
    assert_eq!(server.admin().patch(&path, &json!({"isActive": false})).refused(409), "has_open_deals");
    assert_eq!(server.admin().delete(&format!("{path}?transferTo={unit}")).bad_fields(), ["transferTo"]);
    server.admin().delete(&format!("{path}?transferTo={other}")).expect(204);
    assert_eq!(server.admin().get(&path).expect(200)["businessUnit"]["isActive"], false);
    let deal = format!("/api/deals/{}", deal["deal"]["id"].as_str().unwrap());
    assert_eq!(server.admin().get(&deal).expect(200)["deal"]["businessUnitId"], json!(other));
    let active = server.admin().get("/api/business-units/active").expect(200);
    assert!(active["businessUnits"].as_array().unwrap().iter().all(|u| u["id"] != json!(unit)));
    let late = server.admin().post("/api/leads", &json!({"lastName": "Late", "businessUnitId": unit}));
    assert_eq!(late.bad_fields(), ["businessUnitId"]);
}

#[test]
fn what_is_about_a_record_goes_where_the_record_goes() {
    let server = Server::start();
    let (admin, unit, other) = (server.admin(), server.house.unit, server.house.other_unit);
    let deal = admin.post("/api/deals", &json!({"title": "D", "businessUnitId": other})).expect(201)["deal"].clone();
    let company = admin.post("/api/companies", &json!({"name": "C", "businessUnitId": other})).expect(201);
    let company = company["company"]["id"].as_str().unwrap().to_owned();
    let about = |body: serde_json::Value| {
        let id = admin.post("/api/activities", &body).expect(201)["activity"]["id"].clone();
        format!("/api/activities/{}", id.as_str().unwrap())
    };
    let (call, note) =
        (about(json!({"type": "call", "dealId": deal["id"]})), about(json!({"type": "note", "companyId": company})));
    for path in [&call, &note] {
        assert_eq!(server.rep().get(path).refused(404), "not_found");
    }
    let deal = format!("/api/deals/{}", deal["id"].as_str().unwrap());
    admin.patch(&deal, &json!({"businessUnitId": unit})).expect(200);
    assert_eq!(server.rep().get(&call).expect(200)["activity"]["businessUnitId"], json!(unit));
    admin.delete(&format!("/api/business-units/{other}?transferTo={unit}")).expect(204);
    for path in [note, format!("/api/companies/{company}")] {
        server.rep().get(&path).expect(200);
    }
}

#[test]
fn stats_count_the_units_own_records() {
    let server = Server::start();
    let unit = server.house.unit;
    for (title, value, currency) in [("A", 1000, "USD"), ("B", 500, "USD"), ("C", 9, "EUR")] {
        let body = json!({"title": title, "value": value, "currency": currency, "businessUnitId": unit});
        server.admin().post("/api/deals", &body).expect(201);
    }
    server.admin().post("/api/leads", &json!({"lastName": "L", "businessUnitId": unit})).expect(201);
    let stats = server.admin().get(&format!("/api/business-units/{unit}/stats")).expect(200)["stats"].clone();
    let shown = json!({"leadsCount": 1, "dealsCount": 3, "openDealsCount": 3, "companiesCount": 0, "pipelineValue": 1500,
        "wonValue": 0, "winRate": null, "activitiesLast30Days": 0, "currency": "USD", "unconvertedDealsCount": 1});
    assert_eq!(stats, shown);
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(stranger.get(&format!("/api/business-units/{unit}/stats")).refused(404), "not_found");
}

#[test]
fn a_list_of_units_holds_those_that_the_caller_works_in() {
    let server = Server::start();
    let ids = |client: crate::client::Client<'_>, path: &str| -> Vec<serde_json::Value> {
        let units = client.get(path).expect(200)["businessUnits"].clone();
        units.as_array().unwrap().iter().map(|unit| unit["id"].clone()).collect()
    };
    for path in ["/api/business-units", "/api/business-units/active"] {
        assert_eq!(ids(server.rep(), path), [json!(server.house.unit)]);
        assert_eq!(ids(server.admin(), path).len(), 2);
    }
    let other = format!("/api/business-units/{}", server.house.other_unit);
    assert_eq!(server.rep().get(&other).refused(404), "not_found");
    assert_eq!(server.rep().get(&format!("{other}/stats")).refused(404), "not_found");
}

#[test]
fn members_see_their_unit_alone() {
    let server = Server::start();
    let path = format!("/api/business-units/{}/members", server.house.other_unit);
    let rep = server.house.rep.id;
    assert_eq!(server.rep().get(&path).refused(404), "not_found");
    let unknown = json!({"userIds": [rep, server.house.stranger.id]});
    assert_eq!(server.admin().put(&path, &unknown).bad_fields(), ["userIds[1]"]);
    assert_eq!(server.manager().put(&path, &json!({"userIds": []})).refused(403), "role_required");
    let members = server.admin().put(&path, &json!({"userIds": [rep]})).expect(200);
    assert_eq!(members["members"][0]["id"], json!(rep));
    server.rep().get(&path).expect(200);
}
