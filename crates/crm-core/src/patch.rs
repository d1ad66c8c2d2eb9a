//! A request's body for one record: a merge patch (RFC 7396), the reason for it, and the version it was made for.
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::{
    Error, Result, bodies,
    custom_fields::{self, is_day},
    error::{FieldError, camel},
    record::{COMMON, Field, FieldKind, Record},
};

/// Why somebody changes something; it lands in the field history with the change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// A code of the organization's list.
    pub code: Option<String>,
    /// Words of their own.
    pub note: Option<String>,
}

/// What a request wants to set. Used to create too: a creation is a patch over nothing.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// The members of the body, without the reason.
    pub members: Map<String, Value>,
    /// Why.
    pub reason: Reason,
    /// The version that the caller has seen (`If-Match`), if it said so.
    pub expected: Option<i64>,
    /// The members that the program has filled in, since the request left them out.
    pub defaults: Vec<String>,
    /// What is wrong with the reason, to be told together with the bad members.
    pub errors: Vec<FieldError>,
}

impl Patch {
    /// Takes the reason out of a body.
    ///
    /// # Errors
    /// [`Error::Invalid`] where `reasonCode` or `note` is not a text of at most 100 or 2,000 characters.
    pub fn new(members: Map<String, Value>) -> Result<Self> {
        let patch = Self::of_body(members);
        patch.check()?;
        Ok(patch)
    }

    /// As [`Patch::new`], but keeps what is wrong with the reason for those who judge the members.
    pub fn of_body(mut members: Map<String, Value>) -> Self {
        let mut errors = Vec::new();
        let mut take = |name, longest| {
            let text = take_text(&mut members, name, longest);
            text.unwrap_or_else(|error| {
                errors.push(error);
                None
            })
        };
        let reason = Reason { code: take("reasonCode", 100), note: take("note", 2_000) };
        Self { members, reason, errors, ..Self::default() }
    }

    /// Refuses a bad reason.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors.clone())) }
    }

    /// Refuses what was asked of another version than the current one.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn check_version(&self, version: i64) -> Result<()> {
        match self.expected {
            Some(expected) if expected != version => Err(Error::Stale { version }),
            _ => Ok(()),
        }
    }

    /// The body that it was, with the reason.
    pub(crate) fn body(&self) -> Map<String, Value> {
        let reason = [("reasonCode", &self.reason.code), ("note", &self.reason.note)];
        let reason = reason.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into())));
        self.members.clone().into_iter().chain(reason).collect()
    }

    /// Takes one member out, to be read by a rule of its own.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name)
    }

    /// The patch with one more member, where it does not have it yet.
    #[must_use]
    pub fn or(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !self.members.contains_key(name) {
            self.defaults.push(name.to_owned());
            self.members.insert(name.to_owned(), value.into());
        }
        self
    }
}

impl Patch {
    /// The members that the request itself gives, custom fields by their names too.
    pub(crate) fn given(&self) -> Vec<String> {
        let own = self.members.iter().filter(|(name, _)| !self.defaults.contains(name));
        own.flat_map(|(name, value)| custom_fields::within(name, value).into_iter().chain([name.clone()])).collect()
    }

    /// The patch for a new record of a signed-in user, who owns it unless the patch says otherwise.
    #[must_use]
    pub(crate) fn owned_by_caller(self, tx: &crate::Tx<'_>, member: &str) -> Self {
        match tx.ctx.actor {
            crate::Actor::User(user) => self.or(member, user.to_string()),
            _ => self,
        }
    }
}

impl From<Map<String, Value>> for Patch {
    fn from(members: Map<String, Value>) -> Self {
        Self { members, ..Self::default() }
    }
}

fn take_text(members: &mut Map<String, Value>, name: &str, longest: usize) -> Result<Option<String>, FieldError> {
    match members.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= longest && !text.contains('\0') => {
            Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty()))
        }
        Some(_) => Err(FieldError::new(name, "invalid_type", format!("A text of at most {longest} characters."))),
    }
}

/// A record's fields after a patch, and what was wrong with it.
pub(crate) struct Merged<F> {
    pub(crate) fields: F,
    pub(crate) errors: Vec<FieldError>,
}

/// Merges a patch over fields. Every bad member is told, and keeps its old value in the result.
pub(crate) fn merge<R: Record>(before: &R::Fields, members: Map<String, Value>) -> Result<Merged<R::Fields>> {
    let old = object(before)?;
    let (mut new, mut errors) = (old.clone(), Vec::new());
    for (name, value) in members {
        let field = settable::<R>(&name)?;
        match normalize(field, value) {
            Ok(Value::Object(patch)) if field.kind == FieldKind::Custom => merge_object(&mut new, &name, patch),
            Ok(value) => {
                new.insert(name, value);
            }
            Err(error) => errors.push(error),
        }
    }
    let fields = match serde_json::from_value::<R::Fields>(Value::Object(new.clone())) {
        Ok(fields) => fields,
        Err(_) => keep_good::<R>(old, new, &mut errors)?,
    };
    Ok(Merged { fields, errors })
}

