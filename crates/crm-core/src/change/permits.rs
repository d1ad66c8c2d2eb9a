//! Asking the gate: only what it hands back can be written.
use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Change, Draft, FieldDiff, diff};
use crate::{
    Error, Id, Result, Tx, events,
    gate::{Action, Ask},
    history,
    history::kinds::DELETED,
    notifications,
    patch::{self, Patch},
    proposals::Proposal,
    reason_codes,
    record::Record,
    text,
};

/// A change that the gate has allowed. There is no other way to make one.
#[must_use = "a permitted change is not written yet"]
pub struct Permitted<R: Record>(Change<R>);

/// A permitted change that is being written.
pub struct Saving<'a, R: Record>(&'a Change<R>);

impl<R: Record> Deref for Saving<'_, R> {
    type Target = Change<R>;
    fn deref(&self) -> &Change<R> {
        self.0
    }
}

/// A draft that the gate has allowed.
#[must_use = "a permitted draft is not written yet"]
pub struct PermittedDraft<R: Record>(Draft<R>);

/// A permitted draft that is being written.
pub struct New<'a, R: Record>(&'a Draft<R>);

impl<R: Record> New<'_, R> {
    /// The id of the new row.
    pub fn id(&self) -> Id<R> {
        self.0.id
    }

    /// Its fields.
    pub fn fields(&self) -> &R::Fields {
        &self.0.fields
    }

    /// When it came to be.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// What `q=` will look through.
    pub fn search_text(&self) -> String {
        text::fold(&R::search_text(&self.0.fields))
    }
}

impl Tx<'_> {
    /// Asks the gate about a change, then tells what is wrong with it.
    ///
    /// # Errors
    /// In this order: [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`] with every bad field,
    /// [`Error::NeedsApproval`].
    pub fn permit<R: Record>(&mut self, mut change: Change<R>) -> Result<Permitted<R>> {
        self.check_writable()?;
        let (before, after) = (patch::object(change.before.fields())?, patch::object(&change.after)?);
        let mut waits = None;
        for action in R::asks(&change) {
            let (before, after) = (Some(&before), Some(&after));
            let ask = Ask { action, kind: R::KIND, before, after, diffs: &change.diffs, given: &change.given };
            note(self.ctx.gate.check(self.ctx, &ask), &mut waits)?;
        }
        let version = change.before.version();
        if change.expected.is_some_and(|expected| expected != version) {
            return Err(Error::Stale { version });
        }
        change.errors.extend(reason_codes::check::<R>(self, &change.diffs, &change.reason)?);
        if !change.errors.is_empty() {
            return Err(Error::Invalid(change.errors));
        }
        propose(waits, change.before.id(), version)?;
        Ok(Permitted(change))
    }

    /// Asks the gate about a new record, then tells what is wrong with it.
    ///
    /// # Errors
    /// In this order: [`Error::Forbidden`], [`Error::Invalid`] with every bad field, [`Error::NeedsApproval`].
    pub fn permit_new<R: Record>(&self, mut draft: Draft<R>) -> Result<PermittedDraft<R>> {
        self.check_writable()?;
        self.check_draft(Action::Create, &mut draft)?;
        match draft.waits.take() {
            _ if !draft.errors.is_empty() => Err(Error::Invalid(draft.errors)),
            Some(proposal) => Err(Error::NeedsApproval(proposal)),
            None => Ok(PermittedDraft(draft)),
        }
    }

    /// Asks the gate about an action that goes with a new record, such as closing a deal that arrives closed. Where it has
    /// to be approved, so has the record.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub(crate) fn check_draft<R: Record>(&self, action: Action, draft: &mut Draft<R>) -> Result<()> {
        let after = patch::object(&draft.fields)?;
        let diffs = made::<R>(after.clone())?;
        let ask = Ask { action, kind: R::KIND, before: None, after: Some(&after), diffs: &diffs, given: &draft.given };
        let answer = self.ctx.gate.check(self.ctx, &ask);
        note(answer, &mut draft.waits)
    }

    /// Asks whether a record may be deleted, then tells what is wrong with that.
    ///
    /// # Errors
    /// In this order: [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`], [`Error::NeedsApproval`].
    pub(crate) fn check_deletion<R: Record>(&mut self, record: &R, patch: &Patch) -> Result<()> {
        let before = patch::object(record.fields())?;
        let diffs = lost::<R>(&before);
        let ask = Ask { before: Some(&before), diffs: &diffs, ..Ask::about(Action::Delete, R::KIND) };
        let mut waits = None;
        note(self.ctx.gate.check(self.ctx, &ask), &mut waits)?;
        if patch.expected.is_some_and(|expected| expected != record.version()) {
            return Err(Error::Stale { version: record.version() });
        }
        reason_codes::demand::<R>(self, &deletion(self.ctx.now), &patch.reason)?;
        propose(waits, record.id(), record.version())
    }

    /// Deletes a record; what it held goes to the field history, so that it can be told what it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::NeedsApproval`], and [`Error::Conflict`] where others refer to it.
    pub fn delete<R: Record>(&mut self, id: Id<R>, patch: &Patch) -> Result<R> {
        let record = self.lock(id)?;
        self.check_deletion(&record, patch)?;
        let before = patch::object(record.fields())?;
        let text = format!("DELETE FROM {} WHERE organization_id = {{org}} AND id = {{}}", R::TABLE);
        self.sql_text::<diesel::sql_types::Integer>(text).with(|s| s.bind(id)).run(self)?;
        let nothing = before.keys().map(|name| (name.clone(), Value::Null)).collect();
        let mut diffs = diff::<R>(before, nothing);
        let created_at = patch::object(&record)?.shift_remove("createdAt").unwrap_or_default();
        diffs.push(FieldDiff { field_name: "createdAt".into(), old_value: created_at, new_value: Value::Null });
        diffs.push(deletion(self.ctx.now));
        history::append(self, id, record.version() + 1, &diffs, &patch.reason)?;
        events::deleted(self, &record)?;
        Ok(record)
    }
}

