//! Decision memory over HTTP: intel of deals, reviews of closes.
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    forecasting::{Past, stage},
};

fn deal(client: Client<'_>, body: Value) -> String {
    let made = client.post("/api/deals", &body).expect(201);
    format!("/api/deals/{}", made["deal"]["id"].as_str().unwrap())
}

#[test]
fn a_review_closes_an_open_deal() {
    let server = Server::start();
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let review = format!("{path}/win-loss");
    let body = json!({
        "outcome": "won", "primaryReasonCode": "best_price", "notes": "Beat competitors on pricing and features",
        "learned": "Emphasize data migration support earlier", "reasonCode": "progressed", "note": "Signed"
    });
    assert_eq!(server.manager().get(&review).refused(404), "not_found");
    assert_eq!(server.rep().post(&review, &body).refused(403), "role_required");
    for (body, field) in [
        (json!({"primaryReasonCode": "best_price"}), "outcome"),
        (json!({"outcome": "open", "primaryReasonCode": "best_price"}), "outcome"),
        (json!({"outcome": "won"}), "primaryReasonCode"),
        (json!({"outcome": "won", "primaryReasonCode": "competitor"}), "primaryReasonCode"),
        (json!({"outcome": "won", "primaryReasonCode": "other", "notes": "short"}), "notes"),
        (json!({"outcome": "won", "primaryReasonCode": 1}), "primaryReasonCode"),
    ] {
        assert_eq!(server.manager().post(&review, &body).bad_fields(), [field]);
    }
    let unknown = server.manager().post(&review, &json!({"reason": "x"}));
    let said = unknown.body["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("outcome, primaryReasonCode, notes, learned"), "{said}");
    assert_eq!(unknown.refused(400), "unknown_member");
    assert_eq!(server.manager().get(&path).expect(200)["deal"]["status"], "open", "nothing is half done");
    let stale = server.manager().send("POST", &review, &[("if-match", "\"v9\"")], Some(&body));
    assert_eq!(stale.refused(412), "stale_version");

    let made = server.manager().post(&review, &body);
    assert_eq!(made.header("location"), review);
    let made = made.expect(201)["winLossReview"].clone();
    assert_eq!((&made["outcome"], &made["createdBy"]), (&json!("won"), &json!(server.house.manager.id)));
    let closed = server.manager().get(&path).expect(200)["deal"].clone();
    assert_eq!((&closed["status"], &closed["stageId"]), (&json!("won"), &stage(&server, "Won")));
    assert_eq!(server.rep().get(&review).expect(200)["winLossReview"], made);
    assert_eq!(server.manager().post(&review, &body).refused(409), "already_reviewed");
}

#[test]
fn each_close_has_one_review_and_keeps_it() {
    let server = Server::start();
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let review = format!("{path}/win-loss");
    let lost = json!({"outcome": "lost", "primaryReasonCode": "price"});
    let first = server.manager().post(&review, &lost).expect(201)["winLossReview"].clone();
    server.manager().patch(&path, &json!({"stageId": stage(&server, "Proposal")})).expect(200);
    let past = server.manager().get(&review).expect(200)["winLossReview"].clone();
    assert_eq!(past["id"], first["id"]);
    assert!(past["supersededAt"].is_string(), "{past}");
    let won = json!({"outcome": "won", "primaryReasonCode": "relationship"});
    let second = server.manager().post(&review, &won).expect(201)["winLossReview"].clone();
    assert_ne!(second["id"], first["id"]);
    assert_eq!(server.manager().get(&review).expect(200)["winLossReview"], second);
}

#[test]
fn superseded_reviews_can_be_read() {
    let server = Server::start();
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let (review, all) = (format!("{path}/win-loss"), format!("{path}/win-loss/reviews"));
    assert_eq!(server.rep().get(&all).expect(200), json!({"winLossReviews": [], "nextCursor": null}));
    let lost = json!({"outcome": "lost", "primaryReasonCode": "price"});
    let first = server.manager().post(&review, &lost).expect(201)["winLossReview"].clone();
    assert_eq!((&first["supersedesId"], &first["supersededById"]), (&Value::Null, &Value::Null));
    server.manager().patch(&path, &json!({"stageId": stage(&server, "Proposal")})).expect(200);
    let past = server.rep().get(&all).expect(200)["winLossReviews"][0].clone();
    assert!(past["supersededAt"].is_string() && past["supersededById"].is_null(), "{past}");
    let won = json!({"outcome": "won", "primaryReasonCode": "relationship", "notes": "Second try"});
    let second = server.manager().post(&review, &won).expect(201)["winLossReview"].clone();
    assert_eq!(second["supersedesId"], first["id"]);

    let listed = server.rep().get(&all).expect(200)["winLossReviews"].clone();
    assert_eq!(listed[0], second);
    let (old, new) = (&listed[1], &listed[0]["id"]);
    assert_eq!((&old["id"], &old["outcome"], &old["supersededById"]), (&first["id"], &json!("lost"), new));
    let page = server.rep().get(&format!("{all}?limit=1")).expect(200);
    assert_eq!(page["winLossReviews"], json!([second]));
    let cursor = page["nextCursor"].as_str().unwrap();
    let page = server.rep().get(&format!("{all}?limit=1&cursor={cursor}")).expect(200);
    assert_eq!((&page["winLossReviews"][0]["id"], &page["nextCursor"]), (&first["id"], &Value::Null));

    let other = deal(server.rep(), json!({"title": "Other"}));
    let foreign = format!("{other}/win-loss/reviews?limit=1&cursor={cursor}");
    assert_eq!(server.rep().get(&foreign).refused(400), "invalid_cursor");
    assert_eq!(server.rep().get(&format!("{all}?outcome=won")).refused(400), "unknown_parameter");
    server.admin().delete(&path).expect(204);
    assert_eq!(server.rep().get(&all).refused(404), "not_found");
}

/// What a review says of the outcome is the status of the deal.
#[test]
fn reviews_are_not_for_those_who_may_not_see_how_deals_ended() {
    let server = Server::governed();
    let path = deal(server.admin(), json!({"title": "Acme", "ownerId": server.house.rep.id}));
    let lost = json!({"outcome": "lost", "primaryReasonCode": "price"});
    server.admin().post(&format!("{path}/win-loss"), &lost).expect(201);
    for route in ["win-loss", "win-loss/reviews"] {
        server.rep().get(&format!("{path}/{route}")).expect(200);
    }
    let policy = json!({"name": "Ends", "role": "SALES_REP", "action": "view_field", "resource": "deal",
        "field": "status", "effect": "deny"});
    server.admin().post("/api/policies", &policy).expect(201);
    for route in ["win-loss", "win-loss/reviews"] {
        let refused = server.rep().get(&format!("{path}/{route}"));
        assert!(refused.body["detail"].as_str().unwrap().contains("Ends"), "{}", refused.body);
        refused.expect(403);
        server.manager().get(&format!("{path}/{route}")).expect(200);
    }
}

#[test]
fn the_review_of_an_earlier_close_is_not_that_of_the_last() {
    let server = Server::start();
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let review = format!("{path}/win-loss");
    let move_to = |name: &str| server.manager().patch(&path, &json!({"stageId": stage(&server, name)})).expect(200);
    let won = json!({"outcome": "won", "primaryReasonCode": "best_price"});
    let first = server.manager().post(&review, &won).expect(201)["winLossReview"]["id"].clone();
    move_to("Proposal");
    assert_eq!(server.manager().get(&review).expect(200)["winLossReview"]["id"], first, "still its last close");
    server.admin().patch("/api/organization", &json!({"requireWinLossReview": false})).expect(200);
    move_to("Lost");
    assert_eq!(server.manager().get(&review).refused(404), "not_found", "nobody has said why it was lost");
    move_to("Proposal");
    assert_eq!(server.manager().get(&review).refused(404), "not_found", "nor is it said of a deal opened again");
    move_to("Lost");
    let lost = json!({"primaryReasonCode": "no_budget"});
    let last = server.rep().post(&review, &lost).expect(201)["winLossReview"].clone();
    assert_eq!(server.rep().get(&review).expect(200)["winLossReview"], last);
}

#[test]
fn a_close_without_a_review_gets_it_later() {
    let server = Server::start();
    server.admin().patch("/api/organization", &json!({"requireWinLossReview": false})).expect(200);
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let review = format!("{path}/win-loss");
    server.manager().patch(&path, &json!({"stageId": stage(&server, "Lost")})).expect(200);
    let wrong = json!({"outcome": "won", "primaryReasonCode": "best_fit"});
    assert_eq!(server.rep().post(&review, &wrong).bad_fields(), ["outcome", "primaryReasonCode"]);
    let body = json!({"primaryReasonCode": "no_budget"});
    let made = server.rep().post(&review, &body).expect(201)["winLossReview"].clone();
    assert_eq!((&made["outcome"], &made["createdBy"]), (&json!("lost"), &json!(server.house.rep.id)));
    assert_eq!(server.rep().post(&review, &body).refused(409), "already_reviewed");
    let deal = server.rep().get(&path).expect(200)["deal"].clone();
    assert_eq!((&deal["status"], &deal["version"]), (&json!("lost"), &json!(2)));
}

#[test]
fn intel_is_put_member_by_member() {
    let server = Server::start();
    let path = deal(server.rep(), json!({"title": "Acme"}));
    let intel = format!("{path}/intel");
    let empty = server.rep().get(&intel);
    assert_eq!(empty.header("etag"), "\"v0\"");
    assert_eq!(empty.expect(200)["dealIntel"]["competitors"], json!([]));
    let body = json!({
        "decisionMaker": " CTO Sarah Johnson ", "keyPainPoints": ["Manual data entry", "Poor reporting"],
        "objections": ["Price too high", "Needs board approval"], "competitors": ["Salesforce", "HubSpot"]
    });
    let stale = server.rep().send("PUT", &intel, &[("if-match", "\"v3\"")], Some(&body));
    assert_eq!(stale.refused(412), "stale_version");
    let made =
        server.rep().send("PUT", &intel, &[("if-match", "\"v0\"")], Some(&body)).expect(200)["dealIntel"].clone();
    assert_eq!(format!("/api/deals/{}", made["dealId"].as_str().unwrap()), path);
    assert_eq!((&made["decisionMaker"], &made["version"]), (&json!("CTO Sarah Johnson"), &json!(1)));
    let change = json!({"decisionMaker": null, "objections": null, "pricingNotes": "Wants 10 % off",
        "nextStepCommitment": "Board on Monday", "reasonCode": "correction"});
    let changed = server.manager().put(&intel, &change).expect(200)["dealIntel"].clone();
    assert_eq!((&changed["decisionMaker"], &changed["objections"]), (&Value::Null, &json!([])));
    assert_eq!(changed["competitors"], body["competitors"], "what is left out stays");
    assert_eq!((&changed["version"], &changed["pricingNotes"]), (&json!(2), &json!("Wants 10 % off")));
    assert_eq!(server.rep().get(&intel).expect(200)["dealIntel"], changed);
    assert!(server.rep().get(&path).expect(200)["deal"]["lastActivityAt"].is_string(), "a new next step is a touch");
    let bad =
        json!({"competitors": ["HubSpot", "hub spot"], "objections": [""], "keyPainPoints": [1], "whatWorked": 5});
    assert_eq!(
        server.rep().put(&intel, &bad).bad_fields(),
        ["competitors", "keyPainPoints", "objections", "whatWorked"]
    );
    assert_eq!(server.rep().put(&intel, &json!({"competitor": []})).refused(400), "unknown_member");
    assert_eq!(server.rep().put(&intel, &json!({"dealId": "x"})).refused(400), "unknown_member");
}

#[test]
fn what_lies_in_another_unit_is_not_there() {
    let server = Server::start();
    let path = deal(server.admin(), json!({"title": "South", "businessUnitId": server.house.other_unit}));
    let review = json!({"outcome": "won", "primaryReasonCode": "best_fit"});
    assert_eq!(server.rep().get(&format!("{path}/intel")).refused(404), "not_found");
    assert_eq!(server.rep().put(&format!("{path}/intel"), &json!({"decisionMaker": "x"})).refused(404), "not_found");
    assert_eq!(server.rep().get(&format!("{path}/win-loss")).refused(404), "not_found");
    assert_eq!(server.rep().post(&format!("{path}/win-loss"), &review).refused(404), "not_found");
}

#[test]
fn patterns_tell_what_goes_with_winning() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    for (won, spelling, value) in [
        (true, "HubSpot", 2_000),
        (true, "hub spot", 2_000),
        (true, "HubSpot", 2_000),
        (false, "Hubspot", 60_000),
        (false, "HubSpot", 60_000),
        (false, "Salesforce", 60_000),
        (false, "Salesforce", 60_000),
        (false, "Salesforce", 60_000),
    ] {
        let deal = past.deal(20.0, &json!({"title": spelling, "value": value}));
        let intel = json!({"competitors": [spelling], "objections": ["Price too high"]});
        server.manager().put(&format!("/api/deals/{deal}/intel"), &intel).expect(200);
        let (outcome, reason) = if won { ("won", "best_price") } else { ("lost", "price") };
        past.close(10.0, deal, outcome, reason);
    }
    past.deal(5.0, &json!({"title": "Open"}));
    let seen = server.rep().get("/api/deals/win-loss/patterns").expect(200)["patterns"].clone();
    assert_eq!((&seen["n"], &seen["won"], &seen["winRate"]), (&json!(8), &json!(3), &json!(0.375)));
    assert_eq!((&seen["reviewedDealsCount"], &seen["averageCycleDays"]), (&json!(8), &json!(10.0)));
    assert!(seen["low"].as_f64() < Some(0.375) && Some(0.375) < seen["high"].as_f64());
    let group = &seen["byCompetitor"][0];
    assert_eq!((&group["key"], &group["label"], &group["n"]), (&json!("hubspot"), &json!("HubSpot"), &json!(5)));
    assert_eq!((&group["rate"], &group["lift"], &group["insufficientData"]), (&json!(0.6), &json!(1.6), &json!(false)));
    let few = &seen["byCompetitor"][1];
    assert_eq!((&few["label"], &few["n"], &few["insufficientData"]), (&json!("Salesforce"), &json!(3), &json!(true)));
    assert!(["rate", "lift", "low", "high"].iter().all(|name| few.get(name) == Some(&json!(null))));
    let reason = &seen["byReason"][0];
    assert_eq!((&reason["key"], &reason["label"], &reason["lost"]), (&json!("price"), &json!("Price"), &json!(5)));
    assert_eq!((&reason["rate"], &reason["lift"]), (&json!(0.0), &json!(0.0)));
    assert_eq!((&seen["byObjection"][0]["key"], &seen["byObjection"][0]["n"]), (&json!("pricetoohigh"), &json!(8)));
    assert_eq!(seen["byOwner"][0]["key"], json!(server.house.manager.id));
    let sizes: Vec<_> = seen["bySize"].as_array().unwrap().iter().map(|g| (&g["key"], &g["n"])).collect();
    assert_eq!(sizes, [(&json!("1000"), &json!(3)), (&json!("50000"), &json!(5))]);

    let day = (past.now - chrono::TimeDelta::days(10)).date_naive();
    let at = |query: String| {
        server.rep().get(&format!("/api/deals/win-loss/patterns?{query}")).expect(200)["patterns"]["n"].clone()
    };
    assert_eq!(at(format!("from={day}&to={day}")), json!(8));
    assert_eq!(at(format!("from={}", day.succ_opt().unwrap())), json!(0));
    assert_eq!(at(format!("to={}", day.pred_opt().unwrap())), json!(0));
    assert_eq!(at(format!("businessUnitId={}", server.house.unit)), json!(0));
    for query in ["from=x", "from=2026-01-02&to=2025-01-01", "pipelineId=1"] {
        let reply = server.rep().get(&format!("/api/deals/win-loss/patterns?{query}"));
        assert_eq!(reply.refused(400), "invalid_value", "{query}");
    }
    assert_eq!(server.rep().get("/api/deals/win-loss/patterns?ownerId=me").refused(400), "unknown_parameter");
}

