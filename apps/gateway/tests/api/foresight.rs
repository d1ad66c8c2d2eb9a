//! What forecasts keep and learn from: exchange rates, statistics, snapshots, the backtest, snoozed deals.
use chrono::TimeDelta;
use crm_core::{
    Id, clock,
    deals::{self, Deal},
    organizations::Organization,
    testing::{body, with_token},
};
use crm_forecast::database::{deal_snapshots, stage_statistics};
use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    forecasting::{Past, stage},
};

fn organization(client: Client<'_>) -> Id<Organization> {
    let me = client.get("/api/auth/me").expect(200);
    me["user"]["organizationId"].as_str().unwrap().parse().unwrap()
}

fn count(server: &Server, rows: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let query = diesel::sql_query(format!("SELECT count(*) AS count FROM {rows}"));
    query.get_result::<Row>(&mut server.database.connect()).unwrap().count
}

fn rate(from: &str, on: &str, rate: Value) -> Value {
    json!({"fromCurrency": from, "effectiveOn": on, "rate": rate})
}

#[test]
fn exchange_rates_are_written_by_managers_and_tell_their_past() {
    let server = Server::governed();
    let put = |client: Client<'_>, rates: Value| client.put("/api/exchange-rates", &json!({"exchangeRates": rates}));
    let two = json!([rate("EUR", "2025-01-01", json!(1.0834)), rate("GBP", "2025-01-01", json!(1.25))]);
    assert_eq!(put(server.rep(), two.clone()).status, 403);
    let written = put(server.manager(), two).expect(200)["exchangeRates"].clone();
    assert_eq!((&written[0]["toCurrency"], written[0]["rate"].to_string()), (&json!("USD"), "1.0834".to_owned()));
    let id = written[0]["id"].as_str().unwrap();
    let changed = put(server.admin(), json!([rate("EUR", "2025-01-01", json!(1.09))])).expect(200);
    assert_eq!((&changed["exchangeRates"][0]["id"], &changed["exchangeRates"][0]["version"]), (&json!(id), &json!(2)));
    let past = server.admin().get(&format!("/api/field-history/exchange_rate/{id}")).expect(200);
    assert_eq!(
        (&past["fieldHistory"][0]["oldValue"], &past["fieldHistory"][0]["newValue"]),
        (&json!(1.0834), &json!(1.09))
    );
    put(server.manager(), json!([rate("EUR", "2025-02-01", json!(1.1)), rate("GBP", "2025-01-01", json!(null))]))
        .expect(200);
    let list = |query: &str| -> Vec<String> {
        let page = server.rep().get(&format!("/api/exchange-rates{query}")).expect(200);
        let told = |rate: &Value| format!("{} {}", rate["effectiveOn"].as_str().unwrap(), rate["rate"]);
        page["exchangeRates"].as_array().unwrap().iter().map(told).collect()
    };
    assert_eq!(list(""), ["2025-02-01 1.1", "2025-01-01 1.09"]);
    assert_eq!(list("?fromCurrency=EUR&sort=effectiveOn&limit=1"), ["2025-01-01 1.09"]);
    assert_eq!(list("?fromCurrency=GBP"), [""; 0]);
    let stranger = server.with(&server.house.stranger.token).get("/api/exchange-rates").expect(200);
    assert_eq!(stranger["exchangeRates"], json!([]));

    for (rates, fields) in [
        (json!([rate("EUR", "2025-01-01", json!(0))]), vec!["exchangeRates[0].rate"]),
        (json!([rate("EUR", "2025-01-01", json!("1.1"))]), vec!["exchangeRates[0].rate"]),
        (json!([rate("USD", "2025-01-01", json!(1))]), vec!["exchangeRates[0].toCurrency"]),
        (
            json!([rate("EUR", "soon", json!(1)), {"rate": 1}]),
            vec!["exchangeRates[0].effectiveOn", "exchangeRates[1].effectiveOn", "exchangeRates[1].fromCurrency"],
        ),
        (json!([rate("EURO", "2025-01-01", json!(1))]), vec!["exchangeRates[0].fromCurrency"]),
        (
            json!([
                rate("EUR", "2025-03-01", json!(1)),
                rate("EUR", "2025-03-02", json!(1)),
                rate("EUR", "2025-03-01", json!(2))
            ]),
            vec!["exchangeRates[2].effectiveOn"],
        ),
        (
            json!([rate("EUR", "2025-03-01", json!(1)), rate("EUR", "2025-03-01", json!(null))]),
            vec!["exchangeRates[1].effectiveOn"],
        ),
        (json!("none"), vec!["exchangeRates"]),
        (json!([1]), vec!["exchangeRates"]),
    ] {
        assert_eq!(put(server.manager(), rates.clone()).bad_fields(), fields, "{rates}");
    }
    assert_eq!(server.manager().put("/api/exchange-rates", &json!({})).bad_fields(), ["exchangeRates"]);
    let unknown = server.manager().put("/api/exchange-rates", &json!({"exchangeRates": [], "x": 1}));
    assert_eq!(unknown.refused(400), "unknown_member");
    assert_eq!(list("").len(), 2, "refused, but written");
}