impl<R: Record> Permitted<R> {
    /// Writes the row and its field history. A change of nothing writes nothing. Where the record goes to another
    /// business unit, what is about it goes with it ([`Record::moved`]).
    ///
    /// # Errors
    /// What the database says.
    pub fn save(self, tx: &mut Tx<'_>) -> Result<R> {
        let Self(change) = self;
        if change.diffs.is_empty() {
            return Ok(change.before);
        }
        let after = R::store(tx, &Saving(&change))?;
        history::append(tx, after.id(), after.version(), &change.diffs, &change.reason)?;
        events::changed(tx, &change, &after)?;
        notifications::reassigned(tx, &change, &after)?;
        if let Some(moved) = change.diffs.iter().find(|diff| diff.field_name == "businessUnitId") {
            R::moved(tx, vec![after.id().uuid()], &moved.new_value, &change.reason)?;
        }
        Ok(after)
    }
}

impl<R: Record> PermittedDraft<R> {
    /// Writes the row, and tells of it.
    ///
    /// # Errors
    /// What the database says.
    pub fn insert(self, tx: &mut Tx<'_>) -> Result<R> {
        let record = R::insert(tx, &New(&self.0))?;
        events::created(tx, &record)?;
        notifications::assigned(tx, &record)?;
        Ok(record)
    }
}

/// A deletion, as it stands in the history.
fn deletion(now: DateTime<Utc>) -> FieldDiff {
    let now = serde_json::to_value(now).unwrap_or_default();
    FieldDiff { field_name: DELETED.into(), old_value: Value::Null, new_value: now }
}

/// What a new record would hold other than any new record: what somebody who approves it has to know.
fn made<R: Record>(after: Map<String, Value>) -> Result<Vec<FieldDiff>> {
    let mut diffs = diff::<R>(patch::object(&R::Fields::default())?, after);
    diffs.retain(|diff| is_settable::<R>(&diff.field_name));
    diffs.iter_mut().for_each(|diff| diff.old_value = Value::Null);
    Ok(diffs)
}

/// What would be lost with a record.
fn lost<R: Record>(before: &Map<String, Value>) -> Vec<FieldDiff> {
    let nothing = before.keys().map(|name| (name.clone(), Value::Null)).collect();
    let mut diffs = diff::<R>(before.clone(), nothing);
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        value => *value == Value::Bool(false),
    };
    diffs.retain(|diff| is_settable::<R>(&diff.field_name) && !is_empty(&diff.old_value));
    diffs
}

fn is_settable<R: Record>(name: &str) -> bool {
    let whole = name.split_once('.').map_or(name, |(whole, _)| whole);
    R::field(whole).is_some_and(|field| !field.read_only)
}

/// Keeps what has to be approved, with every policy that says so; a refusal comes before all of them.
pub(crate) fn note(answer: Result<()>, waits: &mut Option<Box<Proposal>>) -> Result<()> {
    match answer {
        Err(Error::NeedsApproval(proposal)) => {
            match waits {
                Some(first) => first.join(*proposal),
                None => *waits = Some(proposal),
            }
            Ok(())
        }
        answer => answer,
    }
}

/// Stops what has to be approved first, when nothing else stands against it.
pub(crate) fn propose<R>(waits: Option<Box<Proposal>>, id: Id<R>, version: i64) -> Result<()> {
    waits.map_or(Ok(()), |proposal| Err(Error::NeedsApproval(Box::new(proposal.about(id.uuid(), version)))))
}
