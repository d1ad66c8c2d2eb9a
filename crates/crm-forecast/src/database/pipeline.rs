//! What stands in the pipeline, what the configured probabilities make of it, and what history makes of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Currency, Error, Id, Money, Record, Result, Tx,
    deals::Deal,
    masks::Reveals,
    organizations,
    pipelines::{Pipeline, Stage},
};
use diesel::sql_types as st;
use rust_decimal::{Decimal, RoundingStrategy, prelude::FromPrimitive};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Days, DealFilter, check_may_view_values,
    conversion_rates::{EstimatedStage, estimates},
    count, deals_in_question, four_digits, internal, money,
};
use crate::{
    amounts::{self, Amount},
    conversion::Settings,
    distribution::{Chance, Distribution, Portion},
    pipeline::{Sums, Totals},
    probability::Probability,
};

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
    /// The currency of every amount here, which is the organization's.
    pub currency: Currency,
    /// As of when.
    pub as_of: DateTime<Utc>,
    /// Does every deal in question count?
    pub complete: bool,
    /// Deals that do not count because no rate leads from their currency.
    pub unconverted: Vec<Unconverted>,
    /// Deals that count but have no value.
    pub unvalued_deals_count: u64,
    /// Deals left out because the question names days and they have no expected close date.
    pub undated_deals_count: u64,
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
    /// The probability that people set.
    #[schema(value_type = f64)]
    pub probability: Money,
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
}

/// The distribution of the value that will be won.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct WonValue {
    /// With probability 0.1 no more than this is won.
    pub p10: Money,
    /// With probability 0.5 no more than this is won.
    pub p50: Money,
    /// With probability 0.9 no more than this is won.
    pub p90: Money,
    /// What is won on average.
    pub mean: Money,
}

const fn tells(member: &'static str, fields: &'static [&'static str]) -> Reveals {
    Reveals { member, kind: Deal::KIND, fields }
}

const AMOUNTS: &[&str] = &["value", "currency", "probability"];

/// The members of a forecast that would tell what the caller does not see of the deals.
pub const REVEALS: [Reveals; 8] = [
    tells("pipelineValue", AMOUNTS),
    tells("expectedValue", AMOUNTS),
    tells("probableValue", AMOUNTS),
    tells("distribution", AMOUNTS),
    tells("complete", &["currency"]),
    tells("unconverted", &["value", "currency"]),
    tells("unvaluedDealsCount", &["value"]),
    tells("undatedDealsCount", &["expectedCloseDate"]),
];

/// Likewise of each stage in it.
pub const STAGE_REVEALS: [Reveals; 3] =
    [tells("value", AMOUNTS), tells("expectedValue", AMOUNTS), tells("probableValue", AMOUNTS)];

/// Deals in a currency that cannot be converted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unconverted {
    /// Their currency.
    pub currency: Currency,
    /// How many they are.
    pub deals_count: u64,
    /// The sum of their values, in their currency.
    pub pipeline_value: Money,
}

/// Forecasts the open deals in question; where days are named, those expected to close on them.
///
/// # Errors
/// [`Error::Forbidden`]; what the database says.
pub fn forecast(tx: &mut Tx<'_>, filter: &DealFilter, closing: &Days) -> Result<PipelineForecast> {
    check_may_view_values(tx)?;
    let currency = organizations::read(tx)?.fields.base_currency;
    let groups = groups(tx, filter, closing, &currency)?;
    let stages = estimates(tx, filter)?;
    let undated_deals_count = if closing.is_open() { 0 } else { undated(tx, filter)? };
    let iso = amounts::Currency::from_code(currency.code()).ok_or_else(|| Error::internal("an unknown currency"))?;
    let mut tally = Tally { all: Sums::default(), stages: BTreeMap::new(), portions: Vec::new() };
    for group in groups.iter().filter(|group| group.counts(&currency)) {
        let stage = stages.iter().find(|stage| stage.stage.id == group.stage);
        let changed = || Error::Unavailable("the pipeline changed while it was read".into());
        tally.add(group, stage.ok_or_else(changed)?, iso)?;
    }
    let totals = tally.all.rounded(iso).map_err(internal)?;
    let unconverted = unconverted(&groups, &currency)?;
    Ok(PipelineForecast {
        pipeline_value: money(totals.pipeline_value)?,
        expected_value: money(totals.expected_value)?,
        probable_value: money(totals.probable_value)?,
        deals_count: totals.deals_count,
        deals_by_stage: by_stage(&stages, &tally.stages, iso)?,
        distribution: won_value(&Distribution::of(&tally.portions), iso)?,
        as_of: tx.ctx.now,
        complete: unconverted.is_empty(),
        unconverted,
        unvalued_deals_count: groups.iter().map(Group::unvalued).sum(),
        undated_deals_count,
        currency,
    })
}

/// Open deals of one stage, currency, age and probability of their own.
struct Group {
    stage: Id<Stage>,
    currency: Currency,
    /// Which of the landmarks the deals' time in the stage has passed last, from 1.
    landmark: i32,
    own_probability: Option<Decimal>,
    deals: u64,
    valued: u64,
    value: Decimal,
    /// Their values above zero, in the organization's currency.
    values: Vec<Decimal>,
}

impl Group {
    /// Is there anything of it that a sum in `currency` can count?
    fn counts(&self, currency: &Currency) -> bool {
        self.currency == *currency || self.unvalued() > 0
    }

    fn unvalued(&self) -> u64 {
        self.deals - self.valued
    }
}

