//! What became of the deals that stood in each stage. A job computes it at night and after closes, and keeps it in the
//! table `stage_statistics`; where nothing is kept yet, it is computed when it is asked for. Both give the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Record, Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule, closings::CONVERSION_RATES},
    pipelines::{Pipeline, Stage},
    select::Condition,
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{DealFilter, audiences::Audience, deals_in_question, internal};
use crate::{
    competing_risks::{Ending, Spell},
    conversion::{Passage, Settings, StageRecord},
    stale::{days_of_won_deals, suggested_threshold_days},
};

/// What became of the deals that stood in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageStatistics {
    /// For win probabilities.
    pub(super) record: StageRecord,
    /// Deals that stood in it and were won in the end.
    pub(super) won_deals: usize,
    /// Days that half of these stood in it at most; absent below five deals.
    pub(super) median_days: Option<f64>,
    /// Days that nine in ten of these stood in it at most.
    pub(super) usual_days: Option<f64>,
    /// Days without a touch after which nine in ten of these had been touched again.
    pub(super) suggested_days: Option<u32>,
}

impl StageStatistics {
    fn of(passages: &[Passage], silences: &[f64]) -> Self {
        let won = passages.iter().filter(|passage| passage.spell.ending == Ending::Won);
        let days: Vec<f64> = won.map(|passage| passage.left_after).collect();
        Self {
            record: StageRecord::observe(passages, &Settings::default()),
            won_deals: days.len(),
            median_days: days_of_won_deals(&days, 0.5),
            usual_days: days_of_won_deals(&days, 0.9),
            suggested_days: suggested_threshold_days(silences),
        }
    }
}

/// The statistics of some stages, and as of when.
pub(super) struct Known {
    pub(super) by_stage: BTreeMap<Id<Stage>, StageStatistics>,
    pub(super) computed_at: DateTime<Utc>,
}

