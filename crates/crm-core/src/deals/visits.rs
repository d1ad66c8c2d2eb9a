//! When a deal stood in which stage: written with every move, since conversion rates and stale deals live on it.
use diesel::sql_types as st;

use super::Deal;
use crate::{Result, Tx};

/// The first stage of a new deal. A deal that arrives closed has been in its last stage since it closed, and was open
/// before in no stage that is known.
pub(super) fn begin(tx: &mut Tx<'_>, deal: &Deal) -> Result<()> {
    enter(tx, deal, 1)
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

fn enter(tx: &mut Tx<'_>, deal: &Deal, visit: i32) -> Result<()> {
    tx.sql::<st::Integer>(
        "INSERT INTO deal_stage_visits (organization_id, deal_id, visit, episode, pipeline_id, stage_id, entered_at) \
         VALUES ({org}, {}, {}, {}, {}, {}, {})",
    )
    .with(|s| {
        let fields = &deal.fields;
        s.bind(deal.id)
            .bind(visit)
            .bind(fields.episode)
            .bind(fields.pipeline_id)
            .bind(fields.stage_id)
            .bind(fields.stage_entered_at)
    })
    .run(tx)?;
    Ok(())
}
