//! Fields that an organization adds to its leads, companies, contacts and deals.

mod removal;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::{
    Error, Id, Patch, Result, Tx,
    change::{Change, Draft, FieldDiff},
    error::FieldError,
    filters::malformed,
    money::decimal,
    organizations,
    patch::object,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::custom_fields,
    select::Condition,
};

pub use removal::{RemoveValues, delete};

/// The member of a record that holds them, by key.
pub const MEMBER: &str = "customFields";
/// The kinds of record that can have custom fields.
pub const ENTITY_TYPES: [&str; 4] = ["lead", "company", "contact", "deal"];
const TYPES: [&str; 5] = ["text", "number", "date", "boolean", "select"];
/// More than this many to a kind of record would make every one of them slow.
const MOST: i64 = 100;

/// A field that an organization has added to a kind of record.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = custom_fields)]
pub struct CustomField {
    /// Its id.
    pub id: Id<CustomField>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: CustomFieldFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a custom field. Kind of record, key and type stay as they were made.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = custom_fields, treat_none_as_null = true)]
pub struct CustomFieldFields {
    /// `lead`, `company`, `contact` or `deal`.
    #[validate(custom(function = self::entity_type))]
    pub entity_type: String,
    /// The member's name inside `customFields`.
    #[validate(length(max = 40), custom(function = self::key))]
    pub key: String,
    /// What people read.
    #[validate(length(max = 100))]
    pub label: String,
    /// `text`, `number`, `date`, `boolean` or `select`.
    #[serde(rename = "type")]
    #[validate(custom(function = self::type_))]
    pub type_: String,
    /// The values of a `select`.
    #[validate(length(max = 200))]
    pub options: Vec<String>,
    /// Must each new record have it?
    pub required: bool,
}

fn entity_type(word: &str) -> Result<(), ValidationError> {
    one_of(word, &ENTITY_TYPES)
}

fn type_(word: &str) -> Result<(), ValidationError> {
    one_of(word, &TYPES)
}

fn one_of(word: &str, words: &[&str]) -> Result<(), ValidationError> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(ValidationError::new("not_allowed").with_message(format!("One of: {}.", words.join(", ")).into()))
}

fn key(key: &str) -> Result<(), ValidationError> {
    let mut letters = key.chars();
    if letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return Ok(());
    }
    let message = "Letters, digits and `_`, beginning with a letter.";
    Err(ValidationError::new("invalid_key").with_message(message.into()))
}

impl Record for CustomField {
    const KIND: &'static str = "custom_field";
    const TABLE: &'static str = "custom_fields";
    const FIELDS: &'static [Field] = &[
        Field::new("entityType", "entity_type", FieldKind::Choice(&ENTITY_TYPES)).required(),
        Field::new("key", "key", FieldKind::Text).required(),
        Field::new("label", "label", FieldKind::Text).required(),
        Field::new("type", "type", FieldKind::Choice(&TYPES)).required(),
        Field::new("options", "options", FieldKind::Tags).unfiltered(),
        Field::new("required", "required", FieldKind::Bool),
    ];
    const DEFAULT_SORT: &'static str = "createdAt";
    record_rows!(CustomFieldFields, custom_fields);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        let (kind, key) = (draft.fields().entity_type.clone(), draft.fields().key.clone());
        if removal::is_under_way(tx, &kind, &key)? {
            let message = "The values of a deleted field of this key are still being removed; try again in a minute.";
            draft.refuse("key", "still_in_use", message);
        }
        let same = tx.records::<Self>().and(Condition::Compare("entity_type".into(), "=", kind.as_str().into()));
        let there: i64 = diesel::RunQueryDsl::get_result(same.count(), tx.conn())?;
        if there >= MOST {
            draft.refuse("entityType", "too_many", format!("A {kind} can have {MOST} custom fields at most."));
        }
        if draft.fields().type_ == "select" && draft.fields().options.is_empty() {
            draft.refuse("options", "required", "A select needs options.");
        }
        // A policy may compare a field of that key that was deleted once.
        organizations::renew_policies(tx)
    }
}