#[test]
fn figures_go_by_the_rate_of_the_day_and_name_it() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let unit = json!(server.house.unit);
    let deal = |value: Value, currency: &str| json!({"title": currency, "value": value, "currency": currency, "businessUnitId": unit});
    past.deal(3.0, &deal(json!(1000), "USD"));
    past.deal(3.0, &deal(json!(100.1), "EUR"));
    past.deal(3.0, &deal(json!(5), "JPY"));
    let won = past.deal(40.0, &deal(json!(200), "EUR"));
    past.close(20.0, won, "won", "best_fit");
    let day = |days: i64| (past.now - TimeDelta::days(days)).date_naive().to_string();
    let rates = json!({"exchangeRates": [rate("EUR", &day(30), json!(1.5)), rate("EUR", &day(10), json!(1.25))]});
    server.manager().put("/api/exchange-rates", &rates).expect(200);

    let seen = server.admin().get("/api/forecasting/pipeline").expect(200)["forecast"].clone();
    assert_eq!(seen["pipelineValue"].to_string(), "1125.12", "1000 + 100.10 x 1.25, half to even");
    assert_eq!(seen["exchangeRates"], json!([{"fromCurrency": "EUR", "rate": 1.25, "effectiveOn": day(10)}]));
    assert_eq!((&seen["complete"], &seen["dealsCount"]), (&json!(false), &json!(2)));
    assert_eq!(seen["unconverted"], json!([{"currency": "JPY", "dealsCount": 1, "pipelineValue": 5}]));
    assert_eq!(seen.get("closedWonValue"), None, "no days are named");
    let path = format!("/api/forecasting/pipeline?startDate={}&endDate={}", day(30), day(15));
    let closed = server.admin().get(&path).expect(200)["forecast"].clone();
    assert_eq!((&closed["closedWonValue"], &closed["closedWonCount"]), (&json!(300), &json!(1)));
    let of_its_day = json!([{"fromCurrency": "EUR", "rate": 1.5, "effectiveOn": day(30)}]);
    assert_eq!((&closed["closedWonExchangeRates"], &closed["closedWonUnconverted"]), (&of_its_day, &json!([])));
    assert_eq!((&closed["exchangeRates"], &closed["complete"]), (&json!([]), &json!(true)), "no open deal is due then");

    let stats = server.admin().get(&format!("/api/business-units/{}/stats", server.house.unit)).expect(200);
    let stats = &stats["stats"];
    assert_eq!((stats["pipelineValue"].to_string(), &stats["wonValue"]), ("1125.12".to_owned(), &json!(300)));
    assert_eq!((&stats["complete"], &stats["unconvertedDealsCount"]), (&json!(false), &json!(1)));
}

