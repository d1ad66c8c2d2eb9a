//! Deciding a request: who may, whether it still holds, and doing it.

use std::sync::Arc;

use crm_core::change::Change;
use crm_core::deals::reviews;
use crm_core::gate::{APPROVER_NEEDS_APPROVAL, APPROVER_NOT_ALLOWED, Action, Approved, Ask, check_approver};
use crm_core::history::kinds::{self, Kind};
use crm_core::imports;
use crm_core::leads::CONVERT;
use crm_core::notifications::{self, Notice};
use crm_core::proposals;
use crm_core::users::User;
use crm_core::{Actor, Ctx, Error, Id, Patch, Result, Tx, sessions};
use diesel::sql_types::Jsonb;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Approval, ApprovalFields, CANCELLED, EXPIRED, PENDING, announce, check_visible};

/// Approves a request and does what it asks for, as its requester would do it now.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] `own_request`, `person_required`, or where the caller may not do it either, or would
/// need an approval too without being an ADMIN; [`Error::Conflict`]
/// `already_decided`, `expired`, `stale`, `cancelled` where the requester may no longer do it, and `failed` where a rule
/// stands against it; [`Error::Stale`].
pub fn approve(tx: &mut Tx<'_>, id: Id<Approval>, patch: Patch) -> Result<Approval> {
    let (approval, approver, kind) = open(tx, id)?;
    let requester = sessions::in_name_of(tx, &requester(&approval)).map_err(cancelled)?;
    let gate = Arc::new(Approved { gate: Arc::clone(&requester.gate), by: tx.ctx.clone() });
    let requester = Ctx { gate, ..requester };
    let found = tx.acting(&requester, |tx| standing(tx, kind, &approval)).map_err(gone)?;
    check_fresh(&approval, found.as_ref())?;
    standing(tx, kind, &approval)?;
    check_may_decide(tx, kind, &approval, found.as_ref())?;
    let made = tx.acting(&requester, |tx| execute(tx, kind, &approval)).map_err(undone)?;
    let change_set = tx.ctx.change_set;
    decide(tx, approval, patch, EXECUTED, |fields| {
        fields.decided_by = Some(approver);
        fields.resource_id = fields.resource_id.or(made);
        fields.change_set_id = Some(change_set);
    })
}

/// Rejects a request: it is over, and nothing is done.
///
/// # Errors
/// As [`approve`], but for what only doing it can meet.
pub fn reject(tx: &mut Tx<'_>, id: Id<Approval>, patch: Patch) -> Result<Approval> {
    let (approval, decider, kind) = open(tx, id)?;
    let standing = match standing(tx, kind, &approval) {
        Err(Error::NotFound) => None,
        found => found?,
    };
    check_may_decide(tx, kind, &approval, standing.as_ref())?;
    decide(tx, approval, patch, "rejected", |fields| fields.decided_by = Some(decider))
}

/// Takes a request of one's own back.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] `not_own_request`; [`Error::Conflict`] `already_decided`, `expired`;
/// [`Error::Stale`].
pub fn cancel(tx: &mut Tx<'_>, id: Id<Approval>, patch: Patch) -> Result<Approval> {
    let approval: Approval = tx.lock(id)?;
    check_visible(tx.ctx, &approval)?;
    if tx.ctx.actor.user() != Some(approval.fields.requested_by) {
        return Err(forbidden("not_own_request", "Who asked takes a request back; somebody else rejects it."));
    }
    check_pending(tx, &approval)?;
    decide(tx, approval, patch, CANCELLED, |_| {})
}

/// What became of a request that could not be done, if the error says so: what [`close`] notes.
pub fn ending(error: &Error) -> Option<&'static str> {
    let Error::Conflict { code, .. } = error else { return None };
    [EXPIRED, STALE, "failed", CANCELLED].into_iter().find(|ending| ending == code)
}

/// Notes how a request ended that could not be done. What failed with it is undone by then.
///
/// # Errors
/// What the database says.
pub fn close(tx: &mut Tx<'_>, id: Id<Approval>, ending: &str, error: &Error) -> Result<()> {
    let approval: Approval = tx.lock(id)?;
    if approval.fields.status != PENDING {
        return Ok(());
    }
    let failure = error.to_string();
    decide(tx, approval, Patch::default(), ending, |fields| fields.failure = Some(failure)).map(drop)
}

