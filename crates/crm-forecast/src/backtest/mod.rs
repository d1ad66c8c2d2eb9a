//! What the forecasts of the past would have said, and how right they would have been. Each is made with what was known
//! on its day and nothing else; then the deals that were open on it are followed to the end of the horizon.

pub mod misses;
pub mod scores;
pub mod slippage;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::Serialize;
use utoipa::ToSchema;

use crate::amounts::{Amount, AmountError, Currency, ExactSum, digits};
use crate::competing_risks::Ending;
use crate::conversion::{Passage, Settings, StageEstimate, outlook};
use crate::distribution::{Chance, Distribution, Portion};
use crate::histories::{Event, State, Status, days, episodes_at, state_at};
use crate::probability::{Belief, Prior, Probability};
use misses::Miss;
use scores::Judged;

/// A way to tell a deal's win probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// What a person set for the deal, else what people configured for its stage; the estimate where nobody did.
    Configured,
    /// The share of wins among the closed deals that passed the stage.
    ClosedOnly,
    /// Aalen-Johansen, shrunk to the configured probability.
    AalenJohansen,
    /// The same by the deal's age in its stage.
    AalenJohansenByAge,
}

impl Estimator {
    /// All ways, from the plainest on.
    pub const ALL: [Self; 4] = [Self::Configured, Self::ClosedOnly, Self::AalenJohansen, Self::AalenJohansenByAge];
}

/// What to replay.
#[derive(Debug, Clone)]
pub struct Replay<'a, S, F> {
    /// The deals' histories, with values in one currency.
    pub histories: &'a [Vec<Event<S>>],
    /// The currency of all values.
    pub currency: Currency,
    /// A stage's configured probability as it was at an instant.
    pub configured: F,
    /// How estimates are made; their horizon is replaced by the replay's.
    pub settings: Settings,
    /// Days after each forecast within which a win counts.
    pub horizon_days: u16,
    /// Until when histories are complete; forecasts whose horizon ends later are left out.
    pub known_until: DateTime<Utc>,
}

/// One forecast of the past and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When the forecast would have been made.
    pub as_of: DateTime<Utc>,
    /// Deals that were open then.
    pub deals_count: usize,
    /// What they were worth together.
    pub pipeline_value: Decimal,
    /// The forecast value by each estimator.
    pub forecast_values: BTreeMap<Estimator, Decimal>,
    /// Values not exceeded with probability .1, .5 and .9, by [`Estimator::AalenJohansenByAge`] and what people set for
    /// single deals, as a forecast of that day would have told.
    pub deciles: [Decimal; 3],
    /// The first and the last decile, moved apart by how far the forecasts before had missed, see [`misses`]; absent
    /// where the horizon of none was over.
    pub likely: Option<[Decimal; 2]>,
    /// Mean and standard deviation of that distribution, in major units.
    pub moments: (f64, f64),
    /// The ranked score of that distribution, in major units.
    pub crps: f64,
    /// The value, as it was then, of the deals that were won within the horizon.
    pub actual_value: Decimal,
}

/// How right one estimator was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Of the deals' probabilities, see [`scores::brier`].
    pub brier: Option<f64>,
    /// See [`scores::brier_skill`].
    pub brier_skill: Option<f64>,
    /// See [`scores::log_loss`].
    pub log_loss: Option<f64>,
    /// See [`scores::decompose`].
    pub parts: Option<scores::Decomposition>,
    /// Of the forecast values, see [`scores::wape`].
    pub wape: Option<f64>,
    /// See [`scores::bias`].
    pub bias: Option<f64>,
}

/// All forecasts of a replay and their scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// The forecasts in the order asked for.
    pub points: Vec<Point>,
    /// How right each estimator was.
    pub scores: BTreeMap<Estimator, Score>,
    /// The share of points whose actual value lay from the first to the last decile; 0.8 is honest.
    pub coverage_80: Option<f64>,
    /// The same of [`Point::likely`].
    pub likely_coverage_80: Option<f64>,
    /// The error that the forecasts have in common, see [`misses::common_error`].
    pub common_error: Option<f64>,
    /// The mean ranked score of the distributions over points with open deals, in major units, see [`scores::crps`].
    pub crps: Option<f64>,
    /// The mean pinball losses of their deciles .1, .5 and .9, in major units, see [`scores::pinball`].
    pub pinball: Option<[f64; 3]>,
    /// The estimator with the smallest Brier score; the plainest at a tie.
    pub winner: Option<Estimator>,
}

