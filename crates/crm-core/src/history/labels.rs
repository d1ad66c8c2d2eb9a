//! How the records that a change names read at that moment: a reference alone would tell nothing once they are renamed
//! or gone.
use std::collections::{BTreeMap, BTreeSet};

use diesel::sql_types as st;
use serde_json::Value;
use uuid::Uuid;

use super::kinds;
use crate::{
    Ctx, Result, Tx,
    change::FieldDiff,
    masks,
    record::{FieldKind, Record},
};

/// How a record that others refer to reads.
pub(crate) struct Label {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// The fields that it is made of.
    pub(crate) fields: &'static [&'static str],
    /// The same as SQL.
    pub(crate) sql: &'static str,
}

/// How a row of a table reads.
pub(crate) fn label_of(table: &str) -> Option<Label> {
    let named = |kind| Label { kind, fields: &["name"], sql: "name" };
    Some(match table {
        "business_units" => named("business_unit"),
        "companies" => named("company"),
        "pipelines" => named("pipeline"),
        "stages" => named("stage"),
        "users" => named("user"),
        "tasks" => Label { kind: "task", fields: &["title"], sql: "title" },
        "imports" => Label { kind: "import", fields: &["fileName"], sql: "file_name" },
        "deals" => Label { kind: "deal", fields: &["title"], sql: "title" },
        "contacts" => Label {
            kind: "contact",
            fields: &["firstName", "lastName", "email"],
            sql: "coalesce(nullif(concat_ws(' ', first_name, last_name), ''), email)",
        },
        "leads" => Label {
            kind: "lead",
            fields: &["firstName", "lastName", "companyName", "email"],
            sql: "coalesce(nullif(concat_ws(' ', first_name, last_name), ''), company_name, email)",
        },
        _ => return None,
    })
}

/// May the caller read the labels of a field? Not where a field that they are made of is hidden.
pub(super) fn may_read(ctx: &Ctx, entity_type: &str, field_name: &str) -> bool {
    let field = kinds::named(entity_type).and_then(|kind| kind.fields.iter().find(|field| field.name == field_name));
    let label = match field.map(|field| field.kind) {
        Some(FieldKind::Reference(table)) => label_of(table),
        _ => None,
    };
    label.is_none_or(|label| masks::check_uses(ctx, label.kind, label.fields).is_ok())
}

/// The table that a field refers to.
fn table_of<R: Record>(field: &str) -> Option<&'static str> {
    match R::FIELDS.iter().find(|f| f.name == field)?.kind {
        FieldKind::Reference(table) => Some(table),
        _ => None,
    }
}

/// The old and the new label of each change, read with one statement to each table that they name.
pub(super) fn read<R: Record>(tx: &mut Tx<'_>, diffs: &[FieldDiff]) -> Result<Vec<(Option<String>, Option<String>)>> {
    let mut wanted: BTreeMap<&'static str, BTreeSet<Uuid>> = BTreeMap::new();
    for diff in diffs {
        let Some(table) = table_of::<R>(&diff.field_name) else { continue };
        let ids = [&diff.old_value, &diff.new_value].into_iter().filter_map(id);
        let unknown = ids.filter(|id| !tx.ledger.history.labels.contains_key(&(table, *id)));
        wanted.entry(table).or_default().extend(unknown);
    }
    for (table, ids) in wanted {
        look_up(tx, table, ids.into_iter().collect())?;
    }
    let labels = &tx.ledger.history.labels;
    let label = |table, value| labels.get(&(table, id(value)?)).cloned().flatten();
    Ok(diffs
        .iter()
        .map(|diff| match table_of::<R>(&diff.field_name) {
            Some(table) => (label(table, &diff.old_value), label(table, &diff.new_value)),
            None => (None, None),
        })
        .collect())
}

fn id(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

fn look_up(tx: &mut Tx<'_>, table: &'static str, ids: Vec<Uuid>) -> Result<()> {
    let Some(label) = label_of(table).filter(|_| !ids.is_empty()) else { return Ok(()) };
    let sql = label.sql;
    let text = format!("SELECT id, {sql} FROM {table} WHERE organization_id = {{org}} AND id = ANY({{}})");
    let rows = tx
        .sql_text::<(st::Uuid, st::Nullable<st::Text>)>(text)
        .with(|s| s.bind(ids))
        .all::<(Uuid, Option<String>)>(tx)?;
    tx.ledger.history.labels.extend(rows.into_iter().map(|(id, label)| ((table, id), label)));
    Ok(())
}
