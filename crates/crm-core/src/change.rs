//! A change is computed, judged and recorded once, for every kind of record.
//!
//! A request becomes a [`Change`] (or a [`Draft`] of a new record): merged, validated, compared. Rules may amend it or
//! refuse it. Then [`Tx::permit`] asks the gate about the differences, and only what it hands back can be written, the
//! row and its field history together. The order of refusals is: not allowed, stale, bad fields.
mod permits;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::permits::{New, Permitted, PermittedDraft, Saving};
pub(crate) use self::permits::{note, propose};
pub use crate::patch::Reason;
use crate::{
    Id, Result, Tx, bodies, custom_fields,
    error::FieldError,
    gate::{self, Action, Ask},
    patch::{self, Patch},
    proposals::Proposal,
    reason_codes,
    record::{FieldKind, Record},
    references, text,
};

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDiff {
    /// The wire name, `customFields.region` for a custom field.
    pub field_name: String,
    /// What it was.
    pub old_value: Value,
    /// What it becomes.
    pub new_value: Value,
}

/// A change of one record, before anybody has allowed it.
pub struct Change<R: Record> {
    before: R,
    after: R::Fields,
    diffs: Vec<FieldDiff>,
    errors: Vec<FieldError>,
    given: Vec<String>,
    reason: Reason,
    expected: Option<i64>,
}

impl<R: Record> Change<R> {
    /// Merges a patch over a locked record, validates every field, and looks up what it refers to.
    ///
    /// # Errors
    /// [`crate::Error::Forbidden`] where the caller may not change such records at all, [`crate::Error::Malformed`] for a member that
    /// does not exist. Bad fields are kept and told by [`Tx::permit`], after the questions that come before them.
    pub fn new(tx: &mut Tx<'_>, before: R, patch: Patch) -> Result<Self> {
        gate::check_any::<R>(tx.ctx)?;
        let given = patch.given();
        let mut merged = patch::merge::<R>(before.fields(), patch.members)?;
        merged.errors.extend(patch.errors);
        let mut change = Self {
            diffs: Vec::new(),
            given,
            after: merged.fields,
            errors: merged.errors,
            reason: patch.reason,
            expected: patch.expected,
            before,
        };
        change.compare()?;
        patch::validate::<R>(&change.after, &mut change.errors)?;
        references::check::<R>(tx, &change.diffs, &mut change.errors)?;
        custom_fields::check::<R>(tx, &change.after, &change.diffs, false, &mut change.errors)?;
        Ok(change)
    }

    /// Lets a rule set what follows from the change; the gate and the history see it too.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] where the fields are no JSON object.
    pub fn amend(&mut self, set: impl FnOnce(&mut R::Fields)) -> Result<()> {
        set(&mut self.after);
        self.compare()
    }

    /// Lets a rule refuse a field. It is told together with all other bad fields, unless it has been told already.
    pub fn refuse(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.refuse_all([FieldError::new(field, code, message)]);
    }

    /// Tells bad members that a rule of its own has found, together with all others.
    pub fn refuse_all(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        errors.into_iter().for_each(|error| bodies::tell(&mut self.errors, error));
    }

    /// The record as it stands.
    pub fn before(&self) -> &R {
        &self.before
    }

    /// The fields as they would be.
    pub fn after(&self) -> &R::Fields {
        &self.after
    }

    /// What would differ.
    pub fn diffs(&self) -> &[FieldDiff] {
        &self.diffs
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Would this field differ?
    pub fn touches(&self, field: &str) -> bool {
        self.diffs.iter().any(|d| d.field_name == field)
    }

    /// What `q=` will look through.
    #[doc(hidden)]
    pub fn search_text(&self) -> String {
        text::fold(&R::search_text(&self.after))
    }

    fn compare(&mut self) -> Result<()> {
        self.diffs = diff::<R>(patch::object(self.before.fields())?, patch::object(&self.after)?);
        Ok(())
    }
}

/// A new record, before anybody has allowed it.
pub struct Draft<R: Record> {
    id: Id<R>,
    fields: R::Fields,
    given: Vec<String>,
    waits: Option<Box<Proposal>>,
    errors: Vec<FieldError>,
    created_at: DateTime<Utc>,
}

impl<R: Record> Draft<R> {
    /// A patch over nothing: validated, with what it refers to looked up, in the caller's own business unit where it
    /// names none and the caller works in one alone.
    ///
    /// # Errors
    /// As [`Change::new`].
    pub fn new(tx: &mut Tx<'_>, patch: Patch) -> Result<Self> {
        Self::over(tx, R::Fields::default(), patch)
    }

