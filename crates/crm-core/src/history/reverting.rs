//! Undoing all that one request has changed.
use std::collections::BTreeMap;

use diesel::sql_types as st;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    canonical::canonical,
    kinds::{self, DELETED, Kind},
    seal,
    visibility::check_visible,
};
use crate::{
    Error, Patch, Reason, Record, Result, Tx,
    activities::Activity,
    bulk::BulkError,
    masks,
    proposals::{self, MOST_AT_ONCE, proposing},
    reason_codes::REVERT,
    tasks::Task,
};

/// The most records that a change set can have to be undone at once.
const MOST: usize = 10_000;

/// What goes to another business unit with its record, and back with it.
const FOLLOWERS: [&str; 2] = [Activity::KIND, Task::KIND];

/// What became of the records of a change set.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reversion {
    /// The change set of the undoing, by which it can be undone itself.
    pub change_set_id: Uuid,
    /// How many are as they were.
    pub reverted: usize,
    /// How many have been changed since, and stay.
    pub conflicts: usize,
    /// How many refused, and stay.
    pub failed: usize,
    /// How many have nothing that could be set back.
    pub skipped: usize,
    /// How many wait for somebody's approval, and stay until then.
    pub waiting: usize,
    /// Each of them that the caller may see.
    pub results: Vec<RevertedRecord>,
}

/// What became of one record.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertedRecord {
    /// What kind of record.
    pub entity_type: String,
    /// Which one.
    pub entity_id: Uuid,
    /// What became of it.
    pub status: RevertStatus,
    /// Why it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<BulkError>,
    /// The request for approval that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Uuid>,
}

/// What can become of a record whose change is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevertStatus {
    /// It is as it was.
    Reverted,
    /// A field of the set has been changed since; it stays.
    Conflict,
    /// It refused; it stays.
    Failed,
    /// It was deleted by the set, or what changed only follows from other things; it stays.
    Skipped,
    /// It waits for somebody's approval.
    Waiting,
}

/// What a change set did to one field: what it was before, and what it is after.
type Fields = BTreeMap<String, (Value, Value)>;

/// Sets back what the requests of a change set have changed, each record through its own command, with all rules, rights
/// and the reason `revert` unless the patch gives another. A record of which any field has been changed since stays as it is. One that needs somebody's
/// approval waits for it, up to [`MOST_AT_ONCE`]. What the set created is not deleted, and what it deleted is not made again. The kinds of record that other crates have are `others`.
///
/// # Errors
/// [`Error::NotFound`] for a set of which the caller sees nothing; [`Error::Conflict`] for one of more than 10,000 records.
pub fn revert(tx: &mut Tx<'_>, others: &[Kind], change_set: Uuid, patch: &Patch) -> Result<Reversion> {
    tx.check_writable()?;
    seal(tx)?;
    let code = patch.reason.code.clone().unwrap_or_else(|| REVERT.into());
    let reason = Reason { code: Some(code), note: patch.reason.note.clone() };
    let mut reversion = Reversion { change_set_id: tx.ctx.change_set, ..Reversion::default() };
    // Activities and tasks come last, since they go where their record goes.
    let (last, first): (Vec<_>, Vec<_>) = changed(tx, change_set)?
        .into_iter()
        .partition(|((entity_type, _), _)| FOLLOWERS.contains(&entity_type.as_str()));
    for ((entity_type, entity_id), fields) in first.into_iter().chain(last) {
        match check_visible(tx, &entity_type, entity_id) {
            Ok(()) => {}
            Err(Error::NotFound | Error::Forbidden { .. }) => continue,
            Err(error) => return Err(error),
        }
        let done = match kinds::among(others, &entity_type) {
            Some(kind) => tx.savepoint(|tx| one(tx, kind, entity_id, &fields, &reason)),
            None => Ok(RevertStatus::Skipped),
        };
        reversion.add(tx, entity_type, entity_id, done)?;
    }
    if reversion.results.is_empty() { Err(Error::NotFound) } else { Ok(reversion) }
}

