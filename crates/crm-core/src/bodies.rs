//! Typed bodies: JSON becomes a type, and every member that does not fit is told at once, by its path.
//!
//! serde stops at the first fault. Here each fault is noted, a harmless value takes the place of the bad one, and reading
//! goes on, so that the rules behind can look at the rest too.
mod objects;
mod sentences;

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

pub use self::objects::{REPEATED, object};
pub(crate) use self::sentences::sentence;
use crate::{Error, FieldError, Kind, Result};

/// A body as far as it could be read, and all that was wrong with it.
#[derive(Debug)]
pub struct Reading<T> {
    /// The body, with harmless values where it was bad; nothing where there is no such value.
    pub value: Option<T>,
    /// Every bad member.
    pub errors: Vec<FieldError>,
}

/// Reads a body.
///
/// # Errors
/// [`Error::Malformed`] for members that a `T` does not have, [`Error::Invalid`] with every member that does not fit.
pub fn read<T: DeserializeOwned>(body: Value) -> Result<T> {
    match read_all(body)? {
        Reading { value: Some(value), errors } if errors.is_empty() => Ok(value),
        Reading { errors, .. } => Err(Error::Invalid(errors)),
    }
}

/// Reads a body as far as it goes, for rules that want to tell their own findings beside its faults.
///
/// # Errors
/// [`Error::Malformed`] for members that a `T` does not have.
pub fn read_all<T: DeserializeOwned>(mut body: Value) -> Result<Reading<T>> {
    let mut errors: Vec<FieldError> = Vec::new();
    // Each fault costs a few readings: a small body is told whole, and a hostile one costs no more than a large one.
    let mut budget = WORK / size(&body).max(1);
    let mut seen = HashSet::new();
    loop {
        let fault = match attempt::<T>(&body) {
            Ok(value) => return Ok(Reading { value: Some(value), errors }),
            Err(fault) => fault,
        };
        if fault.is_unknown {
            return Err(Error::Malformed { code: "unknown_member", detail: fault.error.message });
        }
        let mended = mend::<T>(&mut body, fault.steps, &mut budget);
        let place = mended.as_deref().map(path);
        tell(&mut errors, fault.error);
        // What has been mended never fails again; if it does, nothing is gained by going on.
        if !place.is_some_and(|place| seen.insert(place)) {
            return Ok(Reading { value: None, errors });
        }
    }
}

/// What `work` makes of a body, once everything that either finds wrong has been told.
///
/// # Errors
/// As [`joined`].
pub fn judged<T, O>(read: Reading<T>, work: impl FnOnce(T) -> Result<O>) -> Result<O> {
    match read.value {
        Some(body) => joined(read.errors, work(body)),
        None => Err(Error::Invalid(read.errors)),
    }
}

/// The outcome of rules that went by a body, beside what was wrong with the body itself.
///
/// # Errors
/// What the rules say; [`Error::Invalid`] with the faults of both where either found any.
pub fn joined<T>(mut errors: Vec<FieldError>, outcome: Result<T>) -> Result<T> {
    match outcome {
        Err(Error::Invalid(more)) => {
            let news: Vec<_> = more.into_iter().filter(|error| !is_told(&errors, &error.field)).collect();
            errors.extend(news);
        }
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden | Kind::Malformed | Kind::Stale) => {
            return Err(error);
        }
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Internal) => return Err(error),
        outcome if errors.is_empty() => return outcome,
        _ => {}
    }
    Err(Error::Invalid(errors))
}

/// Notes a fault, unless it lies in a member that has been told already.
pub(crate) fn tell(errors: &mut Vec<FieldError>, error: FieldError) {
    if !is_told(errors, &error.field) {
        errors.push(error);
    }
}

