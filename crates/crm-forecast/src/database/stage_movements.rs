//! How deals moved between stages: the matrix, the win probabilities that it implies, and the funnel.

use std::collections::BTreeMap;

use crm_core::{Id, Result, Tx, pipelines::Stage};
use diesel::sql_types as st;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DealFilter, deals_in_question, four_digits};
use crate::{
    competing_risks::Ending,
    transitions::{ChainWins, Path, Transitions, funnel},
};

/// How deals moved between stages.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageMovements {
    /// Where the visits to each stage led.
    pub exits: Vec<StageExits>,
    /// How many deals got how far in each pipeline; a skipped stage counts as passed.
    pub funnel: Vec<FunnelStage>,
}

/// Where the visits to one stage led.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageExits {
    /// The stage.
    pub stage_id: Id<Stage>,
    /// Moves to each other stage.
    pub moved: Vec<StageMove>,
    /// Visits that ended with a win.
    pub won: u64,
    /// Visits that ended with a loss.
    pub lost: u64,
    /// Visits that have not ended; in no share.
    pub open: u64,
    /// The probability of a win that the moves imply where the way to the stage does not matter (an absorbing Markov
    /// chain). Far from the smoothed rate it says that it does. Absent where no move leads to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_win_probability: Option<f64>,
}

/// Moves from one stage to another.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageMove {
    /// The other stage.
    pub to_stage_id: Id<Stage>,
    /// How many.
    pub count: u64,
    /// Their share in the visits that ended, 0 to 1.
    pub share: Option<f64>,
}

/// How many deals got to a stage or further.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunnelStage {
    /// The stage.
    pub stage_id: Id<Stage>,
    /// Deals that ever stood in it or in a later one, or were won.
    pub reached: u64,
    /// Of these, the share that got to the next stage, or was won after the last; absent where nobody came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<f64>,
}

/// The ways of deals through open stages, each with how often it was gone. Reopening and a move to another pipeline begin
/// another way.
const PATHS: &str = concat!(
    "SELECT path, ending, count(*) FROM (\
     SELECT array_agg(v.stage_id ORDER BY v.visit) FILTER (WHERE coalesce(s.kind, 'open') = 'open') AS path, \
     max(s.kind) FILTER (WHERE s.kind <> 'open') AS ending FROM deal_stage_visits v \
     JOIN deals d ON d.organization_id = v.organization_id AND d.id = v.deal_id \
     LEFT JOIN stages s ON s.organization_id = v.organization_id AND s.id = v.stage_id \
     WHERE v.organization_id = {org} AND ({} OR v.pipeline_id = {}) AND ",
    deals_in_question!(),
    " GROUP BY v.deal_id, v.episode, v.pipeline_id) ways WHERE path IS NOT NULL GROUP BY path, ending"
);

/// The movements in question; `order` names the open stages, pipeline by pipeline.
pub(super) fn read(tx: &mut Tx<'_>, filter: &DealFilter, order: &[Id<Stage>]) -> Result<StageMovements> {
    let (ctx, pipeline) = (tx.ctx, filter.pipeline_id);
    let deals = DealFilter { pipeline_id: None, ..*filter };
    let rows: Vec<(Vec<Id<Stage>>, Option<String>, i64)> = tx
        .sql::<(st::Array<st::Uuid>, st::Nullable<st::Text>, st::BigInt)>(PATHS)
        .with(|s| deals.bind(ctx, s.bind(pipeline.is_none()).bind(pipeline)))
        .all(tx)?;
    let path = |(stages, ending, count): (Vec<Id<Stage>>, Option<String>, i64)| {
        let ending = match ending.as_deref() {
            Some("won") => Ending::Won,
            Some("lost") => Ending::Lost,
            _ => Ending::Open,
        };
        let path = Path { stages, ending };
        std::iter::repeat_n(path, usize::try_from(count).unwrap_or_default())
    };
    let paths: Vec<Path<Id<Stage>>> = rows.into_iter().flat_map(path).collect();
    Ok(told(&paths, &pipelines(tx, order)?))
}

/// The stages by their pipelines, in order.
fn pipelines(tx: &mut Tx<'_>, order: &[Id<Stage>]) -> Result<Vec<Vec<Id<Stage>>>> {
    let owners: BTreeMap<Id<Stage>, uuid::Uuid> = tx
        .sql::<(st::Uuid, st::Uuid)>("SELECT id, pipeline_id FROM stages WHERE organization_id = {org}")
        .all::<(Id<Stage>, uuid::Uuid)>(tx)?
        .into_iter()
        .collect();
    Ok(order.chunk_by(|a, b| owners.get(a) == owners.get(b)).map(<[Id<Stage>]>::to_vec).collect())
}

fn told(paths: &[Path<Id<Stage>>], pipelines: &[Vec<Id<Stage>>]) -> StageMovements {
    let transitions = Transitions::count(paths);
    let ChainWins { probabilities, .. } = transitions.chain_wins();
    let exits = transitions.by_stage().iter().map(|(stage, exits)| StageExits {
        stage_id: *stage,
        moved: exits
            .moved
            .iter()
            .map(|(to, count)| StageMove {
                to_stage_id: *to,
                count: *count,
                share: exits.share_moved(to).map(four_digits),
            })
            .collect(),
        won: exits.won,
        lost: exits.lost,
        open: exits.open,
        chain_win_probability: probabilities.get(stage).copied().map(four_digits),
    });
    let of_pipeline = |order: &Vec<Id<Stage>>| {
        let within: Vec<_> =
            paths.iter().filter(|path| path.stages.iter().any(|stage| order.contains(stage))).cloned().collect();
        funnel(order, &within)
    };
    let steps = pipelines.iter().flat_map(of_pipeline).map(|step| FunnelStage {
        stage_id: step.stage,
        reached: step.reached,
        conversion: step.conversion.map(four_digits),
    });
    StageMovements { exits: exits.collect(), funnel: steps.collect() }
}
