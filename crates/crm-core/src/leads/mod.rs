//! Leads: people and companies that might buy, before they are worked as deals.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::{
    Error, Id, Patch, Reason, Result, Tx, about,
    bulk::{self, BulkOutcome, Commands},
    business_units::BusinessUnit,
    change::{Change, Draft},
    companies::Company,
    contacts::Contact,
    custom_fields::CustomValues,
    deals::Deal,
    notifications::Kind,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::leads,
    text::digits,
    users::User,
};

mod carried;
mod convert;
mod proposed;

pub use convert::{Conversion, Target, Targets, convert};
pub use proposed::{CONVERT, convert_approved};

/// A lead.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = leads)]
pub struct Lead {
    /// Its id.
    pub id: Id<Lead>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: LeadFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What a lead can be.
pub const STATUSES: [&str; 5] = ["new", "contacted", "qualified", "unqualified", "converted"];

/// The fields of a lead. One of `lastName`, `companyName` and `email` is required; what a conversion made is read-only.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = leads, treat_none_as_null = true)]
pub struct LeadFields {
    /// The business unit that it belongs to; none is seen by all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// Given name.
    #[validate(length(max = 100))]
    pub first_name: Option<String>,
    /// Family name.
    #[validate(length(max = 100))]
    pub last_name: Option<String>,
    /// Where they are reached by mail.
    #[validate(email, length(max = 254))]
    #[schema(example = "grace@acme.example")]
    pub email: Option<String>,
    /// Where they are called, in any notation.
    #[validate(length(max = 40))]
    pub phone: Option<String>,
    /// Where they work.
    #[validate(length(max = 200))]
    pub company_name: Option<String>,
    /// What they do.
    #[validate(length(max = 200))]
    pub job_title: Option<String>,
    /// Where the lead came from.
    #[validate(length(max = 100))]
    #[schema(example = "webinar")]
    pub source: Option<String>,
    /// `new`, `contacted`, `qualified`, `unqualified` or, after a conversion, `converted`.
    pub status: String,
    /// How promising it is, 0 to 100.
    #[validate(range(min = 0, max = 100))]
    pub score: Option<i32>,
    /// Who works it.
    pub owner_id: Option<Id<User>>,
    /// They do not want to hear from us.
    pub do_not_contact: bool,
    /// When something was last done about it.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// When it was converted.
    pub converted_at: Option<DateTime<Utc>>,
    /// The company that the conversion made or chose.
    pub converted_company_id: Option<Id<Company>>,
    /// The contact that the conversion made or chose.
    pub converted_contact_id: Option<Id<Contact>>,
    /// The deal that the conversion made or chose.
    pub converted_deal_id: Option<Id<Deal>>,
    /// Its id in another system; unique in the organization.
    #[validate(length(max = 200))]
    pub external_id: Option<String>,
    /// Words to find it by.
    #[validate(custom(function = crate::companies::tags))]
    pub tags: Vec<String>,
    /// The organization's own fields.
    pub custom_fields: CustomValues,
}

impl Default for LeadFields {
    fn default() -> Self {
        Self {
            business_unit_id: None,
            first_name: None,
            last_name: None,
            email: None,
            phone: None,
            company_name: None,
            job_title: None,
            source: None,
            status: "new".into(),
            score: None,
            owner_id: None,
            do_not_contact: false,
            last_activity_at: None,
            converted_at: None,
            converted_company_id: None,
            converted_contact_id: None,
            converted_deal_id: None,
            external_id: None,
            tags: Vec::new(),
            custom_fields: CustomValues::default(),
        }
    }
}

impl LeadFields {
    fn is_nameless(&self) -> bool {
        self.last_name.is_none() && self.company_name.is_none() && self.email.is_none()
    }
}

const NAMELESS: &str = "One of lastName, companyName and email must be given.";
const CONVERTED: &str = "A lead becomes converted by POST /api/leads/{id}/convert.";

impl Record for Lead {
    const KIND: &'static str = "lead";
    const TABLE: &'static str = "leads";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("firstName", "first_name", FieldKind::Text).searched(),
        Field::new("lastName", "last_name", FieldKind::Text).sortable().searched(),
        Field::new("email", "email", FieldKind::Text).searched(),
        Field::new("phone", "phone", FieldKind::Text).searched(),
        Field::new("companyName", "company_name", FieldKind::Text).sortable().searched(),
        Field::new("jobTitle", "job_title", FieldKind::Text),
        Field::new("source", "source", FieldKind::Text),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).required(),
        Field::new("score", "score", FieldKind::Int).sortable(),
        Field::new("ownerId", "owner_id", FieldKind::Reference("users")),
        Field::new("doNotContact", "do_not_contact", FieldKind::Bool),
        Field::new("lastActivityAt", "last_activity_at", FieldKind::Instant).sortable().read_only(),
        Field::new("convertedAt", "converted_at", FieldKind::Instant).read_only(),
        Field::new("convertedCompanyId", "converted_company_id", FieldKind::Reference("companies")).read_only(),
        Field::new("convertedContactId", "converted_contact_id", FieldKind::Reference("contacts")).read_only(),
        Field::new("convertedDealId", "converted_deal_id", FieldKind::Reference("deals")).read_only(),
        Field::new("externalId", "external_id", FieldKind::Text),
        Field::new("tags", "tags", FieldKind::Tags),
        Field::new("customFields", "custom_fields", FieldKind::Custom),
    ];
    const IN_UNITS: bool = true;
    const ASSIGNED: Option<(&'static str, Kind)> = Some(("ownerId", Kind::LeadAssigned));
    const SEARCHED: bool = true;
    fn moved(tx: &mut Tx<'_>, ids: Vec<Uuid>, unit: &Value, reason: &Reason) -> Result<()> {
        about::follow(tx, "lead_id", ids, unit, reason)
    }

    record_rows!(LeadFields, leads, search_text);

    fn search_text(fields: &LeadFields) -> String {
        let parts = [&fields.first_name, &fields.last_name, &fields.company_name, &fields.email];
        let mut text: Vec<_> = parts.into_iter().flatten().cloned().collect();
        text.extend(fields.phone.as_deref().map(digits));
        text.join(" ")
    }

    fn announced_as(change: &Change<Self>) -> &'static str {
        if change.touches("convertedAt") { "converted" } else { "updated" }
    }

    fn check_new(_tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        if draft.fields().is_nameless() {
            draft.refuse("lastName", "required", NAMELESS);
        }
        if draft.fields().status == "converted" {
            draft.refuse("status", "not_allowed", CONVERTED);
        }
        Ok(())
    }
}