/// Sums in exact decimals, and the values for the distribution as lists, from one pass over the open deals.
const GROUPS: &str = concat!(
    "SELECT d.stage_id, d.currency, \
     greatest(width_bucket(extract(epoch FROM {} - d.stage_entered_at) / 86400, {}), 1), d.probability, \
     count(*), count(d.value), coalesce(sum(d.value), 0), \
     coalesce(array_agg(d.value) FILTER (WHERE d.currency = {} AND d.value > 0), ARRAY[]::numeric[]) \
     FROM deals d WHERE ",
    deals_in_question!(),
    " AND d.status = 'open' \
     AND ({} OR d.expected_close_date BETWEEN coalesce({}, '-infinity') AND coalesce({}, 'infinity')) \
     GROUP BY 1, 2, 3, 4"
);

type GroupRow = (
    st::Uuid,
    st::Text,
    st::Integer,
    st::Nullable<st::Numeric>,
    st::BigInt,
    st::BigInt,
    st::Numeric,
    st::Array<st::Numeric>,
);
type GroupValues = (Id<Stage>, Currency, i32, Option<Decimal>, i64, i64, Decimal, Vec<Decimal>);

fn groups(tx: &mut Tx<'_>, filter: &DealFilter, closing: &Days, currency: &Currency) -> Result<Vec<Group>> {
    let landmarks: Vec<_> = Settings::default().landmarks.into_iter().filter_map(Decimal::from_f64).collect();
    let ctx = tx.ctx;
    let rows: Vec<GroupValues> = tx
        .sql::<GroupRow>(GROUPS)
        .with(|s| filter.bind(ctx, s.bind(ctx.now).bind(landmarks).bind(currency.code())))
        .with(|s| s.bind(closing.is_open()).bind(closing.from_on).bind(closing.until_on))
        .all(tx)?;
    let group = |(stage, currency, landmark, own_probability, deals, valued, value, values)| Group {
        stage,
        currency,
        landmark,
        own_probability,
        deals: count(deals),
        valued: count(valued),
        value,
        values,
    };
    Ok(rows.into_iter().map(group).collect())
}

fn undated(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<u64> {
    const UNDATED: &str = concat!(
        "SELECT count(*) FROM deals d WHERE ",
        deals_in_question!(),
        " AND d.status = 'open' AND d.expected_close_date IS NULL"
    );
    let ctx = tx.ctx;
    Ok(count(tx.sql::<st::BigInt>(UNDATED).with(|s| filter.bind(ctx, s)).one(tx)?))
}

struct Tally {
    all: Sums,
    stages: BTreeMap<Id<Stage>, Sums>,
    portions: Vec<Portion>,
}

impl Tally {
    fn add(&mut self, group: &Group, stage: &EstimatedStage, currency: amounts::Currency) -> Result<()> {
        let landmark =
            usize::try_from(group.landmark - 1).ok().and_then(|at| Settings::default().landmarks.get(at).copied());
        let outlook = stage.estimate.at_age(landmark.unwrap_or_default());
        let estimate = Probability::from_estimate(outlook.probability()).map_err(internal)?;
        let own = group.own_probability.unwrap_or(stage.stage.fields.probability.amount());
        let probability = Probability::new(own).map_err(internal)?;
        let is_ours = group.currency.code() == currency.code();
        let worth = is_ours.then_some([group.value, Decimal::ONE]);
        let deals = usize::try_from(if is_ours { group.deals } else { group.unvalued() }).map_err(internal)?;
        for sums in [&mut self.all, self.stages.entry(group.stage).or_default()] {
            sums.add(deals, worth, probability, estimate);
        }
        let chance = match group.own_probability {
            Some(_) => Chance::Known(probability.to_f64()),
            None => Chance::Shared(outlook.belief),
        };
        let units = group.values.iter().map(|value| Amount::new(*value, currency)?.minor_units());
        self.portions.push(Portion { chance, values: units.collect::<Result<_, _>>().map_err(internal)? });
        Ok(())
    }
}

fn by_stage(
    stages: &[EstimatedStage],
    sums: &BTreeMap<Id<Stage>, Sums>,
    currency: amounts::Currency,
) -> Result<BTreeMap<String, StageForecast>> {
    let nothing = Sums::default();
    let one = |EstimatedStage { stage, estimate, .. }: &EstimatedStage| {
        let totals: Totals = sums.get(&stage.id).unwrap_or(&nothing).rounded(currency).map_err(internal)?;
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
            sample_size: estimate.won + estimate.lost,
        };
        Ok((stage.id.to_string(), forecast))
    };
    stages.iter().map(one).collect()
}

fn won_value(distribution: &Distribution, currency: amounts::Currency) -> Result<WonValue> {
    let digits = amounts::digits(currency);
    let major = |units: Decimal| {
        let scaled = Decimal::from_i128_with_scale(1, digits) * units;
        money(scaled.round_dp_with_strategy(digits, RoundingStrategy::MidpointNearestEven))
    };
    let mean = Decimal::from_f64(distribution.mean()).ok_or_else(|| Error::internal("a mean that is no number"))?;
    let quantile = |level| major(distribution.quantile(level).into());
    Ok(WonValue { p10: quantile(0.1)?, p50: quantile(0.5)?, p90: quantile(0.9)?, mean: major(mean)? })
}

fn unconverted(groups: &[Group], currency: &Currency) -> Result<Vec<Unconverted>> {
    let mut found: BTreeMap<&Currency, (u64, Decimal)> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.currency != *currency && group.valued > 0) {
        let (deals, value) = found.entry(&group.currency).or_default();
        *deals += group.valued;
        *value += group.value;
    }
    let one = |(currency, (deals_count, value)): (&Currency, (u64, Decimal))| {
        Ok(Unconverted { currency: currency.clone(), deals_count, pipeline_value: money(value)? })
    };
    found.into_iter().map(one).collect()
}
