//! Forecasting over HTTP, on deals that were worked in the past.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Id, clock,
    deals::{self, Deal},
    testing::{body, with_token},
};
use serde_json::{Value, json};

use crate::client::{Client, Server, Who};

/// The id of a stage of the first pipeline.
pub(crate) fn stage(server: &Server, name: &str) -> Value {
    let pipelines = server.admin().get("/api/pipelines").expect(200);
    let stages = pipelines["pipelines"][0]["stages"].as_array().unwrap().clone();
    stages.into_iter().find(|s| s["name"] == name).unwrap()["id"].clone()
}

/// Deals of the past, made by somebody as if it were then.
pub(crate) struct Past<'s> {
    server: &'s Server,
    who: &'s Who,
    pub(crate) now: DateTime<Utc>,
}

impl<'s> Past<'s> {
    pub(crate) fn of(server: &'s Server, who: &'s Who) -> Self {
        Self { server, who, now: clock::now() }
    }

    /// Makes a deal so many days ago.
    pub(crate) fn deal(&self, days_ago: f64, members: &Value) -> Id<Deal> {
        let caller = with_token(&self.who.token, self.now - TimeDelta::seconds((days_ago * 86_400.0) as i64));
        self.server.door.write(&caller, |tx| deals::create(tx, body(&members.to_string()))).unwrap().id
    }

    /// Closes a deal so many days ago.
    pub(crate) fn close(&self, days_ago: f64, deal: Id<Deal>, outcome: &str, reason: &str) {
        let stage = stage(self.server, if outcome == "won" { "Won" } else { "Lost" });
        let members = json!({"stageId": stage, "winLossReview": {"primaryReasonCode": reason}}).to_string();
        let caller = with_token(&self.who.token, self.now - TimeDelta::seconds((days_ago * 86_400.0) as i64));
        self.server.door.write(&caller, |tx| deals::update(tx, deal, body(&members))).unwrap();
    }

    /// Deals that stood in a stage, such as `5W 8L 10C`: won after 5 days, lost after 8, still open after 10.
    pub(crate) fn history(&self, stage: &Value, text: &str) {
        for word in text.split(' ') {
            let (days, ending) = word.split_at(word.len() - 1);
            let days: f64 = days.parse().unwrap();
            let began = if ending == "C" { days } else { 60.0 };
            let deal = self.deal(began, &json!({"title": word, "stageId": stage}));
            match ending {
                "W" => self.close(began - days, deal, "won", "best_fit"),
                "L" => self.close(began - days, deal, "lost", "price"),
                _ => {}
            }
        }
    }
}

fn probability(client: Client<'_>, pipeline: &Value, stage: &Value, probability: Value) -> crate::client::Reply {
    let body =
        json!({"pipelineId": pipeline, "stageId": stage, "probability": probability, "reasonCode": "correction"});
    client.post("/api/forecasting/stage-probability", &body)
}

