//! What is known about a deal beside its fields: who decides, what hurts, what stands against it, who else is there.
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{Deal, entities::entity_key};
use crate::{
    Error, Id, Patch, Result, Tx,
    change::{Change, Draft},
    gate::{Action, Ask},
    patch::object,
    proposals::proposing,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::deal_intel,
    select::Condition,
};

/// What is known about a deal.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = deal_intel)]
pub struct DealIntel {
    /// The deal that it is about; it is found by this id in the field history too.
    #[serde(rename = "dealId")]
    pub id: Id<DealIntel>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: DealIntelFields,
    /// When the first of it was written down.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes; 0 where nothing was written down yet.
    pub version: i64,
}

/// What can be written down about a deal.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = deal_intel, treat_none_as_null = true)]
pub struct DealIntelFields {
    /// Who decides.
    #[validate(length(max = 200))]
    #[schema(example = "CTO Sarah Johnson")]
    pub decision_maker: Option<String>,
    /// What the buyer suffers from.
    #[validate(custom(function = self::entities))]
    pub key_pain_points: Vec<String>,
    /// What the buyer holds against it.
    #[validate(custom(function = self::entities))]
    pub objections: Vec<String>,
    /// What helped.
    #[validate(length(max = 10_000))]
    pub what_worked: Option<String>,
    /// What did not.
    #[validate(length(max = 10_000))]
    pub what_failed: Option<String>,
    /// Who else would sell to them.
    #[validate(custom(function = self::entities))]
    pub competitors: Vec<String>,
    /// What was said about the price.
    #[validate(length(max = 10_000))]
    pub pricing_notes: Option<String>,
    /// What the buyer has promised to do next.
    #[validate(length(max = 2_000))]
    pub next_step_commitment: Option<String>,
}

/// The members that are lists: `null` empties them.
const LISTS: [&str; 3] = ["keyPainPoints", "objections", "competitors"];

impl Record for DealIntel {
    const KIND: &'static str = "deal_intel";
    const TABLE: &'static str = "deal_intel";
    const FIELDS: &'static [Field] = &[
        Field::new("decisionMaker", "decision_maker", FieldKind::Text),
        Field::new("keyPainPoints", "key_pain_points", FieldKind::Tags),
        Field::new("objections", "objections", FieldKind::Tags),
        Field::new("whatWorked", "what_worked", FieldKind::LongText),
        Field::new("whatFailed", "what_failed", FieldKind::LongText),
        Field::new("competitors", "competitors", FieldKind::Tags),
        Field::new("pricingNotes", "pricing_notes", FieldKind::LongText),
        Field::new("nextStepCommitment", "next_step_commitment", FieldKind::LongText),
    ];
    record_rows!(DealIntelFields, deal_intel);
}

fn entities(spellings: &[String]) -> Result<(), ValidationError> {
    let fits = |spelling: &String| (1..=200).contains(&spelling.chars().count());
    if spellings.len() > 50 || !spellings.iter().all(fits) {
        let message = "At most 50 texts of 1 to 200 characters.";
        return Err(ValidationError::new("length").with_message(message.into()));
    }
    let keys: BTreeSet<_> = spellings.iter().map(|spelling| entity_key(spelling)).collect();
    if keys.len() == spellings.len() {
        return Ok(());
    }
    Err(ValidationError::new("duplicate").with_message("The same thing stands in the list twice.".into()))
}

/// What is known about a deal; nothing, at version 0, where nobody has written anything down yet.
///
/// # Errors
/// [`Error::NotFound`] where there is no such deal.
pub fn read(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<DealIntel> {
    let deal = super::see(tx, id)?;
    let (created_at, updated_at) = (deal.created_at, deal.created_at);
    let nothing = DealIntel { id: id.cast(), fields: DealIntelFields::default(), created_at, updated_at, version: 0 };
    Ok(known(tx, id)?.unwrap_or(nothing))
}

/// What is known about a deal, as its own record's command would find it, locked with the deal: nothing where nobody has
/// written anything down yet.
pub(crate) fn lock(tx: &mut Tx<'_>, id: Uuid) -> Result<Map<String, Value>> {
    let deal: Deal = tx.lock(id.into())?;
    object(&known(tx, deal.id)?.map(|intel| intel.fields).unwrap_or_default())
}

/// What is known about those of these deals that the caller may see, by deal.
pub(crate) fn standing(tx: &mut Tx<'_>, deals: Vec<Uuid>) -> Result<BTreeMap<Uuid, Map<String, Value>>> {
    let select = tx.records::<Deal>().and(Condition::AnyOf("id", deals.into()));
    let deals: Vec<_> = Deal::load(tx, select)?.iter().map(|deal| deal.id.uuid()).collect();
    let select = tx.records::<DealIntel>().and(Condition::AnyOf("id", deals.clone().into()));
    let known: BTreeMap<_, _> = DealIntel::load(tx, select)?.into_iter().map(|it| (it.id.uuid(), it.fields)).collect();
    deals.into_iter().map(|id| Ok((id, object(&known.get(&id).cloned().unwrap_or_default())?))).collect()
}

/// Writes down what is known about a deal: what is left out stays, `null` clears. A new commitment to a next step is a
/// touch of the deal.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`].
pub fn put(tx: &mut Tx<'_>, id: Id<Deal>, mut patch: Patch) -> Result<DealIntel> {
    let deal: Deal = tx.lock(id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, DealIntel::KIND))?;
    for list in LISTS {
        if let Some(value @ Value::Null) = patch.members.get_mut(list) {
            *value = json!([]);
        }
    }
    let before = known(tx, id)?;
    let commitment = before.as_ref().and_then(|intel| intel.fields.next_step_commitment.clone());
    let intel = match before {
        Some(intel) => {
            let change = Change::new(tx, intel, patch)?;
            tx.permit(change)?.save(tx)?
        }
        None => begin(tx, deal.id, patch)?,
    };
    if intel.fields.next_step_commitment != commitment {
        super::touch(tx, id, tx.ctx.now)?;
    }
    Ok(intel)
}

fn begin(tx: &mut Tx<'_>, id: Id<Deal>, patch: Patch) -> Result<DealIntel> {
    let expected = patch.expected;
    let mut draft = Draft::<DealIntel>::new(tx, patch)?;
    draft.named(id.cast());
    let permitted = proposing(tx.permit_new(draft), |mut proposal| {
        // What nobody has written down yet is read as empty, and so it has to be as long as the request waits.
        for diff in proposal.diffs.iter_mut().filter(|diff| LISTS.contains(&diff.field_name.as_str())) {
            diff.old_value = json!([]);
        }
        proposal.about(id.uuid(), 0)
    })?;
    if expected.is_some_and(|version| version != 0) {
        return Err(Error::Stale { version: 0 });
    }
    permitted.insert(tx)
}

fn known(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<Option<DealIntel>> {
    let select = tx.records().with_id(id.uuid());
    Ok(DealIntel::load(tx, select)?.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_thing_once() {
        let list = |spellings: &[&str]| entities(&spellings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert!(list(&["Salesforce", "HubSpot"]).is_ok() && list(&[]).is_ok());
        assert_eq!(list(&["HubSpot", "Hub-Spot"]).unwrap_err().code, "duplicate");
        assert_eq!(list(&[""]).unwrap_err().code, "length");
        assert_eq!(list(&["x"; 51]).unwrap_err().code, "length");
    }
}