/// Changes label, options or whether it is required.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<CustomField>, patch: Patch) -> Result<CustomField> {
    let field = tx.lock(id)?;
    let mut change = Change::new(tx, field, patch)?;
    for fixed in ["entityType", "key", "type"] {
        if change.touches(fixed) {
            change.refuse(fixed, "immutable", "Stays as it was made; make another field instead.");
        }
    }
    if change.after().type_ == "select" && change.after().options.is_empty() {
        change.refuse("options", "required", "A select needs options.");
    }
    tx.permit(change)?.save(tx)
}

/// The definitions for one kind of record.
///
/// # Errors
/// What the database says.
pub fn of_kind(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<CustomField>> {
    let select =
        tx.records().and(Condition::Compare("entity_type".into(), "=", kind.into())).order("created_at", false);
    CustomField::load(tx, select)
}

/// The definitions for every kind of record.
///
/// # Errors
/// What the database says.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<CustomField>> {
    let select = tx.records().order("created_at", false);
    CustomField::load(tx, select)
}

/// Checks the custom fields that a change sets, and of a new record that it has the required ones. What a change leaves
/// alone stays as it is, also where the definitions have become stricter since.
pub(crate) fn check<R: Record>(
    tx: &mut Tx<'_>,
    fields: &R::Fields,
    diffs: &[FieldDiff],
    is_new: bool,
    errors: &mut Vec<FieldError>,
) -> Result<()> {
    let Some(field) = R::FIELDS.iter().find(|f| f.kind == FieldKind::Custom) else { return Ok(()) };
    let prefix = format!("{}.", field.name);
    let changed: Vec<_> = diffs.iter().filter(|d| d.field_name.starts_with(&prefix)).collect();
    if changed.is_empty() && !is_new {
        return Ok(());
    }
    let definitions = of_kind(tx, R::KIND)?;
    for diff in changed {
        let key = diff.field_name.trim_start_matches(&prefix);
        if let Err(error) = value(&definitions, key, &diff.new_value) {
            errors.push(FieldError { field: diff.field_name.clone(), ..error });
        }
    }
    let members = object(fields)?;
    let is_set = |key: &str| is_new || diffs.iter().any(|diff| diff.field_name.strip_prefix(&prefix) == Some(key));
    for definition in definitions.iter().filter(|d| d.fields.required && is_set(&d.fields.key)) {
        let given = members.get(field.name).and_then(|m| m.get(&definition.fields.key));
        if given.is_none_or(Value::is_null) {
            let name = format!("{prefix}{}", definition.fields.key);
            errors.push(FieldError::new(name, "required", "Must be given."));
        }
    }
    Ok(())
}

/// The custom fields that a member of a body sets, since they are merged one by one: `customFields.region`. Where it is no
/// object all of them might go: `customFields.*`.
pub(crate) fn within(name: &str, value: &Value) -> Vec<String> {
    match value {
        _ if name != MEMBER => Vec::new(),
        Value::Object(values) => values.keys().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![format!("{name}.*")],
    }
}

/// Checks one value against its definition.
fn value(definitions: &[CustomField], key: &str, value: &Value) -> Result<(), FieldError> {
    let wrong = |code: &str, message: String| Err(FieldError::new("", code, message));
    let Some(definition) = definitions.iter().find(|d| d.fields.key == key) else {
        let keys: Vec<_> = definitions.iter().map(|d| d.fields.key.as_str()).collect();
        let known =
            if keys.is_empty() { "There is none yet".into() } else { format!("There are: {}", keys.join(", ")) };
        return wrong("unknown_custom_field", format!("There is no such custom field. {known}."));
    };
    match (definition.fields.type_.as_str(), value) {
        (_, Value::Null) => Ok(()),
        ("text", Value::String(text)) if text.chars().count() > 5_000 => {
            wrong("length", "At most 5000 characters.".into())
        }
        ("text", Value::String(text)) if text.contains('\0') => wrong("control_character", "Contains a NUL.".into()),
        ("text", Value::String(_)) | ("boolean", Value::Bool(_)) => Ok(()),
        ("number", Value::Number(number)) if decimal(&number.to_string()).is_some() => Ok(()),
        ("date", Value::String(text)) if is_day(text) => Ok(()),
        ("select", Value::String(text)) if definition.fields.options.contains(text) => Ok(()),
        ("select", _) => wrong("not_allowed", format!("One of: {}.", definition.fields.options.join(", "))),
        ("date", _) => wrong("invalid_date", "A day as YYYY-MM-DD.".into()),
        ("boolean", _) => wrong("invalid_type", "true or false.".into()),
        (type_, _) => wrong("invalid_type", format!("A {type_}.")),
    }
}

