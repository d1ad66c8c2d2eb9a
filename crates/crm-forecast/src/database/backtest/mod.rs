//! What the forecasts of the past would have said, against what came: replayed from the field history over the records.
//!
//! Each forecast knows what was known on its day: the deals as they stood, the stages' probabilities as they were set, the
//! outcomes up to then. Values in other currencies count at today's exchange rate on every day alike, so that a change of
//! rates is not taken for an error. Deals that were deleted since were in the forecasts of their time: they are replayed as they
//! stood, and count as not won from their deletion on.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use crm_core::{
    Currency, Error, Id, Money, Result, Tx, exchange_rates::AppliedRate, masks, organizations, pipelines::Pipeline,
};
use rust_decimal::{Decimal, prelude::FromPrimitive};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::{probabilities::Probabilities, slippage::CloseSlippage, told::Told};
use super::{
    Days, DealFilter, check_may_view,
    exchange::{Exchange, Unconverted},
    four_digits, internal, money,
};
use crate::{
    amounts,
    backtest::{Backtest, Estimator, Point, Replay, Score, backtest},
    conversion::Settings,
    histories::Event,
};

pub(super) mod probabilities;
mod slippage;
pub(super) mod told;

pub use slippage::OnTimeRate;

/// Forecasts that one question replays at most.
const MOST_POINTS: usize = 120;

/// The longest horizon.
pub const MOST_HORIZON_DAYS: u16 = 730;

/// How far one forecast lies behind the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BacktestStep)]
pub enum Step {
    /// Seven days.
    Week,
    /// A calendar month.
    #[default]
    Month,
    /// Three calendar months.
    Quarter,
}

impl std::str::FromStr for Step {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "quarter" => Ok(Self::Quarter),
            _ => Err(()),
        }
    }
}

impl Step {
    /// The n-th day of a series that begins on `first`. The last days of months stay such.
    fn nth(self, first: NaiveDate, n: u32) -> Option<NaiveDate> {
        match self {
            Self::Week => first.checked_add_signed(TimeDelta::weeks(i64::from(n))),
            Self::Month => first.checked_add_months(Months::new(n)),
            Self::Quarter => first.checked_add_months(Months::new(3 * n)),
        }
    }
}

/// What to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacktestQuery {
    /// The days of the forecasts; a year up to today where none is named.
    pub days: Days,
    /// How far one lies behind the one before.
    pub step: Step,
    /// Days after a forecast within which a win counts.
    pub horizon_days: u16,
}

/// The forecasts of the past and how right they were.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineBacktest {
    /// The day of the first forecast.
    pub from: NaiveDate,
    /// The day up to which there are forecasts.
    pub to: NaiveDate,
    /// How far one lies behind the one before.
    pub step: Step,
    /// Days after a forecast within which a win counts.
    pub horizon_days: u16,
    /// The forecasts whose horizon is over.
    pub points: Vec<BacktestPoint>,
    /// How right they were.
    pub metrics: BacktestMetrics,
    /// How right each way to tell a win probability was.
    pub methods: Vec<MethodScore>,
    /// The way with the smallest Brier score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<Estimator>,
    /// The same by pipeline, over the deals that go it now.
    pub pipelines: Vec<PipelineWinner>,
    /// How deals closed against the day that had been stated for them; absent where none did, or where these days are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slippage: Option<CloseSlippage>,
    /// The currency of every amount here, which is the organization's.
    pub currency: Currency,
    /// Could every deal be converted?
    pub complete: bool,
    /// Deals that do not count because no rate leads from their currency.
    pub unconverted: Vec<Unconverted>,
    /// The exchange rates by which deals in other currencies count: those of today.
    pub exchange_rates: Vec<AppliedRate>,
}

/// One forecast of the past and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BacktestPoint {
    /// When it would have been made: the beginning of a day in the organization's zone.
    pub as_of: DateTime<Utc>,
    /// Deals that were open then.
    pub deals_count: usize,
    /// By the stages' configured probabilities.
    pub expected_value: Money,
    /// By what had become of earlier deals that stood in the stage as long.
    pub probable_value: Money,
    /// With probability 0.1 no more than this would be won.
    pub p10: Money,
    /// With probability 0.5 no more than this would be won.
    pub p50: Money,
    /// With probability 0.9 no more than this would be won.
    pub p90: Money,
    /// P10 and P90, moved apart by how far the forecasts before had missed beyond their own intervals; absent where the
    /// horizon of none was over by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likely: Option<LikelyValue>,
    /// The value, as it was then, of the deals that were won within the horizon.
    pub actual_value: Money,
    /// The continuous ranked probability score of the distribution, an amount: the absolute error of a forecast that states its
    /// doubt; 0 is perfect (Gneiting & Raftery 2007).
    pub crps: Money,
}

/// What would be won with a probability of 80 %, errors of the past taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct LikelyValue {
    /// With probability 0.1 less than this would be won.
    pub low: Money,
    /// With probability 0.1 more than this would be won.
    pub high: Money,
}

