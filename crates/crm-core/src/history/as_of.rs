//! A record as it stood: what was changed later is taken back, by the order of versions and never by the clock.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    kinds::{self, DELETED, Kind},
    known, seal,
    visibility::check_visible,
};
use crate::{
    Error, Id, Result, Tx, filters,
    filters::malformed,
    masks,
    patch::object,
    record::{FieldKind, Record},
};

/// Fields that are noted without a change of the record: what they held before is not known.
const UNTOLD: &str = "lastActivityAt";

/// A record as it stood at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRecord {
    /// The name of one in an answer, such as `lead`.
    pub envelope: String,
    /// Its members, as a read would have told them.
    pub members: Map<String, Value>,
}

/// A record as it stood at an instant, also one that has been deleted since. It is seen by whoever sees its history. The
/// kinds of record that other crates have are `others`.
///
/// # Errors
/// [`Error::NotFound`] for a record that the caller may not see, or that was not there at that instant;
/// [`Error::Forbidden`]; [`Error::Malformed`] where `at` is no instant.
pub fn as_of(tx: &mut Tx<'_>, others: &[Kind], entity_type: &str, id: Uuid, at: Option<&str>) -> Result<PastRecord> {
    let Some(kind) = kinds::among(others, entity_type) else {
        let unknown = known::entity_type(tx, entity_type)?;
        return Err(unknown.map_or(Error::NotFound, known::Unknown::place));
    };
    check_visible(tx, entity_type, id)?;
    let expected = "`at`: an instant as 2025-12-16T10:00:00Z, or a day, was expected.";
    let at = at.and_then(filters::instant).ok_or_else(|| malformed("invalid_value", expected))?;
    seal(tx)?;
    Ok(PastRecord { envelope: (kind.envelope)(), members: (kind.as_of)(tx, id, at)? })
}

/// One field that changed: of which version it is, its name, what it was, and when.
type Row = (i64, String, Option<Value>, DateTime<Utc>);

/// The members of a record as it stood. The record is read before its history, so that a change that comes between the two is
/// taken back too.
pub(super) fn stood<R: Record>(tx: &mut Tx<'_>, id: Uuid, at: DateTime<Utc>) -> Result<Map<String, Value>> {
    let current = match tx.find::<R>(id.into()) {
        Ok(record) => Some(object(&record)?),
        Err(Error::NotFound) => None,
        Err(error) => return Err(error),
    };
    let rows = rows(tx, R::KIND, id)?;
    let reached = rows.iter().filter(|(.., changed_at)| *changed_at <= at).map(|(version, ..)| *version).max();
    let reached = reached.unwrap_or(0);
    let deleted = rows.iter().find(|(_, field, ..)| field == DELETED).map(|(version, ..)| *version);
    if deleted.is_some_and(|version| version <= reached) || (current.is_none() && deleted.is_none()) {
        return Err(Error::NotFound);
    }
    let mut members = current.unwrap_or_else(|| blank::<R>(id.into()));
    for (_, field, old, _) in rows.iter().filter(|(version, ..)| *version > reached) {
        set::<R>(&mut members, field, old.clone().unwrap_or_default());
    }
    let created_at = instant(&members, "createdAt").ok_or(Error::NotFound)?;
    if at < created_at {
        return Err(Error::NotFound);
    }
    // The first row of a version is its change; what comes later (the people of a unit) makes no version of its own.
    let change = rows.iter().rev().find(|(version, ..)| *version == reached && reached > 1);
    let changed_at = change.map_or(created_at, |(.., at)| *at);
    members.insert("updatedAt".into(), serde_json::to_value(changed_at).unwrap_or_default());
    members.insert("version".into(), reached.max(1).into());
    if instant(&members, UNTOLD).is_some_and(|noted| noted > at) {
        members.insert(UNTOLD.into(), Value::Null);
    }
    // Whether a field is hidden may depend on the record, then and now: what is hidden of any is left out, as in lists of
    // changes.
    masks::mask_each::<R>(tx.ctx, &mut members);
    Ok(members)
}

/// What has changed of a record, the latest first.
fn rows(tx: &mut Tx<'_>, kind: &str, id: Uuid) -> Result<Vec<Row>> {
    let rows = tx
        .sql::<(st::BigInt, st::Text, st::Nullable<st::Jsonb>, st::Timestamptz)>(
            "SELECT entity_version, field_name, old_value, changed_at FROM field_history \
             WHERE organization_id = {org} AND entity_type = {} AND entity_id = {} ORDER BY entity_version DESC, seq DESC",
        )
        .with(|s| s.bind(kind).bind(id));
    Ok(rows.all(tx)?)
}

/// A record that is gone, before its deletion tells what it held: what held nothing is not told.
fn blank<R: Record>(id: Id<R>) -> Map<String, Value> {
    let names = R::FIELDS.iter().map(|field| match field.kind {
        FieldKind::Custom => (field.name.to_owned(), Value::Object(Map::new())),
        _ => (field.name.to_owned(), Value::Null),
    });
    std::iter::once(("id".to_owned(), id.to_string().into())).chain(names).collect()
}

fn set<R: Record>(members: &mut Map<String, Value>, field: &str, value: Value) {
    if let Some((name, key)) = field.split_once('.') {
        if let Some(Value::Object(custom)) = members.get_mut(name) {
            match value {
                Value::Null => custom.shift_remove(key),
                value => custom.insert(key.to_owned(), value),
            };
        }
    } else if R::field(field).is_some() {
        members.insert(field.to_owned(), value);
    }
}

fn instant(members: &Map<String, Value>, name: &str) -> Option<DateTime<Utc>> {
    members.get(name)?.as_str()?.parse().ok()
}
