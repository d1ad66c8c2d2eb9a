//! What stands in the pipeline, what the configured probabilities make of it, and what history makes of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use crm_core::{
    Currency, Error, Id, Money, Record, Result, Tx,
    deals::Deal,
    exchange_rates::AppliedRate,
    masks::{self, Reveals},
    pipelines::{Pipeline, Stage},
};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Days, DealFilter, check_may_view_values,
    closed_deals::{self, ClosedWonUnconverted},
    conversion_rates::{EstimatedStage, estimates},
    exchange::{Exchange, LeftOut, Unconverted},
    forecast_errors, four_digits, internal, money,
    open_deals::{self, Group},
};
use crate::{
    amounts::{self, Amount},
    conversion::Settings,
    distribution::{Chance, Distribution, Lot, Portion},
    pipeline::{Sums, Totals},
    probability::Probability,
};

mod won_value;

pub use won_value::{DistributionMethod, LikelyWonValue, WonValue};

/// A forecast over open deals.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineForecast {
    /// The sum of the deals' values.
    #[schema(example = 500_000)]
    pub pipeline_value: Money,
    /// The sum of value times probability: the deal's own where it has one, else its stage's.
    #[schema(example = 350_000)]
    pub expected_value: Money,
    /// The sum of value times the win probability that history gives a deal of that stage and age.
    #[schema(example = 280_000)]
    pub probable_value: Money,
    /// Open deals in question. Those without a value count; those in a currency without a rate do not.
    #[schema(example = 25)]
    pub deals_count: usize,
    /// The open stages by their ids.
    pub deals_by_stage: BTreeMap<String, StageForecast>,
    /// How much will be won, and how sure that is.
    pub distribution: WonValue,
    /// Stages for which nobody has set a probability and in which deals without one of their own stand: these count in
    /// `expectedValue` by what history says, never as 0.
    pub unconfigured_stages: Vec<UnconfiguredStage>,
    /// The currency of every amount here, which is the organization's.
    pub currency: Currency,
    /// As of when.
    pub as_of: DateTime<Utc>,
    /// When the conversion rates behind `probableValue` were computed.
    pub rates_computed_at: DateTime<Utc>,
    /// The sum of the deals won on the days named, each at the exchange rate of the day on which it was won; absent where
    /// no days are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_won_value: Option<Money>,
    /// How many deals were won on the days named: all of them, also those that add nothing to `closedWonValue` because they
    /// have no value or stand in `closedWonUnconverted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_won_count: Option<u64>,
    /// The exchange rates behind `closedWonValue`, each once: a deal counts by the one that held on the day on which it was
    /// won, the latest of its currency whose `effectiveOn` is not after that day. The latest first, at most 1000; absent
    /// where no days are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_won_exchange_rates: Option<Vec<AppliedRate>>,
    /// Deals won on the days named that `closedWonValue` leaves out because no rate led from their currency on the day on
    /// which they were won; absent where no days are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_won_unconverted: Option<Vec<ClosedWonUnconverted>>,
    /// Does every deal in question count? Where not, `unconverted` and `closedWonUnconverted` tell which do not.
    pub complete: bool,
    /// The exchange rates by which open deals in other currencies count: those of today.
    pub exchange_rates: Vec<AppliedRate>,
    /// Open deals that do not count because no rate leads from their currency.
    pub unconverted: Vec<Unconverted>,
    /// Deals that count but have no value.
    pub unvalued_deals_count: u64,
    /// Deals left out because the question names days and they have no expected close date.
    pub undated_deals_count: u64,
}

/// A stage without a probability, in which deals stand that have none of their own either.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnconfiguredStage {
    /// The stage's pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// The stage.
    pub stage_id: Id<Stage>,
    /// What people call it.
    pub stage_name: String,
}