/// How right the forecasts were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct BacktestMetrics {
    /// Of the expected values.
    pub expected: Accuracy,
    /// Of the probable values.
    pub probable: Accuracy,
    /// The share of forecasts whose actual value lay from P10 to P90; 0.8 is honest.
    #[serde(rename = "coverage80")]
    pub coverage_80: Option<f64>,
    /// The same of the points' `likely` values.
    #[serde(rename = "likelyCoverage80")]
    pub likely_coverage_80: Option<f64>,
    /// By how much forecasts missed beyond what their own distributions allow for, as a share of what they said: the
    /// standard deviation of a factor that all deals of a period have in common.
    #[serde(rename = "commonError")]
    pub common_error: Option<f64>,
    /// The points' `crps` on average, those without open deals left out.
    pub crps: Option<Money>,
    /// The pinball losses of the points' P10, P50 and P90 on average, amounts: the error of a quantile, weighed so that only the
    /// true one scores best.
    pub pinball: Option<PinballLosses>,
}

/// The mean losses of stated quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct PinballLosses {
    /// Of P10.
    pub p10: Money,
    /// Of P50.
    pub p50: Money,
    /// Of P90.
    pub p90: Money,
}

/// How right values and probabilities were; a measure is absent where it is not defined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Accuracy {
    /// The sum of the errors over the sum of the actual values.
    pub wape: Option<f64>,
    /// By which share of the actual values the forecasts were too high; negative where they were too low.
    pub bias: Option<f64>,
    /// The mean squared distance between a deal's probability and what came; 0 is perfect (Brier 1950).
    pub brier: Option<f64>,
}

/// How right one way to tell a win probability was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodScore {
    /// The way.
    pub method: Estimator,
    /// Its errors.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// The share of the base rate's Brier score that was saved; 0 is no better than the base rate.
    pub brier_skill: Option<f64>,
    /// The mean negative logarithm of the probability given to what came; 0 is perfect.
    pub log_loss: Option<f64>,
    /// The mean distance between stated and seen: expected calibration error.
    pub calibration_error: Option<f64>,
    /// How far stated probabilities lie from what was seen, squared: the Brier score is this less `resolution` plus
    /// `uncertainty` (Murphy 1973). Equal probabilities form a group; where more than ten differ, ten groups of equal width do.
    pub reliability: Option<f64>,
    /// How far the groups lie from the base rate; larger is better.
    pub resolution: Option<f64>,
    /// What the base rate alone leaves open.
    pub uncertainty: Option<f64>,
}

/// Which way was best for the deals of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineWinner {
    /// The pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// The way with the smallest Brier score; absent where nothing could be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<Estimator>,
}

/// Replays the forecasts of past days over the deals in question.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for a span that ends before it begins or holds too many forecasts.
pub fn read(tx: &mut Tx<'_>, filter: &DealFilter, query: &BacktestQuery) -> Result<PipelineBacktest> {
    check_may_view(tx)?;
    masks::check_uses(tx.ctx, "deal", &["value", "currency", "status", "stageId"])?;
    let exchange = Exchange::today(tx)?;
    let to = query.days.until_on.unwrap_or(exchange.day);
    let from = query.days.from_on.unwrap_or_else(|| to.checked_sub_months(Months::new(12)).unwrap_or(to));
    let zone = organizations::read(tx)?.fields.zone();
    let instants = instants(from, to, query.step, zone)?;
    let told = Told::read(tx, filter, &exchange, usize::MAX)?;
    let probabilities = Probabilities::read(tx)?;
    let replayed = |histories: &[Vec<Event<Uuid>>]| {
        let replay = Replay {
            histories,
            currency: exchange.iso,
            configured: |stage: &Uuid, at| probabilities.at(*stage, at),
            settings: Settings::default(),
            horizon_days: query.horizon_days,
            known_until: tx.ctx.now,
        };
        backtest(&replay, &instants).map_err(internal)
    };
    let (mut all, mut pipelines) = (Vec::new(), Vec::new());
    for (pipeline, deals) in told.by_pipeline {
        let histories: Vec<_> = deals.into_iter().map(|deal| deal.events).collect();
        pipelines.push(PipelineWinner { pipeline_id: pipeline.into(), winner: replayed(&histories)?.winner });
        all.extend(histories);
    }
    let seen = replayed(&all)?;
    let may_see_days = masks::check_uses(tx.ctx, "deal", &["expectedCloseDate", "closedAt"]).is_ok();
    let slippage = if may_see_days { CloseSlippage::of(&all, from, to, zone) } else { None };
    let unconverted = told.left_out.list()?;
    Ok(PipelineBacktest {
        from,
        to,
        step: query.step,
        horizon_days: query.horizon_days,
        points: seen.points.iter().map(|one| point(one, exchange.iso)).collect::<Result<_>>()?,
        metrics: metrics(&seen, exchange.iso)?,
        methods: seen.scores.iter().map(|(method, score)| method_score(*method, score)).collect(),
        winner: seen.winner,
        pipelines,
        slippage,
        complete: unconverted.is_empty(),
        unconverted,
        exchange_rates: exchange.applied(told.currencies.keys()),
        currency: exchange.currency,
    })
}

