//! The requests that wait for one person's decision.

use std::collections::BTreeMap;

use crm_core::gate::{Action, Ask};
use crm_core::history::kinds;
use crm_core::proposals::Awaited;
use crm_core::select::Condition;
use crm_core::{Actor, Error, Record, Result, Tx, masks};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::verdicts::{check_fresh, check_may_decide};
use super::{Approval, PENDING, sees_own_alone};

/// Requests that are looked at, the longest waiting first.
const MOST: i64 = 500;

/// The requests that the caller could approve now, the longest waiting first: somebody else's, of a record that the caller
/// sees and that nobody has changed meanwhile, to do what the caller may do too. One statement finds them, and one more to
/// each kind of record.
///
/// # Errors
/// What the database says.
pub fn awaited(tx: &mut Tx<'_>) -> Result<Vec<Awaited>> {
    let Actor::User(decider) = tx.ctx.actor else { return Ok(Vec::new()) };
    let hidden = masks::hidden::<Approval>(tx.ctx);
    let may_view = allowed(tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, Approval::KIND)))?;
    if sees_own_alone(tx.ctx) || !may_view || hidden.iter().any(|field| TOLD.contains(&field.as_str())) {
        return Ok(Vec::new());
    }
    let is = |column: &'static str, op, value| Condition::Compare(column.into(), op, value);
    let select = tx.records::<Approval>().and_all([
        is("status", "=", PENDING.into()),
        is("requested_by", "<>", decider.into()),
        is("expires_at", ">", tx.ctx.now.into()),
    ]);
    let requests = Approval::load(tx, select.order("created_at", false).limit(MOST))?;
    let standing = standing(tx, &requests)?;
    let mut awaited = Vec::new();
    for request in &requests {
        if may_decide(tx, request, &standing)? {
            awaited.push(Awaited {
                id: request.id.uuid(),
                version: request.version,
                action: request.fields.action.clone(),
                resource: request.fields.resource.clone(),
                since: request.created_at,
            });
        }
    }
    Ok(awaited)
}

/// The fields of a request that are told, or by which it is found.
const TOLD: [&str; 5] = ["action", "resource", "status", "requestedBy", "expiresAt"];

type Standing = BTreeMap<(String, Uuid), Map<String, Value>>;

/// The records that the requests are about, as they stand, as far as the caller may see them.
fn standing(tx: &mut Tx<'_>, requests: &[Approval]) -> Result<Standing> {
    let mut wanted: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for request in requests {
        if let Some(id) = request.fields.resource_id {
            wanted.entry(&request.fields.resource).or_default().push(id);
        }
    }
    let mut standing = Standing::new();
    for (name, ids) in wanted {
        let Some(kind) = kinds::named(name) else { continue };
        let found = (kind.standing)(tx, ids)?;
        standing.extend(found.into_iter().map(|(id, members)| ((name.to_owned(), id), members)));
    }
    Ok(standing)
}

/// Would an approval by the caller be heard?
fn may_decide(tx: &Tx<'_>, request: &Approval, standing: &Standing) -> Result<bool> {
    let Some(kind) = kinds::named(&request.fields.resource) else { return Ok(false) };
    let members = request.fields.resource_id.map(|id| standing.get(&(request.fields.resource.clone(), id)));
    if members == Some(None) {
        return Ok(false);
    }
    let members = members.flatten();
    let is_fresh = check_fresh(request, members).is_ok();
    Ok(is_fresh && allowed(check_may_decide(tx, kind, request, members))?)
}

/// Was it allowed? What has failed is neither.
fn allowed(answer: Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(Error::Forbidden { .. } | Error::NeedsApproval(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