/// The part of a forecast that stands in one stage.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageForecast {
    /// The stage's pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// What people call it.
    pub stage_name: String,
    /// Its place in the pipeline.
    pub position: i32,
    /// The probability that people set; null where nobody has: `expectedValue` then goes by what history says.
    #[schema(value_type = Option<f64>)]
    pub probability: Option<Money>,
    /// Deals in it.
    pub count: usize,
    /// The sum of their values.
    pub value: Money,
    /// The sum of value times probability.
    pub expected_value: Money,
    /// The sum of value times the win probability that history gives.
    pub probable_value: Money,
    /// The share of deals won that ever entered it, with the configured probability mixed in, 0 to 1.
    pub conversion_rate: f64,
    /// How many won and lost deals that rate rests on.
    pub sample_size: usize,
    /// True below five such deals: the rate then comes from the configured probability more than from history.
    pub insufficient_data: bool,
    /// The lower end of the 90 % credible interval of the conversion rate.
    pub low: f64,
    /// The upper end of the 90 % credible interval of the conversion rate.
    pub high: f64,
    /// True where no deal of the past was watched as long as the horizon of a year and some are still open: the conversion rate
    /// then tells of a shorter time.
    pub horizon_truncated: bool,
    /// True where some of the deals have stood in the stage longer than any deal that was won or lost since: these go by the
    /// smaller of the configured and the stage's own probability.
    pub age_extrapolated: bool,
    /// How many deals these are.
    pub age_extrapolated_deals_count: usize,
}

const fn tells(member: &'static str, fields: &'static [&'static str]) -> Reveals {
    Reveals { member, kind: Deal::KIND, fields }
}

const VALUES: &[&str] = &["value", "currency"];
/// A value times a probability: that of the deal, or that of its stage.
const WEIGHTED: &[&str] = &["value", "currency", "probability", "stageId"];

/// How long deals have stood in their stage.
const AGED: &[&str] = &["stageId", "stageEnteredAt"];

/// The members of a forecast that would tell what the caller does not see of the deals.
pub const REVEALS: [Reveals; 15] = [
    tells("pipelineValue", VALUES),
    tells("expectedValue", WEIGHTED),
    tells("probableValue", WEIGHTED),
    tells("distribution", WEIGHTED),
    tells("dealsByStage", &["stageId", "pipelineId"]),
    tells("unconfiguredStages", &["stageId", "pipelineId", "probability"]),
    tells("closedWonValue", &["value", "currency", "status", "closedAt"]),
    tells("closedWonCount", &["status", "closedAt"]),
    tells("closedWonExchangeRates", &["currency", "status", "closedAt"]),
    tells("closedWonUnconverted", &["value", "currency", "status", "closedAt"]),
    tells("complete", &["currency"]),
    tells("unconverted", &["value", "currency"]),
    tells("exchangeRates", &["currency"]),
    tells("unvaluedDealsCount", &["value"]),
    tells("undatedDealsCount", &["expectedCloseDate"]),
];

/// Likewise of each stage in it.
pub const STAGE_REVEALS: [Reveals; 5] = [
    tells("value", VALUES),
    tells("expectedValue", WEIGHTED),
    tells("probableValue", WEIGHTED),
    tells("ageExtrapolated", AGED),
    tells("ageExtrapolatedDealsCount", AGED),
];

/// Forecasts the open deals in question; where days are named, those expected to close on them.
///
/// # Errors
/// [`Error::Forbidden`]; what the database says.
pub fn forecast(tx: &mut Tx<'_>, filter: &DealFilter, closing: &Days) -> Result<PipelineForecast> {
    check_may_view_values(tx)?;
    // What is open counts.
    masks::check_use::<Deal>(tx.ctx, "status")?;
    let exchange = Exchange::today(tx)?;
    let groups = open_deals::groups(tx, filter, closing)?;
    let (stages, rates_computed_at) = estimates(tx, filter)?;
    let errors = forecast_errors::read(tx, filter)?;
    let undated_deals_count = if closing.is_open() { 0 } else { open_deals::undated(tx, filter)? };
    let mut tally = Tally::default();
    for (class, groups) in classes(&groups) {
        let stage = stages.iter().find(|stage| stage.stage.id == class.stage);
        let changed = || Error::Unavailable("the pipeline changed while it was read".into());
        tally.add(&class, &groups, stage.ok_or_else(changed)?, &exchange)?;
    }
    let won = Distribution::of(&std::mem::take(&mut tally.portions).into_values().collect::<Vec<_>>());
    let totals = tally.all.rounded(exchange.iso).map_err(internal)?;
    let closed = if closing.is_open() { None } else { Some(closed_deals::won(tx, filter, closing, &exchange)?) };
    let exchange_rates = exchange.applied(groups.iter().map(|group| &group.currency));
    let deals_by_stage = by_stage(&stages, &tally, exchange.iso)?;
    let unconfigured_stages = tally.unconfigured(&stages);
    let unconverted = tally.left_out.list()?;
    let is_closed_complete = closed.as_ref().is_none_or(|won| won.unconverted.is_empty());
    Ok(PipelineForecast {
        pipeline_value: money(totals.pipeline_value)?,
        expected_value: money(totals.expected_value)?,
        probable_value: money(totals.probable_value)?,
        deals_count: totals.deals_count,
        unconfigured_stages,
        deals_by_stage,
        distribution: won_value::of(&won, errors, exchange.iso)?,
        closed_won_value: closed.as_ref().map(|won| won.value),
        closed_won_count: closed.as_ref().map(|won| won.deals_count),
        closed_won_exchange_rates: closed.as_ref().map(|won| won.rates.clone()),
        closed_won_unconverted: closed.map(|won| won.unconverted),
        as_of: tx.ctx.now,
        rates_computed_at,
        complete: unconverted.is_empty() && is_closed_complete,
        unconverted,
        exchange_rates,
        unvalued_deals_count: groups.iter().filter(|group| group.value.is_none()).map(|group| group.deals).sum(),
        undated_deals_count,
        currency: exchange.currency,
    })
}

/// What groups have in common that are told apart by their values alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Class<'g> {
    stage: Id<Stage>,
    landmark: usize,
    own_probability: Option<Decimal>,
    currency: &'g Currency,
}

