//! Bulk edits: one change, or the deletion, of many records at once, with a result for each of them.
//!
//! Each record is changed as by a request of its own, with the same rules, rights and history, in a savepoint: one that
//! refuses stays as it was and the others go on. One that needs somebody's approval waits for it, up to [`MOST_AT_ONCE`]. All that one request changes bears the same change set.
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Error, FieldError, Id, Kind, Patch, Reason, Result, Tx, bodies, filters,
    gate::{Action, Ask},
    page,
    proposals::{self, MOST_AT_ONCE, proposing},
    record::Record,
    select::Condition,
};

/// The most records that a request can name.
pub const MOST_IDS: usize = 1_000;
/// The most records that a request's filter can find.
pub const MOST_FOUND: usize = 10_000;

/// What a bulk edit asks for: some records, by `ids` or by `filter`, and either `set` or `delete`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BulkEdit {
    /// These records, at most 1,000.
    pub ids: Option<Vec<String>>,
    /// Those that a list with these parameters would find, at most 10,000.
    #[schema(value_type = Option<Object>, example = json!({"status": "new", "ownerId": "none"}))]
    pub filter: Option<Value>,
    /// What is set in each of them, as in a PATCH of one.
    #[schema(value_type = Option<Object>)]
    pub set: Option<Map<String, Value>>,
    /// Are they deleted?
    pub delete: bool,
}

/// What became of the records of a bulk edit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkOutcome {
    /// How many have changed.
    pub updated: usize,
    /// How many already were as they should be.
    pub unchanged: usize,
    /// How many are gone.
    pub deleted: usize,
    /// How many wait for somebody's approval, and are as they were until then.
    pub waiting: usize,
    /// How many refused, and stayed as they were.
    pub failed: usize,
    /// Each of them, in the order of the request or of the list.
    pub results: Vec<BulkResult>,
}

/// What became of one record.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// The record's id, as the request named it.
    pub id: String,
    /// What became of it.
    pub status: BulkStatus,
    /// Why it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<BulkError>,
    /// The request for approval that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Uuid>,
}

/// What can become of a record in a bulk edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkStatus {
    /// It has changed.
    Updated,
    /// It already was as it should be.
    Unchanged,
    /// It is gone.
    Deleted,
    /// It waits for somebody's approval.
    Waiting,
    /// It refused, and stayed as it was.
    Failed,
}

/// Why a record refused a bulk edit.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    /// A stable word for programs.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// The bad fields, where it was those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub errors: Vec<FieldError>,
}

