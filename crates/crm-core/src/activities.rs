//! Activities: what was done about a record, by whom and when.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Ctx, Error, Id, Patch, Result, Tx,
    about::{self, About},
    business_units::BusinessUnit,
    change::{Change, Draft},
    companies::Company,
    contacts::Contact,
    deals::Deal,
    leads::Lead,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::activities,
    users::{Role, User},
};

/// An activity: an entry in a record's timeline.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = activities)]
pub struct Activity {
    /// Its id.
    pub id: Id<Activity>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ActivityFields,
    /// When it was noted.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What an activity can be.
pub const TYPES: [&str; 5] = ["call", "email", "meeting", "note", "other"];

/// Which way a message or a call can go.
pub const DIRECTIONS: [&str; 2] = ["in", "out"];

/// The types of activity that go one way or the other.
const DIRECTED: [&str; 3] = ["call", "email", "other"];

/// The fields of an activity. It is about exactly one record.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = activities, treat_none_as_null = true)]
pub struct ActivityFields {
    /// The business unit that it belongs to; that of its record where none is given.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// `call`, `email`, `meeting`, `note` or `other`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `in` from the buyer or `out` to them, of a `call`, an `email` or an `other` message; unknown where nobody said.
    pub direction: Option<String>,
    /// What it was about, in a line.
    #[validate(length(max = 300))]
    pub subject: Option<String>,
    /// What was said and done.
    #[validate(length(max = 20_000))]
    pub body: Option<String>,
    /// When it was or will be; now where none is given.
    pub occurred_at: DateTime<Utc>,
    /// How long it took.
    #[validate(range(min = 0, max = 100_000))]
    pub duration_minutes: Option<i32>,
    /// Who noted it; nobody for the program itself.
    pub user_id: Option<Id<User>>,
    /// The lead that it is about.
    pub lead_id: Option<Id<Lead>>,
    /// The deal that it is about.
    pub deal_id: Option<Id<Deal>>,
    /// The company that it is about.
    pub company_id: Option<Id<Company>>,
    /// The contact that it is about.
    pub contact_id: Option<Id<Contact>>,
}

impl Default for ActivityFields {
    fn default() -> Self {
        Self {
            business_unit_id: None,
            type_: String::new(),
            direction: None,
            subject: None,
            body: None,
            occurred_at: DateTime::UNIX_EPOCH,
            duration_minutes: None,
            user_id: None,
            lead_id: None,
            deal_id: None,
            company_id: None,
            contact_id: None,
        }
    }
}

impl ActivityFields {
    fn about(&self) -> About {
        About { lead: self.lead_id, deal: self.deal_id, company: self.company_id, contact: self.contact_id }
    }

    /// Has a direction what has none by its nature?
    fn is_misdirected(&self) -> bool {
        self.direction.is_some() && TYPES.contains(&self.type_.as_str()) && !DIRECTED.contains(&self.type_.as_str())
    }
}

/// The member that is told about, and why, where an activity is about none or many.
const NOT_ONE: (&str, &str, &str) =
    ("leadId", "exactly_one", "Exactly one of leadId, dealId, companyId and contactId must be given.");

/// The member that is told about, and why, where what goes no way has a direction.
const MISDIRECTED: (&str, &str, &str) =
    ("direction", "not_applicable", "Only a call, an email and an other message go in or out.");

impl Record for Activity {
    const KIND: &'static str = "activity";
    const TABLE: &'static str = "activities";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("type", "type", FieldKind::Choice(&TYPES)).required(),
        Field::new("direction", "direction", FieldKind::Choice(&DIRECTIONS)),
        Field::new("subject", "subject", FieldKind::Text).searched(),
        Field::new("body", "body", FieldKind::LongText).searched(),
        Field::new("occurredAt", "occurred_at", FieldKind::Instant).required().sortable(),
        Field::new("durationMinutes", "duration_minutes", FieldKind::Int),
        Field::new("userId", "user_id", FieldKind::Reference("users")).read_only(),
        Field::new("leadId", "lead_id", FieldKind::Reference("leads")).scoped(),
        Field::new("dealId", "deal_id", FieldKind::Reference("deals")).scoped(),
        Field::new("companyId", "company_id", FieldKind::Reference("companies")).scoped(),
        Field::new("contactId", "contact_id", FieldKind::Reference("contacts")).scoped(),
    ];
    const IN_UNITS: bool = true;
    const SEARCHED: bool = true;
    const DEFAULT_SORT: &'static str = "-occurredAt";
    record_rows!(ActivityFields, activities, search_text);

    fn search_text(fields: &ActivityFields) -> String {
        [&fields.subject, &fields.body].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn check_new(_tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        if draft.fields().about().count() != 1 {
            let (field, code, message) = NOT_ONE;
            draft.refuse(field, code, message);
        }
        if draft.fields().is_misdirected() {
            let (field, code, message) = MISDIRECTED;
            draft.refuse(field, code, message);
        }
        Ok(())
    }
}

/// Notes an activity of the caller, and with it that something was done about its lead or deal.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, mut patch: Patch) -> Result<Activity> {
    let mut base =
        ActivityFields { occurred_at: tx.ctx.now, user_id: tx.ctx.actor.user(), ..ActivityFields::default() };
    if let Some(unit) = about::unit_of_record(tx, &patch)? {
        base.business_unit_id = unit;
        patch = patch.or("businessUnitId", unit.map(|unit| unit.to_string()));
    }
    let draft = Draft::<Activity>::over(tx, base, patch)?;
    let activity = tx.permit_new(draft)?.insert(tx)?;
    activity.fields.about().touch(tx, activity.fields.occurred_at)?;
    Ok(activity)
}

/// Changes an activity. Only its author and ADMIN may.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] (`not_author`), [`Error::Stale`], [`Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<Activity>, patch: Patch) -> Result<Activity> {
    let activity = tx.lock(id)?;
    check_author(tx.ctx, &activity)?;
    let mut change = Change::new(tx, activity, patch)?;
    if change.after().about().count() != 1 {
        let (field, code, message) = NOT_ONE;
        change.refuse(field, code, message);
    }
    if change.after().is_misdirected() {
        let (field, code, message) = MISDIRECTED;
        change.refuse(field, code, message);
    }
    let activity = tx.permit(change)?.save(tx)?;
    activity.fields.about().touch(tx, activity.fields.occurred_at)?;
    Ok(activity)
}

/// Deletes an activity. Only its author and ADMIN may.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] (`not_author`), [`Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<Activity>, patch: &Patch) -> Result<()> {
    let activity = tx.lock(id)?;
    check_author(tx.ctx, &activity)?;
    tx.delete(id, patch).map(|_| ())
}

fn check_author(ctx: &Ctx, activity: &Activity) -> Result<()> {
    let is_author = activity.fields.user_id.is_some() && activity.fields.user_id == ctx.actor.user();
    if is_author || ctx.role == Role::Admin {
        return Ok(());
    }
    let reason = "Only who noted an activity and an ADMIN may change or delete it.".into();
    Err(Error::Forbidden { code: "not_author", reason })
}