#[test]
fn the_worked_example_comes_out_to_the_cent() {
    let server = Server::start();
    let (q, d, p) = (stage(&server, "Qualification"), stage(&server, "Discovery"), stage(&server, "Proposal"));
    let pipeline = server.admin().get("/api/pipelines").expect(200)["pipelines"][0]["id"].clone();
    probability(server.manager(), &pipeline, &d, json!(0.4)).expect(200);
    let set = probability(server.manager(), &pipeline, &p, json!(0.8)).expect(200)["stage"].clone();
    assert_eq!((&set["probability"], &set["version"]), (&json!(0.8), &json!(2)));
    let past = Past::of(&server, &server.house.manager);
    past.history(&q, "5W 8L 10C 12W 15L 20C 22W 30L 40C 45W");
    past.history(&p, "1W 1W 1W 2L 2L 2L 2L 2L 2L 2L");
    for (title, stage, value, day) in
        [("Q", &q, 100_000, Some("2027-01-31")), ("D", &d, 50_000, Some("2027-02-28")), ("P", &p, 25_000, None)]
    {
        let body = json!({"title": title, "stageId": stage, "value": value, "expectedCloseDate": day});
        server.rep().post("/api/deals", &body).expect(201);
    }

    let seen = server.rep().get("/api/forecasting/pipeline?ownerId=me").expect(200)["forecast"].clone();
    let amounts = ["pipelineValue", "expectedValue", "probableValue"].map(|name| seen[name].to_string());
    assert_eq!(amounts, ["175000", "50000", "66102.94"]);
    assert_eq!((&seen["dealsCount"], &seen["currency"], &seen["complete"]), (&json!(3), &json!("USD"), &json!(true)));
    let told = ["p10", "p50", "p90", "mean", "step"].map(|name| seen["distribution"][name].to_string());
    assert_eq!(told, ["0", "50000", "150000", "66102.94", "25000"]);
    assert_eq!(seen["distribution"]["method"], json!("exact"));
    assert!(seen["distribution"]["citation"].as_str().unwrap().contains("Biscarri"), "{}", seen["distribution"]);
    assert_eq!(seen["unconfiguredStages"], json!([]));
    let in_stage = &seen["dealsByStage"][q.as_str().unwrap()];
    assert_eq!((&in_stage["stageName"], &in_stage["count"]), (&json!("Qualification"), &json!(1)));
    assert_eq!(in_stage["probableValue"].to_string(), "32352.94");
    assert_eq!((&in_stage["conversionRate"], &in_stage["sampleSize"]), (&json!(0.3235), &json!(7)));
    assert_eq!((&in_stage["low"], &in_stage["high"]), (&json!(0.1545), &json!(0.5168)), "Beta(5.5, 11.5)");
    assert_eq!((&in_stage["ageExtrapolated"], &in_stage["horizonTruncated"]), (&json!(false), &json!(false)));

    let rates = server.rep().get("/api/forecasting/conversion-rates").expect(200);
    assert!(rates["computedAt"].is_string());
    let rate = &rates["conversionRates"][0];
    assert_eq!((&rate["stageId"], &rate["stageName"]), (&q, &json!("Qualification")));
    let counts = ["entered", "won", "lost", "open"].map(|name| rate[name].as_u64().unwrap());
    assert_eq!(counts, [11, 4, 3, 4]);
    assert_eq!((&rate["rate"], &rate["smoothedRate"]), (&json!(0.6429), &json!(0.3235)));
    assert!(
        rate["low"].as_f64() < rate["smoothedRate"].as_f64() && rate["smoothedRate"].as_f64() < rate["high"].as_f64()
    );
    assert_eq!(rate["horizonTruncated"], json!(false), "whoever was watched longest was won: nothing is open");
    assert_eq!(rates["conversionRates"][3]["rate"], Value::Null, "nobody came to the negotiation");
    let insufficient = |n: usize| rates["conversionRates"][n]["insufficientData"].clone();
    assert_eq!((insufficient(0), insufficient(3)), (json!(false), json!(true)));
    let few = seen["dealsByStage"]
        .as_object()
        .unwrap()
        .values()
        .map(|stage| (stage["sampleSize"].as_u64().unwrap() < 5, stage["insufficientData"].as_bool().unwrap()));
    assert!(few.clone().all(|(is_few, says_so)| is_few == says_so) && few.filter(|(is_few, _)| *is_few).count() > 0);

    let period = |query: &str| server.rep().get(&format!("/api/forecasting/pipeline?ownerId=me&{query}")).expect(200);
    let january = period("startDate=2027-01-31&endDate=2027-01-31")["forecast"].clone();
    let facts = ["pipelineValue", "dealsCount", "undatedDealsCount"].map(|name| january[name].as_u64().unwrap());
    assert_eq!(facts, [100_000, 1, 1]);
    assert_eq!(period("startDate=2027-02-01")["forecast"]["pipelineValue"], json!(50_000));
    assert_eq!(period("endDate=2026-12-31")["forecast"]["dealsCount"], json!(0));
}

