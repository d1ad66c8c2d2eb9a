//! The filters of a list: `status=open,won`, `value[gte]=1000`, `createdAfter=2025-01-01`, `ownerId=me`, `q=acme`.
//! What exists follows from a record's fields, so that the list, the document and the error message cannot disagree.
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Ctx, Error, FieldError, Result, Tx, custom_fields, masks,
    money::decimal,
    record::{COMMON, Field, FieldKind, Record},
    select::Condition,
    statement::Bind,
    text,
};

/// Operators that stand in brackets behind a field, and the SQL of those that compare.
pub const OPERATORS: [(&str, &str); 5] = [("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<="), ("ne", "<>")];

/// A malformed query: 400 over HTTP.
pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Malformed { code, detail: detail.into() }
}

/// One parameter of a list as conditions.
///
/// # Errors
/// [`Error::Malformed`] for a parameter, an operator or a value that does not fit; [`Error::Forbidden`] for a field that
/// the caller does not see.
pub fn parse<R: Record>(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<Vec<Condition>> {
    let ctx = tx.ctx;
    if name.contains('\0') || value.contains('\0') {
        return Err(malformed("invalid_value", format!("`{}` contains a control character.", name.escape_debug())));
    }
    if name == "q" && R::SEARCHED {
        masks::check_search::<R>(ctx)?;
        return Ok(search(value));
    }
    if let Some(key) = name.strip_prefix(custom_fields::MEMBER).and_then(|key| key.strip_prefix('.')) {
        let field = R::FIELDS.iter().find(|f| f.kind == FieldKind::Custom).ok_or_else(|| unknown::<R>(name))?;
        masks::check_use::<R>(ctx, name)?;
        let value = custom_fields::wanted(tx, R::KIND, key, value)?;
        let object = Map::from_iter([(key.to_owned(), value)]);
        return Ok(vec![Condition::Compare(field.column.into(), "@>", Value::Object(object).into())]);
    }
    if let Some((field, op)) = span(name, R::FIELDS) {
        masks::check_use::<R>(ctx, field.name)?;
        return compare(field, name, op, value).map(|c| vec![c]);
    }
    let (base, op) = match name.split_once('[') {
        Some((base, op)) => (base, op.strip_suffix(']')),
        None => (name, Some("")),
    };
    let field = R::field(base).filter(|f| f.filterable && f.kind != FieldKind::Custom);
    field.map_or(Ok(()), |field| masks::check_use::<R>(ctx, field.name))?;
    match (field, op) {
        (Some(field), Some("")) => equal(ctx, field, value).map(|c| vec![c]),
        (Some(field), Some("empty")) => empty(field, name, value).map(|c| vec![c]),
        (Some(field), Some("contains")) if field.kind == FieldKind::Text => {
            Ok(vec![Condition::Compare(field.column.into(), "ILIKE", text::contains(value).into())])
        }
        (Some(field), Some(op)) => compare(field, name, op, value).map(|c| vec![c]),
        _ => Err(unknown::<R>(name)),
    }
}

/// A JSON object of list parameters, as saved views and bulk edits hold it: `{"status": "open", "employees[gte]": 10}`.
///
/// # Errors
/// [`Error::Invalid`] with each parameter that the list of `R` would not take, under `member`'s name; [`Error::Forbidden`]
/// for a field that the caller does not see, as the list itself says.
pub fn parameters<R: Record>(tx: &mut Tx<'_>, member: &str, filters: &Value) -> Result<Vec<(String, String)>> {
    let Value::Object(filters) = filters else {
        return Err(Error::invalid(member, "invalid_type", "An object of list parameters."));
    };
    let (mut query, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in filters {
        let mut refuse = |code: &str, why: &str| errors.push(FieldError::new(format!("{member}.{name}"), code, why));
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                refuse("invalid_type", "A text, a number, true or false, as it would stand in a list's address.");
                continue;
            }
        };
        match parse::<R>(tx, name, &value) {
            Ok(_) => query.push((name.clone(), value)),
            Err(error @ Error::Malformed { .. }) => refuse(error.code(), &error.to_string()),
            Err(error) => return Err(error),
        }
    }
    if errors.is_empty() { Ok(query) } else { Err(Error::Invalid(errors)) }
}

/// `createdAfter` and `expectedCloseBefore`: the two ends of a span of time.
fn span(name: &str, fields: &'static [Field]) -> Option<(&'static Field, &'static str)> {
    let (stem, op) = match (name.strip_suffix("After"), name.strip_suffix("Before")) {
        (Some(stem), _) => (stem, "gte"),
        (_, Some(stem)) => (stem, "lt"),
        _ => return None,
    };
    fields.iter().chain(&COMMON).find(|f| span_stem(f) == Some(stem)).map(|field| (field, op))
}

/// The stem of a field's span parameters: `created` for `createdAt`, `expectedClose` for `expectedCloseDate`.
pub fn span_stem(field: &Field) -> Option<&'static str> {
    match field.kind {
        FieldKind::Instant => field.name.strip_suffix("At"),
        FieldKind::Date => field.name.strip_suffix("Date"),
        _ => None,
    }
}