/// Makes a lead. A signed-in user owns what they make, unless they say otherwise.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Lead> {
    let patch = patch.owned_by_caller(tx, "ownerId");
    crate::change::create(tx, patch)
}

/// Changes a lead that is not yet converted.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Conflict`] `converted`, [`Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<Lead>, patch: Patch) -> Result<Lead> {
    let lead: Lead = tx.lock(id)?;
    let converted = lead.fields.converted_at.is_some();
    let mut change = Change::new(tx, lead, patch)?;
    if change.after().is_nameless() {
        change.refuse("lastName", "required", NAMELESS);
    }
    if change.touches("status") && change.after().status == "converted" {
        change.refuse("status", "not_allowed", CONVERTED);
    }
    if converted && !change.diffs().is_empty() {
        let detail = "The lead is converted and stays as it was; work its contact and deal instead.".into();
        return Err(Error::Conflict { code: "converted", detail });
    }
    tx.permit(change)?.save(tx)
}

/// Changes or deletes many leads at once.
///
/// # Errors
/// As [`bulk::edit`].
pub fn bulk(tx: &mut Tx<'_>, patch: Patch) -> Result<BulkOutcome> {
    bulk::edit(tx, patch, &Commands { update, delete: |tx, id, patch| tx.delete(id, patch).map(|_| ()) })
}

/// Notes that something was done about a lead. No edit: neither version nor history move.
pub(crate) fn touch(tx: &mut Tx<'_>, id: Id<Lead>, at: DateTime<Utc>) -> Result<()> {
    tx.sql::<st::Integer>(
        "UPDATE leads SET last_activity_at = greatest(last_activity_at, {}) WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(at).bind(id))
    .run(tx)?;
    Ok(())
}