/// Is it a day as it is stored and answered, `YYYY-MM-DD`? Filters compare the text.
pub(crate) fn is_day(text: &str) -> bool {
    text.len() == "YYYY-MM-DD".len() && text.parse::<NaiveDate>().is_ok()
}

/// What a list's parameter `customFields.<key>` asks for, in the type of the field.
///
/// # Errors
/// [`Error::Malformed`] for a field that there is not, or a value that it could never have.
pub(crate) fn wanted(tx: &mut Tx<'_>, kind: &str, key: &str, text: &str) -> Result<Value> {
    let definitions = of_kind(tx, kind)?;
    let type_ = definitions.iter().find(|d| d.fields.key == key).map(|d| d.fields.type_.as_str());
    let wanted = match type_ {
        Some("number" | "boolean") => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        _ => text.into(),
    };
    let wrong = |e: FieldError| match type_ {
        Some(_) => malformed("invalid_value", format!("`customFields.{key}`: {}", e.message)),
        None => malformed("unknown_parameter", format!("`customFields.{key}`: {}", e.message)),
    };
    match value(&definitions, key, &wanted) {
        Ok(()) if wanted.is_null() => Err(malformed("invalid_value", format!("`customFields.{key}` needs a value."))),
        checked => checked.map(|()| wanted).map_err(wrong),
    }
}

/// The differences of two objects of custom fields, key by key, under `customFields.<key>`.
pub(crate) fn diff(name: &str, old: Value, new: Value, diffs: &mut Vec<FieldDiff>) {
    let members = |value| if let Value::Object(members) = value { members } else { Map::new() };
    let (mut old, new) = (members(old), members(new));
    let mut push = |key: &str, old_value: Value, new_value: Value| {
        if old_value != new_value {
            diffs.push(FieldDiff { field_name: format!("{name}.{key}"), old_value, new_value });
        }
    };
    for (key, new_value) in new {
        let old_value = old.shift_remove(&key).unwrap_or(Value::Null);
        push(&key, old_value, new_value);
    }
    for (key, old_value) in old {
        push(&key, old_value, Value::Null);
    }
}

/// The custom fields of a record, as the wire and the database hold them.
#[derive(
    Debug, Clone, PartialEq, Serialize, Deserialize, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = diesel::sql_types::Jsonb)]
#[serde(transparent)]
pub struct CustomValues(pub Map<String, Value>);

impl Default for CustomValues {
    fn default() -> Self {
        Self(Map::new())
    }
}
impl diesel::deserialize::FromSql<diesel::sql_types::Jsonb, diesel::pg::Pg> for CustomValues {
    fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
        match <Value as diesel::deserialize::FromSql<diesel::sql_types::Jsonb, diesel::pg::Pg>>::from_sql(value)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Error::internal("custom fields are an object").into()),
        }
    }
}
impl diesel::serialize::ToSql<diesel::sql_types::Jsonb, diesel::pg::Pg> for CustomValues {
    fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
        use std::io::Write;
        out.write_all(&[1])?;
        serde_json::to_writer(out, &self.0)?;
        Ok(diesel::serialize::IsNull::No)
    }
}
impl utoipa::PartialSchema for CustomValues {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder};
        ObjectBuilder::new()
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some("The organization's own fields, by key."))
            .into()
    }
}
impl ToSchema for CustomValues {
    fn name() -> std::borrow::Cow<'static, str> {
        "CustomFields".into()
    }
}
