//! How far the forecasts of the past year have missed beyond what they allowed for, see [`crate::backtest::misses`]. A job
//! replays them at night and keeps one number for each pipeline and each set of business units that somebody sees: a forecast of
//! today goes by it and replays nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Months, TimeDelta, Utc};
use crm_core::{
    Error, Id, Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
    organizations,
    pipelines::Pipeline,
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    DealFilter,
    audiences::Audience,
    backtest::{
        Step, instants,
        probabilities::Probabilities,
        told::{Told, ToldDeal},
    },
    exchange::Exchange,
    internal,
};
use crate::{
    amounts::Currency,
    backtest::{Replay, backtest},
    conversion::Settings,
    histories::Event,
    patterns::ENOUGH_DEALS,
};

/// Days after a forecast within which a win counts.
pub const HORIZON_DAYS: u16 = 90;

/// Months of forecasts that are replayed, one a month.
const MONTHS: u32 = 12;

/// Deals that are replayed for one number. Of more, every so many are: the error that all deals have in common shows in a part of
/// them too, and what is peculiar to that part is allowed for by its own distribution.
const MOST_DEALS: usize = 20_000;

/// How far forecasts have missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ForecastErrors {
    /// Absent where none of the forecasts expected anything.
    pub(super) common_error: Option<f64>,
    /// How many forecasts expected something, with their horizon over.
    pub(super) forecasts_count: u32,
    pub(super) computed_at: DateTime<Utc>,
}

impl ForecastErrors {
    /// The common error, where enough forecasts tell of it.
    pub(super) fn known(&self) -> Option<f64> {
        self.common_error.filter(|_| u64::from(self.forecasts_count) >= ENOUGH_DEALS)
    }
}

/// What is kept for whoever asks about these deals. Owners and close days do not matter: the error is a share of what a forecast
/// says.
pub(super) fn read(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<Option<ForecastErrors>> {
    let Some(audience) = Audience::of(tx.ctx, filter).and_then(|audience| audience.key()) else { return Ok(None) };
    let row: Option<(Option<f64>, i32, DateTime<Utc>)> = tx
        .sql::<(st::Nullable<st::Double>, st::Integer, st::Timestamptz)>(
            "SELECT common_error, forecasts_count, computed_at FROM forecast_errors \
             WHERE organization_id = {org} AND audience = {} AND pipeline_id IS NOT DISTINCT FROM {}",
        )
        .with(|s| s.bind(audience).bind(filter.pipeline_id))
        .first(tx)?;
    let errors = |(common_error, forecasts_count, computed_at): (_, i32, _)| ForecastErrors {
        common_error,
        forecasts_count: forecasts_count.unsigned_abs(),
        computed_at,
    };
    Ok(row.map(errors))
}

/// Replays the forecasts of the past year and keeps how far they missed. Run again, it changes nothing but `computed_at`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForecastErrorsJob {}

impl Job for ForecastErrorsJob {
    const NAME: &'static str = "forecast_errors";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let past = run.step(Past::read)?;
        for audience in &past.audiences {
            if run.is_stopping() {
                return Err(run.leave());
            }
            // Nothing is locked while forecasts are replayed.
            let seen = past.errors(audience)?;
            run.step(|tx| keep(tx, audience, &seen))?;
        }
        run.finish(|tx| forget(tx, &past.audiences))
    }
}

