//! The backtest's honesty, and statistics that follow a close, over HTTP.
use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use crm_core::{
    Id, Tx, clock,
    deals::{self, Deal},
    jobs::{self, Enqueue},
    organizations::Organization,
    testing::{body, with_token},
};
use crm_forecast::database::{
    forecast_errors::{self, ForecastErrorsJob},
    stage_statistics,
};
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

/// What a job has learnt at night, for each who asks about what they may see.
#[test]
fn a_forecast_of_today_says_how_far_those_before_have_missed() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let q = stage(&server, "Qualification");
    let open = |days_ago: f64| {
        past.deal(
            days_ago,
            &json!({"title": "D", "stageId": q, "value": 100, "businessUnitId": server.house.other_unit}),
        )
    };
    // One in ten is expected to be won, and in each of these months all are.
    for began in (4..=14).map(|month| f64::from(month * 30)) {
        for _ in 0..3 {
            let made = open(began);
            past.close(began - 60.0, made, "won", "best_fit");
        }
    }
    for _ in 0..40 {
        open(1.0);
    }
    let likely = |client: Client<'_>| {
        let seen = client.get("/api/forecasting/pipeline").expect(200)["forecast"]["distribution"].clone();
        (seen["likely"].clone(), seen)
    };
    let (nothing, _) = likely(server.admin());
    assert_eq!(
        (&nothing["insufficientData"], &nothing["low"], &nothing["computedAt"]),
        (&json!(true), &Value::Null, &Value::Null)
    );

    let me = server.admin().get("/api/auth/me").expect(200);
    let organization: Id<Organization> = me["user"]["organizationId"].as_str().unwrap().parse().unwrap();
    server.door.system_write(organization, clock::now(), forecast_errors::compute_all).unwrap();
    let (seen, won) = likely(server.admin());
    assert_eq!((&seen["insufficientData"], &seen["horizonDays"]), (&json!(false), &json!(90)), "{seen}");
    assert!(seen["forecastsCount"].as_u64().unwrap() >= 5 && seen["computedAt"].is_string(), "{seen}");
    let amount = |value: &Value| value.as_f64().unwrap();
    assert!(amount(&seen["commonError"]) > 0.1, "{seen}");
    assert!(amount(&seen["low"]) <= amount(&won["p10"]) && amount(&seen["high"]) > amount(&won["p90"]), "{won}");
    assert!(amount(&seen["low"]) >= 0.0 && amount(&seen["high"]) <= 4_000.0, "{won}");
    // The nightly job does the same, and run again it changes nothing but when that was.
    let ask = |tx: &mut Tx<'_>| jobs::enqueue(tx, &ForecastErrorsJob {}, &Enqueue::default());
    server.door.system_write(organization, clock::now(), ask).unwrap();
    let worker = worker::start(server.door.database().clone(), Arc::new(PolicyGates::new())).unwrap();
    let looks = std::iter::repeat_with(|| {
        std::thread::sleep(LOOK);
        likely(server.admin()).0
    });
    let again = looks.take(LOOKS).find(|again| again["computedAt"] != seen["computedAt"]).expect("the job has run");
    worker.stop();
    assert_eq!((&again["commonError"], &again["forecastsCount"]), (&seen["commonError"], &seen["forecastsCount"]));

    let pipeline = server.admin().get("/api/pipelines").expect(200)["pipelines"][0]["id"].clone();
    let path = format!("/api/forecasting/pipeline?pipelineId={}", pipeline.as_str().unwrap());
    let of_pipeline = server.admin().get(&path).expect(200)["forecast"]["distribution"]["likely"].clone();
    assert_eq!(of_pipeline["commonError"], seen["commonError"]);
    let (theirs, _) = likely(server.rep());
    assert_eq!(
        (&theirs["insufficientData"], &theirs["forecastsCount"]),
        (&json!(true), &json!(0)),
        "of other units nothing is told"
    );
    let (stranger, _) = likely(server.with(&server.house.stranger.token));
    assert_eq!(stranger["computedAt"], Value::Null);
}

