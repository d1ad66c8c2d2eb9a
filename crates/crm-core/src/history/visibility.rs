//! Whose history the caller may read: that of the records that they see, also of those that are gone.
use diesel::sql_types as st;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Ctx, Error, Record, Result, Tx,
    gate::{Action, Ask},
    saved_views::{self, SavedView},
};

/// The kinds of record with a history that whoever sees the record may read: their tables, and where a row says
/// which business unit it belongs to.
pub(super) const KINDS: &[(&str, &str, &str)] = &[
    ("lead", "leads", "business_unit_id"),
    ("company", "companies", "business_unit_id"),
    ("contact", "contacts", "business_unit_id"),
    ("deal", "deals", "business_unit_id"),
    ("deal_intel", "deals", "business_unit_id"),
    ("activity", "activities", "business_unit_id"),
    ("task", "tasks", "business_unit_id"),
    ("business_unit", "business_units", "id"),
    ("organization", "organizations", NO_UNIT),
    ("user", "users", NO_UNIT),
    ("pipeline", "pipelines", NO_UNIT),
    ("stage", "stages", NO_UNIT),
    ("custom_field", "custom_fields", NO_UNIT),
    ("reason_code", "reason_codes", NO_UNIT),
    ("approval", "approvals", "business_unit_id"),
];

/// Of these, what is for managers: who asked for what, and who decided.
const FOR_MANAGERS: [&str; 1] = ["approval"];

/// Policies tell what is hidden: their history is for those who may see them.
pub(super) const POLICY: &str = "policy";

/// The history of everything, as policies name it.
const HISTORY: &str = "field_history";

pub(super) const NO_UNIT: &str = "NULL::uuid";

pub(super) fn check_manager(ctx: &Ctx) -> Result<()> {
    ctx.gate.check(ctx, &Ask::about(Action::View, HISTORY))
}

pub(super) fn check_sees_policies(ctx: &Ctx) -> Result<()> {
    ctx.gate.check(ctx, &Ask::about(Action::View, POLICY))
}

/// May the caller see that record? One that is deleted is seen by those who saw it before.
pub(super) fn check_visible(tx: &mut Tx<'_>, entity_type: &str, id: Uuid) -> Result<()> {
    if entity_type == SavedView::KIND {
        return saved_views::read(tx, id.into()).map(|_| ());
    }
    let Some((kind, table, unit)) = KINDS.iter().find(|(kind, ..)| *kind == entity_type) else {
        check_manager(tx.ctx)?;
        return if entity_type == POLICY { check_sees_policies(tx.ctx) } else { Ok(()) };
    };
    if FOR_MANAGERS.contains(kind) {
        check_manager(tx.ctx)?;
    }
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, kind))?;
    let text = format!("SELECT {unit} FROM {table} WHERE organization_id = {{org}} AND id = {{}}");
    let standing = tx.sql_text::<st::Nullable<st::Uuid>>(text).with(|s| s.bind(id)).first::<Option<Uuid>>(tx)?;
    let unit = match standing {
        Some(unit) => unit,
        None => unit_when_deleted(tx, kind, id)?.ok_or(Error::NotFound)?,
    };
    match (&tx.ctx.scope.units, unit) {
        (Some(units), Some(unit)) if !units.contains(&unit.into()) => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// The unit that a deleted record belonged to: its deletion has told what each field held.
fn unit_when_deleted(tx: &mut Tx<'_>, kind: &str, id: Uuid) -> Result<Option<Option<Uuid>>> {
    let rows = tx
        .sql::<(st::Text, st::Nullable<st::Jsonb>)>(
            "SELECT h.field_name, h.old_value FROM field_history h, field_history d \
             WHERE h.organization_id = {org} AND h.entity_type = {} AND h.entity_id = {} \
             AND d.organization_id = h.organization_id AND d.entity_type = h.entity_type AND d.entity_id = h.entity_id \
             AND d.field_name = 'deletedAt' AND d.entity_version = h.entity_version \
             AND h.field_name IN ('deletedAt', 'businessUnitId')",
        )
        .with(|s| s.bind(kind).bind(id))
        .all::<(String, Option<Value>)>(tx)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let unit = rows.into_iter().find(|(field, _)| field == "businessUnitId").and_then(|(_, unit)| unit);
    Ok(Some(unit.as_ref().and_then(Value::as_str).and_then(|unit| unit.parse().ok())))
}