/// Replays the forecasts of the given instants.
///
/// # Errors
/// [`AmountError`] when a history holds a negative value or a sum cannot be written as an amount.
pub fn backtest<S, F>(replay: &Replay<'_, S, F>, instants: &[DateTime<Utc>]) -> Result<Backtest, AmountError>
where
    S: Ord + Clone,
    F: Fn(&S, DateTime<Utc>) -> Option<Probability>,
{
    let horizon = TimeDelta::days(i64::from(replay.horizon_days));
    let (mut points, mut judged) = (Vec::new(), BTreeMap::<Estimator, Vec<Judged>>::new());
    let spans = instants.iter().filter_map(|as_of| Some((*as_of, as_of.checked_add_signed(horizon)?)));
    for (as_of, until) in spans.filter(|(_, until)| *until <= replay.known_until) {
        let (mut point, forecasts) = replay.point(as_of, until)?;
        let over: Vec<Miss> =
            points.iter().filter(|earlier: &&Point| earlier.as_of + horizon <= as_of).filter_map(Point::miss).collect();
        point.likely = misses::common_error(&over).and_then(|error| point.moved_apart(error, digits(replay.currency)));
        points.push(point);
        forecasts.into_iter().for_each(|(estimator, one)| judged.entry(estimator).or_default().push(one));
    }
    let scores: BTreeMap<_, _> = judged.iter().map(|(way, rows)| (*way, score(*way, rows, &points))).collect();
    let coverage_80 = coverage(&points, |point| Some([point.deciles[0], point.deciles[2]]));
    let likely_coverage_80 = coverage(&points, |point| point.likely);
    let common_error = misses::common_error(&points.iter().filter_map(Point::miss).collect::<Vec<_>>());
    let crps = scores::mean(judged_points(&points).map(|point| point.crps));
    let pinball = pinball(&points);
    let by_brier = scores.iter().filter_map(|(way, score)| Some((*way, score.brier?)));
    let winner = by_brier.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(way, _)| way);
    Ok(Backtest { points, scores, coverage_80, likely_coverage_80, common_error, crps, pinball, winner })
}

/// The points that say anything: of an empty pipeline everybody knows what will be won.
fn judged_points(points: &[Point]) -> std::vec::IntoIter<&Point> {
    points.iter().filter(|point| point.deals_count > 0).collect::<Vec<_>>().into_iter()
}

/// The mean losses of the deciles.
fn pinball(points: &[Point]) -> Option<[f64; 3]> {
    const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
    let loss = |at: usize| {
        let of = |point: &Point| scores::pinball(LEVELS[at], float(point.deciles[at]), float(point.actual_value));
        scores::mean(judged_points(points).map(of))
    };
    Some([loss(0)?, loss(1)?, loss(2)?])
}

/// The share of points whose actual value lay within their interval.
fn coverage(points: &[Point], interval: impl Fn(&Point) -> Option<[Decimal; 2]>) -> Option<f64> {
    let (intervals, outcomes): (Vec<_>, Vec<_>) = judged_points(points)
        .filter_map(|point| Some((interval(point)?, point)))
        .map(|([low, high], point)| ((float(low), float(high)), float(point.actual_value)))
        .unzip();
    scores::coverage(&intervals, &outcomes)
}

impl Point {
    /// How far the forecast missed; nothing where there was nothing to miss.
    fn miss(&self) -> Option<Miss> {
        let (mean, deviation) = self.moments;
        (mean > 0.0).then(|| Miss { mean, deviation, actual: float(self.actual_value) })
    }

