//! Forecasting: what stands in the pipeline, what will come of it, and what nobody touches any more.
use crm_core::{Page, Result, Tx, deals::Deal, masks, pipelines::Stage};
use crm_forecast::database::{
    Days, DealFilter,
    conversion_rates::{self, ConversionRates},
    pipeline::{self, PipelineForecast},
    stage_probabilities::{self, StageProbability},
    stale_deals::{self, StaleDeal, StaleQuery},
};
use serde_json::{Map, Value, json};

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    parameters::{Parameters, about_deals, about_owner, check_order, day_schema},
    reply::Answer,
    schemas,
};

const TAG: &str = "Forecasting";

/// The endpoints of forecasting.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![forecasts(), stale(), probabilities(), rates()]
}

fn forecasts() -> Endpoint {
    let words = "`expectedValue` weighs each open deal by its own probability, else its stage's; `probableValue` by what \
                 became of earlier deals that stood in its stage as long. Named days leave out deals without an \
                 expected close date. Nothing is converted without a rate: see `unconverted`.";
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
        .lists::<StaleDeal>("staleDeals", "One page.")
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
                 watched, so that losses that are recorded late do not flatter the rate (Aalen-Johansen).";
    let endpoint = Endpoint::get("/api/forecasting/conversion-rates", "listConversionRates", conversion_rates);
    about_deals(endpoint.says(TAG, "List conversion rates", words))
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
        let names = ["pipelineId", "businessUnitId", "ownerId", "daysInactive", "excludeScheduled", "limit", "cursor"];
        let given = Parameters::of(request, names)?;
        let days_inactive = given.whole("daysInactive", 36_500)?;
        let query = StaleQuery { days_inactive, exclude_scheduled: given.flag("excludeScheduled")? };
        let filter = deals(tx, &given)?;
        let Page { items, next_cursor, total } = stale_deals::list(tx, &filter, &query, given.as_slice())?;
        let seen = |deal| masks::withheld(tx.ctx, deal, &stale_deals::REVEALS);
        let items = items.iter().map(seen).collect::<Result<_>>()?;
        Answer::page::<Map<String, Value>>("staleDeals", &Page { items, next_cursor, total })
    })
}

fn set_probability(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        stage_probabilities::check_may_set(tx)?;
        let (asked, patch) = request.command::<StageProbability>()?;
        Answer::record(&stage_probabilities::set(tx, &asked, patch)?, tx)
    })
}

fn conversion_rates(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let filter = deals(tx, &Parameters::of(request, ["pipelineId", "businessUnitId"])?)?;
        Answer::json(&conversion_rates::list(tx, &filter)?)
    })
}