#[test]
fn what_a_job_keeps_is_what_is_computed_on_demand() {
    let server = Server::start();
    let (q, d) = (stage(&server, "Qualification"), stage(&server, "Discovery"));
    let past = Past::of(&server, &server.house.manager);
    past.history(&q, "5W 8L 10C 12W 15L 20C 22W 30L 40C 45W 3W 4W");
    past.history(&d, "1W 1W 2L");
    let unit = json!({"title": "U", "stageId": q, "value": 10, "businessUnitId": server.house.unit});
    let in_unit = past.deal(50.0, &unit);
    past.close(10.0, in_unit, "won", "best_fit");
    past.deal(9.0, &json!({"title": "O", "stageId": q, "value": 7, "businessUnitId": server.house.other_unit}));
    assert!(
        count(&server, "queue_jobs WHERE kind = 'conversion_rates' AND status = 'waiting'") > 0,
        "closes ask for it"
    );

    let ask = || {
        let unit = server.house.unit;
        let paths = [
            "conversion-rates".to_owned(),
            format!("conversion-rates?businessUnitId={unit}"),
            "pipeline".to_owned(),
            format!("pipeline?businessUnitId={unit}"),
            "stale-thresholds".to_owned(),
        ];
        let mut answers = Vec::new();
        for client in [server.admin(), server.rep()] {
            for path in &paths {
                let mut answer = client.get(&format!("/api/forecasting/{path}")).expect(200);
                for name in ["computedAt", "asOf", "ratesComputedAt"] {
                    for body in ["forecast", ""] {
                        let object = if body.is_empty() { Some(&mut answer) } else { answer.get_mut(body) };
                        object.and_then(Value::as_object_mut).map(|members| members.shift_remove(name));
                    }
                }
                answers.push((path.clone(), round(answer)));
            }
        }
        answers
    };
    let on_demand = ask();
    let compute =
        || server.door.system_write(organization(server.admin()), clock::now(), stage_statistics::compute_all);
    compute().unwrap();
    let kept = count(&server, "stage_statistics");
    assert!(kept >= 16, "four stages for all, each unit and the rep's units: {kept}");
    assert_eq!(ask(), on_demand);
    compute().unwrap();
    assert_eq!(count(&server, "stage_statistics"), kept, "run again, it keeps the same");
    let seen = server.admin().get("/api/forecasting/conversion-rates").expect(200);
    let before = seen["computedAt"].clone();
    past.close(0.0, past.deal(1.0, &json!({"title": "Later", "stageId": q})), "won", "best_fit");
    let still = server.admin().get("/api/forecasting/conversion-rates").expect(200);
    assert_eq!(
        (&still["computedAt"], &still["conversionRates"]),
        (&before, &seen["conversionRates"]),
        "until the job runs"
    );
    compute().unwrap();
    let after = server.admin().get("/api/forecasting/conversion-rates").expect(200);
    assert_ne!(after["conversionRates"][0]["won"], seen["conversionRates"][0]["won"]);
    let path = "/api/forecasting/conversion-rates?includeMovements=true";
    let movements = server.admin().get(path).expect(200)["movements"].clone();
    let exits = movements["exits"].as_array().unwrap().iter().find(|exits| exits["stageId"] == d).unwrap();
    assert_eq!((&exits["won"], &exits["lost"], &exits["chainWinProbability"]), (&json!(2), &json!(1), &json!(0.6667)));
    assert_eq!(movements["funnel"].as_array().unwrap().len(), 4);
    assert_eq!(movements["funnel"][0]["reached"], json!(18), "all that came in, at whichever stage");
    let threshold = server.admin().get("/api/forecasting/stale-thresholds").expect(200)["staleThresholds"][0].clone();
    assert_eq!((&threshold["wonDeals"], &threshold["thresholdDays"]), (&json!(8), &json!(14)));
    assert_eq!(threshold["suggestedDays"], json!(45), "nobody touched them");
}