    /// As [`Draft::new`], over fields that are already set.
    ///
    /// # Errors
    /// As [`Change::new`].
    pub fn over(tx: &mut Tx<'_>, base: R::Fields, mut patch: Patch) -> Result<Self> {
        tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Create, R::KIND))?;
        if let (true, Some(unit)) = (R::IN_UNITS, tx.ctx.scope.home()) {
            patch = patch.or("businessUnitId", unit.to_string());
        }
        let before = patch::object(&base)?;
        let given = patch.given();
        let merged = patch::merge::<R>(&base, patch.members)?;
        let (fields, mut errors) = (merged.fields, merged.errors);
        errors.extend(patch.errors);
        let diffs = diff::<R>(before, patch::object(&fields)?);
        patch::validate::<R>(&fields, &mut errors)?;
        references::check::<R>(tx, &diffs, &mut errors)?;
        custom_fields::check::<R>(tx, &fields, &diffs, true, &mut errors)?;
        errors.extend(reason_codes::check_code::<R>(tx, &diffs, &patch.reason)?);
        let mut draft = Self { id: Id::new(), fields, given, waits: None, errors, created_at: tx.ctx.now };
        R::check_new(tx, &mut draft)?;
        Ok(draft)
    }

    /// The id that it will have.
    pub fn id(&self) -> Id<R> {
        self.id
    }

    /// The fields.
    pub fn fields(&self) -> &R::Fields {
        &self.fields
    }

    /// Lets a rule set what follows.
    pub fn amend(&mut self, set: impl FnOnce(&mut R::Fields)) {
        set(&mut self.fields);
    }

    /// Lets a rule refuse a field, told together with all others, unless it has been told already.
    pub fn refuse(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.refuse_all([FieldError::new(field, code, message)]);
    }

    /// Tells bad members that a rule of its own has found, together with all others.
    pub fn refuse_all(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        errors.into_iter().for_each(|error| bodies::tell(&mut self.errors, error));
    }

    /// What has been refused so far.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Takes back what was said against a field that a rule has filled in.
    pub fn forgive(&mut self, field: &str) {
        self.errors.retain(|e| e.field != field);
    }

    /// Gives it an id of the caller's choice: an organization is named before its first row.
    pub(crate) fn named(&mut self, id: Id<R>) {
        self.id = id;
    }

    /// When it came to be, for the past that a migration tells.
    pub fn created_at(&mut self, at: DateTime<Utc>) {
        self.created_at = at;
    }
}

/// Compares two objects of fields, custom fields key by key.
fn diff<R: Record>(mut old: Map<String, Value>, new: Map<String, Value>) -> Vec<FieldDiff> {
    let mut diffs = Vec::new();
    for (name, new_value) in new {
        let old_value = old.shift_remove(&name).unwrap_or(Value::Null);
        if old_value == new_value {
            continue;
        }
        if R::field(&name).is_some_and(|f| f.kind == FieldKind::Custom) {
            custom_fields::diff(&name, old_value, new_value, &mut diffs);
        } else {
            diffs.push(FieldDiff { field_name: name, old_value, new_value });
        }
    }
    diffs
}

/// Creates a record that has no rules beyond its fields and [`Record::check_new`].
///
/// # Errors
/// As [`Draft::new`] and [`Tx::permit_new`].
pub fn create<R: Record>(tx: &mut Tx<'_>, patch: Patch) -> Result<R> {
    let draft = Draft::new(tx, patch)?;
    tx.permit_new(draft)?.insert(tx)
}

/// Changes a record that has no rules beyond its fields.
///
/// # Errors
/// [`crate::Error::NotFound`], then as [`Change::new`] and [`Tx::permit`].
pub fn update<R: Record>(tx: &mut Tx<'_>, id: Id<R>, patch: Patch) -> Result<R> {
    let record = tx.lock(id)?;
    let change = Change::new(tx, record, patch)?;
    tx.permit(change)?.save(tx)
}
