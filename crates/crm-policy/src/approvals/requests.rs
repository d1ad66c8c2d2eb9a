//! Keeping what somebody else has to approve.

use crm_core::change::Draft;
use crm_core::gate::Action;
use crm_core::history::kinds;
use crm_core::jobs::{self, Enqueue};
use crm_core::leads::CONVERT;
use crm_core::notifications::{self, Notice};
use crm_core::proposals::{self, Proposal};
use crm_core::select::Condition;
use crm_core::users::{Role, User};
use crm_core::{Actor, Error, Id, Patch, Record, Result, Tx};
use diesel::sql_types::Integer;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::verdicts::value;
use super::{Approval, ApprovalFields, ExpiryJob, LIFE, PENDING, announce};

/// Keeps a request until somebody decides. The same request of the same person, made again, is the one that waits already.
///
/// # Errors
/// [`Error::NeedsApproval`] where what is asked for can't wait, or nobody asks who could be told apart from who approves;
/// [`Error::Contended`] where the record has changed since it was asked.
pub fn request(tx: &mut Tx<'_>, mut proposal: Proposal, body: Map<String, Value>) -> Result<Approval> {
    let (Some(requester), true) = (tx.ctx.actor.user(), can_wait(&proposal)) else {
        return Err(Error::NeedsApproval(Box::new(proposal)));
    };
    let body = Value::Object(proposal.body.take().unwrap_or(body));
    if let Some(waiting) = waiting(tx, requester, &proposal, &body)? {
        return Ok(waiting);
    }
    check_holds(tx, &proposal)?;
    let fields = ApprovalFields {
        business_unit_id: proposal.business_unit.map(Id::from),
        action: proposal.action.into(),
        resource: proposal.kind.into(),
        resource_id: proposal.id,
        resource_version: proposal.version,
        command: proposal.command.map(str::to_owned),
        changes: proposals::told(&proposal.diffs, &proposal.besides)?,
        reason: proposal.reason,
        policy_id: proposal.policies.first().map(|policy| policy.id.clone()).unwrap_or_default(),
        policies: serde_json::to_value(&proposal.policies).map_err(|error| Error::Internal(Box::new(error)))?,
        requested_by: requester,
        api_key_id: api_key(&tx.ctx.actor),
        expires_at: tx.ctx.now + LIFE,
        ..ApprovalFields::default()
    };
    let draft = Draft::<Approval>::over(tx, fields, Patch::default())?;
    let approval = tx.permit_new(draft)?.insert(tx)?;
    announce(tx, "approval.requested", &approval)?;
    tx.sql::<Integer>("UPDATE approvals SET request = {} WHERE organization_id = {org} AND id = {}")
        .with(|s| s.bind(body).bind(approval.id))
        .run(tx)?;
    let at_its_end = Enqueue { run_at: Some(approval.fields.expires_at), ..Enqueue::default() };
    jobs::enqueue(tx, &ExpiryJob::of(&approval), &at_its_end)?;
    let business_unit_id = approval.fields.business_unit_id;
    let notice =
        Notice { business_unit_id, ..Notice::about(notifications::Kind::ApprovalRequested, approval.id.uuid()) };
    notifications::tell_from(tx, Role::Manager, &notice)?;
    Ok(approval)
}

/// Is there a command that does it later, from a body alone?
fn can_wait(proposal: &Proposal) -> bool {
    if proposal.command == Some(CONVERT) {
        return kinds::named(proposal.kind).is_some_and(|kind| kind.convert.is_some());
    }
    kinds::named(proposal.kind).is_some_and(|kind| match (proposal.id, proposal.action == Action::Delete.as_str()) {
        (None, _) => kind.create.is_some(),
        (Some(_), true) => kind.delete.is_some(),
        (Some(_), false) => true,
    })
}

/// Refuses what no longer is what was asked for. From here on the record is locked, so that whoever changes it later finds the
/// request.
fn check_holds(tx: &mut Tx<'_>, proposal: &Proposal) -> Result<()> {
    let (Some(kind), Some(id)) = (kinds::named(proposal.kind), proposal.id) else { return Ok(()) };
    let standing = (kind.lock)(tx, id)?;
    match proposal.diffs.iter().all(|diff| value(&standing, &diff.field_name) == diff.old_value) {
        true => Ok(()),
        false => Err(Error::Contended("the record has changed since its change was proposed".into())),
    }
}

fn api_key(actor: &Actor) -> Option<Uuid> {
    match actor {
        Actor::ApiKey { key, .. } => Some(*key),
        _ => None,
    }
}

fn waiting(tx: &mut Tx<'_>, requester: Id<User>, proposal: &Proposal, body: &Value) -> Result<Option<Approval>> {
    let command = proposal.command;
    let is = |column: &'static str, value| Condition::Compare(column.into(), "=", value);
    let select = tx.records::<Approval>().and_all([
        is("status", PENDING.into()),
        is("requested_by", requester.into()),
        is("resource", proposal.kind.into()),
        is("action", proposal.action.into()),
        is("request", body.clone().into()),
        Condition::Compare("expires_at".into(), ">", tx.ctx.now.into()),
    ]);
    let (id, key) = (proposal.id, api_key(&tx.ctx.actor));
    let found = Approval::load(tx, select)?;
    let is_same = |one: &ApprovalFields| one.resource_id == id && one.api_key_id == key;
    Ok(found.into_iter().find(|one| is_same(&one.fields) && one.fields.command.as_deref() == command))
}
