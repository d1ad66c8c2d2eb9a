//! What a caller does not see of a record: the field is absent from every answer, and its name stands in `maskedFields`.
//!
//! A hidden field must not be found out by other ways either. Lists are neither sorted nor filtered by it, the search does
//! not look into it, the history leaves it out, and figures that would tell it are withheld.
mod omitting;
mod telling;

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use self::{omitting::Omitting, telling::tell};
use crate::{
    Ctx, Error, Result,
    gate::Hiding,
    patch::object,
    record::{Field, Record},
};

/// The member that names what is left out.
pub const MEMBER: &str = "maskedFields";

/// A record as the caller sees it.
#[derive(Debug)]
pub enum Masked<'r, R> {
    /// Nothing of it is hidden.
    Whole(&'r R),
    /// The rest, and the names of what is hidden.
    Part(&'r R, Arc<[String]>),
}

impl<R: Serialize> Serialize for Masked<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Whole(record) => record.serialize(serializer),
            Self::Part(record, names) => Omitting { record: *record, names }.serialize(serializer),
        }
    }
}

/// A record as the caller sees it.
///
/// # Errors
/// [`Error::Internal`] where the record is no JSON object.
pub fn masked<'r, R: Record>(ctx: &Ctx, record: &'r R) -> Result<Masked<'r, R>> {
    Hidden::of::<R>(ctx).masked(record)
}

/// Leaves out of a record what the caller does not see.
pub fn mask(ctx: &Ctx, kind: &str, members: &mut Map<String, Value>) {
    let names = ctx.gate.hidden(ctx, kind, Some(members));
    if !names.is_empty() {
        leave_out(members, names);
    }
}

/// Records as the caller sees them. What is hidden is looked up once for all of them, and record by record only where it
/// depends on that.
///
/// # Errors
/// As [`masked`].
pub fn masked_all<'r, R: Record>(ctx: &Ctx, records: &'r [R]) -> Result<Vec<Masked<'r, R>>> {
    let mut hidden = Hidden::of::<R>(ctx);
    records.iter().map(|record| hidden.masked(record)).collect()
}

/// Those of the records in which the caller sees a field.
///
/// # Errors
/// As [`masked`].
pub(crate) fn seeing<R: Record>(ctx: &Ctx, records: Vec<R>, field: &str) -> Result<Vec<R>> {
    let mut hidden = Hidden::of::<R>(ctx);
    let mut seen = Vec::new();
    for record in records {
        if hidden.names_in(&record)?.iter().all(|name| name != field) {
            seen.push(record);
        }
    }
    Ok(seen)
}

/// The fields that the caller does not see in this record.
///
/// # Errors
/// As [`masked`].
pub(crate) fn hidden_in<R: Record>(ctx: &Ctx, record: &R) -> Result<Arc<[String]>> {
    Hidden::of::<R>(ctx).names_in(record)
}

/// What the caller does not see of a kind of record.
struct Hidden<'c> {
    /// In some of them, or where it does not depend on the record, in each.
    names: Arc<[String]>,
    /// In one of them, where it depends on that.
    depending: Option<Box<dyn Hiding + 'c>>,
}

impl<'c> Hidden<'c> {
    fn of<R: Record>(ctx: &'c Ctx) -> Self {
        let names = hidden::<R>(ctx);
        let depending = if names.is_empty() { None } else { ctx.gate.hiding(ctx, R::KIND) };
        Self { names: names.into(), depending }
    }

    fn names_in<R: Record>(&mut self, record: &R) -> Result<Arc<[String]>> {
        let Some(depending) = &mut self.depending else { return Ok(Arc::clone(&self.names)) };
        tell(record, &mut **depending)?;
        Ok(depending.hidden())
    }

    fn masked<'r, R: Record>(&mut self, record: &'r R) -> Result<Masked<'r, R>> {
        let names = self.names_in(record)?;
        Ok(if names.is_empty() { Masked::Whole(record) } else { Masked::Part(record, names) })
    }
}

/// Leaves out of a record's members what the caller does not see in each record of its kind.
pub(crate) fn mask_each<R: Record>(ctx: &Ctx, members: &mut Map<String, Value>) {
    let names = hidden::<R>(ctx);
    if !names.is_empty() {
        leave_out(members, names);
    }
}

/// The fields of a kind of record that the caller does not see in each of them.
pub fn hidden<R: Record>(ctx: &Ctx) -> Vec<String> {
    ctx.gate.hidden(ctx, R::KIND, None)
}

/// Refuses to sort, filter or sum records by a field that the caller does not see in each of them.
///
/// # Errors
/// [`Error::Forbidden`] `field_not_viewable`.
pub fn check_use<R: Record>(ctx: &Ctx, field: &str) -> Result<()> {
    check_uses(ctx, R::KIND, &[field])
}

/// As [`check_use`], of several fields of a kind of record.
///
/// # Errors
/// As [`check_use`].
pub fn check_uses(ctx: &Ctx, kind: &str, fields: &[&str]) -> Result<()> {
    let hidden = ctx.gate.hidden(ctx, kind, None);
    fields.iter().try_for_each(|field| check_viewable(ctx, kind, &hidden, field))
}

