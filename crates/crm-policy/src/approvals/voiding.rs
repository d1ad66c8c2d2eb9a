//! Requests that end without anybody's decision, since what they were about is no longer so.
//!
//! Whoever changes a record finds the requests about it where the change goes to the field history, and ends those that no
//! longer hold in the same transaction. The record is locked by then, and a request is made under that lock too, so that none
//! is overlooked. A request that somebody is deciding at this moment is left alone: who decides waits for the record, and
//! then finds it changed.

use std::collections::BTreeSet;

use crm_core::gate::ChangedField;
use crm_core::select::Condition;
use crm_core::users::User;
use crm_core::{Ctx, Error, Patch, Record, Result, Tx};
use diesel::sql_types as st;
use uuid::Uuid;

use super::verdicts::{changes, decide, stale};
use super::{Approval, CANCELLED, PENDING};

/// The name under which a deletion stands in the history.
const DELETED: &str = "deletedAt";

/// Ends the requests that no longer hold since these fields have changed.
///
/// # Errors
/// What the database says.
pub(crate) fn void(tx: &mut Tx<'_>, fields: &[ChangedField]) -> Result<()> {
    let ids: Vec<Uuid> = fields.iter().map(|field| field.id).collect::<BTreeSet<_>>().into_iter().collect();
    let concerned = tx.sql::<st::Uuid>(
        "SELECT id FROM approvals WHERE organization_id = {org} AND status = 'pending' \
         AND (resource_id = ANY({}) OR requested_by = ANY({})) ORDER BY id FOR UPDATE SKIP LOCKED",
    );
    let concerned: Vec<Uuid> = concerned.with(|s| s.bind(ids.clone()).bind(ids)).all(tx)?;
    end(tx, concerned, |approval| fate(approval, fields))
}

/// Takes back those of these requests that still wait.
///
/// # Errors
/// What the database says.
pub(crate) fn withdraw(tx: &mut Tx<'_>, requests: &[Uuid]) -> Result<()> {
    let why = || Error::Conflict { code: CANCELLED, detail: "The import that asked was taken back.".into() };
    end(tx, requests.to_vec(), |_| Some((CANCELLED, why())))
}

/// Ends those of these requests that have a fate, in the name of the program: whoever caused it need not see them.
fn end(tx: &mut Tx<'_>, ids: Vec<Uuid>, fate: impl Fn(&Approval) -> Option<(&'static str, Error)>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let Ctx { organization, now, gates, request_id, change_set, .. } = tx.ctx.clone();
    let program = Ctx { request_id, change_set, ..Ctx::system(organization, now, gates) };
    tx.acting(&program, |tx| {
        let pending = Condition::Compare("status".into(), "=", PENDING.into());
        let select = tx.records::<Approval>().and(pending).and(Condition::AnyOf("id", ids.into()));
        for approval in Approval::load(tx, select.order("id", false).locked())? {
            if let Some((ending, why)) = fate(&approval) {
                let failure = why.to_string();
                decide(tx, approval, Patch::default(), ending, |fields| fields.failure = Some(failure))?;
            }
        }
        Ok(())
    })
}

/// What these changes make of a request: nothing where they are of other fields than it is about.
fn fate(approval: &Approval, fields: &[ChangedField]) -> Option<(&'static str, Error)> {
    let asked = &approval.fields;
    let is_gone = |field: &&ChangedField| {
        field.kind == User::KIND && field.id == asked.requested_by.uuid() && field.name == "isActive" && !field.is_set
    };
    if fields.iter().any(|field| is_gone(&field)) {
        let detail = "Who asked is no longer active.".into();
        return Some((CANCELLED, Error::Conflict { code: CANCELLED, detail }));
    }
    let of_it = |field: &&ChangedField| field.kind == asked.resource && Some(field.id) == asked.resource_id;
    // What a conversion takes over is all that the record holds.
    let is_whole = asked.command.is_some();
    let is_asked = |field: &ChangedField| {
        is_whole || field.name == DELETED || changes(approval).any(|(name, ..)| name == field.name)
    };
    let is_void = fields.iter().filter(of_it).any(is_asked);
    is_void.then(|| (super::verdicts::STALE, stale()))
}
