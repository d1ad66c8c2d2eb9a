//! Typed bodies: JSON becomes a type, and every member that does not fit is told at once, by its path.
//!
//! serde stops at the first fault. Here each fault is noted, a harmless value takes the place of the bad one, and reading
//! goes on, so that the rules behind can look at the rest too.
mod objects;
mod sentences;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

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
            Err(fault) => *fault,
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
    /// A word that would have fitted, where one of a few is asked for.
    word: Option<String>,
}

/// One step of a path into a body.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Item(usize),
}

fn attempt<T: DeserializeOwned>(body: &Value) -> Result<T, Box<Fault>> {
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
            let error = FieldError::new(path(&steps), "unknown_member", message);
            return Box::new(Fault { error, steps, is_unknown: true, word: None });
        }
        let (code, message) = match named("missing field `") {
            Some(name) => {
                steps.push(Step::Member(name));
                ("required", "Must be given.".to_owned())
            }
            None => sentence(&said),
        };
        let words = said.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "));
        let word = words.and_then(|(_, words)| words.split('`').nth(1)).map(str::to_owned);
        Box::new(Fault { error: FieldError::new(path(&steps), code, message), steps, is_unknown: false, word })
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
    let mut candidates =
        VecDeque::from([json!(null), json!(""), json!(nil), json!(0), json!(false), json!([]), json!({})]);
    candidates.extend([json!("1970-01-01T00:00:00Z"), json!("1970-01-01")]);
    let mut words = HashSet::new();
    while let Some(candidate) = candidates.pop_front() {
        let Some(left) = budget.checked_sub(1) else { return false };
        *budget = left;
        if !put(body, steps, candidate) {
            return false;
        }
        match attempt::<T>(body) {
            Err(next) if next.steps.starts_with(steps) || steps.starts_with(&next.steps) => {
                // Where one of a few words is asked for, whoever refuses another names them.
                if let Some(word) = next.word.filter(|word| next.steps == steps && words.insert(word.clone())) {
                    candidates.push_front(word.into());
                }
            }
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
