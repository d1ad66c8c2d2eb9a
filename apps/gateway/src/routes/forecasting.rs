//! Forecasting: what stands in the pipeline, what will come of it, and what nobody touches any more.
use chrono::{DateTime, Utc};
use crm_core::{
    Page, Result, Tx,
    deals::{Deal, snoozes},
    masks,
    pipelines::Stage,
};
use crm_forecast::database::{
    Days, DealFilter,
    backtest::{self, BacktestQuery, MOST_HORIZON_DAYS, PipelineBacktest},
    conversion_rates::{self, ConversionRates},
    pipeline::{self, PipelineForecast},
    snapshots::{self, PipelineSnapshots},
    stage_probabilities::{self, StageProbability},
    stale_deals::{self, StaleDeal, StaleQuery},
    stale_thresholds::{self, StaleThresholds},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    parameters::{Parameters, about_deals, about_owner, check_order, day_schema},
    reply::Answer,
    schemas,
};

const TAG: &str = "Forecasting";
const SNOOZE: &str = "/api/forecasting/stale-deals/{dealId}/snooze";

/// Days after a forecast within which a win counts, where a backtest does not say.
const USUAL_HORIZON_DAYS: u16 = 90;

/// Until when a deal is left alone, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Snooze {
    /// The instant from which on it is told of again.
    until: DateTime<Utc>,
    /// Why: lands in the field history as the note of the change.
    #[schema(max_length = 500)]
    reason: String,
}

/// The endpoints of forecasting.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![forecasts(), stale(), thresholds(), snooze(), wake(), probabilities(), rates(), snapshots(), backtests()]
}

fn forecasts() -> Endpoint {
    let words = "`expectedValue` weighs each open deal by its own probability, else its stage's; `probableValue` by what \
                 became of earlier deals that stood in its stage as long. Named days leave out deals without an \
                 expected close date. Nothing is converted without a rate: see `unconverted` and `closedWonUnconverted`. \
                 `unconfiguredStages` names the stages for which nobody has set a probability: their deals go by history in \
                 both values. `distribution` is computed, not sampled, by the method that it cites, on a grid of at most \
                 65,536 steps whose width it tells: quantiles of large sums are rounded to that width, sums and mean are exact.";
    let endpoint = Endpoint::get("/api/forecasting/pipeline", "readForecast", forecast).says(TAG, "Forecast", words);
    about_owner(about_deals(endpoint))
        .query("startDate", &day_schema(), "Deals expected to close on this day or later.")
        .query("endDate", &day_schema(), "Deals expected to close on this day or earlier.")
        .answers::<PipelineForecast>(200, "forecast", "The forecast.")
}

fn stale() -> Endpoint {
    let words = "Open deals without a touch for too long, most stale first. A touch is an activity, a move to another \
                 stage or a new next step. Days are whole ones of 24 hours.";
    let endpoint = Endpoint::get("/api/forecasting/stale-deals", "listStaleDeals", stale_deals)
        .says(TAG, "List stale deals", words)
        .parameters(schemas::page_parameters());
    about_owner(about_deals(endpoint))
        .query(
            "daysInactive",
            &json!({"type": "integer", "minimum": 0, "maximum": 36_500}),
            "Days without a touch; where absent, `rottenAfterDays` of each deal's stage, else 14.",
        )
        .query(
            "excludeScheduled",
            &json!({"type": "boolean", "default": false}),
            "Leaves out deals with a task planned.",
        )
        .query(
            "includeSnoozed",
            &json!({"type": "boolean", "default": false}),
            "Tells of deals too that somebody has snoozed.",
        )
        .query(
            "includeOverstayed",
            &json!({"type": "boolean", "default": false}),
            "Tells of deals too that were touched but have stood in their stage for `maxDaysInStage` or longer.",
        )
        .lists::<StaleDeal>("staleDeals", "One page.")
}

fn thresholds() -> Endpoint {
    let words = "How long the deals won in the end stood in each open stage and went without a touch there. \
                 `suggestedDays` are those after which nine in ten of them had been touched again. Below five deals won \
                 nothing is suggested.";
    let endpoint = Endpoint::get("/api/forecasting/stale-thresholds", "listStaleThresholds", stale_thresholds);
    about_deals(endpoint.says(TAG, "Suggest when deals are stale", words))
        .answers_plain::<StaleThresholds>(200, "The times, and when they were computed.")
}

fn snooze() -> Endpoint {
    let words =
        "The deal is not told of as stale until then. Snoozing is a change of the deal, with its field history.";
    Endpoint::post(SNOOZE, "snoozeStaleDeal", snooze_deal)
        .says(TAG, "Snooze a stale deal", words)
        .takes::<Snooze>()
        .answers::<Deal>(200, "deal", "The deal as it stands now.")
}

