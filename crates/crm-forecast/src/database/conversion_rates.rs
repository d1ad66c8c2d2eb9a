//! How often deals that entered a stage were won, from the stages that they stood in.

use chrono::{DateTime, Utc};
use crm_core::{
    Id, Result, Tx,
    pipelines::{Pipeline, Stage},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    DealFilter, check_may_view, four_digits,
    stage_movements::{self, StageMovements},
    stage_statistics::{self, StageStatistics},
};
use crate::conversion::{Settings, StageEstimate};

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
    /// (Aalen-Johansen); null where `insufficientData` is true.
    pub rate: Option<f64>,
    /// True where fewer than five deals were won or lost within the horizon: too few for a rate of their own. The smoothed
    /// rate then rests mostly on the configured probability, and its interval tells how little is known.
    pub insufficient_data: bool,
    /// The same with the stage's configured probability mixed in, which counts as ten deals; without one, half a deal won and
    /// half a deal lost (Jeffreys).
    pub smoothed_rate: f64,
    /// The lower end of the 90 % interval of the smoothed rate.
    pub low: f64,
    /// The upper end of the 90 % interval of the smoothed rate.
    pub high: f64,
    /// The share whose outcome is not known yet: the rate may be larger by up to this much.
    pub unresolved: f64,
    /// True where no deal was watched as long as the horizon and some are still open: the rate then tells of a shorter time.
    pub horizon_truncated: bool,
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
    /// How deals moved between stages, where the question asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub movements: Option<StageMovements>,
}

/// The conversion rates of the open stages.
///
/// # Errors
/// [`crm_core::Error::Forbidden`]; what the database says.
pub fn list(tx: &mut Tx<'_>, filter: &DealFilter, includes_movements: bool) -> Result<ConversionRates> {
    check_may_view(tx)?;
    let horizon_days = Settings::default().horizon_days;
    let (stages, computed_at) = estimates(tx, filter)?;
    let order: Vec<Id<Stage>> = stages.iter().map(|stage| stage.stage.id).collect();
    let movements = if includes_movements { Some(stage_movements::read(tx, filter, &order)?) } else { None };
    let conversion_rates = stages.into_iter().map(|stage| stage.rate(horizon_days)).collect();
    Ok(ConversionRates { conversion_rates, computed_at, movements })
}

/// An open stage and what its history says.
pub(super) struct EstimatedStage {
    pub(super) stage: Stage,
    pub(super) estimate: StageEstimate,
    pub(super) statistics: StageStatistics,
}

impl EstimatedStage {
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
            rate: estimate.has_enough_deals().then(|| four_digits(estimate.raw)),
            insufficient_data: !estimate.has_enough_deals(),
            smoothed_rate: four_digits(belief.mean()),
            low: four_digits(low),
            high: four_digits(high),
            unresolved: four_digits(estimate.unresolved),
            horizon_truncated: estimate.is_horizon_truncated,
            horizon_days,
        }
    }
}

/// The open stages of the pipeline in question, or of all, with what the deals that the caller may see teach, and as of
/// when. The configured probabilities are those of this moment.
pub(super) fn estimates(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<(Vec<EstimatedStage>, DateTime<Utc>)> {
    let (stages, mut known) = stage_statistics::read(tx, filter)?;
    let strength = Settings::default().prior_strength;
    let mut estimated = Vec::with_capacity(stages.len());
    for stage in stages {
        let Some(statistics) = known.by_stage.remove(&stage.id) else { continue };
        let configured = stage.fields.probability.map(|set| set.amount().try_into()).transpose();
        let estimate = statistics.record.estimate(configured.map_err(super::internal)?, strength);
        estimated.push(EstimatedStage { stage, estimate, statistics });
    }
    Ok((estimated, known.computed_at))
}