#[test]
fn competitors_meet_whatever_their_legal_form() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    for names in [
        json!(["Salesforce"]),
        json!(["Salesforce"]),
        json!(["SALESFORCE, Inc.", "salesforce.com"]),
        json!(["Salesforce Inc"]),
        json!(["salesforce.com", "Acme GmbH"]),
        json!(["Acme Inc", "HubSpot"]),
    ] {
        let deal = past.deal(20.0, &json!({"title": "D"}));
        let intel = json!({"competitors": names, "objections": ["Price too high Inc"]});
        server.manager().put(&format!("/api/deals/{deal}/intel"), &intel).expect(200);
        past.close(10.0, deal, "won", "best_price");
    }
    let seen = |query: &str| -> Vec<(String, u64)> {
        let path = format!("/api/deals/win-loss/patterns{query}");
        let groups = server.rep().get(&path).expect(200)["patterns"]["byCompetitor"].clone();
        let told = |group: &Value| (group["key"].as_str().unwrap().to_owned(), group["n"].as_u64().unwrap());
        groups.as_array().unwrap().iter().map(told).collect()
    };
    let counted =
        |rows: &[(&str, u64)]| -> Vec<(String, u64)> { rows.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect() };
    assert_eq!(seen(""), counted(&[("salesforce", 5), ("acme", 2), ("hubspot", 1)]), "each deal counts once");
    let apart = [
        ("salesforce", 2),
        ("salesforcecom", 2),
        ("salesforceinc", 2),
        ("acmegmbh", 1),
        ("acmeinc", 1),
        ("hubspot", 1),
    ];
    assert_eq!(seen("?exactNames=true"), counted(&apart));
    let patterns = server.rep().get("/api/deals/win-loss/patterns").expect(200)["patterns"].clone();
    let group = &patterns["byCompetitor"][0];
    assert_eq!((&group["label"], &group["rate"]), (&json!("Salesforce"), &json!(1.0)));
    assert_eq!(group["spellings"], json!(["Salesforce", "salesforce.com", "SALESFORCE, Inc.", "Salesforce Inc"]));
    assert_eq!(patterns["byObjection"][0]["key"], json!("pricetoohighinc"), "an objection has no legal form");
    assert_eq!(patterns["byReason"][0].get("spellings"), None);
    assert_eq!(server.rep().get("/api/deals/win-loss/patterns?exactNames=x").refused(400), "invalid_value");
}

#[test]
fn patterns_of_other_units_and_organizations_are_not_seen() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let deal = past.deal(20.0, &json!({"title": "South", "businessUnitId": server.house.other_unit}));
    past.close(10.0, deal, "won", "best_fit");
    let seen = |client: Client<'_>| client.get("/api/deals/win-loss/patterns").expect(200)["patterns"].clone();
    assert_eq!(seen(server.manager())["n"], json!(1));
    assert_eq!(seen(server.manager())["insufficientData"], json!(true));
    assert!(seen(server.manager()).get("winRate") == Some(&json!(null)));
    for client in [server.rep(), server.with(&server.house.stranger.token)] {
        let nothing = seen(client);
        assert_eq!((&nothing["n"], &nothing["byReason"], &nothing["byOwner"]), (&json!(0), &json!([]), &json!([])));
        assert_eq!(nothing["averageCycleDays"], Value::Null);
    }
}