/// A request that can be decided, locked, with who decides.
fn open(tx: &mut Tx<'_>, id: Id<Approval>) -> Result<(Approval, Id<User>, &'static Kind)> {
    let approval: Approval = tx.lock(id)?;
    check_visible(tx.ctx, &approval)?;
    let Actor::User(decider) = tx.ctx.actor else {
        return Err(forbidden("person_required", "A person has to decide, signed in and not by a key of theirs."));
    };
    if decider == approval.fields.requested_by {
        return Err(forbidden("own_request", "Nobody decides a request of their own; somebody else has to."));
    }
    check_pending(tx, &approval)?;
    let kind = kinds::named(&approval.fields.resource);
    let kind = kind.ok_or_else(|| Error::internal("an approval of an unknown kind"))?;
    Ok((approval, decider, kind))
}

fn check_pending(tx: &Tx<'_>, approval: &Approval) -> Result<()> {
    let Approval { fields, .. } = approval;
    // What ended by itself says how, as it would have to whoever had decided just then.
    match (fields.status.as_str(), &fields.failure) {
        (PENDING, _) if fields.expires_at <= tx.ctx.now => Err(over()),
        (PENDING, _) => Ok(()),
        (EXPIRED, _) => Err(over()),
        (STALE, _) => Err(stale()),
        (CANCELLED, Some(why)) => Err(Error::Conflict { code: CANCELLED, detail: why.clone() }),
        (ended, _) => {
            let detail = format!("The request is {ended} already.");
            Err(Error::Conflict { code: "already_decided", detail })
        }
    }
}

/// In whose name a request is done: the key's where a key has asked, with what the key may today.
fn requester(approval: &Approval) -> Actor {
    let user = approval.fields.requested_by;
    approval.fields.api_key_id.map_or(Actor::User(user), |key| Actor::ApiKey { key, user })
}

/// The record's fields as they stand, locked; none for a record that is still to be made.
fn standing(tx: &mut Tx<'_>, kind: &Kind, approval: &Approval) -> Result<Option<Map<String, Value>>> {
    approval.fields.resource_id.map(|id| (kind.lock)(tx, id)).transpose()
}

/// Refuses what was asked of a record that has changed in one of those fields since.
pub(super) fn check_fresh(approval: &Approval, standing: Option<&Map<String, Value>>) -> Result<()> {
    let Some(standing) = standing else { return Ok(()) };
    let fresh = changes(approval).all(|(name, old, _)| value(standing, name) == *old);
    if fresh { Ok(()) } else { Err(stale()) }
}

/// May who decides do it too, without an approval of their own?
pub(super) fn check_may_decide(
    tx: &Tx<'_>,
    kind: &Kind,
    approval: &Approval,
    standing: Option<&Map<String, Value>>,
) -> Result<()> {
    let action = Action::named(&approval.fields.action).ok_or_else(|| Error::internal("an approval of no action"))?;
    let mut after = standing.cloned().unwrap_or_default();
    let mut given = Vec::new();
    let told = |name: &str| name.starts_with(reviews::MEMBER);
    for (name, _, new) in changes(approval).filter(|(name, ..)| action != Action::Delete && !told(name)) {
        set(&mut after, name, new.clone());
        given.extend(name.split_once('.').map(|(whole, _)| whole.to_owned()));
        given.push(name.to_owned());
    }
    let after = (action != Action::Delete).then_some(&after);
    let ask = Ask { before: standing, after, given: &given, ..Ask::about(action, kind.name) };
    check_approver(tx.ctx, &ask)
}

/// Does what was asked for, through the record's own commands. Gives back the id of a new record.
fn execute(tx: &mut Tx<'_>, kind: &Kind, approval: &Approval) -> Result<Option<Uuid>> {
    let request = tx.sql::<Jsonb>("SELECT request FROM approvals WHERE organization_id = {org} AND id = {}");
    let request = request.with(|s| s.bind(approval.id)).one::<Value>(tx)?;
    let Value::Object(members) = request else { return Err(Error::internal("a request is an object")) };
    let patch = Patch::new(members)?;
    let missing = || Error::internal("an approval of what cannot be done");
    if let (Some(id), Some(CONVERT)) = (approval.fields.resource_id, approval.fields.command.as_deref()) {
        let (diffs, besides) = (kind.convert.ok_or_else(missing)?)(tx, id, patch)?;
        let is_as_asked = proposals::told(&diffs, &besides)? == approval.fields.changes;
        return if is_as_asked { Ok(None) } else { Err(stale()) };
    }
    match (approval.fields.resource_id, approval.fields.action == Action::Delete.as_str()) {
        (None, _) => (kind.create.ok_or_else(missing)?)(tx, patch).map(Some),
        (Some(id), true) => (kind.delete.ok_or_else(missing)?)(tx, id, &patch).map(|()| None),
        (Some(id), false) => (kind.update)(tx, id, patch).map(|()| None),
    }
}