fn wake() -> Endpoint {
    Endpoint::delete(SNOOZE, "wakeStaleDeal", wake_deal)
        .says(TAG, "End the snooze of a deal", "It is told of again, where it is stale.")
        .answers_nothing("It is not snoozed.")
}

fn snapshots() -> Endpoint {
    let words = "The open pipeline at the end of each day, and what led from the first to the last: `openingValue` and the \
                 amounts of `movements` add up to `closingValue` exactly. Days are those of the organization's zone. Deals \
                 count in the business unit and for the owner that they had then. Snapshots are taken at night: where one is \
                 still missing, `awaited` says why and when it comes.";
    let endpoint = Endpoint::get("/api/forecasting/snapshots", "readSnapshots", pipeline_snapshots);
    about_owner(about_deals(endpoint.says(TAG, "Compare the pipeline of two days", words)))
        .query("from", &day_schema(), "The first day; thirty days before the last where it is absent.")
        .query("to", &day_schema(), "The last day; the last one of which there is a snapshot where it is absent.")
        .query("startDate", &day_schema(), "Deals that were expected to close on this day or later.")
        .query("endDate", &day_schema(), "Deals that were expected to close on this day or earlier.")
        .answers::<PipelineSnapshots>(200, "snapshots", "The days and the way between them.")
}

fn backtests() -> Endpoint {
    let words = "Replays the forecasts of past days, each with what was known then, and compares them with what was won \
                 within `horizon` days. `expected` goes by the stages' configured probabilities, `probable` by what became \
                 of earlier deals that stood in the stage as long. Forecasts whose horizon is not over are left out. Each way \
                 to tell a probability is scored (Brier with its parts, skill, log loss, calibration), the best is named for \
                 all deals and for each pipeline, and the distributions are by CRPS, pinball loss and coverage. `slippage` \
                 tells how deals closed against the day that was stated for them thirty days earlier.";
    let endpoint = Endpoint::get("/api/forecasting/backtest", "readBacktest", read_backtest);
    about_deals(endpoint.says(TAG, "How right would the forecasts have been?", words))
        .query("from", &day_schema(), "The day of the first forecast; a year before the last where it is absent.")
        .query("to", &day_schema(), "The last day on which one would have been made; today where it is absent.")
        .query(
            "step",
            &json!({"type": "string", "enum": ["week", "month", "quarter"], "default": "month"}),
            "How far one forecast lies behind the one before.",
        )
        .query(
            "horizon",
            &json!({"type": "integer", "minimum": 1, "maximum": 730, "default": 90}),
            "Days after a forecast within which a win counts.",
        )
        .answers::<PipelineBacktest>(200, "backtest", "The forecasts and how right they were.")
}

fn probabilities() -> Endpoint {
    Endpoint::post("/api/forecasting/stage-probability", "setStageProbability", set_probability)
        .says(
            TAG,
            "Set the probability of a stage",
            "It lands in the stage's field history; forecasts go by it at once.",
        )
        .access(Access::Manager)
        .commands::<StageProbability>()
        .answers::<Stage>(200, "stage", "The stage as it stands now.")
}

fn rates() -> Endpoint {
    let words = "What became of the deals that ever entered each open stage. Open deals count for as long as they were \
                 watched, so that losses that are recorded late do not flatter the rate (Aalen-Johansen). Below five deals \
                 won or lost there is no `rate`, and `insufficientData` says so.";
    let endpoint = Endpoint::get("/api/forecasting/conversion-rates", "listConversionRates", conversion_rates);
    about_deals(endpoint.says(TAG, "List conversion rates", words))
        .query(
            "includeMovements",
            &json!({"type": "boolean", "default": false}),
            "Tells too how deals moved between the stages, and how many got how far.",
        )
        .answers_plain::<ConversionRates>(200, "The rates, and when they were computed.")
}

/// Which deals a request asks about.
pub(super) fn deals(tx: &Tx<'_>, parameters: &Parameters) -> Result<DealFilter> {
    for name in ["pipelineId", "businessUnitId", "ownerId"].into_iter().filter(|name| parameters.has(name)) {
        masks::check_use::<Deal>(tx.ctx, name)?;
    }
    Ok(DealFilter {
        pipeline_id: parameters.id("pipelineId")?,
        business_unit_id: parameters.id("businessUnitId")?,
        owner_id: parameters.user("ownerId", tx.ctx)?,
    })
}

