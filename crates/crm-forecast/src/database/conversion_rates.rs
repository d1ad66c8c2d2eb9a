//! How often deals that entered a stage were won, from the stages that they stood in.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Record, Result, Tx,
    pipelines::{Pipeline, Stage},
    select::Condition,
};
use diesel::sql_types as st;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DealFilter, check_may_view, deals_in_question, four_digits};
use crate::{
    competing_risks::{Ending, Spell},
    conversion::{Passage, Settings, StageEstimate},
};

/// What became of the deals that ever entered a stage.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversionRate {
    /// The stage's pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// The stage.
    pub stage_id: Id<Stage>,
    /// What people call it.
    pub stage_name: String,
    /// Deals that ever entered it. A deal that is reopened or comes from another pipeline counts anew.
    pub entered: usize,
    /// Of these, won within the horizon.
    pub won: usize,
    /// Of these, lost within the horizon.
    pub lost: usize,
    /// Of these, neither.
    pub open: usize,
    /// The share won within the horizon, 0 to 1, where open deals count for as long as they were watched
    /// (Aalen-Johansen); null where no deal was won or lost yet.
    pub rate: Option<f64>,
    /// The same with the stage's configured probability mixed in, which counts as ten deals.
    pub smoothed_rate: f64,
    /// The lower end of the 90 % interval of the smoothed rate.
    pub low: f64,
    /// The upper end of the 90 % interval of the smoothed rate.
    pub high: f64,
    /// The share whose outcome is not known yet: the rate may be larger by up to this much.
    pub unresolved: f64,
    /// Days after entering the stage within which a win counts.
    pub horizon_days: f64,
}

/// The rates of some stages and when they were computed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversionRates {
    /// Open stages by pipeline and position.
    pub conversion_rates: Vec<ConversionRate>,
    /// As of when.
    pub computed_at: DateTime<Utc>,
}

/// The conversion rates of the open stages.
///
/// # Errors
/// [`Error::Forbidden`]; what the database says.
pub fn list(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<ConversionRates> {
    check_may_view(tx)?;
    let horizon_days = Settings::default().horizon_days;
    let conversion_rates = estimates(tx, filter)?.into_iter().map(|stage| stage.rate(horizon_days)).collect();
    Ok(ConversionRates { conversion_rates, computed_at: tx.ctx.now })
}

/// An open stage and what its history says.
pub(super) struct EstimatedStage {
    pub(super) stage: Stage,
    pub(super) estimate: StageEstimate,
    passages: Vec<Passage>,
}

impl EstimatedStage {
    /// Days that the deals won in the end stood in the stage.
    pub(super) fn days_of_won_deals(&self) -> Vec<f64> {
        let won = self.passages.iter().filter(|passage| passage.spell.ending == Ending::Won);
        won.map(|passage| passage.left_after).collect()
    }

    fn rate(self, horizon_days: f64) -> ConversionRate {
        let Self { stage, estimate, .. } = self;
        let belief = estimate.belief();
        let (low, high) = belief.interval(0.9);
        ConversionRate {
            pipeline_id: stage.fields.pipeline_id,
            stage_id: stage.id,
            stage_name: stage.fields.name,
            entered: estimate.entered,
            won: estimate.won,
            lost: estimate.lost,
            open: estimate.open,
            rate: (estimate.won + estimate.lost > 0).then(|| four_digits(estimate.raw)),
            smoothed_rate: four_digits(belief.mean()),
            low: four_digits(low),
            high: four_digits(high),
            unresolved: four_digits(estimate.unresolved),
            horizon_days,
        }
    }
}

/// The open stages of the pipeline in question, or of all, with what the deals that the caller may see teach.
pub(super) fn estimates(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<Vec<EstimatedStage>> {
    let mut histories = passages(tx, filter)?;
    let mut select = tx.records::<Stage>().and(Condition::Compare("kind".into(), "=", "open".into()));
    if let Some(pipeline) = filter.pipeline_id {
        select = select.and(Condition::Compare("pipeline_id".into(), "=", pipeline.into()));
    }
    let mut stages = Stage::load(tx, select)?;
    stages.sort_by_key(|stage| (stage.fields.pipeline_id, stage.fields.position));
    let settings = Settings::default();
    let learn = |stage: Stage| {
        let passages = histories.remove(&stage.id).unwrap_or_default();
        let configured = stage.fields.probability.amount().try_into().map_err(super::internal)?;
        let estimate = StageEstimate::fit(&passages, Some(configured), &settings);
        Ok::<_, Error>(EstimatedStage { stage, estimate, passages })
    };
    stages.into_iter().map(learn).collect()
}

/// Each stage's first visits, in real days. A deal's way is cut into runs: reopening and a move to another pipeline
/// begin another, and a run that leaves for another pipeline ends open. Both windows share one sort.
const PASSAGES: &str = concat!(
    "WITH visits AS (SELECT v.stage_id, v.entered_at, coalesce(v.left_at, {}) AS left_at, coalesce(s.kind, 'open') AS kind, \
       row_number() OVER (PARTITION BY v.deal_id, v.episode, v.pipeline_id, v.stage_id ORDER BY v.visit) AS nth, \
       max(s.kind) FILTER (WHERE s.kind <> 'open') OVER run AS ending, \
       min(v.entered_at) FILTER (WHERE s.kind <> 'open') OVER run AS closed_at, \
       max(coalesce(v.left_at, {})) OVER run AS cut_at \
     FROM deal_stage_visits v \
     JOIN deals d ON d.organization_id = v.organization_id AND d.id = v.deal_id \
     LEFT JOIN stages s ON s.organization_id = v.organization_id AND s.id = v.stage_id \
     WHERE v.organization_id = {org} AND ({} OR v.pipeline_id = {}) AND ",
    deals_in_question!(),
    " WINDOW run AS (PARTITION BY v.deal_id, v.episode, v.pipeline_id)) \
     SELECT stage_id, ending, greatest(extract(epoch FROM left_at - entered_at)::float8 / 86400, 0), \
       greatest(extract(epoch FROM coalesce(closed_at, cut_at) - entered_at)::float8 / 86400, 0) \
     FROM visits WHERE kind = 'open' AND nth = 1"
);

type PassageRow = (st::Uuid, st::Nullable<st::Text>, st::Double, st::Double);

fn passages(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<BTreeMap<Id<Stage>, Vec<Passage>>> {
    // A deal teaches the pipelines that it has gone, not the one that it goes now; and whoever owns it.
    let deals = DealFilter { business_unit_id: filter.business_unit_id, ..DealFilter::default() };
    let (ctx, now) = (tx.ctx, tx.ctx.now);
    let rows: Vec<(Id<Stage>, Option<String>, f64, f64)> = tx
        .sql::<PassageRow>(PASSAGES)
        .with(|s| s.bind(now).bind(now).bind(filter.pipeline_id.is_none()).bind(filter.pipeline_id))
        .with(|s| deals.bind(ctx, s))
        .all(tx)?;
    let mut passages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (stage, ending, left_after, days) in rows {
        let ending = match ending.as_deref() {
            Some("won") => Ending::Won,
            Some("lost") => Ending::Lost,
            _ => Ending::Open,
        };
        passages.entry(stage).or_default().push(Passage { left_after, spell: Spell { days, ending } });
    }
    Ok(passages)
}