/// Ends a request that waits.
pub(super) fn decide(
    tx: &mut Tx<'_>,
    approval: Approval,
    patch: Patch,
    status: &str,
    set: impl FnOnce(&mut ApprovalFields),
) -> Result<Approval> {
    let now = tx.ctx.now;
    let requester = approval.fields.requested_by;
    if tx.ctx.actor.user() != Some(requester) {
        let notice = Notice::about(notifications::Kind::ApprovalDecided, approval.id.uuid());
        notifications::tell(tx, requester, &notice)?;
    }
    let mut change = Change::new(tx, approval, patch)?;
    change.amend(|fields| {
        fields.status = status.into();
        fields.decided_at = Some(now);
        set(fields);
    })?;
    let is_new = change.before().fields.resource_id.is_none();
    let approval = tx.permit(change)?.save(tx)?;
    let landed = approval.fields.resource_id.filter(|_| status == EXECUTED).map(|id| (id, is_new)).ok_or(status);
    imports::approvals::decided(tx, approval.id.uuid(), landed)?;
    announce(tx, "approval.decided", &approval)?;
    Ok(approval)
}

/// How a request ended that was approved.
const EXECUTED: &str = "executed";

/// Name, old and new value of each field of the record itself that would change.
pub(super) fn changes(approval: &Approval) -> impl Iterator<Item = (&str, &Value, &Value)> {
    let changes = approval.fields.changes.as_array().into_iter().flatten();
    let changes = changes.filter(|change| change.get("resource").is_none());
    changes.filter_map(|change| Some((change["fieldName"].as_str()?, &change["oldValue"], &change["newValue"])))
}

/// The value of a field, of a custom field by its key.
pub(super) fn value(members: &Map<String, Value>, name: &str) -> Value {
    let value = match name.split_once('.') {
        Some((object, key)) => members.get(object).and_then(|object| object.get(key)),
        None => members.get(name),
    };
    value.cloned().unwrap_or_default()
}

fn set(members: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        Some((object, key)) => {
            let object = members.entry(object).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(object) = object {
                object.insert(key.to_owned(), value);
            }
        }
        None => drop(members.insert(name.to_owned(), value)),
    }
}

fn forbidden(code: &'static str, reason: &str) -> Error {
    Error::Forbidden { code, reason: reason.into() }
}

/// What is said of a request that was not decided in time.
pub(super) fn over() -> Error {
    Error::Conflict { code: EXPIRED, detail: "The request was not decided in time; it can be made again.".into() }
}

/// Why the record that was asked about cannot be had.
fn gone(error: Error) -> Error {
    match error {
        Error::NotFound => stale(),
        error => error,
    }
}

/// Why it could not be done.
fn undone(error: Error) -> Error {
    match error {
        Error::Forbidden { code: APPROVER_NOT_ALLOWED | APPROVER_NEEDS_APPROVAL, .. } => error,
        Error::Conflict { code: STALE, .. } => error,
        error if error.is_outage() => error,
        Error::Forbidden { .. } | Error::NotFound => cancelled(error),
        error => Error::Conflict { code: "failed", detail: error.to_string() },
    }
}

/// How a request ended of which the record has changed meanwhile.
pub(super) const STALE: &str = "stale";

pub(super) fn stale() -> Error {
    let detail = "Somebody has changed the record meanwhile, so that this is no longer what was asked for.".into();
    Error::Conflict { code: STALE, detail }
}

fn cancelled(error: Error) -> Error {
    match error {
        error if error.is_outage() => error,
        error => Error::Conflict { code: CANCELLED, detail: format!("Who asked may no longer do it: {error}") },
    }
}