/// The open stages of the pipeline in question, or of all, by pipeline and position, and what the deals that the caller
/// may see teach.
pub(super) fn read(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<(Vec<Stage>, Known)> {
    let stages = open_stages(tx, filter.pipeline_id)?;
    if let Some(kept) = kept(tx, filter, &stages)? {
        return Ok((stages, kept));
    }
    // A deal teaches the pipelines that it has gone, not the one that it goes now; and whoever owns it.
    let deals = DealFilter { owner_id: None, ..*filter };
    let seen = Seen::read(tx, &deals)?;
    let by_stage = stages.iter().map(|stage| (stage.id, seen.statistics(stage.id, &|_| true))).collect();
    Ok((stages, Known { by_stage, computed_at: tx.ctx.now }))
}

fn open_stages(tx: &mut Tx<'_>, pipeline: Option<Id<Pipeline>>) -> Result<Vec<Stage>> {
    let mut select = tx.records::<Stage>().and(Condition::Compare("kind".into(), "=", "open".into()));
    if let Some(pipeline) = pipeline {
        select = select.and(Condition::Compare("pipeline_id".into(), "=", pipeline.into()));
    }
    let mut stages = Stage::load(tx, select)?;
    stages.sort_by_key(|stage| (stage.fields.pipeline_id, stage.fields.position));
    Ok(stages)
}

/// What is kept, if it is there for every one of the stages.
fn kept(tx: &mut Tx<'_>, filter: &DealFilter, stages: &[Stage]) -> Result<Option<Known>> {
    let Some(audience) = Audience::of(tx.ctx, filter).and_then(|audience| audience.key()) else { return Ok(None) };
    let rows: Vec<(Id<Stage>, Value, DateTime<Utc>)> = tx
        .sql::<(st::Uuid, st::Jsonb, st::Timestamptz)>(
            "SELECT stage_id, statistics, computed_at FROM stage_statistics \
             WHERE organization_id = {org} AND audience = {} AND ({} OR pipeline_id = {})",
        )
        .with(|s| s.bind(audience).bind(filter.pipeline_id.is_none()).bind(filter.pipeline_id))
        .all(tx)?;
    let Some(computed_at) = rows.iter().map(|(_, _, computed_at)| *computed_at).min() else { return Ok(None) };
    // What an earlier version of the program has kept and this one cannot read is as good as nothing.
    let statistics = rows.into_iter().filter_map(|(stage, json, _)| Some((stage, serde_json::from_value(json).ok()?)));
    let by_stage: BTreeMap<_, _> = statistics.collect();
    let is_whole = stages.iter().all(|stage| by_stage.contains_key(&stage.id));
    Ok(is_whole.then_some(Known { by_stage, computed_at }))
}

/// The first visits to stages and the silences in them, each with the business unit of its deal.
struct Seen {
    passages: BTreeMap<Id<Stage>, Vec<(Option<Uuid>, Passage)>>,
    silences: BTreeMap<Id<Stage>, Vec<(Option<Uuid>, f64)>>,
}

/// The visits with their runs. A deal's way is cut into runs: reopening and a move to another pipeline begin another, and
/// a run that leaves for another pipeline ends open. Both windows share one sort.
macro_rules! visits {
    () => {
        concat!(
            "WITH visits AS (SELECT v.deal_id, v.visit, d.business_unit_id, v.stage_id, v.entered_at, \
               coalesce(v.left_at, {}) AS left_at, coalesce(s.kind, 'open') AS kind, \
               row_number() OVER (PARTITION BY v.deal_id, v.episode, v.pipeline_id, v.stage_id ORDER BY v.visit) AS nth, \
               max(s.kind) FILTER (WHERE s.kind <> 'open') OVER run AS ending, \
               min(v.entered_at) FILTER (WHERE s.kind <> 'open') OVER run AS closed_at, \
               max(coalesce(v.left_at, {})) OVER run AS cut_at \
             FROM deal_stage_visits v \
             JOIN deals d ON d.organization_id = v.organization_id AND d.id = v.deal_id \
             LEFT JOIN stages s ON s.organization_id = v.organization_id AND s.id = v.stage_id \
             WHERE v.organization_id = {org} AND ({} OR v.pipeline_id = {}) AND ",
            deals_in_question!(),
            " WINDOW run AS (PARTITION BY v.deal_id, v.episode, v.pipeline_id))"
        )
    };
}

/// Each stage's first visits, in real days.
const PASSAGES: &str = concat!(
    visits!(),
    " SELECT stage_id, business_unit_id, ending, \
      greatest(extract(epoch FROM left_at - entered_at)::float8 / 86400, 0), \
      greatest(extract(epoch FROM coalesce(closed_at, cut_at) - entered_at)::float8 / 86400, 0) \
      FROM visits WHERE kind = 'open' AND nth = 1"
);

/// The longest time without a touch in each stage's first visits by deals won in the end, in real days.
const SILENCES: &str = concat!(
    visits!(),
    ", touches AS (SELECT v.deal_id, v.visit, v.stage_id, v.business_unit_id, t.at, \
       lead(t.at) OVER (PARTITION BY v.deal_id, v.visit ORDER BY t.at) AS next_at FROM visits v \
       CROSS JOIN LATERAL (SELECT v.entered_at AS at UNION ALL SELECT v.left_at UNION ALL \
         SELECT a.occurred_at FROM activities a WHERE a.organization_id = {org} AND a.deal_id = v.deal_id \
         AND a.occurred_at > v.entered_at AND a.occurred_at < v.left_at) t \
       WHERE v.kind = 'open' AND v.nth = 1 AND v.ending = 'won') \
     SELECT stage_id, business_unit_id, max(extract(epoch FROM next_at - at)::float8 / 86400) FROM touches \
     WHERE next_at IS NOT NULL GROUP BY deal_id, visit, stage_id, business_unit_id"
);

type PassageTypes = (st::Uuid, st::Nullable<st::Uuid>, st::Nullable<st::Text>, st::Double, st::Double);
type PassageRow = (Id<Stage>, Option<Uuid>, Option<String>, f64, f64);
type SilenceTypes = (st::Uuid, st::Nullable<st::Uuid>, st::Double);

impl Seen {
    /// Reads all of it that the caller may see and the filter means, in memory.
    fn read(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<Self> {
        let (ctx, now) = (tx.ctx, tx.ctx.now);
        let deals = DealFilter { pipeline_id: None, ..*filter };
        let (all, pipeline) = (filter.pipeline_id.is_none(), filter.pipeline_id);
        let mut seen = Self { passages: BTreeMap::new(), silences: BTreeMap::new() };
        let rows: Vec<PassageRow> = tx
            .sql::<PassageTypes>(PASSAGES)
            .with(|s| deals.bind(ctx, s.bind(now).bind(now).bind(all).bind(pipeline)))
            .all(tx)?;
        for (stage, unit, ending, left_after, days) in rows {
            let ending = match ending.as_deref() {
                Some("won") => Ending::Won,
                Some("lost") => Ending::Lost,
                _ => Ending::Open,
            };
            let passage = Passage { left_after, spell: Spell { days, ending } };
            seen.passages.entry(stage).or_default().push((unit, passage));
        }
        let rows: Vec<(Id<Stage>, Option<Uuid>, f64)> = tx
            .sql::<SilenceTypes>(SILENCES)
            .with(|s| deals.bind(ctx, s.bind(now).bind(now).bind(all).bind(pipeline)))
            .all(tx)?;
        for (stage, unit, days) in rows {
            seen.silences.entry(stage).or_default().push((unit, days));
        }
        Ok(seen)
    }

    /// The statistics of a stage over the deals of some units.
    fn statistics(&self, stage: Id<Stage>, counts: &dyn Fn(Option<Uuid>) -> bool) -> StageStatistics {
        StageStatistics::of(&among(self.passages.get(&stage), counts), &among(self.silences.get(&stage), counts))
    }
}

fn among<T: Copy>(rows: Option<&Vec<(Option<Uuid>, T)>>, counts: &dyn Fn(Option<Uuid>) -> bool) -> Vec<T> {
    rows.into_iter().flatten().filter(|(unit, _)| counts(*unit)).map(|(_, value)| *value).collect()
}

/// Computes the statistics of an organization's stages anew. Run again, it changes nothing but `computed_at`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StageStatisticsJob {}

impl Job for StageStatisticsJob {
    const NAME: &'static str = CONVERSION_RATES.name;
    const QUEUE: &'static str = CONVERSION_RATES.queue;
    const MAX_ATTEMPTS: i32 = CONVERSION_RATES.max_attempts;

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let (pipelines, audiences) = run.step(|tx| Ok((pipelines(tx)?, Audience::all(tx)?)))?;
        for pipeline in pipelines {
            if run.is_stopping() {
                return Err(run.leave());
            }
            run.step(|tx| compute(tx, pipeline, &audiences))?;
        }
        run.finish(|tx| forget(tx, &audiences))
    }
}

impl Recurring for StageStatisticsJob {
    const SCHEDULE: Schedule = Schedule::daily(1, 30);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

/// Computes everything in the caller's transaction, which is the program's own.
///
/// # Errors
/// What the database says.
pub fn compute_all(tx: &mut Tx<'_>) -> Result<()> {
    let audiences = Audience::all(tx)?;
    pipelines(tx)?.into_iter().try_for_each(|pipeline| compute(tx, pipeline, &audiences))
}

fn pipelines(tx: &mut Tx<'_>) -> Result<Vec<Id<Pipeline>>> {
    Ok(tx.sql::<st::Uuid>("SELECT id FROM pipelines WHERE organization_id = {org} ORDER BY id").all(tx)?)
}

/// Computes one pipeline and keeps it, unless somebody has kept something later meanwhile.
fn compute(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, audiences: &[Audience]) -> Result<()> {
    let filter = DealFilter { pipeline_id: Some(pipeline), ..DealFilter::default() };
    let seen = Seen::read(tx, &filter)?;
    for stage in open_stages(tx, Some(pipeline))? {
        for audience in audiences {
            let Some(key) = audience.key() else { continue };
            let statistics = seen.statistics(stage.id, &|unit| audience.includes(unit));
            let statistics = serde_json::to_value(&statistics).map_err(internal)?;
            keep(tx, &stage, key, statistics)?;
        }
    }
    Ok(())
}

fn keep(tx: &mut Tx<'_>, stage: &Stage, audience: String, statistics: Value) -> Result<()> {
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "INSERT INTO stage_statistics (organization_id, id, pipeline_id, stage_id, audience, statistics, computed_at) \
         VALUES ({org}, {}, {}, {}, {}, {}, {}) \
         ON CONFLICT (organization_id, audience, pipeline_id, stage_id) DO UPDATE \
         SET statistics = excluded.statistics, computed_at = excluded.computed_at \
         WHERE stage_statistics.computed_at <= excluded.computed_at",
    )
    .with(|s| s.bind(Id::<StageStatistics>::new()).bind(stage.fields.pipeline_id).bind(stage.id))
    .with(|s| s.bind(audience).bind(statistics).bind(now))
    .run(tx)
    .map(drop)
    .map_err(Error::from)
}

/// Removes what was kept for sets of units in which nobody works any more.
fn forget(tx: &mut Tx<'_>, audiences: &[Audience]) -> Result<()> {
    let keys: Vec<String> = audiences.iter().filter_map(Audience::key).collect();
    tx.sql::<st::Integer>("DELETE FROM stage_statistics WHERE organization_id = {org} AND NOT audience = ANY({})")
        .with(|s| s.bind(keys))
        .run(tx)
        .map(drop)
        .map_err(Error::from)
}
