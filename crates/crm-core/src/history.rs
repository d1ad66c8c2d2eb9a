//! The field history: who changed which field, when, from what to what, and why. Written in the change's transaction.
use diesel::sql_types::Integer;
use uuid::Uuid;

use crate::{Id, Result, Tx, change::FieldDiff, patch::Reason};

/// A row of the field history.
#[derive(Debug)]
pub enum FieldChange {}

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