impl Recurring for ForecastErrorsJob {
    const SCHEDULE: Schedule = Schedule::daily(2, 0);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

/// Computes everything in the caller's transaction, which is the program's own.
///
/// # Errors
/// What the database says.
pub fn compute_all(tx: &mut Tx<'_>) -> Result<()> {
    let past = Past::read(tx)?;
    past.audiences.iter().try_for_each(|audience| keep(tx, audience, &past.errors(audience)?))
}

/// All that replays need.
struct Past {
    deals: BTreeMap<Uuid, Vec<ToldDeal>>,
    /// The pipelines that there are; `None` stands for all of them together.
    pipelines: Vec<Option<Uuid>>,
    audiences: Vec<Audience>,
    probabilities: Probabilities,
    instants: Vec<DateTime<Utc>>,
    currency: Currency,
    known_until: DateTime<Utc>,
}

/// The common error of each pipeline, and how many forecasts tell of it.
type Errors = Vec<(Option<Uuid>, Option<f64>, u32)>;

impl Past {
    fn read(tx: &mut Tx<'_>) -> Result<Self> {
        let exchange = Exchange::today(tx)?;
        let last = exchange.day.checked_sub_signed(TimeDelta::days(HORIZON_DAYS.into())).unwrap_or(exchange.day);
        let first = last.checked_sub_months(Months::new(MONTHS)).unwrap_or(last);
        let zone = organizations::read(tx)?.fields.zone();
        let pipelines: Vec<Uuid> =
            tx.sql::<st::Uuid>("SELECT id FROM pipelines WHERE organization_id = {org} ORDER BY id").all(tx)?;
        Ok(Self {
            deals: Told::read(tx, &DealFilter::default(), &exchange, MOST_DEALS)?.by_pipeline,
            pipelines: std::iter::once(None).chain(pipelines.into_iter().map(Some)).collect(),
            audiences: Audience::all(tx)?.into_iter().filter(|audience| audience.key().is_some()).collect(),
            probabilities: Probabilities::read(tx)?,
            instants: instants(first, last, Step::Month, zone)?,
            currency: exchange.iso,
            known_until: tx.ctx.now,
        })
    }

    fn errors(&self, audience: &Audience) -> Result<Errors> {
        let one = |pipeline: &Option<Uuid>| {
            let asked = self.deals.iter().filter(|(id, _)| pipeline.is_none_or(|pipeline| pipeline == **id));
            let deals = asked.flat_map(|(_, deals)| deals).filter(|deal| audience.includes(deal.business_unit_id));
            let histories: Vec<Vec<Event<Uuid>>> = deals.map(|deal| deal.events.clone()).collect();
            let replay = Replay {
                histories: &histories,
                currency: self.currency,
                configured: |stage: &Uuid, at| self.probabilities.at(*stage, at),
                settings: Settings::default(),
                horizon_days: HORIZON_DAYS,
                known_until: self.known_until,
            };
            let seen = backtest(&replay, &self.instants).map_err(internal)?;
            let judged = seen.points.iter().filter(|point| point.moments.0 > 0.0).count();
            Ok((*pipeline, seen.common_error, u32::try_from(judged).map_err(internal)?))
        };
        self.pipelines.iter().map(one).collect()
    }
}

fn keep(tx: &mut Tx<'_>, audience: &Audience, errors: &Errors) -> Result<()> {
    let Some(key) = audience.key() else { return Ok(()) };
    let row = |(pipeline, common_error, forecasts): &(Option<Uuid>, Option<f64>, u32)| json!({"id": Id::<Pipeline>::new().uuid(), "pipeline": pipeline, "error": common_error, "forecasts": forecasts});
    let (rows, now): (Vec<Value>, _) = (errors.iter().map(row).collect(), tx.ctx.now);
    tx.sql::<st::Integer>(
        "INSERT INTO forecast_errors (organization_id, id, pipeline_id, audience, common_error, forecasts_count, computed_at) \
         SELECT {org}, r.id, r.pipeline, {}, r.error, r.forecasts, {} \
         FROM jsonb_to_recordset({}) r (id uuid, pipeline uuid, error float8, forecasts integer) \
         WHERE r.pipeline IS NULL \
         OR EXISTS (SELECT FROM pipelines p WHERE p.organization_id = {org} AND p.id = r.pipeline) \
         ON CONFLICT (organization_id, audience, coalesce(pipeline_id, organization_id)) DO UPDATE \
         SET common_error = excluded.common_error, forecasts_count = excluded.forecasts_count, \
         computed_at = excluded.computed_at WHERE forecast_errors.computed_at <= excluded.computed_at",
    )
    .with(|s| s.bind(key).bind(now).bind(Value::Array(rows)))
    .run(tx)
    .map(drop)
    .map_err(Error::from)
}

/// Removes what was kept for sets of units in which nobody works any more.
fn forget(tx: &mut Tx<'_>, audiences: &[Audience]) -> Result<()> {
    let keys: Vec<String> = audiences.iter().filter_map(Audience::key).collect();
    tx.sql::<st::Integer>("DELETE FROM forecast_errors WHERE organization_id = {org} AND NOT audience = ANY({})")
        .with(|s| s.bind(keys))
        .run(tx)
        .map(drop)
        .map_err(Error::from)
}
