//! The field history: who changed which field, when, from what to what, and why. Written in the change's transaction.
use chrono::{DateTime, Utc};
use diesel::sql_types::Integer;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Id, Result, Tx, change::FieldDiff, patch::Reason, users::User};

mod reading;

pub use reading::{of_entity, of_field, recent};

/// A row of the field history: one field that changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its id.
    pub id: Id<FieldChange>,
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
    /// In whose name; nobody for the program itself.
    pub changed_by: Option<ChangedBy>,
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

/// Appends one row to each field that changed.
pub(crate) fn append(
    tx: &mut Tx<'_>,
    kind: &'static str,
    id: Uuid,
    version: i64,
    diffs: &[FieldDiff],
    reason: &Reason,
) -> Result<()> {
    for diff in diffs {
        tx.sql::<Integer>(
            "INSERT INTO field_history (organization_id, id, entity_type, entity_id, entity_version, field_name, \
             old_value, new_value, actor, changed_by, reason_code, note, request_id, change_set_id, changed_at) \
             VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        )
        .with(|s| {
            s.bind(Id::<FieldChange>::new())
                .bind(kind)
                .bind(id)
                .bind(version)
                .bind(diff.field_name.as_str())
                .bind(diff.old_value.clone())
                .bind(diff.new_value.clone())
                .bind(tx.ctx.actor.kind())
                .bind(tx.ctx.actor.user())
                .bind(reason.code.as_deref())
                .bind(reason.note.as_deref())
                .bind(tx.ctx.request_id.as_str())
                .bind(tx.ctx.change_set)
                .bind(tx.ctx.now)
        })
        .run(tx)?;
    }
    Ok(())
}