/// The field of that name, if requests may set it.
fn settable<R: Record>(name: &str) -> Result<&'static Field> {
    let kind = R::KIND.replace('_', " ");
    if name == "id" || name == "version" || name == "organizationId" || COMMON.iter().any(|f| f.name == name) {
        let detail = format!("`{name}` of a {kind} is set by the system; leave it out.");
        return Err(Error::Malformed { code: "read_only_member", detail });
    }
    let field = R::FIELDS.iter().find(|f| f.name == name).ok_or_else(|| {
        let names: Vec<_> = R::FIELDS.iter().filter(|f| !f.read_only).map(|f| f.name).collect();
        let detail = format!("A {kind} has no member `{name}`. It has: {}.", names.join(", "));
        Error::Malformed { code: "unknown_member", detail }
    })?;
    if field.read_only {
        let detail = format!("`{name}` of a {kind} follows from other things and cannot be set; leave it out.");
        return Err(Error::Malformed { code: "read_only_member", detail });
    }
    Ok(field)
}

/// Cuts what has no meaning: spaces around text, digits beyond microseconds; refuses what the database cannot hold.
fn normalize(field: &Field, value: Value) -> Result<Value, FieldError> {
    match (field.kind, value) {
        (FieldKind::Text | FieldKind::LongText | FieldKind::Choice(_), Value::String(text)) => {
            if let Some(bad) = text.chars().find(|c| forbidden(*c, field.kind)) {
                return Err(control_character(field, bad));
            }
            let text: String = text.trim().nfc().collect();
            let nothing = text.is_empty() && !field.required;
            Ok(if nothing { Value::Null } else { Value::String(text) })
        }
        (FieldKind::Instant, Value::String(text)) => DateTime::parse_from_rfc3339(&text)
            .ok()
            .map(|at| at.with_timezone(&Utc).trunc_subsecs(6))
            // RFC 3339 knows years of four digits alone, and an offset may lead out of them.
            .filter(|at| (0..=9999).contains(&at.year()))
            .and_then(|at| serde_json::to_value(at).ok())
            .ok_or_else(|| FieldError::new(field.name, "invalid_instant", INSTANT)),
        (FieldKind::Date, Value::String(text)) if !is_day(&text) => {
            Err(FieldError::new(field.name, "invalid_date", DAY))
        }
        (FieldKind::Tags, Value::Array(words)) => words.into_iter().map(|word| tag(field, word)).collect(),
        (FieldKind::Custom | FieldKind::Json, value) if holds_nul(&value) => Err(control_character(field, '\0')),
        (FieldKind::Choice(words), value) if !value.is_null() && !value.is_string() => Err(choice(field, words)),
        (_, value) => Ok(value),
    }
}

fn control_character(field: &Field, bad: char) -> FieldError {
    let message = format!("Contains the control character U+{:04X}.", u32::from(bad));
    FieldError::new(field.name, "control_character", message)
}

fn tag(field: &Field, word: Value) -> Result<Value, FieldError> {
    let Value::String(word) = word else { return Ok(word) };
    match word.chars().find(|c| c.is_control()) {
        Some(bad) => Err(control_character(field, bad)),
        None => Ok(Value::String(word.trim().nfc().collect())),
    }
}

/// Is there a NUL anywhere, which PostgreSQL cannot hold?
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

const DAY: &str = "A day as YYYY-MM-DD, such as 2025-12-16.";
const INSTANT: &str = "An instant in RFC 3339, such as 2025-12-16T10:00:00Z.";

fn forbidden(c: char, kind: FieldKind) -> bool {
    c.is_control() && !(kind == FieldKind::LongText && matches!(c, '\n' | '\r' | '\t'))
}

fn choice(field: &Field, words: &[&str]) -> FieldError {
    FieldError::new(field.name, "not_allowed", format!("One of: {}.", words.join(", ")))
}

/// RFC 7396 one level down: members are replaced, `null` removes.
fn merge_object(new: &mut Map<String, Value>, name: &str, patch: Map<String, Value>) {
    let target = new.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.shift_remove(&key)
            } else {
                target.insert(key, value)
            };
        }
    }
}

