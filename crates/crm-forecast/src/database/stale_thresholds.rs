//! After how long without a touch a stage's deals should count as stale, from the times of those that were won.

use chrono::{DateTime, Utc};
use crm_core::{
    Id, Result, Tx,
    pipelines::{Pipeline, Stage},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    DealFilter, check_may_view,
    conversion_rates::{EstimatedStage, estimates},
};
use crate::stale::DEFAULT_THRESHOLD_DAYS;

/// How long the deals won in the end stood in a stage.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaleThreshold {
    /// The stage's pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// The stage.
    pub stage_id: Id<Stage>,
    /// What people call it.
    pub stage_name: String,
    /// Days without a touch after which its deals count as stale now.
    pub threshold_days: i32,
    /// Days without a touch after which nine in ten of the deals won in the end had been touched again; absent below five
    /// such deals.
    pub suggested_days: Option<u32>,
    /// How many deals stood in it and were won in the end.
    pub won_deals: usize,
    /// Days that half of these stood in it at most.
    pub median_days: Option<f64>,
    /// Days that nine in ten of these stood in it at most.
    pub usual_days: Option<f64>,
}

/// The times of some stages and when they were computed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaleThresholds {
    /// Open stages by pipeline and position.
    pub stale_thresholds: Vec<StaleThreshold>,
    /// As of when.
    pub computed_at: DateTime<Utc>,
}

/// The times of the open stages.
///
/// # Errors
/// [`crm_core::Error::Forbidden`]; what the database says.
pub fn list(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<StaleThresholds> {
    check_may_view(tx)?;
    let (stages, computed_at) = estimates(tx, filter)?;
    Ok(StaleThresholds { stale_thresholds: stages.into_iter().map(threshold).collect(), computed_at })
}

fn threshold(stage: EstimatedStage) -> StaleThreshold {
    let EstimatedStage { stage, statistics, .. } = stage;
    let tenths = |days: f64| (days * 10.0).round() / 10.0;
    let usual = || i32::try_from(DEFAULT_THRESHOLD_DAYS).unwrap_or(i32::MAX);
    StaleThreshold {
        pipeline_id: stage.fields.pipeline_id,
        stage_id: stage.id,
        threshold_days: stage.fields.rotten_after_days.unwrap_or_else(usual),
        stage_name: stage.fields.name,
        suggested_days: statistics.suggested_days,
        won_deals: statistics.won_deals,
        median_days: statistics.median_days.map(tenths),
        usual_days: statistics.usual_days.map(tenths),
    }
}
