//! Taking an import back: what it made and nobody has touched since is deleted, the newest first.
use std::sync::Arc;

use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Import, approvals, entities::Entity, read};
use crate::{
    Actor, Error, Id, Patch, Reason, Result, Tx,
    gate::{Action, Ask},
    jobs::{self, Enqueue, Failure, Job, JobRun},
};

/// How many records are deleted in one transaction.
const BATCH: i64 = 250;

/// Takes an import back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevertJob {
    import: Uuid,
    user: Option<Uuid>,
}

/// Queues the taking back of an import that has ended: the records that it made are deleted in the caller's name. Those
/// that have been changed since, or that others refer to, stay and are counted as `kept`; what the import changed of
/// records that were there before stays too. Requests for approval that rows still wait for are taken back.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] for whoever may not delete such records, [`Error::Conflict`] for an import
/// that has not ended, was a dry run or has been taken back already.
pub fn revert(tx: &mut Tx<'_>, id: Id<Import>) -> Result<Import> {
    tx.check_writable()?;
    let import = read(tx, id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Delete, entity(&import)?.kind))?;
    let now = tx.ctx.now;
    let begun = tx.sql::<st::Integer>(
        "UPDATE imports SET status = 'reverting', updated_at = {} WHERE organization_id = {org} AND id = {} \
         AND NOT dry_run AND status IN ('completed', 'failed', 'cancelled')",
    );
    if begun.with(|s| s.bind(now).bind(id)).run(tx)? == 0 {
        let what = if import.fields.dry_run { "was a dry run".into() } else { format!("is {}", import.fields.status) };
        return Err(Error::Conflict { code: "not_revertible", detail: format!("The import {what}.") });
    }
    let waiting = approvals::waiting(tx, id)?;
    let gates = Arc::clone(&tx.ctx.gates);
    gates.withdraw(tx, &waiting)?;
    let how = Enqueue { unique_key: Some(id.to_string()), ..Enqueue::default() };
    let user = tx.ctx.actor.user().map(Id::uuid);
    jobs::enqueue(tx, &RevertJob { import: id.uuid(), user }, &how)?;
    tx.find(id)
}

impl Job for RevertJob {
    const NAME: &'static str = "import_revert";
    const QUEUE: &'static str = "imports";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let id = Id::<Import>::from(self.import);
        let actor = match self.user {
            Some(user) => Actor::Import { import: self.import, user: user.into() },
            None => Actor::System,
        };
        while run.step_as(&actor, |tx| delete_some(tx, id))? {
            if run.is_stopping() {
                return Err(run.leave());
            }
        }
        run.finish(|tx| end(tx, id, "reverted", None))
    }

    fn given_up(self, tx: &mut Tx<'_>, reason: &str) -> Result<()> {
        end(tx, self.import.into(), "failed", Some(reason))
    }
}

fn entity(import: &Import) -> Result<&'static Entity> {
    Entity::named(&import.fields.entity_type).ok_or(Error::NotFound)
}

/// Takes the next records back. Are there more?
fn delete_some(tx: &mut Tx<'_>, id: Id<Import>) -> Result<bool> {
    let entity = entity(&tx.find(id)?)?;
    let made = tx.sql::<(st::Integer, st::Uuid, st::BigInt)>(
        "SELECT row_number, entity_id, version_after FROM import_rows WHERE organization_id = {org} \
         AND import_id = {} AND outcome = 'created' AND entity_id IS NOT NULL AND version_after IS NOT NULL \
         ORDER BY entity_id DESC LIMIT {}",
    );
    let made: Vec<(i32, Uuid, i64)> = made.with(|s| s.bind(id).bind(BATCH)).all(tx)?;
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    let reason = Reason { code: Some("revert".into()), note: None };
    for (row, record, version) in &made {
        let patch = Patch { reason: reason.clone(), expected: Some(*version), ..Patch::default() };
        match tx.savepoint(|tx| (entity.delete)(tx, *record, &patch)) {
            Ok(()) => deleted.push(*row),
            Err(error) if error.is_outage() => return Err(error),
            Err(_) => kept.push(*row),
        }
    }
    note(tx, id, deleted, kept)?;
    Ok(!made.is_empty())
}

/// Marks rows as dealt with: without a record, or without the version by which it could be taken back.
fn note(tx: &mut Tx<'_>, id: Id<Import>, deleted: Vec<i32>, kept: Vec<i32>) -> Result<()> {
    let count = |rows: &Vec<i32>| i32::try_from(rows.len()).unwrap_or(i32::MAX);
    let (reverted, left, now) = (count(&deleted), count(&kept), tx.ctx.now);
    for (rows, text) in [
        (
            deleted,
            "UPDATE import_rows SET entity_id = NULL WHERE organization_id = {org} AND import_id = {} AND row_number = ANY({})",
        ),
        (
            kept,
            "UPDATE import_rows SET version_after = NULL WHERE organization_id = {org} AND import_id = {} AND row_number = ANY({})",
        ),
    ] {
        tx.sql::<st::Integer>(text).with(|s| s.bind(id).bind(rows)).run(tx)?;
    }
    tx.sql::<st::Integer>(
        "UPDATE imports SET reverted = reverted + {}, kept = kept + {}, updated_at = {} \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(reverted).bind(left).bind(now).bind(id))
    .run(tx)?;
    Ok(())
}

fn end(tx: &mut Tx<'_>, id: Id<Import>, status: &str, error: Option<&str>) -> Result<()> {
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE imports SET status = {}, error = {}, finished_at = {}, updated_at = {} \
         WHERE organization_id = {org} AND id = {} AND status = 'reverting'",
    )
    .with(|s| s.bind(status).bind(error).bind(now).bind(now).bind(id))
    .run(tx)?;
    Ok(())
}