/// The beginnings of the days on which forecasts would have been made.
pub(super) fn instants(from: NaiveDate, to: NaiveDate, step: Step, zone: Tz) -> Result<Vec<DateTime<Utc>>> {
    let days: Vec<NaiveDate> =
        (0..).map_while(|n| step.nth(from, n)).take_while(|day| *day <= to).take(MOST_POINTS + 1).collect();
    if days.is_empty() || days.len() > MOST_POINTS {
        let detail = format!("`from` must not lie behind `to`, and there can be {MOST_POINTS} forecasts at most.");
        return Err(Error::Malformed { code: "invalid_value", detail });
    }
    let beginning = |day: NaiveDate| {
        let midnight = day.and_time(NaiveTime::MIN);
        // A day without a midnight begins an hour later.
        let local = zone.from_local_datetime(&midnight).earliest();
        local.or_else(|| zone.from_local_datetime(&(midnight + TimeDelta::hours(1))).earliest())
    };
    Ok(days.into_iter().filter_map(beginning).map(|at| at.to_utc()).collect())
}

fn point(point: &Point, currency: amounts::Currency) -> Result<BacktestPoint> {
    let value = |way| money(point.forecast_values.get(&way).copied().unwrap_or_default());
    let [p10, p50, p90] = point.deciles;
    Ok(BacktestPoint {
        as_of: point.as_of,
        deals_count: point.deals_count,
        expected_value: value(Estimator::Configured)?,
        probable_value: value(Estimator::AalenJohansenByAge)?,
        p10: money(p10)?,
        p50: money(p50)?,
        p90: money(p90)?,
        likely: point.likely.map(likely).transpose()?,
        actual_value: money(point.actual_value)?,
        crps: loss(point.crps, currency)?,
    })
}

fn likely([low, high]: [Decimal; 2]) -> Result<LikelyValue> {
    Ok(LikelyValue { low: money(low)?, high: money(high)? })
}

/// An error in major units as an amount.
fn loss(major: f64, currency: amounts::Currency) -> Result<Money> {
    let amount = Decimal::from_f64(major).ok_or_else(|| Error::internal("an error that is no number"))?;
    money(amount.round_dp(amounts::digits(currency)))
}

fn metrics(seen: &Backtest, currency: amounts::Currency) -> Result<BacktestMetrics> {
    let amount = |major| loss(major, currency);
    let pinball = |[p10, p50, p90]: [f64; 3]| -> Result<_> {
        Ok(PinballLosses { p10: amount(p10)?, p50: amount(p50)?, p90: amount(p90)? })
    };
    let of = |way| seen.scores.get(&way).map(accuracy).unwrap_or_default();
    Ok(BacktestMetrics {
        expected: of(Estimator::Configured),
        probable: of(Estimator::AalenJohansenByAge),
        coverage_80: seen.coverage_80.map(four_digits),
        likely_coverage_80: seen.likely_coverage_80.map(four_digits),
        common_error: seen.common_error.map(four_digits),
        crps: seen.crps.map(amount).transpose()?,
        pinball: seen.pinball.map(pinball).transpose()?,
    })
}

fn accuracy(score: &Score) -> Accuracy {
    let [wape, bias, brier] = [score.wape, score.bias, score.brier].map(|measure| measure.map(four_digits));
    Accuracy { wape, bias, brier }
}

fn method_score(method: Estimator, score: &Score) -> MethodScore {
    MethodScore {
        method,
        accuracy: accuracy(score),
        brier_skill: score.brier_skill.map(four_digits),
        log_loss: score.log_loss.map(four_digits),
        calibration_error: score.parts.map(|parts| four_digits(parts.calibration_error)),
        reliability: score.parts.map(|parts| four_digits(parts.reliability)),
        resolution: score.parts.map(|parts| four_digits(parts.resolution)),
        uncertainty: score.parts.map(|parts| four_digits(parts.uncertainty)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecasts_lie_a_step_apart() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let told = |from, to, step| -> Vec<String> {
            let instants = instants(day(from), day(to), step, Tz::Europe__Berlin).unwrap();
            instants.iter().map(|at| at.format("%m-%d %H").to_string()).collect()
        };
        assert_eq!(told("2025-01-31", "2025-03-31", Step::Month), ["01-30 23", "02-27 23", "03-30 22"]);
        assert_eq!(told("2025-01-01", "2025-01-15", Step::Week), ["12-31 23", "01-07 23", "01-14 23"]);
        assert_eq!(told("2025-01-01", "2025-06-30", Step::Quarter).len(), 2);
        assert!(instants(day("2025-01-02"), day("2025-01-01"), Step::Week, Tz::UTC).is_err());
        assert!(instants(day("2020-01-01"), day("2025-01-01"), Step::Week, Tz::UTC).is_err());
    }
}