/// Finds each member that does not fit its type, by trying them one at a time over the old fields.
fn keep_good<R: Record>(
    mut good: Map<String, Value>,
    new: Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Result<R::Fields> {
    for (name, value) in new {
        if good.get(&name) == Some(&value) {
            continue;
        }
        let previous = good.insert(name.clone(), value);
        if let Err(error) = parse::<R::Fields>(&good) {
            if let Some(field) = R::FIELDS.iter().find(|f| f.name == name) {
                errors.push(type_error(field, good.get(&name), &error));
            }
            match previous {
                Some(previous) => good.insert(name, previous),
                None => good.shift_remove(&name),
            };
        }
    }
    parse(&good).map_err(|error| Error::Internal(Box::new(error)))
}

fn parse<F: DeserializeOwned>(members: &Map<String, Value>) -> Result<F, serde_json::Error> {
    serde_json::from_value(Value::Object(members.clone()))
}

/// Says what would be right, in words that do not need Rust to be understood.
fn type_error(field: &Field, given: Option<&Value>, error: &serde_json::Error) -> FieldError {
    if given.is_some_and(Value::is_null) {
        return FieldError::new(field.name, "required", "Must not be null.");
    }
    let said = |message: String| FieldError::new(field.name, "invalid_type", message);
    match field.kind {
        FieldKind::Choice(words) => choice(field, words),
        FieldKind::Text | FieldKind::LongText | FieldKind::Decimal | FieldKind::Json => {
            let (code, message) = bodies::sentence(&error.to_string());
            FieldError::new(field.name, code, message)
        }
        FieldKind::Int => said("A whole number that fits 32 bits.".into()),
        FieldKind::Bool => said("true or false.".into()),
        FieldKind::Date => FieldError::new(field.name, "invalid_date", DAY),
        FieldKind::Instant => FieldError::new(field.name, "invalid_instant", INSTANT),
        FieldKind::Tags => said("A list of texts.".into()),
        FieldKind::Reference(_) => FieldError::new(field.name, "unknown_reference", "There is no such record."),
        FieldKind::Custom => said("An object of the organization's custom fields.".into()),
    }
}

/// What `validator` found, under the wire's names.
pub(crate) fn validate<R: Record>(fields: &R::Fields, errors: &mut Vec<FieldError>) -> Result<()> {
    let members = object(fields)?;
    for field in R::FIELDS.iter() {
        let FieldKind::Choice(words) = field.kind else { continue };
        let known =
            members.get(field.name).and_then(Value::as_str).is_none_or(|word| words.contains(&word) || word.is_empty());
        if !known {
            errors.push(choice(field, words));
        }
    }
    for field in R::FIELDS.iter().filter(|f| f.required && !f.read_only) {
        let missing = match members.get(field.name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty() || (is_reference(field) && text == NIL),
            Some(_) => false,
        };
        if missing && !errors.iter().any(|e| e.field == field.name) {
            errors.push(FieldError::new(field.name, "required", "Must be given."));
        }
    }
    if let Err(found) = fields.validate() {
        flatten("", &found, errors);
    }
    Ok(())
}

/// What is wrong with the members of a new record by themselves: nothing is looked up.
pub(crate) fn misfits<R: Record>(members: Map<String, Value>) -> Result<Vec<FieldError>> {
    let Merged { fields, mut errors } = merge::<R>(&R::Fields::default(), members)?;
    validate::<R>(&fields, &mut errors)?;
    Ok(errors)
}

const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn is_reference(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Reference(_))
}

/// Nested findings of `validator` as one list. A field that has been told already is not told twice.
pub fn flatten(prefix: &str, found: &ValidationErrors, errors: &mut Vec<FieldError>) {
    for (name, kind) in found.errors() {
        let path = format!("{prefix}{}", camel(name));
        match kind {
            ValidationErrorsKind::Field(all) => {
                if let Some(first) = all.first().filter(|_| !errors.iter().any(|e| e.field == path)) {
                    errors.push(FieldError::new(path, first.code.as_ref(), sentence(first)));
                }
            }
            ValidationErrorsKind::Struct(inner) => flatten(&format!("{path}."), inner, errors),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    flatten(&format!("{path}[{index}]."), inner, errors);
                }
            }
        }
    }
}

fn sentence(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.to_string();
    }
    let bound = |name: &str| error.params.get(name).map(ToString::to_string);
    match (error.code.as_ref(), bound("min"), bound("max")) {
        ("length", Some(min), Some(max)) => format!("Between {min} and {max} characters."),
        ("length", None, Some(max)) => format!("At most {max} characters."),
        ("length", Some(min), None) => format!("At least {min} characters."),
        ("range", Some(min), Some(max)) => format!("Between {min} and {max}."),
        ("range", Some(min), None) => format!("At least {min}."),
        ("range", None, Some(max)) => format!("At most {max}."),
        ("email", ..) => "An email address, such as ada@example.com.".into(),
        ("url", ..) => "A web address, such as https://example.com.".into(),
        _ => "This value is not allowed here.".into(),
    }
}

/// A struct of fields as the JSON object it is on the wire.
pub(crate) fn object(fields: &impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(fields) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Error::internal("fields are not an object")),
        Err(error) => Err(Error::Internal(Box::new(error))),
    }
}
