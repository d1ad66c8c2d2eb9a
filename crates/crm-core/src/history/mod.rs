//! The field history: who changed which field, when, from what to what, and why. Written in the change's transaction.
//!
//! The rows of an organization form a chain ([`verify`]): what was appended cannot be edited, removed or slipped in
//! unseen, and yet its values can be erased ([`erase`]).
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Id, Record, Result, Tx, change::FieldDiff, patch::Reason, users::User};

mod as_of;
mod canonical;
mod chain;
pub mod kinds;
mod known;
pub(crate) mod labels;
mod nightly;
mod reading;
mod reverting;
mod sealing;
mod verification;
mod visibility;

pub use as_of::{PastRecord, as_of};
use chain::Entry;
pub use nightly::HistoryVerification;
pub use reading::{of_entity, of_field, recent};
pub use reverting::{Reversion, RevertStatus, RevertedRecord, revert};
pub(crate) use sealing::{Unsealed, seal};
pub use verification::{Finding, Head, Verification, verify};
use visibility::check_manager;

/// The code of the failure that a history of no kind of record at all was asked for.
pub const UNKNOWN_ENTITY_TYPE: &str = "unknown_entity_type";
/// The code of the failure that a history of a field that the kind of record does not have was asked for.
pub const UNKNOWN_FIELD: &str = "unknown_field";

/// A row of the field history: one field that changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its id.
    pub id: Id<FieldChange>,
    /// Its place among all changes of the organization, from 1.
    pub seq: i64,
    /// What kind of record, such as `deal`.
    pub entity_type: String,
    /// Which one.
    pub entity_id: Uuid,
    /// The wire name of the field; `customFields.region` for a custom field, `deletedAt` where the record was deleted.
    pub field_name: String,
    /// What it was.
    pub old_value: Value,
    /// What it became.
    pub new_value: Value,
    /// How the record read at that moment to which the old value refers.
    pub old_label: Option<String>,
    /// How the record read at that moment to which the new value refers.
    pub new_label: Option<String>,
    /// In whose name; nobody for the program itself.
    pub changed_by: Option<ChangedBy>,
    /// Who has approved it, where somebody had to.
    pub approved_by: Option<ChangedBy>,
    /// What acted: `user`, `api_key`, `import` or `system`.
    pub actor: String,
    /// A code of the organization's list that says why.
    pub reason_code: Option<String>,
    /// Why, in words.
    pub note: Option<String>,
    /// All that one request changed bears the same one.
    pub change_set_id: Uuid,
    /// Finds the request in the log.
    pub request_id: String,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// Somebody who has changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangedBy {
    /// Their id.
    pub id: Id<User>,
    /// What people call them now.
    pub name: String,
}

/// Appends one row to each field that changed. The rows are written when the transaction ends.
pub(crate) fn append<R: Record>(
    tx: &mut Tx<'_>,
    id: Id<R>,
    version: i64,
    diffs: &[FieldDiff],
    reason: &Reason,
) -> Result<()> {
    let labels = labels::read::<R>(tx, diffs)?;
    for (diff, (old_label, new_label)) in diffs.iter().zip(labels) {
        let entry = Entry {
            id: Id::new(),
            entity_type: R::KIND.into(),
            entity_id: id.uuid(),
            entity_version: version,
            field_name: diff.field_name.clone(),
            old_value: Some(diff.old_value.clone()),
            new_value: Some(diff.new_value.clone()),
            old_label,
            new_label,
            actor: tx.ctx.actor.kind().into(),
            changed_by: tx.ctx.actor.user().map(Id::uuid),
            reason_code: reason.code.clone(),
            note: reason.note.clone(),
            request_id: tx.ctx.request_id.clone(),
            change_set_id: tx.ctx.change_set,
            changed_at: tx.ctx.now,
        };
        tx.ledger.history.push(entry);
    }
    tx.ledger.history.labels.remove(&(R::TABLE, id.uuid()));
    Ok(())
}

/// Erases what the history knows of a record: all its values and words, and what other records' rows say of it by name.
/// The rows stay, with who changed which field when, and so does the chain. Gives back how many rows were touched.
///
/// # Errors
/// What the database says.
pub fn erase(tx: &mut Tx<'_>, entity_type: &str, id: Uuid) -> Result<usize> {
    tx.check_writable()?;
    seal(tx)?;
    let own = tx
        .sql::<st::Integer>(
            "UPDATE field_history SET old_value = NULL, new_value = NULL, old_label = NULL, new_label = NULL, note = NULL, \
             old_salt = NULL, new_salt = NULL, words_salt = NULL \
             WHERE organization_id = {org} AND entity_type = {} AND entity_id = {}",
        )
        .with(|s| s.bind(entity_type).bind(id))
        .run(tx)?;
    let named = tx
        .sql::<st::Integer>(
            "UPDATE field_history SET old_label = NULL, new_label = NULL, note = NULL, words_salt = NULL \
             WHERE organization_id = {org} AND words_salt IS NOT NULL AND to_jsonb({}) IN (old_value, new_value)",
        )
        .with(|s| s.bind(id.to_string()))
        .run(tx)?;
    Ok(own + named)
}
