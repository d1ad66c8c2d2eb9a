//! The organization's codes and rules as one setting, read and replaced as a whole.
use std::collections::{HashMap, HashSet};

use diesel::sql_types as st;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{CHANGE, ReasonCode, ReasonCodeFields, ReasonRule, ReasonRuleFields};
use crate::{
    Error, FieldError, Id, Patch, Reason, Result, Tx, bodies,
    change::{Change, Draft},
    gate::{Action, Ask},
    record::{COMMON, Record},
};

/// The most codes, and the most rules, that an organization can have.
const MOST: usize = 200;

/// The codes and rules of an organization.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasonSettings {
    /// The codes by outcome and place; those too that are no longer active.
    pub reason_codes: Vec<ReasonCode>,
    /// Which changes need one.
    pub rules: Vec<ReasonRule>,
}

/// The codes and rules of the caller's organization.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn read(tx: &mut Tx<'_>) -> Result<ReasonSettings> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, ReasonCode::KIND))?;
    let mut reason_codes = stored::<ReasonCode>(tx)?;
    reason_codes.sort_by(|a, b| {
        let key = |code: &ReasonCode| (code.fields.outcome.clone(), code.fields.position, code.fields.code.clone());
        key(a).cmp(&key(b))
    });
    Ok(ReasonSettings { reason_codes, rules: stored::<ReasonRule>(tx)? })
}

fn stored<R: Record>(tx: &mut Tx<'_>) -> Result<Vec<R>> {
    let select = tx.records::<R>().order("created_at", false);
    R::load(tx, select)
}

/// Replaces codes and rules by those of the members `reasonCodes` and `rules`, for ADMIN. A code or rule that is there
/// already keeps its id and is changed; one that is not named is deleted, but a code that some change or review bears stays
/// and is no longer active.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for unknown members; [`Error::Invalid`] with every bad field of every entry.
pub fn replace(tx: &mut Tx<'_>, mut patch: Patch) -> Result<ReasonSettings> {
    check_admin(tx)?;
    let mut errors = std::mem::take(&mut patch.errors);
    let codes = entries(&mut patch, "reasonCodes", &mut errors);
    let rules = entries(&mut patch, "rules", &mut errors);
    if let Some(name) = patch.members.keys().next() {
        let detail = format!("There is no member `{name}`. There are: reasonCodes, rules.");
        return Err(Error::Malformed { code: "unknown_member", detail });
    }
    renew::<ReasonCode>(tx, codes, &patch.reason, &mut errors)?;
    renew::<ReasonRule>(tx, rules, &patch.reason, &mut errors)?;
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    tx.ledger.reasons.forget();
    read(tx)
}

fn check_admin(tx: &Tx<'_>) -> Result<()> {
    tx.check_writable()?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, ReasonCode::KIND))
}

fn entries(patch: &mut Patch, name: &str, errors: &mut Vec<FieldError>) -> Vec<Map<String, Value>> {
    let wrong = |message: &str| FieldError::new(name, "invalid_type", message);
    match patch.take(name) {
        None => errors.push(FieldError::new(name, "required", "Must be given.")),
        Some(Value::Array(list)) if list.len() > MOST => {
            errors.push(FieldError::new(name, "too_many", format!("At most {MOST}.")));
        }
        Some(Value::Array(list)) => {
            let entry = |(i, value)| match object(value) {
                Some(members) => members,
                None => {
                    errors.push(FieldError::new(format!("{name}[{i}]"), "invalid_type", "Must be an object."));
                    Map::new()
                }
            };
            return list.into_iter().enumerate().map(entry).collect();
        }
        Some(_) => errors.push(wrong("A list of objects.")),
    }
    Vec::new()
}

/// An entry without what the program sets itself, so that what was read can be sent back.
fn object(value: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut members) = value else { return None };
    members.retain(|name, _| {
        !matches!(name.as_str(), "id" | "version" | "position") && !COMMON.iter().any(|field| field.name == name)
    });
    Some(members)
}

