//! Suppressions: addresses that nothing is sent to, and why.
//!
//! People put them there, and so does what becomes of mail: whoever reports a message as unwanted, and an address that
//! cannot exist. An address has one row for the whole organization, and may have one for each of its business units.
use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Patch, Record, Result, Tx,
    business_units::BusinessUnit,
    change::{Change, Draft},
    mail_addresses::normal,
    mail_outcomes::{Fate, MailOutcome, MailOutcomes},
    record::{Field, FieldKind},
    record_rows,
    select::Condition,
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    bounces::{BounceClass, class},
    schema::suppressions,
    soft_bounces,
};

/// An address that nothing is sent to.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = suppressions)]
pub struct Suppression {
    /// Its id.
    pub id: Id<Suppression>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: SuppressionFields,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When it was last changed: by a weightier reason.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The fields of a suppression.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = suppressions, treat_none_as_null = true)]
pub struct SuppressionFields {
    /// The address, in lower case and its domain in ASCII.
    #[validate(length(max = 320))]
    #[schema(example = "ann@example.com")]
    pub email: String,
    /// `bounce`, `complaint`, `unsubscribe` or `manual`.
    #[schema(example = "manual")]
    pub reason: String,
    /// The business unit that sends nothing to it; null for all of them.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// Why, in words.
    #[validate(length(max = 2000))]
    pub note: Option<String>,
}

impl Default for SuppressionFields {
    fn default() -> Self {
        Self { email: String::new(), reason: MANUAL.into(), business_unit_id: None, note: None }
    }
}

const BOUNCE: &str = "bounce";
const COMPLAINT: &str = "complaint";
const MANUAL: &str = "manual";

/// The reasons, each weightier than those before it: a fault of the address may be mended, a colleague knows why, and
/// whoever has said that they want no mail is right.
pub const REASONS: [&str; 4] = [BOUNCE, MANUAL, "unsubscribe", COMPLAINT];

/// The longest note, in characters.
const LONGEST_NOTE: usize = 2_000;

impl Record for Suppression {
    const KIND: &'static str = "suppression";
    const TABLE: &'static str = "suppressions";
    const FIELDS: &'static [Field] = &[
        Field::new("email", "email", FieldKind::Text).required().sortable().searched(),
        Field::new("reason", "reason", FieldKind::Choice(&REASONS)).required(),
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("note", "note", FieldKind::LongText).searched(),
    ];
    const IN_UNITS: bool = true;
    const SEARCHED: bool = true;
    record_rows!(SuppressionFields, suppressions, search_text);

    fn search_text(fields: &SuppressionFields) -> String {
        [Some(&fields.email), fields.note.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn check_new(_tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        match normal(&draft.fields().email) {
            Ok(email) => draft.amend(|fields| fields.email = email),
            Err(error) => draft.refuse("email", "email", error.to_string()),
        }
        Ok(())
    }
}

/// Suppresses an address: `{email, reason, businessUnitId, note}`. The reason is `manual` where none is given.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`]; [`Error::Conflict`] for an address that is suppressed there already.
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Suppression> {
    // What a change would note in the history, a suppression keeps as its own.
    let base = SuppressionFields { note: patch.reason.note.clone(), ..SuppressionFields::default() };
    let draft = Draft::<Suppression>::over(tx, base, patch)?;
    tx.permit_new(draft)?.insert(tx)
}

/// Lets mail go to an address again. Where no policy says otherwise, only an ADMIN may.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<Suppression>, patch: &Patch) -> Result<()> {
    tx.lock(id)?;
    tx.delete(id, patch).map(drop)
}

/// Listens to what becomes of mail, and suppresses the addresses that are to get none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Suppressing;

impl MailOutcomes for Suppressing {
    fn hear(&self, tx: &mut Tx<'_>, outcome: &MailOutcome<'_>) -> Result<bool> {
        let Ok(email) = normal(outcome.email) else { return Ok(false) };
        let (reason, why) = match outcome.fate {
            Fate::Delivered | Fate::Replied => {
                soft_bounces::forget(tx, &email, Some(outcome.at))?;
                return Ok(false);
            }
            Fate::Complained => (COMPLAINT, ""),
            Fate::Bounced => match class(outcome.status, outcome.bounce_type, outcome.words) {
                BounceClass::Policy => return Ok(false),
                BounceClass::Hard => (BOUNCE, ""),
                class @ (BounceClass::Soft | BounceClass::Disabled) => {
                    if !soft_bounces::note(tx, &email, outcome.at, class == BounceClass::Disabled)? {
                        return Ok(true);
                    }
                    (BOUNCE, TOO_OFTEN)
                }
            },
        };
        let words: String = format!("{}: {why}{}", outcome.source, outcome.words).chars().take(LONGEST_NOTE).collect();
        let note = Some(words.trim_end_matches([' ', ':']).to_owned()).filter(|words| !words.is_empty());
        // Whoever lifts the suppression begins anew.
        soft_bounces::forget(tx, &email, None)?;
        suppress(tx, SuppressionFields { email, reason: reason.into(), business_unit_id: None, note })?;
        Ok(true)
    }
}

/// What stands before the words of the last of several bounces.
const TOO_OFTEN: &str = "came back on several days, at last: ";

/// Sees to it that an address is suppressed in the whole organization. One that is stays as it is, and since when; only a
/// weightier reason takes the place of a lighter one.
fn suppress(tx: &mut Tx<'_>, fields: SuppressionFields) -> Result<()> {
    let made = match held(tx, &fields.email)? {
        Some(suppression) => return outweigh(tx, suppression, fields),
        None => tx.savepoint(|tx| {
            let draft = Draft::<Suppression>::over(tx, fields.clone(), Patch::default())?;
            tx.permit_new(draft)?.insert(tx)
        }),
    };
    match made {
        // Somebody else has suppressed it meanwhile.
        Err(Error::Conflict { .. }) => match held(tx, &fields.email)? {
            Some(suppression) => outweigh(tx, suppression, fields),
            None => Err(Error::Unavailable("a suppression keeps coming and going".into())),
        },
        made => made.map(drop),
    }
}

/// The suppression of an address in the whole organization, locked.
fn held(tx: &mut Tx<'_>, email: &str) -> Result<Option<Suppression>> {
    let select = tx.records::<Suppression>().and(Condition::EqualFolded("email", email.into()));
    let select = select.and(Condition::IsNull("business_unit_id", true)).locked();
    Ok(Suppression::load(tx, select)?.pop())
}

fn outweigh(tx: &mut Tx<'_>, held: Suppression, fields: SuppressionFields) -> Result<()> {
    let weight = |reason: &str| REASONS.iter().position(|known| *known == reason);
    if weight(&held.fields.reason) >= weight(&fields.reason) {
        return Ok(());
    }
    let mut change = Change::new(tx, held, Patch::default())?;
    change.amend(|held| *held = fields)?;
    tx.permit(change)?.save(tx).map(drop)
}