    /// The outer deciles with an error that all deals have in common, within what stands in the pipeline.
    fn moved_apart(&self, common_error: f64, digits: u32) -> Option<[Decimal; 2]> {
        let (mean, deviation) = self.moments;
        let outer = [float(self.deciles[0]), float(self.deciles[2])];
        let [low, high] = misses::moved_apart(outer, [mean, deviation], common_error, float(self.pipeline_value));
        let amount = |at: f64| Decimal::from_f64_retain(at).map(|at| at.round_dp(digits));
        Some([amount(low)?, amount(high)?])
    }
}

/// An open deal of the past, and whether it was won within the horizon.
struct Followed<S> {
    state: State<S>,
    was_won: bool,
}

/// What a stage's history said on the day.
struct Learnt {
    passages: Vec<Passage>,
    estimate: StageEstimate,
    configured: Option<f64>,
    /// What is believed of deals that have stood long, by the landmarks, ascending.
    aged: Vec<(f64, Belief)>,
}

impl Learnt {
    /// What is believed at the largest landmark that a deal in the stage for `age` days has passed.
    fn at_age(&self, age: f64) -> Belief {
        let passed = self.aged.iter().rev().find(|(landmark, _)| *landmark <= age);
        passed.map_or_else(|| self.estimate.belief(), |(_, belief)| *belief)
    }
}

impl<S, F> Replay<'_, S, F>
where
    S: Ord + Clone,
    F: Fn(&S, DateTime<Utc>) -> Option<Probability>,
{
    fn point(
        &self,
        as_of: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(Point, Vec<(Estimator, Judged)>), AmountError> {
        let followed: Vec<Followed<S>> =
            self.histories.iter().filter_map(|events| follow(events, as_of, until)).collect();
        let learnt = self.learn(&followed, as_of);
        let mut judged = Vec::with_capacity(followed.len() * Estimator::ALL.len());
        let mut sums: BTreeMap<Estimator, ExactSum> = BTreeMap::new();
        let (mut actual, mut pipeline) = (ExactSum::default(), ExactSum::default());
        for deal in &followed {
            let value = deal.state.value.unwrap_or_default();
            actual.add(&[value, Decimal::from(u8::from(deal.was_won))]);
            pipeline.add(&[value]);
            for way in Estimator::ALL {
                let probability = self.estimate(way, &learnt[&deal.state.stage], &deal.state, as_of);
                judged.push((way, Judged { probability, happened: deal.was_won }));
                let exact = Probability::from_estimate(probability).map(Probability::fraction).unwrap_or_default();
                sums.entry(way).or_default().add(&[value, exact]);
            }
        }
        let distribution = self.distribution(&followed, &learnt, as_of)?;
        let actual_value = actual.rounded(self.currency)?;
        let digits = digits(self.currency);
        let minor = 10_f64.powi(digits as i32);
        let decile = |level| Decimal::from_i128_with_scale(i128::from(distribution.quantile(level)), digits);
        let forecast_values = sums.into_iter().map(|(way, sum)| Ok((way, sum.rounded(self.currency)?)));
        let point = Point {
            as_of,
            deals_count: followed.len(),
            pipeline_value: pipeline.rounded(self.currency)?,
            forecast_values: forecast_values.collect::<Result<_, AmountError>>()?,
            deciles: [0.1, 0.5, 0.9].map(decile),
            likely: None,
            moments: (distribution.mean() / minor, distribution.deviation() / minor),
            crps: scores::crps(&distribution, float(actual_value) * minor) / minor,
            actual_value,
        };
        Ok((point, judged))
    }

    /// Fits every stage in which a followed deal stands, on what was known.
    fn learn(&self, followed: &[Followed<S>], as_of: DateTime<Utc>) -> BTreeMap<S, Learnt> {
        let episodes: Vec<_> = self.histories.iter().flat_map(|events| episodes_at(events, as_of)).collect();
        let settings =
            Settings { horizon_days: f64::from(self.horizon_days), landmarks: Vec::new(), ..self.settings.clone() };
        let mut learnt = BTreeMap::new();
        for stage in followed.iter().map(|deal| &deal.state.stage) {
            learnt.entry(stage.clone()).or_insert_with(|| {
                let passages: Vec<Passage> = episodes.iter().filter_map(|episode| episode.passage(stage)).collect();
                let configured = (self.configured)(stage, as_of).map(Probability::to_f64);
                let estimate = StageEstimate::fit(&passages, configured, &settings);
                let prior = Prior::configured(configured, self.settings.prior_strength);
                let ahead = |age: f64| outlook(&passages, age, settings.horizon_days, prior).belief;
                let aged = self.settings.landmarks.iter().map(|age| (*age, ahead(*age))).collect();
                Learnt { passages, estimate, configured, aged }
            });
        }
        learnt
    }

    fn estimate(&self, way: Estimator, learnt: &Learnt, state: &State<S>, as_of: DateTime<Utc>) -> f64 {
        let plain = learnt.estimate.belief().mean();
        match way {
            Estimator::Configured => {
                state.own_probability.map(Probability::to_f64).or(learnt.configured).unwrap_or(plain)
            }
            Estimator::ClosedOnly => closed_only(&learnt.passages).or(learnt.configured).unwrap_or(plain),
            Estimator::AalenJohansen => plain,
            Estimator::AalenJohansenByAge => learnt.at_age(days(as_of - state.stage_entered_at)).mean(),
        }
    }

    fn distribution(
        &self,
        followed: &[Followed<S>],
        learnt: &BTreeMap<S, Learnt>,
        as_of: DateTime<Utc>,
    ) -> Result<Distribution, AmountError> {
        let mut portions: BTreeMap<Class<'_, S>, (Chance, Vec<u64>)> = BTreeMap::new();
        for deal in followed {
            let Some(value) = deal.state.value else { continue };
            let units = Amount::new(value, self.currency)?.minor_units()?;
            let age = days(as_of - deal.state.stage_entered_at);
            let passed = self.settings.landmarks.iter().filter(|landmark| **landmark <= age).count();
            let own = deal.state.own_probability;
            let (_, values) = portions.entry((&deal.state.stage, passed, own)).or_insert_with(|| {
                let shared = || Chance::Shared(learnt[&deal.state.stage].at_age(age));
                (own.map_or_else(shared, |own| Chance::Known(own.to_f64())), Vec::new())
            });
            values.push(units);
        }
        let portions = portions.into_values().map(|(chance, values)| Portion::new(chance, values));
        Ok(Distribution::of(&portions.collect::<Vec<_>>()))
    }
}

/// What deals share that have one chance: the stage, how many landmarks their age has passed, and a probability of their own.
type Class<'s, S> = (&'s S, usize, Option<Probability>);