fn classes(groups: &[Group]) -> BTreeMap<Class<'_>, Vec<&Group>> {
    let mut classes: BTreeMap<Class<'_>, Vec<&Group>> = BTreeMap::new();
    for group in groups {
        let Group { stage, landmark, own_probability, currency, .. } = group;
        let class = Class { stage: *stage, landmark: *landmark, own_probability: *own_probability, currency };
        classes.entry(class).or_default().push(group);
    }
    classes
}

#[derive(Default)]
struct Tally {
    all: Sums,
    stages: BTreeMap<Id<Stage>, Sums>,
    /// Deals of one stage and age share their chance, unless they have one of their own.
    portions: BTreeMap<(Id<Stage>, usize, Option<Decimal>), Portion>,
    /// Deals that stand in their stage longer than history reaches.
    extrapolated: BTreeMap<Id<Stage>, usize>,
    /// Stages of which deals went by history because no probability is set.
    unconfigured: BTreeSet<Id<Stage>>,
    left_out: LeftOut,
}

impl Tally {
    fn add(&mut self, class: &Class<'_>, groups: &[&Group], stage: &EstimatedStage, exchange: &Exchange) -> Result<()> {
        let valued = || groups.iter().filter_map(|group| Some((group.deals, group.value?)));
        let too_large = || Error::internal("a value is out of range");
        let value = valued().try_fold(Decimal::ZERO, |sum, (_, value)| sum.checked_add(value)).ok_or_else(too_large)?;
        let unvalued: u64 = groups.iter().filter(|group| group.value.is_none()).map(|group| group.deals).sum();
        let rate = exchange.rate(class.currency);
        if rate.is_none() {
            self.left_out.add(class.currency, valued().map(|(deals, _)| deals).sum(), value);
        }
        let landmark = Settings::default().landmarks.get(class.landmark).copied();
        let aged = stage.estimate.at_age(landmark.unwrap_or_default());
        let estimate = Probability::from_estimate(aged.probability()).map_err(internal)?;
        let set = class.own_probability.or_else(|| stage.stage.fields.probability.map(Money::amount));
        let probability = set.map_or(Ok(estimate), Probability::new).map_err(internal)?;
        let converted = rate.map_or(0, |_| valued().map(|(deals, _)| deals).sum());
        let deals = usize::try_from(unvalued + converted).map_err(internal)?;
        if deals == 0 {
            return Ok(());
        }
        if set.is_none() {
            self.unconfigured.insert(class.stage);
        }
        if aged.is_extrapolated {
            *self.extrapolated.entry(class.stage).or_default() += deals;
        }
        for sums in [&mut self.all, self.stages.entry(class.stage).or_default()] {
            sums.add(deals, rate.map(|rate| [value, rate]), probability, estimate);
        }
        let Some(rate) = rate else { return Ok(()) };
        let chance = match class.own_probability {
            Some(_) => Chance::Known(probability.to_f64()),
            None => Chance::Shared(aged.belief),
        };
        let key = (class.stage, class.landmark, class.own_probability);
        let portion = self.portions.entry(key).or_insert_with(|| Portion::new(chance, []));
        for (deals, value) in valued() {
            let converted = value.checked_mul(rate).ok_or_else(too_large)?;
            portion.lots.extend(shared_out(converted, deals, exchange.iso)?);
        }
        Ok(())
    }