#[test]
fn forecasts_are_scored_and_pushed_days_are_told() {
    let server = Server::governed();
    let past = Past::of(&server, &server.house.manager);
    let d = stage(&server, "Discovery");
    let day = |days_ago: i64| (past.now - TimeDelta::days(days_ago)).date_naive();
    // Each closes 20 days ago; 30 days before that, day 21 was stated for half of them, and day 14 after a push.
    for n in 0..10 {
        let deal = past.deal(100.0, &json!({"title": "D", "stageId": d, "value": 100, "expectedCloseDate": day(21)}));
        if n % 2 == 1 {
            let caller = with_token(&server.house.manager.token, past.now - TimeDelta::days(60));
            let pushed = json!({"expectedCloseDate": day(14)}).to_string();
            server.door.write(&caller, |tx| deals::update(tx, deal, body(&pushed))).unwrap();
        }
        past.close(20.0, deal, if n < 5 { "won" } else { "lost" }, if n < 5 { "best_fit" } else { "price" });
    }
    let path = format!("/api/forecasting/backtest?from={}&to={}&horizon=30", day(40), day(0));
    let ask = |client: Client<'_>| client.get(&path).expect(200)["backtest"].clone();
    let seen = ask(server.admin());
    let slippage = &seen["slippage"];
    assert_eq!((&slippage["leadDays"], &slippage["meanDays"]), (&json!(30), &json!(-2.5)), "+1 or -6 days");
    assert_eq!(
        (&slippage["all"]["closed"], &slippage["all"]["onTime"], &slippage["all"]["rate"]),
        (&json!(10), &json!(5), &json!(0.5))
    );
    let by: Vec<_> =
        slippage["byPushCount"].as_array().unwrap().iter().map(|it| (&it["pushCount"], &it["rate"])).collect();
    assert_eq!(by, [(&json!(0), &json!(0.0)), (&json!(1), &json!(1.0))]);
    let late = &slippage["byPushCount"][0];
    assert_eq!((&late["low"], &late["insufficientData"]), (&json!(0.0), &json!(false)));
    assert_eq!(late["high"], json!(0.3057), "Beta(0.5, 5.5)");

    // One point, of ten deals of 100 with one belief: what the distribution says is scored against five won.
    let point = &seen["points"][0];
    assert_eq!((&point["dealsCount"], &point["actualValue"]), (&json!(10), &json!(500)));
    let metrics = &seen["metrics"];
    assert_eq!(metrics["crps"], point["crps"]);
    assert!(point["crps"].as_f64().unwrap() > 0.0 && point["crps"].as_f64() < Some(500.0), "{point}");
    let median_error = (point["p50"].as_f64().unwrap() - 500.0).abs() * 0.5;
    assert_eq!(metrics["pinball"]["p50"].as_f64(), Some(median_error));
    let way = seen["methods"].as_array().unwrap().iter().find(|way| way["method"] == "configured").unwrap();
    let part = |name: &str| way[name].as_f64().unwrap_or_else(|| panic!("{name}: {way}"));
    // A quarter was stated of ten deals, and half were won.
    assert_eq!(
        [part("brier"), part("reliability"), part("resolution"), part("uncertainty")],
        [0.3125, 0.0625, 0.0, 0.25]
    );
    assert_eq!([part("calibrationError"), part("brierSkill")], [0.25, -0.25]);
    assert!((part("logLoss") - 0.8370).abs() < 1e-4, "{way}");
    assert!(seen["pipelines"][0]["winner"].is_string(), "{}", seen["pipelines"]);

    let hide = json!({"name": "Days", "role": "SALES_REP", "action": "view_field", "resource": "deal",
        "field": "expectedCloseDate", "effect": "deny"});
    server.admin().post("/api/policies", &hide).expect(201);
    assert_eq!(ask(server.rep()).get("slippage"), None, "it would tell the days");
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