/// How one record of a kind is changed and deleted.
pub struct Commands<R: Record> {
    /// Changes one.
    pub update: fn(&mut Tx<'_>, Id<R>, Patch) -> Result<R>,
    /// Deletes one.
    pub delete: fn(&mut Tx<'_>, Id<R>, &Patch) -> Result<()>,
}

/// Changes or deletes many records. The patch's members are those of [`BulkEdit`].
///
/// # Errors
/// [`Error::Forbidden`] where the caller may not change such records at all; [`Error::Malformed`] and [`Error::Invalid`]
/// for a request that makes no sense for any record. What single records refuse stands in the outcome.
pub fn edit<R: Record>(tx: &mut Tx<'_>, patch: Patch, commands: &Commands<R>) -> Result<BulkOutcome> {
    let (edit, reason) = (understand(patch.members, patch.errors)?, patch.reason);
    let action = if edit.delete { Action::Delete } else { Action::Edit };
    tx.ctx.gate.check(tx.ctx, &Ask::about(action, R::KIND))?;
    let ids = match &edit.ids {
        Some(ids) => ids.clone(),
        None => matching::<R>(tx, edit.filter.as_ref().unwrap_or(&Value::Null))?,
    };
    let versions = lock::<R>(tx, &ids)?;
    let mut outcome = BulkOutcome::default();
    for id in ids {
        let known = id.parse::<Uuid>().ok().and_then(|id| Some((id, *versions.get(&id)?)));
        let done = match known {
            Some((id, version)) => one(tx, id.into(), version, &edit, &reason, commands),
            None => Err(Error::NotFound),
        };
        outcome.add(tx, id, done)?;
    }
    Ok(outcome)
}

impl BulkOutcome {
    /// Counts what became of one record. What went wrong with the request or with us ends the whole edit.
    fn add(&mut self, tx: &mut Tx<'_>, id: String, done: Result<BulkStatus>) -> Result<()> {
        let (mut approval_id, mut done) = (None, done);
        if let Err(Error::NeedsApproval(proposal)) = done {
            done = match self.waiting < MOST_AT_ONCE && proposal.body.is_some() {
                true => proposals::keep(tx, *proposal).map(|id| {
                    approval_id = Some(id);
                    BulkStatus::Waiting
                }),
                false => Err(Error::NeedsApproval(proposal)),
            };
        }
        let (status, error) = match done {
            Ok(status) => (status, None),
            Err(error) if error.is_outage() || error.kind() == Kind::Malformed => return Err(error),
            Err(error) => (BulkStatus::Failed, Some(BulkError::from(error))),
        };
        let count = match status {
            BulkStatus::Updated => &mut self.updated,
            BulkStatus::Unchanged => &mut self.unchanged,
            BulkStatus::Deleted => &mut self.deleted,
            BulkStatus::Waiting => &mut self.waiting,
            BulkStatus::Failed => &mut self.failed,
        };
        *count += 1;
        self.results.push(BulkResult { id, status, error, approval_id });
        Ok(())
    }
}

impl From<Error> for BulkError {
    fn from(error: Error) -> Self {
        let (code, message) = (error.code().to_owned(), error.to_string());
        let errors = if let Error::Invalid(errors) = error { errors } else { Vec::new() };
        Self { code, message, errors }
    }
}

fn understand(members: Map<String, Value>, mut errors: Vec<FieldError>) -> Result<BulkEdit> {
    let given = |name: &str| members.get(name).is_some_and(|value| !value.is_null());
    let (has_ids, has_filter, has_set) = (given("ids"), given("filter"), given("set"));
    let read = bodies::read_all::<BulkEdit>(Value::Object(members))?;
    errors.extend(read.errors);
    let Some(mut edit) = read.value else { return Err(Error::Invalid(errors)) };
    let mut refuse =
        |field: &str, code: &str, message: &str| bodies::tell(&mut errors, FieldError::new(field, code, message));
    if has_ids == has_filter {
        refuse("ids", "exactly_one", "Either ids or filter must be given.");
    }
    if let Some(ids) = &mut edit.ids {
        let mut seen = HashSet::new();
        ids.iter_mut().for_each(|id| *id = id.parse().map_or_else(|_| id.clone(), |uuid: Uuid| uuid.to_string()));
        ids.retain(|id| seen.insert(id.clone()));
        if ids.is_empty() || ids.len() > MOST_IDS {
            refuse("ids", "length", &format!("Between 1 and {MOST_IDS} ids."));
        }
    }
    if (has_set && edit.set.as_ref().is_none_or(|set| !set.is_empty())) == edit.delete {
        refuse("set", "exactly_one", "Either members to set or `delete: true` must be given.");
    }
    if errors.is_empty() { Ok(edit) } else { Err(Error::Invalid(errors)) }
}

/// The records that a list with these parameters would find.
fn matching<R: Record>(tx: &mut Tx<'_>, filter: &Value) -> Result<Vec<String>> {
    let query = filters::parameters::<R>(tx, "filter", filter)?;
    if query.is_empty() {
        return Err(Error::invalid("filter", "required", "A filter without a parameter would mean every record."));
    }
    let mut ids = Vec::new();
    page::every::<R>(tx, &query, |_, records| {
        ids.extend(records.iter().map(|record| record.id().to_string()));
        if ids.len() <= MOST_FOUND {
            return Ok(());
        }
        Err(Error::invalid("filter", "too_many", format!("Finds more than {MOST_FOUND} records; narrow it down.")))
    })?;
    Ok(ids)
}

/// Locks the records that the caller may see, always in the same order, so that two bulk edits wait instead of blocking
/// each other. Gives back their versions.
fn lock<R: Record>(tx: &mut Tx<'_>, ids: &[String]) -> Result<HashMap<Uuid, i64>> {
    tx.check_writable()?;
    let ids: Vec<Uuid> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let select = tx.records::<R>().and(Condition::AnyOf("id", ids.into())).order("id", false).locked();
    Ok(R::load(tx, select)?.iter().map(|record| (record.id().uuid(), record.version())).collect())
}

fn one<R: Record>(
    tx: &mut Tx<'_>,
    id: Id<R>,
    version: i64,
    edit: &BulkEdit,
    reason: &Reason,
    commands: &Commands<R>,
) -> Result<BulkStatus> {
    let members = edit.set.clone().unwrap_or_default();
    let patch = Patch { members, reason: reason.clone(), ..Patch::default() };
    let body = patch.body();
    let done = tx.savepoint(|tx| {
        if edit.delete {
            return (commands.delete)(tx, id, &patch).map(|()| BulkStatus::Deleted);
        }
        let record = (commands.update)(tx, id, patch)?;
        Ok(if record.version() == version { BulkStatus::Unchanged } else { BulkStatus::Updated })
    });
    proposing(done, |proposal| proposal.asked(R::KIND, Some(id.uuid()), body))
}