    /// In the order of the stages.
    fn unconfigured(&self, stages: &[EstimatedStage]) -> Vec<UnconfiguredStage> {
        let told = |EstimatedStage { stage, .. }: &EstimatedStage| UnconfiguredStage {
            pipeline_id: stage.fields.pipeline_id,
            stage_id: stage.id,
            stage_name: stage.fields.name.clone(),
        };
        stages.iter().filter(|stage| self.unconfigured.contains(&stage.stage.id)).map(told).collect()
    }
}

/// The values of deals that are worth so much together, as equal as whole minor units are.
fn shared_out(value: Decimal, deals: u64, currency: amounts::Currency) -> Result<[Lot; 2]> {
    let units = Amount::new(value, currency).and_then(|amount| amount.minor_units()).map_err(internal)?;
    let (each, rest) = (units / deals.max(1), units % deals.max(1));
    let count = |deals: u64| u32::try_from(deals).map_err(internal);
    Ok([Lot { value: each.saturating_add(1), deals: count(rest)? }, Lot { value: each, deals: count(deals - rest)? }])
}

fn by_stage(
    stages: &[EstimatedStage],
    tally: &Tally,
    currency: amounts::Currency,
) -> Result<BTreeMap<String, StageForecast>> {
    let nothing = Sums::default();
    let one = |EstimatedStage { stage, estimate, .. }: &EstimatedStage| {
        let totals: Totals = tally.stages.get(&stage.id).unwrap_or(&nothing).rounded(currency).map_err(internal)?;
        let (low, high) = estimate.belief().interval(0.9);
        let extrapolated = tally.extrapolated.get(&stage.id).copied().unwrap_or_default();
        let forecast = StageForecast {
            pipeline_id: stage.fields.pipeline_id,
            stage_name: stage.fields.name.clone(),
            position: stage.fields.position,
            probability: stage.fields.probability,
            count: totals.deals_count,
            value: money(totals.pipeline_value)?,
            expected_value: money(totals.expected_value)?,
            probable_value: money(totals.probable_value)?,
            conversion_rate: four_digits(estimate.belief().mean()),
            sample_size: estimate.decided(),
            insufficient_data: !estimate.has_enough_deals(),
            low: four_digits(low),
            high: four_digits(high),
            horizon_truncated: estimate.is_horizon_truncated,
            age_extrapolated: extrapolated > 0,
            age_extrapolated_deals_count: extrapolated,
        };
        Ok((stage.id.to_string(), forecast))
    };
    stages.iter().map(one).collect()
}
