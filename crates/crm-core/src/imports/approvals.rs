//! What becomes of a row that waited for an approval: it counts where it belongs once somebody has decided.
use diesel::sql_types as st;
use serde_json::json;
use uuid::Uuid;

use super::Import;
use crate::{Id, Result, Tx};

/// Notes that a request for approval is over, for the row that waited for it if one did: with the record that it landed as and
/// whether that is new, or with the word for how the request ended.
///
/// # Errors
/// What the database says.
pub fn decided(tx: &mut Tx<'_>, approval: Uuid, ended: Result<(Uuid, bool), &str>) -> Result<()> {
    let (outcome, landed, errors) = match ended {
        // A new record is at its first version, by which it can be taken back.
        Ok((id, true)) => ("created", Some((id, 1_i64)), None),
        Ok((id, false)) => ("updated", Some((id, 0)), None),
        Err(status) => {
            let message = format!("Waited for an approval, and that request is {status}.");
            ("failed", None, Some(json!([{"field": null, "code": format!("approval_{status}"), "message": message}])))
        }
    };
    let rows = tx.sql::<st::Uuid>(
        "UPDATE import_rows SET outcome = {}, entity_id = {}, version_after = nullif({}, 0), errors = {}, warnings = NULL \
         WHERE organization_id = {org} AND approval_id = {} AND outcome = 'waiting' RETURNING import_id",
    );
    let rows = rows.with(|s| {
        let (id, version) = landed.unzip();
        s.bind(outcome).bind(id).bind(version).bind(errors).bind(approval)
    });
    let (now, imports) = (tx.ctx.now, rows.all::<Uuid>(tx)?);
    for import in imports {
        let count = |word| i32::from(outcome == word);
        tx.sql::<st::Integer>(
            "UPDATE imports SET waiting = waiting - 1, warnings = warnings - 1, created = created + {}, \
             updated = updated + {}, failed = failed + {}, updated_at = {} WHERE organization_id = {org} AND id = {}",
        )
        .with(|s| s.bind(count("created")).bind(count("updated")).bind(count("failed")).bind(now).bind(import))
        .run(tx)?;
    }
    Ok(())
}

/// The requests for approval that rows of an import wait for.
///
/// # Errors
/// What the database says.
pub(super) fn waiting(tx: &mut Tx<'_>, import: Id<Import>) -> Result<Vec<Uuid>> {
    let rows = tx.sql::<st::Uuid>(
        "SELECT approval_id FROM import_rows WHERE organization_id = {org} AND import_id = {} AND outcome = 'waiting' \
         AND approval_id IS NOT NULL ORDER BY row_number",
    );
    Ok(rows.with(|s| s.bind(import)).all(tx)?)
}
