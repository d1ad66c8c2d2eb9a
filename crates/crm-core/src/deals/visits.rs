//! When a deal stood in which stage: written with every move, since conversion rates and stale deals live on it.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;

use super::{Deal, rules};
use crate::{Id, Result, Tx, pipelines::Stage};

/// The first stage of a new deal. One that arrives closed was worked elsewhere before, in stages that nobody tells of: it
/// is taken to have stood at the start of its pipeline until it closed, so that it teaches how deals end that come in.
pub(super) fn begin(tx: &mut Tx<'_>, deal: &Deal) -> Result<()> {
    let fields = &deal.fields;
    let entered_at = fields.stage_entered_at;
    if fields.status == "open" || deal.created_at >= entered_at {
        return enter(tx, deal, 1);
    }
    let Some(first) = rules::first_of_kind(tx, fields.pipeline_id, "open")? else { return enter(tx, deal, 1) };
    visit(tx, deal, 1, first.id, deal.created_at, Some(entered_at))?;
    enter(tx, deal, 2)
}

/// Leaves the stage that the deal stood in and enters the one that it stands in now.
pub(super) fn move_on(tx: &mut Tx<'_>, deal: &Deal) -> Result<()> {
    let entered_at = deal.fields.stage_entered_at;
    tx.sql::<st::Integer>(
        "UPDATE deal_stage_visits SET left_at = greatest(entered_at, {}) \
         WHERE organization_id = {org} AND deal_id = {} AND left_at IS NULL",
    )
    .with(|s| s.bind(entered_at).bind(deal.id))
    .run(tx)?;
    let last: Option<i32> = tx
        .sql::<st::Nullable<st::Integer>>(
            "SELECT max(visit) FROM deal_stage_visits WHERE organization_id = {org} AND deal_id = {}",
        )
        .with(|s| s.bind(deal.id))
        .one(tx)?;
    enter(tx, deal, last.unwrap_or(0) + 1)
}

/// Enters the stage where the deal stands now.
fn enter(tx: &mut Tx<'_>, deal: &Deal, number: i32) -> Result<()> {
    visit(tx, deal, number, deal.fields.stage_id, deal.fields.stage_entered_at, None)
}

fn visit(
    tx: &mut Tx<'_>,
    deal: &Deal,
    number: i32,
    stage: Id<Stage>,
    entered_at: DateTime<Utc>,
    left_at: Option<DateTime<Utc>>,
) -> Result<()> {
    let by = tx.ctx.actor.user();
    tx.sql::<st::Integer>(
        "INSERT INTO deal_stage_visits \
         (organization_id, deal_id, visit, episode, pipeline_id, stage_id, entered_at, left_at, entered_by) \
         VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {})",
    )
    .with(|s| s.bind(deal.id).bind(number).bind(deal.fields.episode).bind(deal.fields.pipeline_id))
    .with(|s| s.bind(stage).bind(entered_at).bind(left_at).bind(by))
    .run(tx)?;
    Ok(())
}