fn is_told(errors: &[FieldError], field: &str) -> bool {
    errors.iter().any(|told| {
        let rest = field.strip_prefix(&told.field);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Faults under the name of the member in which they lie.
pub fn within(member: &str, errors: Vec<FieldError>) -> impl Iterator<Item = FieldError> {
    errors.into_iter().map(move |error| {
        let field = match error.field.as_str() {
            "" => member.to_owned(),
            field => format!("{member}.{field}"),
        };
        FieldError { field, ..error }
    })
}

/// How many values may be looked at to find every fault: a second's work at the very most.
const WORK: usize = 2_000_000;

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// The first thing that does not fit.
struct Fault {
    steps: Vec<Step>,
    error: FieldError,
    is_unknown: bool,
}

/// One step of a path into a body.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Item(usize),
}

fn attempt<T: DeserializeOwned>(body: &Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let mut steps = steps(error.path());
        let said = error.into_inner().to_string();
        let named = |before: &str| said.strip_prefix(before)?.split('`').next().map(str::to_owned);
        if let Some(name) = named("unknown field `") {
            // The path of an unknown member ends with it.
            steps.pop_if(|last| *last == Step::Member(name.clone()));
            let place = if steps.is_empty() { String::new() } else { format!(" in `{}`", path(&steps)) };
            let known = said.split_once(", expected ").map_or("none", |(_, known)| known);
            let known = known.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ");
            let message = format!("There is no member `{name}`{place}. There are: {known}.");
            return Fault { error: FieldError::new(path(&steps), "unknown_member", message), steps, is_unknown: true };
        }
        let (code, message) = match named("missing field `") {
            Some(name) => {
                steps.push(Step::Member(name));
                ("required", "Must be given.".to_owned())
            }
            None => sentence(&said),
        };
        Fault { error: FieldError::new(path(&steps), code, message), steps, is_unknown: false }
    })
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Member(key.clone())),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

fn path(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Item(index) => text.push_str(&format!("[{index}]")),
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => text.push_str(&format!(".{name}")),
        }
    }
    text
}

/// Puts a harmless value where the fault lies, or around it. Gives back where one fits.
fn mend<T: DeserializeOwned>(body: &mut Value, mut steps: Vec<Step>, budget: &mut usize) -> Option<Vec<Step>> {
    while !steps.is_empty() {
        if is_mended::<T>(body, &steps, budget) {
            return Some(steps);
        }
        steps.pop();
    }
    None
}

fn is_mended<T: DeserializeOwned>(body: &mut Value, steps: &[Step], budget: &mut usize) -> bool {
    let nil = "00000000-0000-0000-0000-000000000000";
    let candidates = json!([null, "", nil, 0, false, [], {}, "1970-01-01T00:00:00Z", "1970-01-01"]);
    for candidate in candidates.as_array().into_iter().flatten() {
        let Some(left) = budget.checked_sub(1) else { return false };
        *budget = left;
        if !put(body, steps, candidate.clone()) {
            return false;
        }
        match attempt::<T>(body) {
            Err(next) if next.steps.starts_with(steps) || steps.starts_with(&next.steps) => {}
            _ => return true,
        }
    }
    false
}