fn forecast(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let names = ["pipelineId", "businessUnitId", "ownerId", "startDate", "endDate"];
        let given = Parameters::of(request, names)?;
        let days = Days { from_on: given.day("startDate")?, until_on: given.day("endDate")? };
        check_order(["startDate", "endDate"], days.from_on.as_ref(), days.until_on.as_ref())?;
        let filter = deals(tx, &given)?;
        if days.from_on.is_some() || days.until_on.is_some() {
            masks::check_use::<Deal>(tx.ctx, "expectedCloseDate")?;
        }
        let forecast = pipeline::forecast(tx, &filter, &days)?;
        let mut figures = masks::withheld(tx.ctx, &forecast, &pipeline::REVEALS)?;
        let stages = figures.get_mut("dealsByStage").and_then(Value::as_object_mut).into_iter().flatten();
        for stage in stages.filter_map(|(_, stage)| stage.as_object_mut()) {
            masks::withhold(tx.ctx, stage, &pipeline::STAGE_REVEALS);
        }
        Answer::one("forecast", &figures)
    })
}

fn stale_deals(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let names = [
            "pipelineId",
            "businessUnitId",
            "ownerId",
            "daysInactive",
            "excludeScheduled",
            "includeSnoozed",
            "includeOverstayed",
            "limit",
            "cursor",
        ];
        let given = Parameters::of(request, names)?;
        let days_inactive = given.whole("daysInactive", 36_500)?;
        let (exclude_scheduled, include_snoozed) = (given.flag("excludeScheduled")?, given.flag("includeSnoozed")?);
        let include_overstayed = given.flag("includeOverstayed")?;
        let query = StaleQuery { days_inactive, exclude_scheduled, include_snoozed, include_overstayed };
        let filter = deals(tx, &given)?;
        let Page { items, next_cursor, total } = stale_deals::list(tx, &filter, &query, given.as_slice())?;
        let seen = |deal| masks::withheld(tx.ctx, deal, &stale_deals::REVEALS);
        let items = items.iter().map(seen).collect::<Result<_>>()?;
        Answer::page::<Map<String, Value>>("staleDeals", &Page { items, next_cursor, total })
    })
}

fn stale_thresholds(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let filter = deals(tx, &Parameters::of(request, ["pipelineId", "businessUnitId"])?)?;
        Answer::json(&stale_thresholds::list(tx, &filter)?)
    })
}

fn snooze_deal(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let deal = snoozes::lock(tx, request.id_at("dealId")?)?;
        let asleep =
            request.command(|Snooze { until, reason }, patch| snoozes::set(tx, deal, until, &reason, patch))?;
        Answer::record(&asleep, tx)
    })
}

fn wake_deal(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let deal = snoozes::lock(tx, request.id_at("dealId")?)?;
        snoozes::end(tx, deal, request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn pipeline_snapshots(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let names = ["pipelineId", "businessUnitId", "ownerId", "from", "to", "startDate", "endDate"];
        let given = Parameters::of(request, names)?;
        let span = Days { from_on: given.day("from")?, until_on: given.day("to")? };
        let closing = Days { from_on: given.day("startDate")?, until_on: given.day("endDate")? };
        check_order(["from", "to"], span.from_on.as_ref(), span.until_on.as_ref())?;
        check_order(["startDate", "endDate"], closing.from_on.as_ref(), closing.until_on.as_ref())?;
        let filter = deals(tx, &given)?;
        Answer::one("snapshots", &snapshots::read(tx, &filter, &span, &closing)?)
    })
}

fn read_backtest(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let given = Parameters::of(request, ["pipelineId", "businessUnitId", "from", "to", "step", "horizon"])?;
        let days = Days { from_on: given.day("from")?, until_on: given.day("to")? };
        check_order(["from", "to"], days.from_on.as_ref(), days.until_on.as_ref())?;
        let step = given.word("step", "`week`, `month` or `quarter`")?.unwrap_or_default();
        let horizon_days = given.horizon("horizon", MOST_HORIZON_DAYS)?.unwrap_or(USUAL_HORIZON_DAYS);
        let filter = deals(tx, &given)?;
        Answer::one("backtest", &backtest::read(tx, &filter, &BacktestQuery { days, step, horizon_days })?)
    })
}

fn set_probability(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        stage_probabilities::check_may_set(tx)?;
        let stage = request.command(|asked, patch| stage_probabilities::set(tx, &asked, patch))?;
        Answer::record(&stage, tx)
    })
}

fn conversion_rates(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let given = Parameters::of(request, ["pipelineId", "businessUnitId", "includeMovements"])?;
        let filter = deals(tx, &given)?;
        Answer::json(&conversion_rates::list(tx, &filter, given.flag("includeMovements")?)?)
    })
}