fn unknown<R: Record>(name: &str) -> Error {
    let mut names = vec!["limit", "cursor", "sort", "count"];
    names.extend(R::SEARCHED.then_some("q"));
    names.extend(R::FIELDS.iter().chain(&COMMON).filter(|f| f.filterable).map(|f| f.name));
    let detail = format!("There is no parameter `{name}`. There are: {}.", names.join(", "));
    malformed("unknown_parameter", detail)
}

/// Every word must occur somewhere; a trigram index answers.
fn search(query: &str) -> Vec<Condition> {
    let folded = text::fold(query);
    folded
        .split(' ')
        .filter(|word| !word.is_empty())
        .take(8)
        .map(|word| Condition::Compare("search_text".into(), "LIKE", text::contains(word).into()))
        .collect()
}

fn empty(field: &Field, name: &str, value: &str) -> Result<Condition> {
    let is = flag(name, value)?;
    Ok(match field.kind {
        FieldKind::Tags if is => Condition::Compare(field.column.into(), "=", Bind::Texts(Vec::new())),
        FieldKind::Tags => Condition::Compare(field.column.into(), "<>", Bind::Texts(Vec::new())),
        _ => Condition::IsNull(field.column, is),
    })
}

/// `true` or `false`.
pub(crate) fn flag(name: &str, value: &str) -> Result<bool> {
    value.parse().map_err(|_| malformed("invalid_value", format!("`{name}` is true or false.")))
}

fn equal(ctx: &Ctx, field: &Field, value: &str) -> Result<Condition> {
    let invalid = |what: &str| malformed("invalid_value", format!("`{}`: {what}.", field.name));
    match field.kind {
        FieldKind::Reference(_) if value == "none" => Ok(Condition::IsNull(field.column, true)),
        FieldKind::Reference("users") if value == "me" => {
            let user = ctx.actor.user().ok_or_else(|| invalid("nobody is signed in who could be `me`"))?;
            Ok(Condition::Compare(field.column.into(), "=", user.into()))
        }
        FieldKind::Reference(_) => {
            let ids = value.split(',').map(str::parse::<Uuid>).collect::<Result<Vec<_>, _>>();
            any_of(field, ids.map_err(|_| invalid("an id, `me` or `none` was expected"))?)
        }
        FieldKind::Choice(words) => {
            let chosen: Vec<String> = value.split(',').map(str::to_owned).collect();
            match chosen.iter().find(|word| !words.contains(&word.as_str())) {
                Some(bad) => Err(invalid(&format!("`{bad}` is not one of {}", words.join(", ")))),
                None => Ok(Condition::AnyOf(field.column, chosen.into())),
            }
        }
        FieldKind::Tags => {
            let tags: Vec<String> = value.split(',').map(|tag| tag.trim().to_owned()).collect();
            Ok(Condition::Compare(field.column.into(), "@>", tags.into()))
        }
        FieldKind::Text if field.name == "email" => {
            // The one text whose case means nothing, with an index of its own.
            Ok(Condition::EqualFolded(field.column, value.into()))
        }
        _ => Ok(Condition::Compare(field.column.into(), "=", bind(field, field.name, value)?)),
    }
}

fn any_of(field: &Field, ids: Vec<Uuid>) -> Result<Condition> {
    Ok(match ids.as_slice() {
        [id] => Condition::Compare(field.column.into(), "=", (*id).into()),
        _ => Condition::AnyOf(field.column, ids.into()),
    })
}

fn compare(field: &Field, name: &str, op: &str, value: &str) -> Result<Condition> {
    let ordered = matches!(field.kind, FieldKind::Int | FieldKind::Decimal | FieldKind::Date | FieldKind::Instant);
    match OPERATORS.iter().find(|(name, _)| *name == op) {
        Some((_, sql)) if ordered => Ok(Condition::Compare(field.column.into(), sql, bind(field, name, value)?)),
        _ => {
            let detail = format!("`{}` cannot be filtered with `[{op}]`.", field.name);
            Err(malformed("unknown_operator", detail))
        }
    }
}

/// The value of the parameter `name` in the type of its field. A day stands for its first instant in UTC where an instant is wanted.
pub(crate) fn bind(field: &Field, name: &str, value: &str) -> Result<Bind> {
    let invalid = |what: &str| malformed("invalid_value", format!("`{name}` is {what}."));
    match field.kind {
        FieldKind::Int => value.parse::<i32>().map(Bind::from).map_err(|_| invalid("a whole number")),
        FieldKind::Decimal => decimal(value).map(Bind::from).ok_or_else(|| invalid("a number")),
        FieldKind::Bool => flag(name, value).map(Bind::from),
        FieldKind::Date => value.parse::<NaiveDate>().map(Bind::from).map_err(|_| invalid("a day as YYYY-MM-DD")),
        FieldKind::Instant => {
            instant(value).map(Bind::from).ok_or_else(|| invalid("an instant as 2025-12-16T10:00:00Z, or a day"))
        }
        FieldKind::Reference(_) => value.parse::<Uuid>().map(Bind::from).map_err(|_| invalid("an id")),
        _ => Ok(value.into()),
    }
}

/// An instant in RFC 3339, or the first instant of a day in UTC.
pub fn instant(value: &str) -> Option<DateTime<Utc>> {
    // A `+` that was not escaped in the query has become a space.
    let full = DateTime::parse_from_rfc3339(&value.replace(' ', "+")).map(|at| at.with_timezone(&Utc)).ok();
    full.or_else(|| value.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc()))
}