fn put(body: &mut Value, steps: &[Step], value: Value) -> bool {
    let Some((last, way)) = steps.split_last() else {
        *body = value;
        return true;
    };
    let mut place = body;
    for step in way {
        let next = match (place, step) {
            (Value::Object(members), Step::Member(name)) => members.get_mut(name),
            (Value::Array(items), Step::Item(index)) => items.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        place = next;
    }
    match (place, last) {
        (Value::Object(members), Step::Member(name)) => {
            members.insert(name.clone(), value);
            true
        }
        (Value::Array(items), Step::Item(index)) => match items.get_mut(*index) {
            Some(item) => {
                *item = value;
                true
            }
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::{Currency, Id, Money, users::User};

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only what can be read of it matters")]
    struct Order {
        name: String,
        amount: Money,
        currency: Option<Currency>,
        user_ids: Vec<Id<User>>,
        lines: Vec<Line>,
        due_at: Option<chrono::DateTime<chrono::Utc>>,
        due_on: Option<chrono::NaiveDate>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only what can be read of it matters")]
    struct Line {
        count: i32,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Goods,
        Service,
    }

    fn faults(body: Value) -> Vec<(String, String, String)> {
        match read::<Order>(body).unwrap_err() {
            Error::Invalid(errors) => errors.into_iter().map(|e| (e.field, e.code, e.message)).collect(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_bad_member_is_told_at_once() {
        let body = json!({"name": 5, "amount": "9", "currency": "EURO", "userIds": ["x", 7, "01890000-0000-7000-8000-000000000000"],
            "lines": [{"count": 1.5, "kind": "food"}, {"kind": "goods"}, 3], "dueAt": "noon", "dueOn": "2025-02-30"});
        let found = faults(body);
        let told: Vec<_> = found.iter().map(|(field, code, _)| (field.as_str(), code.as_str())).collect();
        let expected = [
            ("name", "invalid_type"),
            ("amount", "invalid_type"),
            ("currency", "invalid_type"),
            ("userIds[0]", "invalid_id"),
            ("userIds[1]", "invalid_id"),
            ("lines[0].count", "invalid_type"),
            ("lines[0].kind", "not_allowed"),
        ];
        assert_eq!(told[..expected.len()], expected, "{found:#?}");
        for (_, _, message) in &found {
            for raw in ["invalid type", "UUID", "expected", "line ", "struct"] {
                assert!(!message.contains(raw), "{message}");
            }
            assert!(message.ends_with('.') && message.starts_with(char::is_uppercase), "{message}");
        }
    }

    #[test]
    fn what_is_missing_is_told_by_its_own_name() {
        let found = faults(json!({"lines": [{"count": 1, "kind": "service"}, {"count": 2, "kind": "goods"}, {}]}));
        let fields: Vec<_> = found.iter().map(|(field, ..)| field.as_str()).collect();
        assert_eq!(fields[..3], ["lines[2].count", "lines[2].kind", "name"], "{found:?}");
    }

    #[test]
    fn an_unknown_member_is_no_value_that_is_wrong() {
        for (body, said) in [
            (json!({"nmae": "x"}), "There is no member `nmae`. There are: name, amount,"),
            (
                json!({"name": 1, "lines": [{"cuont": 1}]}),
                "There is no member `cuont` in `lines[0]`. There are: count, kind.",
            ),
        ] {
            match read::<Order>(body).unwrap_err() {
                Error::Malformed { code: "unknown_member", detail } => assert!(detail.starts_with(said), "{detail}"),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn nonsense_is_told_once_wherever_it_stands() {
        let whole = json!({"name": "x", "amount": 1, "userIds": [], "lines": [{"count": 1, "kind": "goods"}]});
        read::<Order>(whole.clone()).unwrap();
        let nonsense = [
            json!(null),
            json!(""),
            json!(-1),
            json!(1.5),
            json!(true),
            json!([]),
            json!({}),
            json!([""]),
            json!({"a": {"b": ""}}),
        ];
        for (place, is_item) in
            [("amount", false), ("userIds", false), ("userIds", true), ("lines", false), ("lines", true)]
        {
            for value in &nonsense {
                let mut body = whole.clone();
                body[place] = if is_item { json!([value]) } else { value.clone() };
                match read::<Order>(body) {
                    Ok(_) => assert!(value.is_array() || value.is_number(), "{place} {value}"),
                    Err(Error::Invalid(errors)) => {
                        assert!(
                            errors.iter().all(|error| error.field.starts_with(place)),
                            "{place} {value}: {errors:?}"
                        );
                    }
                    Err(Error::Malformed { .. }) => {
                        assert_eq!((place, is_item, value.is_object()), ("lines", true, true))
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }

    #[test]
    fn what_lies_within_a_told_member_is_not_told_again() {
        let mut errors = vec![FieldError::new("a", "x", "")];
        for field in ["a", "a.b", "a[0]", "ab", "b.a"] {
            tell(&mut errors, FieldError::new(field, "y", ""));
        }
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["a", "ab", "b.a"]);
    }

    proptest! {
        #[test]
        fn any_list_of_nonsense_ends_soon(items in proptest::collection::vec(any::<u32>(), 0..400)) {
            let body = json!({"name": "", "amount": 1, "lines": [], "userIds": items});
            prop_assert_eq!(read::<Order>(body).is_ok(), items.is_empty());
        }
    }
}