impl Reversion {
    fn add(
        &mut self,
        tx: &mut Tx<'_>,
        entity_type: String,
        entity_id: Uuid,
        mut done: Result<RevertStatus>,
    ) -> Result<()> {
        let mut approval_id = None;
        if let Err(Error::NeedsApproval(proposal)) = done {
            done = match self.waiting < MOST_AT_ONCE && proposal.body.is_some() {
                true => proposals::keep(tx, *proposal).map(|id| {
                    approval_id = Some(id);
                    RevertStatus::Waiting
                }),
                false => Err(Error::NeedsApproval(proposal)),
            };
        }
        let (status, error) = match done {
            Ok(status) => (status, None),
            Err(error) if error.is_outage() => return Err(error),
            Err(error @ Error::NotFound) => (RevertStatus::Conflict, Some(error.into())),
            Err(error) => (RevertStatus::Failed, Some(error.into())),
        };
        let count = match status {
            RevertStatus::Reverted => &mut self.reverted,
            RevertStatus::Conflict => &mut self.conflicts,
            RevertStatus::Failed => &mut self.failed,
            RevertStatus::Skipped => &mut self.skipped,
            RevertStatus::Waiting => &mut self.waiting,
        };
        *count += 1;
        self.results.push(RevertedRecord { entity_type, entity_id, status, error, approval_id });
        Ok(())
    }
}

/// What a change set did, by record, in an order that two requests share. Values that have been erased are left out.
fn changed(tx: &mut Tx<'_>, change_set: Uuid) -> Result<BTreeMap<(String, Uuid), Fields>> {
    let rows = tx
        .sql::<(st::Text, st::Uuid, st::Text, st::Nullable<st::Jsonb>, st::Nullable<st::Jsonb>)>(
            "SELECT entity_type, entity_id, field_name, old_value, new_value FROM field_history \
             WHERE organization_id = {org} AND change_set_id = {} AND old_salt IS NOT NULL AND new_salt IS NOT NULL \
             ORDER BY seq",
        )
        .with(|s| s.bind(change_set))
        .all::<(String, Uuid, String, Option<Value>, Option<Value>)>(tx)?;
    let mut records: BTreeMap<(String, Uuid), Fields> = BTreeMap::new();
    for (entity_type, entity_id, field, old, new) in rows {
        let fields = records.entry((entity_type, entity_id)).or_default();
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        fields.entry(field).and_modify(|known| known.1 = new.clone()).or_insert((old, new));
    }
    if records.len() <= MOST {
        return Ok(records);
    }
    let detail = format!("The change set has {} records, and at most {MOST} can be undone at once.", records.len());
    Err(Error::Conflict { code: "too_many", detail })
}

fn one(tx: &mut Tx<'_>, kind: &Kind, id: Uuid, fields: &Fields, reason: &Reason) -> Result<RevertStatus> {
    if fields.contains_key(DELETED) {
        return Ok(RevertStatus::Skipped);
    }
    let settable = |name: &str| {
        let base = name.split_once('.').map_or(name, |(base, _)| base);
        kind.fields.iter().any(|field| field.name == base && !field.read_only)
    };
    let fields: Vec<_> = fields.iter().filter(|(name, (old, new))| settable(name) && old != new).collect();
    if fields.is_empty() {
        return Ok(RevertStatus::Skipped);
    }
    // Whether a hidden field has changed since is nobody's business who does not see it.
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    masks::check_uses(tx.ctx, kind.name, &names)?;
    let current = (kind.lock)(tx, id)?;
    let still = |name: &str, new: &Value| canonical(held(&current, name)) == canonical(new);
    let has_followed = |(name, (old, _)): &(&String, &(Value, Value))| *name == "businessUnitId" && still(name, old);
    if FOLLOWERS.contains(&kind.name) && fields.iter().all(has_followed) {
        return Ok(RevertStatus::Skipped);
    }
    if !fields.iter().all(|(name, (_, new))| still(name, new)) {
        return Ok(RevertStatus::Conflict);
    }
    let mut members = Map::new();
    for (name, (old, _)) in fields {
        match name.split_once('.') {
            Some((base, key)) => {
                members.entry(base).or_insert_with(|| Value::Object(Map::new()))[key] = old.clone();
            }
            None => drop(members.insert(name.clone(), old.clone())),
        }
    }
    let patch = Patch { members, reason: reason.clone(), ..Patch::default() };
    let body = patch.body();
    proposing((kind.update)(tx, id, patch), |proposal| proposal.asked(kind.name, Some(id), body))?;
    Ok(RevertStatus::Reverted)
}

/// What a record holds in a field, custom fields by their key.
fn held<'r>(record: &'r Map<String, Value>, name: &str) -> &'r Value {
    let (base, key) = name.split_once('.').map_or((name, None), |(base, key)| (base, Some(key)));
    let value = record.get(base).unwrap_or(&Value::Null);
    key.map_or(value, |key| value.get(key).unwrap_or(&Value::Null))
}