/// Ages grow between two answers: what depends on the instant is told to three digits.
fn round(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, round(value))).collect(),
        Value::Array(items) => items.into_iter().map(round).collect(),
        Value::Number(number) => json!((number.as_f64().unwrap() * 1e3).round() / 1e3),
        other => other,
    }
}

#[test]
fn the_way_between_two_days_adds_up() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let change = |days_ago: f64, deal: Id<Deal>, members: Value| {
        let at = past.now - TimeDelta::seconds((days_ago * 86_400.0) as i64);
        let caller = with_token(&server.house.manager.token, at);
        server.door.write(&caller, |tx| deals::update(tx, deal, body(&members.to_string()))).unwrap();
    };
    let day = |days: i64| (past.now - TimeDelta::days(days)).date_naive();
    let make = |days_ago: f64, value: i64, close: i64| {
        past.deal(days_ago, &json!({"title": "D", "value": value, "expectedCloseDate": day(-close)}))
    };
    let (raised, pushed, pulled) = (make(30.0, 100, 5), make(30.0, 200, 5), make(30.0, 400, 60));
    let (won, lost, deleted, untouched) =
        (make(30.0, 800, 5), make(30.0, 1600, 5), make(30.0, 3200, 5), make(30.0, 7, 5));
    make(10.0, 6400, 5);
    change(12.0, raised, json!({"value": 150}));
    change(11.0, raised, json!({"value": 130}));
    change(12.0, pushed, json!({"expectedCloseDate": day(-60)}));
    change(12.0, pulled, json!({"expectedCloseDate": day(-6), "value": 350}));
    past.close(8.0, won, "won", "best_fit");
    past.close(8.0, lost, "lost", "price");
    server.manager().delete(&format!("/api/deals/{deleted}")).expect(204);
    let asked = |query: &str| {
        server.admin().get(&format!("/api/forecasting/snapshots{query}")).expect(200)["snapshots"].clone()
    };
    let before = asked("");
    assert_eq!(
        (&before["takenUntilOn"], &before["waterfall"], &before["days"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    assert_eq!(before["awaited"]["reason"], json!("none_taken_yet"));
    let next_at: chrono::DateTime<chrono::Utc> = before["awaited"]["nextAt"].as_str().unwrap().parse().unwrap();
    assert!(next_at > past.now && next_at <= past.now + TimeDelta::days(2), "{next_at}");
    assert_eq!(before["awaited"]["nextOn"], json!(next_at.date_naive().pred_opt().unwrap()), "the zone is UTC");

    let take =
        || server.door.system_write(organization(server.admin()), clock::now(), deal_snapshots::take_all).unwrap();
    take();
    let spans = count(&server, "deal_snapshots");
    take();
    assert_eq!(count(&server, "deal_snapshots"), spans, "run again, it changes nothing");
    let quarter = format!("startDate={}&endDate={}", day(0), day(-10));
    let path = format!("?from={}&to={}&{quarter}", day(20), day(1));
    let seen = asked(&path);
    let fall = &seen["waterfall"];
    let told: Vec<(String, String)> = fall["movements"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|movement| movement["dealsCount"] != json!(0))
        .map(|movement| (movement["cause"].as_str().unwrap().to_owned(), movement["amount"].to_string()))
        .collect();
    let expected = [
        ("created", "6400"),
        ("pulled_in", "400"),
        ("increased", "30"),
        ("decreased", "-50"),
        ("pushed_out", "-200"),
        ("won", "-800"),
        ("lost", "-1600"),
    ];
    assert_eq!(told, expected.map(|(cause, amount)| (cause.to_owned(), amount.to_owned())));
    let amounts = fall["movements"].as_array().unwrap().iter().map(|movement| movement["amount"].as_i64().unwrap());
    let moved: i64 = amounts.sum();
    assert_eq!(fall["openingValue"].as_i64().unwrap() + moved, fall["closingValue"].as_i64().unwrap());
    let days = seen["days"].as_array().unwrap();
    assert_eq!((&days[0]["on"], &days[0]["pipelineValue"]), (&json!(day(20)), &fall["openingValue"]));
    assert_eq!(days.last().unwrap()["pipelineValue"], fall["closingValue"]);
    assert_eq!(days.last().unwrap()["dealsCount"], json!(5));

    let in_sum = asked(&format!("?from={}&to={}", day(1), day(1)));
    assert_eq!(in_sum["waterfall"]["openingValue"], in_sum["waterfall"]["closingValue"]);
    let stranger = server.with(&server.house.stranger.token).get("/api/forecasting/snapshots").expect(200);
    assert_eq!(stranger["snapshots"]["waterfall"], Value::Null);
    let rep = server.rep().get(&format!("/api/forecasting/snapshots{path}")).expect(200)["snapshots"].clone();
    assert_eq!(rep["waterfall"]["closingValue"], fall["closingValue"], "deals of no unit are seen by all");
    let other = format!("{path}&businessUnitId={}", server.house.other_unit);
    assert_eq!(asked(&other)["waterfall"]["closingValue"], json!(0));
    assert_eq!(server.admin().get(&format!("/api/deals/{untouched}")).status, 200);
    for (query, code) in [
        ("?from=2025-02-01&to=2025-01-01", "invalid_value"),
        ("?from=2015-02-01&to=2025-01-01", "invalid_value"),
        ("?from=soon", "invalid_value"),
        ("?step=day", "unknown_parameter"),
    ] {
        assert_eq!(server.admin().get(&format!("/api/forecasting/snapshots{query}")).refused(400), code, "{query}");
    }
}

#[test]
fn forecasts_of_the_past_are_held_to_what_came() {
    let server = Server::start();
    let q = stage(&server, "Qualification");
    let past = Past::of(&server, &server.house.manager);
    let deal = |began: f64, value: i64| past.deal(began, &json!({"title": "D", "stageId": q, "value": value}));
    for (began, ended, outcome) in
        [(390.0, 380.0, "won"), (390.0, 370.0, "lost"), (390.0, 360.0, "won"), (380.0, 350.0, "lost")]
    {
        past.close(ended, deal(began, 100), outcome, if outcome == "won" { "best_fit" } else { "price" });
    }
    past.close(280.0, deal(310.0, 1000), "won", "best_fit");
    past.close(100.0, deal(310.0, 500), "won", "best_fit");
    deal(310.0, 70);
    let day = |days: i64| (past.now - TimeDelta::days(days)).date_naive();
    let path = format!("/api/forecasting/backtest?from={}&to={}&step=month&horizon=60", day(305), day(305));
    let seen = server.rep().get(&path).expect(200)["backtest"].clone();
    assert_eq!((&seen["step"], &seen["horizonDays"], &seen["complete"]), (&json!("month"), &json!(60), &json!(true)));
    let point = &seen["points"][0];
    assert_eq!((&point["dealsCount"], &point["actualValue"]), (&json!(3), &json!(1000)));
    assert_eq!(point["expectedValue"], json!(157), "a tenth of 1570, as the stage is configured");
    assert!(point["probableValue"].as_f64().unwrap() > 157.0, "half of those before were won: {point}");
    assert_eq!(point["asOf"], json!(format!("{}T00:00:00Z", day(305))));
    let metrics = &seen["metrics"];
    assert_eq!(metrics["expected"]["wape"], json!(0.843));
    assert!(metrics["probable"]["brier"].as_f64().unwrap() < metrics["expected"]["brier"].as_f64().unwrap());
    assert_eq!(seen["methods"].as_array().unwrap().len(), 4);
    assert!(seen["winner"].is_string() && seen["pipelines"][0]["winner"] == seen["winner"]);

    let late = server.admin().get("/api/forecasting/backtest?horizon=730").expect(200)["backtest"].clone();
    assert_eq!((&late["points"], &late["metrics"]["coverage80"]), (&json!([]), &Value::Null), "no horizon is over");
    let stranger = server.with(&server.house.stranger.token).get(&path).expect(200)["backtest"].clone();
    assert_eq!(stranger["points"][0]["dealsCount"], json!(0));
    for query in ["step=year", "horizon=0", "horizon=731", "from=2025-02-01&to=2025-01-01", "from=2001-01-01&step=week"]
    {
        let path = format!("/api/forecasting/backtest?{query}");
        assert_eq!(server.rep().get(&path).refused(400), "invalid_value", "{query}");
    }
}

#[test]
fn a_stale_deal_can_be_snoozed_and_its_clock_is_explained() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.rep);
    let (quiet, called) = (past.deal(30.0, &json!({"title": "Quiet"})), past.deal(40.0, &json!({"title": "Called"})));
    let call = json!({"type": "call", "dealId": called, "occurredAt": past.now - TimeDelta::days(20)});
    server.rep().post("/api/activities", &call).expect(201);
    let list = |query: &str| {
        server.rep().get(&format!("/api/forecasting/stale-deals{query}")).expect(200)["staleDeals"].clone()
    };
    let told = list("");
    assert_eq!((&told[0]["lastTouch"]["what"], &told[0]["thresholdSource"]), (&json!("created"), &json!("stage")));
    assert_eq!(told[0]["lastTouch"]["by"]["name"], "rep", "who made it");
    let touch = &told[1]["lastTouch"];
    assert_eq!(
        (&touch["what"], &touch["by"]["name"], &touch["at"]),
        (&json!("call"), &json!("rep"), &told[1]["lastTouchAt"])
    );

    let path = format!("/api/forecasting/stale-deals/{quiet}/snooze");
    let until = past.now + TimeDelta::days(7);
    let snooze = json!({"until": until, "reason": "Budget is decided next week"});
    let deal = server.rep().post(&path, &snooze).expect(200)["deal"].clone();
    assert_eq!(deal["staleSnoozedUntil"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap(), until);
    assert_eq!(list("").as_array().unwrap().len(), 1);
    let snoozed = list("?includeSnoozed=true")[0].clone();
    assert_eq!((&snoozed["snoozeReason"], &snoozed["snoozedBy"]["name"]), (&snooze["reason"], &json!("rep")));
    let history = server.rep().get(&format!("/api/field-history/deal/{quiet}/staleSnoozedUntil")).expect(200);
    assert_eq!(history["fieldHistory"][0]["note"], snooze["reason"]);
    assert_eq!(server.rep().patch(&format!("/api/deals/{quiet}"), &json!({"staleSnoozedUntil": until})).status, 400);
    server.rep().delete(&path).expect(204);
    server.rep().delete(&path).expect(204);
    assert_eq!(list("").as_array().unwrap().len(), 2);

    for (body, fields) in [
        (json!({"until": past.now - TimeDelta::days(1), "reason": "x"}), vec!["until"]),
        (json!({"until": past.now + TimeDelta::days(400), "reason": " "}), vec!["reason", "until"]),
        (json!({"until": "soon", "reason": "x"}), vec!["until"]),
        (json!({"until": until}), vec!["reason"]),
    ] {
        assert_eq!(server.rep().post(&path, &body).bad_fields(), fields, "{body}");
    }
    let south = Past::of(&server, &server.house.manager)
        .deal(30.0, &json!({"title": "South", "businessUnitId": server.house.other_unit}));
    assert_eq!(server.rep().post(&format!("/api/forecasting/stale-deals/{south}/snooze"), &snooze).status, 404);
    Past::of(&server, &server.house.manager).close(0.0, called, "lost", "price");
    let closed = server.manager().post(&format!("/api/forecasting/stale-deals/{called}/snooze"), &snooze);
    assert_eq!(closed.refused(409), "not_open");
}
