//! Companies over HTTP.
use serde_json::json;

use crate::client::Server;

#[test]
fn a_company_is_made_read_changed_and_deleted() {
    let server = Server::start();
    let rep = server.rep();
    let body = json!({"name": "  Acme  ", "annualRevenue": 1234567.89, "country": "GB", "tags": ["a", "b"]});
    let made = rep.post("/api/companies", &body);
    let location = made.header("location").to_owned();
    let company = made.expect(201)["company"].clone();
    assert_eq!(company["name"], "Acme");
    assert_eq!(company["annualRevenue"].to_string(), "1234567.89");
    assert_eq!(rep.get(&location).expect(200)["company"], company);
    let changed =
        rep.patch(&location, &json!({"tags": [], "domain": "acme.example", "reasonCode": "correction"})).expect(200);
    assert_eq!(changed["company"]["tags"], json!([]));
    assert_eq!(rep.delete(&location).refused(403), "role_required");
    assert_eq!(server.manager().delete(&location).expect(204), "");
    assert_eq!(rep.get(&location).refused(404), "not_found");
}

#[test]
fn nobody_employs_or_earns_less_than_nothing() {
    let server = Server::start();
    let bad = json!({"name": "Acme", "annualRevenue": -0.01, "employees": -1});
    assert_eq!(server.rep().post("/api/companies", &bad).bad_fields(), ["annualRevenue", "employees"]);
    let company = server.rep().post("/api/companies", &json!({"name": "Acme", "annualRevenue": 0})).expect(201);
    let path = format!("/api/companies/{}", company["company"]["id"].as_str().unwrap());
    assert_eq!(server.rep().patch(&path, &json!({"annualRevenue": -1})).bad_fields(), ["annualRevenue"]);
}

#[test]
fn a_company_cannot_stand_under_itself() {
    let server = Server::start();
    let make =
        |body| server.admin().post("/api/companies", &body).expect(201)["company"]["id"].as_str().unwrap().to_owned();
    let top = make(json!({"name": "Top"}));
    let middle = make(json!({"name": "Middle", "parentCompanyId": top}));
    let bottom = make(json!({"name": "Bottom", "parentCompanyId": middle}));
    for parent in [&top, &middle, &bottom] {
        let reply = server.admin().patch(&format!("/api/companies/{top}"), &json!({"parentCompanyId": parent}));
        assert_eq!(reply.bad_fields(), ["parentCompanyId"]);
    }
    assert_eq!(server.admin().delete(&format!("/api/companies/{top}")).refused(409), "in_use");
}

#[test]
fn an_id_in_another_system_is_unique() {
    let server = Server::start();
    let body = json!({"name": "Acme", "externalId": "A-1"});
    server.admin().post("/api/companies", &body).expect(201);
    assert_eq!(server.admin().post("/api/companies", &body).refused(409), "already_exists");
    server.with(&server.house.stranger.token).post("/api/companies", &body).expect(201);
}

#[test]
fn another_brands_company_is_as_good_as_none() {
    let server = Server::start();
    let house = &server.house;
    let body = json!({"name": "Beta's", "businessUnitId": house.other_unit});
    let id = server.admin().post("/api/companies", &body).expect(201)["company"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/companies/{id}");
    for reply in [server.rep().get(&path), server.rep().patch(&path, &json!({"city": "Rome"}))] {
        assert_eq!(reply.refused(404), "not_found");
    }
    assert_eq!(server.rep().get("/api/companies").expect(200)["companies"], json!([]));
    assert_eq!(
        server.rep().post("/api/contacts", &json!({"lastName": "X", "companyId": id})).bad_fields(),
        ["companyId"]
    );
    assert_eq!(server.rep().post("/api/companies", &body).bad_fields(), ["businessUnitId"]);
    let own = server.rep().post("/api/companies", &json!({"name": "Own"})).expect(201);
    assert_eq!(own["company"]["businessUnitId"], json!(house.unit), "a new record goes to the unit of its maker");
}
