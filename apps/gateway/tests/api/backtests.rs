//! The backtest's honesty, and statistics that follow a close, over HTTP.
use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use crm_core::{
    Id, clock,
    deals::{self, Deal},
    organizations::Organization,
    testing::{body, with_token},
};
use crm_forecast::database::stage_statistics;
use crm_policy::PolicyGates;
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    forecasting::{Past, stage},
};

fn backtest(client: Client<'_>, past: &Past<'_>, days_ago: i64, query: &str) -> Value {
    let day = (past.now - TimeDelta::days(days_ago)).date_naive();
    let path = format!("/api/forecasting/backtest?from={day}&to={day}&horizon=20{query}");
    client.get(&path).expect(200)["backtest"].clone()
}

#[test]
fn a_deal_deleted_since_was_in_the_forecast_of_its_time() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let d = stage(&server, "Discovery");
    let make =
        |unit: Value| past.deal(60.0, &json!({"title": "D", "stageId": d, "value": 1_000, "businessUnitId": unit}));
    let (kept, deleted) = (make(json!(server.house.unit)), make(json!(server.house.unit)));
    let south = make(json!(server.house.other_unit));
    let before = backtest(server.admin(), &past, 40, "");
    let point = &before["points"][0];
    assert_eq!((&point["dealsCount"], &point["expectedValue"]), (&json!(3), &json!(750)));
    for deal in [deleted, south] {
        server.admin().delete(&format!("/api/deals/{deal}")).expect(204);
    }
    assert_eq!(backtest(server.admin(), &past, 40, "")["points"][0], *point, "who was there then was there then");
    let of = |client: Client<'_>, query: &str| backtest(client, &past, 40, query)["points"][0]["dealsCount"].clone();
    assert_eq!(of(server.rep(), ""), json!(2), "a deleted deal of another unit is not theirs to see");
    assert_eq!(of(server.admin(), &format!("&businessUnitId={}", server.house.other_unit)), json!(1));
    assert_eq!(of(server.with(&server.house.stranger.token), ""), json!(0));
    past.close(0.0, kept, "lost", "price");
}

#[test]
fn what_a_person_thinks_of_a_deal_counts_from_then_on() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let d = stage(&server, "Discovery");
    let deal = past.deal(80.0, &json!({"title": "D", "stageId": d, "value": 1_000}));
    let at = past.now - TimeDelta::days(50);
    let change = |deal: Id<Deal>, members: Value| {
        let caller = with_token(&server.house.manager.token, at);
        server.door.write(&caller, |tx| deals::update(tx, deal, body(&members.to_string()))).unwrap();
    };
    change(deal, json!({"probability": 0.9}));
    let point = |days_ago: i64| backtest(server.admin(), &past, days_ago, "")["points"][0].clone();
    let (before, after) = (point(60), point(40));
    assert_eq!((&before["expectedValue"], &after["expectedValue"]), (&json!(250), &json!(900)));
    assert_eq!((&before["p50"], &after["p50"]), (&json!(0), &json!(1_000)), "the distribution goes by it too");
    assert_eq!(before["probableValue"], after["probableValue"], "history knows nothing of opinions");
}

#[test]
fn intervals_learn_from_what_forecasts_have_missed() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let q = stage(&server, "Qualification");
    // One in ten is expected to be won, and in each of these months all are.
    for began in [100, 75, 50] {
        for deal in 0..6 {
            let made = past.deal(f64::from(began), &json!({"title": format!("{deal}"), "stageId": q, "value": 100}));
            past.close(f64::from(began) - 15.0, made, "won", "best_fit");
        }
    }
    let (from, to) = (past.now - TimeDelta::days(99), past.now - TimeDelta::days(22));
    let path =
        format!("/api/forecasting/backtest?from={}&to={}&horizon=20&step=week", from.date_naive(), to.date_naive());
    let seen = server.admin().get(&path).expect(200)["backtest"].clone();
    let points = seen["points"].as_array().unwrap();
    assert_eq!(points[0].get("likely"), None, "no horizon was over");
    let told = points.iter().filter(|point| point.get("likely").is_some() && point["dealsCount"] != json!(0));
    let mut widened = 0;
    for point in told {
        let ends = ["low", "high"].map(|end| point["likely"][end].as_f64().unwrap());
        assert!(ends[0] <= point["p10"].as_f64().unwrap() && ends[1] >= point["p90"].as_f64().unwrap(), "{point}");
        assert!(ends[0] >= 0.0 && ends[1] <= 600.0, "{point}");
        widened += u8::from(ends[1] > point["p90"].as_f64().unwrap());
    }
    assert!(widened > 0, "{points:?}");
    let metrics = &seen["metrics"];
    assert!(metrics["commonError"].as_f64().unwrap() > 0.5, "{metrics}");
    assert!(metrics["likelyCoverage80"].as_f64().unwrap() >= metrics["coverage80"].as_f64().unwrap(), "{metrics}");
}

/// How often it is looked for new rates, and how often at most: the design gives them 30 seconds after a close.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: usize = 120;

#[test]
fn conversion_rates_are_computed_anew_soon_after_a_close() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let q = stage(&server, "Qualification");
    let deal = past.deal(10.0, &json!({"title": "Acme", "stageId": q}));
    let me = server.admin().get("/api/auth/me").expect(200);
    let organization: Id<Organization> = me["user"]["organizationId"].as_str().unwrap().parse().unwrap();
    server.door.system_write(organization, clock::now(), stage_statistics::compute_all).unwrap();
    let worker = worker::start(server.door.database().clone(), Arc::new(PolicyGates::new())).unwrap();
    let rates = || server.admin().get("/api/forecasting/conversion-rates").expect(200);
    let before = rates();
    assert_eq!(before["conversionRates"][0]["won"], json!(0));
    let review = json!({"primaryReasonCode": "best_fit"});
    let won = json!({"stageId": stage(&server, "Won"), "winLossReview": review});
    server.manager().patch(&format!("/api/deals/{deal}"), &won).expect(200);
    let looks = std::iter::repeat_with(|| {
        std::thread::sleep(LOOK);
        rates()
    });
    let after = looks.take(LOOKS).find(|seen| seen["conversionRates"][0]["won"] == json!(1));
    let after = after.expect("new rates within 30 seconds");
    assert_ne!(after["computedAt"], before["computedAt"]);
    worker.stop();
}