/// A stage for which nobody has set a probability, and a deal that stands longer than history reaches.
#[test]
fn what_a_forecast_goes_by_is_told() {
    let server = Server::start();
    let stages = json!([{"name": "Talk"}, {"name": "Won", "kind": "won"}, {"name": "Lost", "kind": "lost"}]);
    let made = server.admin().post("/api/pipelines", &json!({"name": "Second", "stages": stages})).expect(201);
    let (pipeline, talk) = (made["pipeline"]["id"].clone(), made["pipeline"]["stages"][0].clone());
    assert_eq!(talk["probability"], Value::Null, "nobody has set one");
    let past = Past::of(&server, &server.house.manager);
    let members = |value: u64| json!({"title": "T", "pipelineId": pipeline, "stageId": talk["id"], "value": value});
    past.deal(40.0, &members(1_000));
    past.deal(0.0, &members(3_000));
    let path = format!("/api/forecasting/pipeline?pipelineId={}", pipeline.as_str().unwrap());
    let ask = || server.rep().get(&path).expect(200)["forecast"].clone();
    let seen = ask();
    let named = json!([{"pipelineId": pipeline, "stageId": talk["id"], "stageName": "Talk"}]);
    assert_eq!(seen["unconfiguredStages"], named);
    assert_eq!((&seen["expectedValue"], &seen["probableValue"]), (&json!(2_000), &json!(2_000)), "Jeffreys, never 0");
    let in_stage = |seen: &Value| seen["dealsByStage"][talk["id"].as_str().unwrap()].clone();
    assert_eq!(in_stage(&seen)["probability"], Value::Null);
    assert_eq!(
        (&in_stage(&seen)["ageExtrapolated"], &in_stage(&seen)["ageExtrapolatedDealsCount"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(in_stage(&seen)["horizonTruncated"], json!(true));

    probability(server.manager(), &pipeline, &talk["id"], json!(0)).expect(200);
    let seen = ask();
    assert_eq!((&seen["unconfiguredStages"], &seen["expectedValue"]), (&json!([]), &json!(0)), "somebody has said 0");
    let cleared = server.manager().patch(
        &format!("/api/pipelines/{}/stages/{}", pipeline.as_str().unwrap(), talk["id"].as_str().unwrap()),
        &json!({"probability": null}),
    );
    assert_eq!(cleared.expect(200)["stage"]["probability"], Value::Null);
    assert_eq!(ask()["unconfiguredStages"], named);

    let won = &made["pipeline"]["stages"][1]["id"];
    let settled = probability(server.manager(), &pipeline, won, json!(0.4));
    let said = settled.body["errors"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(settled.bad_fields(), ["probability"]);
    assert!(said.contains("always 1") && said.contains("won"), "{said}");
}

#[test]
fn few_deals_have_no_rate_but_an_interval() {
    let server = Server::start();
    let q = stage(&server, "Qualification");
    let past = Past::of(&server, &server.house.manager);
    let rate = || server.rep().get("/api/forecasting/conversion-rates").expect(200)["conversionRates"][0].clone();
    past.history(&q, "1W 2L 3W 4W");
    let few = rate();
    assert_eq!((&few["rate"], &few["insufficientData"]), (&Value::Null, &json!(true)), "{few}");
    assert_eq!((&few["won"], &few["lost"]), (&json!(3), &json!(1)));
    assert_eq!(few["smoothedRate"], json!(0.2857), "(10 x 0.1 + 3) / 14");
    assert!(few["low"].as_f64() < few["smoothedRate"].as_f64() && few["smoothedRate"].as_f64() < few["high"].as_f64());
    past.history(&q, "5L");
    let enough = rate();
    assert_eq!((&enough["rate"], &enough["insufficientData"]), (&json!(0.6), &json!(false)), "{enough}");
}

#[test]
fn currencies_are_never_added_up_and_own_probabilities_count() {
    let server = Server::start();
    for body in [
        json!({"title": "own", "value": 1000.5, "probability": 0.9}),
        json!({"title": "stage", "value": 1000}),
        json!({"title": "valueless"}),
        json!({"title": "euros", "value": 70, "currency": "EUR"}),
        json!({"title": "valueless euros", "currency": "EUR"}),
    ] {
        server.rep().post("/api/deals", &body).expect(201);
    }
    let seen = server.admin().get("/api/forecasting/pipeline").expect(200)["forecast"].clone();
    assert_eq!(seen["pipelineValue"].to_string(), "2000.5");
    assert_eq!(seen["expectedValue"].to_string(), "1000.45", "0.9 of one and 0.1 of the other");
    assert_eq!((&seen["dealsCount"], &seen["unvaluedDealsCount"]), (&json!(4), &json!(2)));
    assert_eq!(seen["complete"], json!(false));
    assert_eq!(seen["unconverted"], json!([{"currency": "EUR", "dealsCount": 1, "pipelineValue": 70}]));
    let empty = server.with(&server.house.stranger.token).get("/api/forecasting/pipeline").expect(200);
    assert_eq!((&empty["forecast"]["dealsCount"], &empty["forecast"]["pipelineValue"]), (&json!(0), &json!(0)));
    let won = ["p10", "p50", "p90", "mean"].map(|name| empty["forecast"]["distribution"][name].clone());
    assert_eq!(won, [0, 0, 0, 0].map(|nothing| json!(nothing)));
}

#[test]
fn won_deals_that_no_rate_converts_are_listed() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let won = |days_ago: f64, value: Value, currency: &str| {
        let deal = past.deal(40.0, &json!({"title": currency, "value": value, "currency": currency}));
        past.close(days_ago, deal, "won", "best_fit");
    };
    won(20.0, json!(100), "USD");
    won(20.0, json!(null), "NOK");
    let day = |days: i64| (past.now - TimeDelta::days(days)).date_naive().to_string();
    let path = format!("/api/forecasting/pipeline?startDate={}&endDate={}", day(30), day(1));
    let ask = || {
        let forecast = server.admin().get(&path).expect(200)["forecast"].clone();
        let names = ["closedWonValue", "closedWonCount", "closedWonUnconverted", "complete"];
        json!(names.map(|name| forecast[name].clone()))
    };
    assert_eq!(ask(), json!([100, 2, [], true]), "what has no value needs no rate");
    won(19.0, json!(200), "EUR");
    won(9.0, json!(40), "EUR");
    won(9.0, json!(5), "JPY");
    won(8.0, json!(6), "JPY");
    let rates = json!({"exchangeRates": [{"fromCurrency": "EUR", "effectiveOn": day(15), "rate": 1.5}]});
    server.manager().put("/api/exchange-rates", &rates).expect(200);
    let left_out = json!([
        {"currency": "EUR", "dealsCount": 1, "value": 200},
        {"currency": "JPY", "dealsCount": 2, "value": 11}
    ]);
    assert_eq!(ask(), json!([160, 6, left_out, false]), "the euros of one day have a rate");
    let forecast = server.admin().get("/api/forecasting/pipeline").expect(200)["forecast"].clone();
    for name in ["closedWonExchangeRates", "closedWonUnconverted"] {
        assert_eq!(forecast.get(name), None, "no days are named");
    }
}

#[test]
fn reopening_and_other_pipelines_begin_anew() {
    let server = Server::start();
    let (q, d) = (stage(&server, "Qualification"), stage(&server, "Discovery"));
    let past = Past::of(&server, &server.house.manager);
    let deal = past.deal(40.0, &json!({"title": "Twice", "stageId": q}));
    past.close(30.0, deal, "lost", "price");
    let caller = with_token(&server.house.manager.token, past.now - TimeDelta::days(20));
    let reopen = json!({"stageId": q}).to_string();
    server.door.write(&caller, |tx| deals::update(tx, deal, body(&reopen))).unwrap();
    past.close(10.0, deal, "won", "best_fit");
    let other = server.manager().post("/api/pipelines", &json!({"name": "Other"})).expect(201)["pipeline"].clone();
    let moved = past.deal(5.0, &json!({"title": "Moved", "stageId": d}));
    server.manager().patch(&format!("/api/deals/{moved}"), &json!({"pipelineId": other["id"]})).expect(200);

    let rates = server.admin().get("/api/forecasting/conversion-rates").expect(200);
    let of = |stage: &Value| {
        let all = rates["conversionRates"].as_array().unwrap();
        let rate = all.iter().find(|rate| rate["stageId"] == *stage).unwrap();
        ["entered", "won", "lost", "open"].map(|name| rate[name].as_u64().unwrap())
    };
    assert_eq!(of(&q), [2, 1, 1, 0], "two lives of one deal");
    assert_eq!(of(&d), [1, 0, 0, 1], "what left for another pipeline ended open");
    assert_eq!(of(&other["stages"][0]["id"]), [1, 0, 0, 1]);
    let path = format!("/api/forecasting/conversion-rates?pipelineId={}", other["id"].as_str().unwrap());
    assert_eq!(server.admin().get(&path).expect(200)["conversionRates"].as_array().unwrap().len(), 1);
}

#[test]
fn stale_deals_come_most_stale_first() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.rep);
    let d = stage(&server, "Discovery");
    let oldest = past.deal(30.0, &json!({"title": "Oldest", "value": 50000}));
    past.deal(21.5, &json!({"title": "Acme Corp Deal"}));
    past.deal(15.0, &json!({"title": "Patient", "stageId": d}));
    past.deal(13.96, &json!({"title": "Fresh"}));
    let touched = past.deal(40.0, &json!({"title": "Touched"}));
    server.rep().put(&format!("/api/deals/{touched}/intel"), &json!({"nextStepCommitment": "Call"})).expect(200);
    let closed = Past::of(&server, &server.house.manager);
    closed.close(0.0, past.deal(90.0, &json!({"title": "Lost"})), "lost", "price");

    let list = |query: &str| server.rep().get(&format!("/api/forecasting/stale-deals{query}")).expect(200);
    let titles = |body: &Value| -> Vec<String> {
        body["staleDeals"].as_array().unwrap().iter().map(|d| d["title"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("?daysInactive=14");
    assert_eq!(titles(&all), ["Oldest", "Acme Corp Deal", "Patient"]);
    let first = &all["staleDeals"][0];
    assert_eq!((&first["id"], &first["value"], &first["currency"]), (&json!(oldest), &json!(50000), &json!("USD")));
    assert_eq!((&first["daysSinceUpdate"], &first["stageName"]), (&json!(30), &json!("Qualification")));
    assert_eq!((&first["ownerId"], &first["ownerName"]), (&json!(server.house.rep.id), &json!("rep")));
    assert_eq!(all["staleDeals"][1]["daysSinceUpdate"], json!(21));
    assert_eq!(titles(&list("")), ["Oldest", "Acme Corp Deal"], "Discovery allows 21 days");
    assert_eq!(list("")["staleDeals"][0]["thresholdDays"], json!(14));
    assert_eq!(titles(&list("?daysInactive=22")), ["Oldest"]);

    let mut found = Vec::new();
    let mut path = "?daysInactive=0&limit=1".to_owned();
    loop {
        let page = list(&path);
        found.extend(titles(&page));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("?daysInactive=0&limit=1&cursor={cursor}");
    }
    assert_eq!(found, ["Oldest", "Acme Corp Deal", "Patient", "Fresh", "Touched"]);

    let tomorrow = past.now + TimeDelta::days(1);
    let task = json!({"title": "Call", "dealId": oldest, "dueAt": tomorrow});
    server.rep().post("/api/tasks", &task).expect(201);
    assert!(list("?daysInactive=14")["staleDeals"][0]["nextTaskDueAt"].is_string());
    assert_eq!(titles(&list("?daysInactive=22&excludeScheduled=true")), [""; 0]);
}

#[test]
fn other_units_and_organizations_neither_count_nor_show() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.manager);
    let south = past.deal(30.0, &json!({"title": "South", "value": 10, "businessUnitId": server.house.other_unit}));
    let lost = past.deal(30.0, &json!({"title": "Lost", "businessUnitId": server.house.other_unit}));
    past.close(20.0, lost, "lost", "price");
    let count = |client: Client<'_>, query: &str| {
        let forecast = client.get(&format!("/api/forecasting/pipeline{query}")).expect(200)["forecast"].clone();
        let stale = client.get(&format!("/api/forecasting/stale-deals{query}")).expect(200)["staleDeals"].clone();
        let rates = client.get("/api/forecasting/conversion-rates").expect(200)["conversionRates"][0].clone();
        let entered = rates["entered"].as_u64().unwrap();
        (forecast["dealsCount"].as_u64().unwrap(), stale.as_array().unwrap().len(), entered)
    };
    assert_eq!(count(server.manager(), ""), (1, 1, 2));
    assert_eq!(count(server.manager(), &format!("?businessUnitId={}", server.house.unit)), (0, 0, 2));
    assert_eq!(count(server.manager(), &format!("?businessUnitId={}", server.house.other_unit)), (1, 1, 2));
    assert_eq!(count(server.rep(), ""), (0, 0, 0));
    assert_eq!(count(server.rep(), &format!("?businessUnitId={}", server.house.other_unit)), (0, 0, 0));
    assert_eq!(count(server.with(&server.house.stranger.token), ""), (0, 0, 0));
    server.rep().get(&format!("/api/deals/{south}")).refused(404);
}

#[test]
fn bad_questions_are_told() {
    let server = Server::start();
    for path in [
        "pipeline?startDate=yesterday",
        "pipeline?startDate=2025-02-01&endDate=2025-01-31",
        "pipeline?pipelineId=x",
        "pipeline?ownerId=you",
        "stale-deals?daysInactive=-1",
        "stale-deals?daysInactive=1.5",
        "stale-deals?limit=0",
        "stale-deals?excludeScheduled=maybe",
    ] {
        assert_eq!(server.rep().get(&format!("/api/forecasting/{path}")).refused(400), "invalid_value", "{path}");
    }
    assert_eq!(server.rep().get("/api/forecasting/stale-deals?cursor=x").refused(400), "invalid_cursor");
    assert_eq!(server.rep().get("/api/forecasting/pipeline?stage=x").refused(400), "unknown_parameter");

    let pipeline = server.admin().get("/api/pipelines").expect(200)["pipelines"][0]["id"].clone();
    let (q, won) = (stage(&server, "Qualification"), stage(&server, "Won"));
    assert_eq!(probability(server.rep(), &pipeline, &q, json!(0.5)).refused(403), "role_required");
    for (stage, value, field) in [
        (&q, json!(1.5), "probability"),
        (&q, json!("half"), "probability"),
        (&won, json!(0.5), "probability"),
        (&json!(server.house.unit), json!(0.5), "stageId"),
        (&q, json!(0.55555), "probability"),
    ] {
        assert_eq!(probability(server.manager(), &pipeline, stage, value).bad_fields(), [field]);
    }
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(probability(stranger, &pipeline, &q, json!(0.5)).bad_fields(), ["stageId"]);
}
