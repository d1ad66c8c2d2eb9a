//! How likely people say a stage's deals are won.

use crm_core::{
    Error, Id, Money, Patch, Record, Result, Tx,
    gate::{Action, Ask},
    pipelines::{self, Pipeline, Stage},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A probability for one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageProbability {
    /// The pipeline.
    pub pipeline_id: Id<Pipeline>,
    /// A stage of it that is neither won nor lost.
    pub stage_id: Id<Stage>,
    /// How likely its deals are won, 0 to 1.
    #[schema(value_type = f64, minimum = 0, maximum = 1, example = 0.35)]
    pub probability: Money,
}

/// Asks whether the caller may set probabilities at all, before anybody looks at what they send.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_may_set(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, Stage::KIND))
}

/// Sets the probability of a stage, with its field history. Forecasts go by it at once.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`] for an unknown stage, a probability outside 0 to 1, and for a stage in which
/// deals are won or lost, whose probability is settled; [`Error::Stale`].
pub fn set(tx: &mut Tx<'_>, asked: &StageProbability, mut patch: Patch) -> Result<Stage> {
    check_may_set(tx)?;
    let probability = serde_json::to_value(asked.probability).map_err(super::internal)?;
    patch.members.insert("probability".into(), probability);
    let unknown = || Error::invalid("stageId", "unknown_reference", "The pipeline has no such stage.");
    let stage = match pipelines::update_stage(tx, asked.pipeline_id, asked.stage_id, patch) {
        Err(Error::NotFound) => return Err(unknown()),
        other => other?,
    };
    if stage.fields.probability != Some(asked.probability) {
        let (kind, settled) = (&stage.fields.kind, stage.fields.probability.unwrap_or_default());
        let message = format!("Deals in this stage are {kind}: its probability is always {settled} and cannot be set.");
        return Err(Error::invalid("probability", "settled", message));
    }
    Ok(stage)
}