/// Something that is kept in a list of all of its kind.
trait Listed: Record {
    /// The member that holds the list.
    const LIST: &'static str;
    /// What an entry is known by.
    fn key(fields: &Self::Fields) -> String;
    /// Sets its place, the first free one in `places`.
    fn place(_fields: &mut Self::Fields, _places: &mut HashMap<String, i32>) {}
    /// Takes one away that is no longer in the list.
    fn retire(self, tx: &mut Tx<'_>, reason: &Reason) -> Result<()>;
}

impl Listed for ReasonCode {
    const LIST: &'static str = "reasonCodes";

    fn key(fields: &ReasonCodeFields) -> String {
        format!("{:?}", (&fields.outcome, &fields.entity_type, &fields.field_name, &fields.code))
    }

    /// Each outcome has a list of its own.
    fn place(fields: &mut ReasonCodeFields, places: &mut HashMap<String, i32>) {
        let place = places.entry(fields.outcome.clone()).or_default();
        *place += 1;
        fields.position = *place;
    }

    fn retire(self, tx: &mut Tx<'_>, reason: &Reason) -> Result<()> {
        if !is_in_use(tx, &self.fields)? {
            return remove(tx, self.id, reason);
        }
        let mut change = Change::new(tx, self, Patch { reason: reason.clone(), ..Patch::default() })?;
        change.amend(|fields| fields.is_active = false)?;
        tx.permit(change)?.save(tx).map(drop)
    }
}

impl Listed for ReasonRule {
    const LIST: &'static str = "rules";

    fn key(fields: &ReasonRuleFields) -> String {
        format!("{:?}", (&fields.entity_type, &fields.field_name, fields.condition.to_string()))
    }

    fn retire(self, tx: &mut Tx<'_>, reason: &Reason) -> Result<()> {
        remove(tx, self.id, reason)
    }
}

fn remove<R: Record>(tx: &mut Tx<'_>, id: Id<R>, reason: &Reason) -> Result<()> {
    tx.delete(id, &Patch { reason: reason.clone(), ..Patch::default() }).map(drop)
}

fn is_in_use(tx: &mut Tx<'_>, code: &ReasonCodeFields) -> Result<bool> {
    let text = match code.outcome.as_str() {
        CHANGE => "SELECT 1 FROM field_history WHERE organization_id = {org} AND reason_code = {} LIMIT 1",
        _ => "SELECT 1 FROM win_loss_reviews WHERE organization_id = {org} AND primary_reason_code = {} LIMIT 1",
    };
    Ok(tx.sql::<st::Integer>(text).with(|s| s.bind(code.code.as_str())).first::<i32>(tx)?.is_some())
}

fn renew<R: Listed>(
    tx: &mut Tx<'_>,
    wanted: Vec<Map<String, Value>>,
    reason: &Reason,
    errors: &mut Vec<FieldError>,
) -> Result<()> {
    let select = tx.records::<R>().order("id", false).locked();
    let mut there = R::load(tx, select)?;
    let (mut seen, mut places) = (HashSet::new(), HashMap::new());
    for (i, members) in wanted.into_iter().enumerate() {
        let mut draft = Draft::<R>::new(tx, Patch { members, reason: reason.clone(), ..Patch::default() })?;
        draft.amend(|fields| R::place(fields, &mut places));
        let (fields, key) = (draft.fields().clone(), R::key(draft.fields()));
        let known = there.iter().position(|entry| R::key(entry.fields()) == key).map(|at| there.swap_remove(at));
        if !seen.insert(key) {
            draft.refuse(R::FIELDS[0].name, "duplicate", "Stands in the list twice.");
        }
        let saved = tx.permit_new(draft).and_then(|permitted| match known {
            None => permitted.insert(tx),
            Some(known) => keep(tx, known, fields, reason),
        });
        match saved {
            Ok(_) => {}
            Err(Error::Invalid(found)) => {
                let place = format!("{}[{i}]", R::LIST);
                bodies::within(&place, found).for_each(|error| bodies::tell(errors, error));
            }
            Err(error) => return Err(error),
        }
    }
    there.into_iter().try_for_each(|entry| entry.retire(tx, reason))
}

/// Changes an entry that is there already to what the list says of it.
fn keep<R: Listed>(tx: &mut Tx<'_>, known: R, fields: R::Fields, reason: &Reason) -> Result<R> {
    let mut change = Change::new(tx, known, Patch { reason: reason.clone(), ..Patch::default() })?;
    change.amend(|known| *known = fields)?;
    tx.permit(change)?.save(tx)
}