/// The deal as it stood, if it was open. It counts as won when it stood won at the end: what happened to it later
/// changes nothing.
fn follow<S: Clone>(events: &[Event<S>], as_of: DateTime<Utc>, until: DateTime<Utc>) -> Option<Followed<S>> {
    let state = state_at(events, as_of).filter(|state| state.status == Status::Open)?;
    let was_won = state_at(events, until).is_some_and(|end| end.status == Status::Won);
    Some(Followed { state, was_won })
}

fn closed_only(passages: &[Passage]) -> Option<f64> {
    let count = |ending| passages.iter().filter(|passage| passage.spell.ending == ending).count() as f64;
    let (won, lost) = (count(Ending::Won), count(Ending::Lost));
    (won + lost > 0.0).then(|| won / (won + lost))
}

fn score(way: Estimator, judged: &[Judged], points: &[Point]) -> Score {
    let forecasts: Vec<f64> =
        points.iter().map(|point| point.forecast_values.get(&way).copied().map_or(0.0, float)).collect();
    let actuals = actuals(points);
    Score {
        brier: scores::brier(judged),
        brier_skill: scores::brier_skill(judged),
        log_loss: scores::log_loss(judged),
        parts: scores::decompose(judged),
        wape: scores::wape(&forecasts, &actuals),
        bias: scores::bias(&forecasts, &actuals),
    }
}

fn actuals(points: &[Point]) -> Vec<f64> {
    points.iter().map(|point| float(point.actual_value)).collect()
}

fn float(decimal: Decimal) -> f64 {
    decimal.to_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests;
