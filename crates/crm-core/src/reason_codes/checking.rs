//! Has a change the reason that it needs? Asked of every change, whoever makes it and on whatever path.
use diesel::sql_types as st;
use serde_json::Value;
use uuid::Uuid;

use super::{CHANGE, Condition, conditions::Place};
use crate::{Actor, Error, FieldError, Reason, Result, Tx, change::FieldDiff, record::Record};

/// The code of whatever takes back what was done: the program gives it itself, so no list can forbid it.
pub(crate) const REVERT: &str = "revert";

/// What a transaction has read of codes and rules. Most organizations have no rules and most changes no code, and then this is
/// one look into an empty index for all changes of the transaction.
#[derive(Default)]
pub(crate) struct Known {
    rules: Option<Vec<Rule>>,
    codes: Option<Vec<Code>>,
}

impl Known {
    /// Forgets it all, since it has changed.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[derive(Debug, Clone)]
struct Rule {
    entity_type: String,
    field_name: Option<String>,
    condition: Condition,
}

#[derive(Debug, Clone)]
struct Code {
    code: String,
    entity_type: Option<String>,
    field_name: Option<String>,
}

impl Code {
    /// May it explain these changes of such a record?
    fn fits(&self, code: &str, kind: &str, diffs: &[FieldDiff]) -> bool {
        let of_field = |name: &String| diffs.is_empty() || diffs.iter().any(|diff| diff.field_name == *name);
        self.code == code
            && self.entity_type.as_deref().is_none_or(|own| own == kind)
            && self.field_name.as_ref().is_none_or(of_field)
    }
}

/// What is wrong with the reason of a change, or of a deletion: a change of `deletedAt`. A change of nothing needs none, and neither
/// does the program where it acts for nobody.
pub(crate) fn check<R: Record>(tx: &mut Tx<'_>, diffs: &[FieldDiff], reason: &Reason) -> Result<Option<FieldError>> {
    if reason.code.is_some() {
        return check_code::<R>(tx, diffs, reason);
    }
    if diffs.is_empty() || tx.ctx.actor == Actor::System {
        return Ok(None);
    }
    let rules: Vec<_> = rules(tx)?.iter().filter(|rule| rule.entity_type == R::KIND).cloned().collect();
    for rule in rules {
        for diff in diffs.iter().filter(|diff| rule.names::<R>(diff)) {
            let stages = match rule.condition {
                Condition::StageMovedBackwards {} => places(tx, diff)?,
                _ => None,
            };
            if rule.condition.means(diff, stages) {
                let message = format!("This change of {} needs a reasonCode.", diff.field_name);
                return Ok(Some(FieldError::new("reasonCode", "reason_code_required", message)));
            }
        }
    }
    Ok(None)
}

/// Refuses a deletion, or another change that is no [`crate::change::Change`], without the reason that it needs.
pub(crate) fn demand<R: Record>(tx: &mut Tx<'_>, diff: &FieldDiff, reason: &Reason) -> Result<()> {
    match check::<R>(tx, std::slice::from_ref(diff), reason)? {
        Some(error) => Err(Error::Invalid(vec![error])),
        None => Ok(()),
    }
}

/// What is wrong with a code that was given, if one was.
pub(crate) fn check_code<R: Record>(
    tx: &mut Tx<'_>,
    diffs: &[FieldDiff],
    reason: &Reason,
) -> Result<Option<FieldError>> {
    let Some(code) = reason.code.as_deref().filter(|code| *code != REVERT) else { return Ok(None) };
    let codes = codes(tx)?;
    if codes.iter().any(|known| known.fits(code, R::KIND, diffs)) {
        return Ok(None);
    }
    let fitting = codes.iter().filter(|known| known.fits(&known.code, R::KIND, diffs));
    let names: Vec<_> = fitting.map(|known| known.code.as_str()).collect();
    let message = format!("One of: {}.", names.join(", "));
    Ok(Some(FieldError::new("reasonCode", "unknown_reason_code", message)))
}

impl Rule {
    fn names<R: Record>(&self, diff: &FieldDiff) -> bool {
        let settable = || {
            let field = R::FIELDS.iter().find(|field| field.name == diff.field_name);
            field.is_none_or(|field| !field.read_only)
        };
        self.field_name.as_ref().map_or_else(settable, |name| *name == diff.field_name)
    }
}

fn rules<'t>(tx: &'t mut Tx<'_>) -> Result<&'t [Rule]> {
    if tx.ledger.reasons.rules.is_none() {
        let rows = tx
            .sql::<(st::Text, st::Nullable<st::Text>, st::Jsonb)>(
                "SELECT entity_type, field_name, condition FROM reason_rules WHERE organization_id = {org} AND is_required",
            )
            .all::<(String, Option<String>, Value)>(tx)?;
        let understood = rows.into_iter().filter_map(|(entity_type, field_name, condition)| {
            let condition = serde_json::from_value(condition).ok()?;
            Some(Rule { entity_type, field_name, condition })
        });
        tx.ledger.reasons.rules = Some(understood.collect());
    }
    Ok(tx.ledger.reasons.rules.as_deref().unwrap_or_default())
}

fn codes<'t>(tx: &'t mut Tx<'_>) -> Result<&'t [Code]> {
    if tx.ledger.reasons.codes.is_none() {
        let rows = tx
            .sql::<(st::Text, st::Nullable<st::Text>, st::Nullable<st::Text>)>(
                "SELECT code, entity_type, field_name FROM reason_codes WHERE organization_id = {org} AND outcome = {} \
                 AND is_active ORDER BY position, code",
            )
            .with(|s| s.bind(CHANGE))
            .all::<(String, Option<String>, Option<String>)>(tx)?;
        let codes = rows.into_iter().map(|(code, entity_type, field_name)| Code { code, entity_type, field_name });
        tx.ledger.reasons.codes = Some(codes.collect());
    }
    Ok(tx.ledger.reasons.codes.as_deref().unwrap_or_default())
}

/// Where the old and the new stage of a change stand.
fn places(tx: &mut Tx<'_>, diff: &FieldDiff) -> Result<Option<(Place, Place)>> {
    let id = |value: &Value| value.as_str().and_then(|text| text.parse::<Uuid>().ok());
    let (Some(old), Some(new)) = (id(&diff.old_value), id(&diff.new_value)) else { return Ok(None) };
    let rows = tx
        .sql::<(st::Uuid, st::Uuid, st::Integer)>(
            "SELECT id, pipeline_id, position FROM stages WHERE organization_id = {org} AND id = ANY({})",
        )
        .with(|s| s.bind(vec![old, new]))
        .all::<(Uuid, Uuid, i32)>(tx)?;
    let place = |stage: Uuid| {
        let (_, pipeline, position) = *rows.iter().find(|(id, ..)| *id == stage)?;
        Some(Place { pipeline, position })
    };
    Ok(place(old).zip(place(new)))
}
