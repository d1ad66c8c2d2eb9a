//! Which kinds of record and which of their fields have a history: what a reader may ask for by name.
use diesel::sql_types as st;

use super::{
    kinds,
    visibility::{KINDS, POLICY},
};
use crate::{
    Record, Result, Tx, api_keys::ApiKey, filters::malformed, imports::Import, reason_codes::ReasonRule,
    record::COMMON, saved_views::SavedView,
};

/// What was asked for and is not there.
pub(super) enum Unknown {
    /// No kind of record has this name.
    EntityType(String),
    /// The kind of record has no such field.
    FieldName(String),
}

impl Unknown {
    /// The failure where the name is a place of the address: 404 over HTTP.
    pub(super) fn place(self) -> crate::Error {
        match self {
            Self::EntityType(detail) => malformed(super::UNKNOWN_ENTITY_TYPE, detail),
            Self::FieldName(detail) => malformed(super::UNKNOWN_FIELD, detail),
        }
    }

    /// The failure where the name is a parameter of the query: 400 over HTTP.
    pub(super) fn parameter(self) -> crate::Error {
        let (name, detail) = match self {
            Self::EntityType(detail) => ("entityType", detail),
            Self::FieldName(detail) => ("fieldName", detail),
        };
        malformed("invalid_value", format!("`{name}`: {detail}"))
    }
}

/// The kinds that only managers read, beside those of [`KINDS`].
const OTHERS: [&str; 5] = [SavedView::KIND, POLICY, ReasonRule::KIND, ApiKey::KIND, Import::KIND];

/// Looks for a kind of record. One that somebody else registers is known by its rows.
pub(super) fn entity_type(tx: &mut Tx<'_>, name: &str) -> Result<Option<Unknown>> {
    if names().any(|known| known == name) || has_rows(tx, "entity_type", name)? {
        return Ok(None);
    }
    let names: Vec<_> = names().collect();
    Ok(Some(Unknown::EntityType(format!("There is no kind of record `{name}`. There are: {}.", names.join(", ")))))
}

/// Looks for a field of a kind of record, or of any kind.
pub(super) fn field_name(tx: &mut Tx<'_>, entity_type: Option<&str>, name: &str) -> Result<Option<Unknown>> {
    let kinds: Vec<_> = match entity_type {
        Some(kind) if kinds::named(kind).is_none() => return Ok(None),
        Some(kind) => vec![kind],
        None => names().filter(|kind| kinds::named(kind).is_some()).collect(),
    };
    for kind in &kinds {
        if kinds::check_field(tx, Some(kind), Some(name))?.is_ok() {
            return Ok(None);
        }
    }
    if COMMON.iter().any(|field| field.name == name) || has_rows(tx, "field_name", name)? {
        return Ok(None);
    }
    let what =
        entity_type.map_or_else(|| "No kind of record".to_owned(), |kind| format!("A {}", kind.replace('_', " ")));
    let has = if entity_type.is_some() { "has no" } else { "has a" };
    Ok(Some(Unknown::FieldName(format!("{what} {has} field `{name}`."))))
}

/// Refuses to look for changes of what cannot change.
pub(super) fn check_names(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<()> {
    let given = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (kind, field) = (given("entityType"), given("fieldName"));
    let unknown = match kind.map(|kind| entity_type(tx, kind)).transpose()?.flatten() {
        None => field.map(|field| field_name(tx, kind, field)).transpose()?.flatten(),
        unknown => unknown,
    };
    unknown.map_or(Ok(()), |unknown| Err(unknown.parameter()))
}

fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, ..)| *kind).chain(OTHERS)
}

/// Has anything of that name ever changed in the organization? Fields that were taken out since have.
fn has_rows(tx: &mut Tx<'_>, column: &'static str, name: &str) -> Result<bool> {
    let text = format!("SELECT 1 FROM field_history WHERE organization_id = {{org}} AND {column} = {{}} LIMIT 1");
    Ok(!name.contains('\0') && tx.sql_text::<st::Integer>(text).with(|s| s.bind(name)).first::<i32>(tx)?.is_some())
}