/// Refuses to look through the text of records where that text holds what the caller does not see.
///
/// # Errors
/// [`Error::Forbidden`] `field_not_viewable`.
pub fn check_search<R: Record>(ctx: &Ctx) -> Result<()> {
    let fields: Vec<_> = searched::<R>().map(|field| field.name).collect();
    check_uses(ctx, R::KIND, &fields)
}

/// The fields whose text `q=` and the search look through.
pub fn searched<R: Record>() -> impl Iterator<Item = &'static Field> {
    R::FIELDS.iter().filter(|field| field.searched)
}

fn check_viewable(ctx: &Ctx, kind: &str, hidden: &[String], field: &str) -> Result<()> {
    hiding(hidden, field).map_or(Ok(()), |name| Err(not_viewable(ctx.gate.why_hidden(ctx, kind, name))))
}

/// Whether a field is hidden where these are: itself, the whole that it is a part of, or a part of it
/// (`customFields.region` of `customFields`).
pub fn is_hidden(hidden: &[String], field: &str) -> bool {
    hiding(hidden, field).is_some()
}

/// The one of these names by which a field is hidden.
fn hiding<'h>(hidden: &'h [String], field: &str) -> Option<&'h String> {
    let is_part = |part: &str, whole: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'));
    hidden.iter().find(|name| *name == field || is_part(field, name) || is_part(name, field))
}

/// The refusal to use or to write what the caller does not see, for this reason.
pub fn not_viewable(reason: String) -> Error {
    Error::Forbidden { code: "field_not_viewable", reason }
}

/// A figure of an answer, and the fields that it would tell.
#[derive(Debug, Clone, Copy)]
pub struct Reveals {
    /// The member of the answer.
    pub member: &'static str,
    /// The kind of record that it is computed from.
    pub kind: &'static str,
    /// The fields that it is computed from.
    pub fields: &'static [&'static str],
}

/// Figures over many records without those that would tell a field that the caller does not see.
///
/// # Errors
/// [`Error::Internal`] where the figures are no JSON object.
pub fn withheld(ctx: &Ctx, figures: &impl Serialize, reveals: &[Reveals]) -> Result<Map<String, Value>> {
    let mut members = object(figures)?;
    withhold(ctx, &mut members, reveals);
    Ok(members)
}

/// Takes out of figures what would tell a field that the caller does not see.
pub fn withhold(ctx: &Ctx, members: &mut Map<String, Value>, reveals: &[Reveals]) {
    let tells = |it: &&Reveals| {
        let hidden = ctx.gate.hidden(ctx, it.kind, None);
        it.fields.iter().any(|field| hidden.iter().any(|name| name == field))
    };
    let names: Vec<_> = reveals.iter().filter(tells).map(|it| it.member.to_owned()).collect();
    if !names.is_empty() {
        leave_out(members, names);
    }
}

fn leave_out(members: &mut Map<String, Value>, names: Vec<String>) {
    for name in &names {
        match name.split_once('.') {
            Some((whole, part)) => {
                members.get_mut(whole).and_then(Value::as_object_mut).map(|parts| parts.shift_remove(part));
            }
            None => drop(members.shift_remove(name)),
        }
    }
    members.insert(MEMBER.to_owned(), names.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        activities::Activity, companies::Company, contacts::Contact, deals::Deal, leads::Lead, record::FieldKind,
        tasks::Task, users::User,
    };

    /// The fields of text that change what the search looks through.
    fn found<R: Record>() -> Vec<&'static str> {
        let nothing = object(&R::Fields::default()).unwrap();
        let finds = |field: &&Field| {
            let mut members = nothing.clone();
            members.insert(field.name.into(), "4417".into());
            let fields: Option<R::Fields> = serde_json::from_value(members.into()).ok();
            fields.is_some_and(|fields| R::search_text(&fields).contains("4417"))
        };
        let texts = R::FIELDS.iter().filter(|field| matches!(field.kind, FieldKind::Text | FieldKind::LongText));
        texts.filter(finds).map(|field| field.name).collect()
    }

    #[test]
    fn a_field_is_hidden_with_its_whole_and_a_whole_with_its_parts() {
        let hidden = ["customFields.region", "value"].map(str::to_owned);
        for (field, is) in [
            ("value", true),
            ("value.x", true),
            ("valueX", false),
            ("customFields.region", true),
            ("customFields.regions", false),
            ("customFields.seats", false),
            ("customFields", true),
            ("custom", false),
        ] {
            assert_eq!(is_hidden(&hidden, field), is, "{field}");
        }
        let mut members = object(&json!({"value": 1, "customFields": {"region": "EU", "seats": 2}})).unwrap();
        leave_out(&mut members, hidden.to_vec());
        let rest = json!({"customFields": {"seats": 2}, "maskedFields": ["customFields.region", "value"]});
        assert_eq!(Value::Object(members), rest);
    }

    #[test]
    fn what_is_searched_is_told_of_each_field() {
        fn check<R: Record>() {
            let told: Vec<_> = searched::<R>().map(|field| field.name).collect();
            assert_eq!(told, found::<R>(), "{}", R::KIND);
            assert_eq!(told.is_empty(), !R::SEARCHED, "{}", R::KIND);
        }
        check::<Lead>();
        check::<Company>();
        check::<Contact>();
        check::<Deal>();
        check::<Activity>();
        check::<Task>();
        check::<User>();
    }
}
