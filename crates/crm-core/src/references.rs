//! References from one record to another: to what exists in the organization, and to what the caller may see.
use std::collections::{BTreeMap, HashSet};

use diesel::sql_types as st;
use uuid::Uuid;

use crate::{
    Result, Tx,
    change::FieldDiff,
    error::FieldError,
    record::{Field, FieldKind, Record},
};

/// Those of the ids that are rows of their table in the organization, whoever asks, in one statement.
///
/// # Errors
/// What the database says.
pub fn existing(tx: &mut Tx<'_>, asked: &BTreeMap<&'static str, Vec<Uuid>>) -> Result<HashSet<(&'static str, Uuid)>> {
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let tables: Vec<&'static str> = asked.keys().copied().collect();
    let one = |(place, table): (usize, &&str)| {
        format!("SELECT {place}, id FROM {table} WHERE organization_id = {{org}} AND id = ANY({{}})")
    };
    let text = tables.iter().enumerate().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    let query = tx.sql_text::<(st::Integer, st::Uuid)>(text);
    let query = asked.values().fold(query, |query, ids| query.with(|s| s.bind(ids.clone())));
    let rows = query.all::<(i32, Uuid)>(tx)?;
    let known = |(place, id): (i32, Uuid)| Some((*tables.get(usize::try_from(place).ok()?)?, id));
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Refuses references to what does not exist in the organization, or what the caller may not see.
pub(crate) fn check<R: Record>(tx: &mut Tx<'_>, diffs: &[FieldDiff], errors: &mut Vec<FieldError>) -> Result<()> {
    for (field, value) in diffs.iter().filter_map(|d| reference::<R>(d)) {
        if errors.iter().any(|e| e.field == field.name) {
            continue;
        }
        let id = value.parse::<Uuid>().unwrap_or_default();
        if !exists(tx, field, id)? {
            errors.push(FieldError::new(field.name, "unknown_reference", "There is no such record."));
        }
    }
    Ok(())
}

fn reference<R: Record>(diff: &FieldDiff) -> Option<(&'static Field, &str)> {
    let field = R::FIELDS.iter().find(|f| f.name == diff.field_name)?;
    matches!(field.kind, FieldKind::Reference(_)).then_some((field, diff.new_value.as_str()?))
}

fn exists(tx: &mut Tx<'_>, field: &Field, id: Uuid) -> Result<bool> {
    let FieldKind::Reference(table) = field.kind else { return Ok(true) };
    if let (true, Some(units)) = (table == "business_units", &tx.ctx.scope.units) {
        return Ok(units.iter().any(|unit| unit.uuid() == id));
    }
    let mut text = format!("SELECT 1 FROM {table} WHERE organization_id = {{org}} AND id = {{}}");
    if matches!(table, "business_units" | "users") {
        text.push_str(" AND is_active");
    }
    let units = tx.ctx.scope.units.clone().filter(|_| field.scoped);
    if units.is_some() {
        text.push_str(" AND (business_unit_id IS NULL OR business_unit_id = ANY({}))");
    }
    let query = tx.sql_text::<diesel::sql_types::Integer>(text).with(|s| s.bind(id));
    let query = match &units {
        Some(units) => query.with(|s| s.bind(units.as_slice())),
        None => query,
    };
    Ok(query.first::<i32>(tx)?.is_some())
}
