//! Contacts: people at companies.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::{
    Id, Patch, Reason, Result, Tx, about,
    business_units::BusinessUnit,
    change::{Change, Draft},
    companies::Company,
    custom_fields::CustomValues,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::contacts,
    text::digits,
    users::User,
};

/// A contact.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = contacts)]
pub struct Contact {
    /// Their id.
    pub id: Id<Contact>,
    /// Their fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ContactFields,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes.
    pub version: i64,
}

/// What can be set of a contact. One of `firstName`, `lastName` and `email` is required.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = contacts, treat_none_as_null = true)]
pub struct ContactFields {
    /// The business unit that they belong to; none is seen by all.
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
    /// What they do.
    #[validate(length(max = 200))]
    pub job_title: Option<String>,
    /// Where they work.
    pub company_id: Option<Id<Company>>,
    /// Who looks after them.
    pub owner_id: Option<Id<User>>,
    /// They do not want to hear from us.
    pub do_not_contact: bool,
    /// Their id in another system; unique in the organization.
    #[validate(length(max = 200))]
    pub external_id: Option<String>,
    /// Words to find them by.
    #[validate(custom(function = crate::companies::tags))]
    pub tags: Vec<String>,
    /// The organization's own fields.
    pub custom_fields: CustomValues,
}

impl ContactFields {
    fn is_nameless(&self) -> bool {
        self.first_name.is_none() && self.last_name.is_none() && self.email.is_none()
    }
}

const NAMELESS: &str = "One of firstName, lastName and email must be given.";

impl Record for Contact {
    const KIND: &'static str = "contact";
    const TABLE: &'static str = "contacts";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("firstName", "first_name", FieldKind::Text).searched(),
        Field::new("lastName", "last_name", FieldKind::Text).sortable().searched(),
        Field::new("email", "email", FieldKind::Text).searched(),
        Field::new("phone", "phone", FieldKind::Text).searched(),
        Field::new("jobTitle", "job_title", FieldKind::Text),
        Field::new("companyId", "company_id", FieldKind::Reference("companies")).scoped(),
        Field::new("ownerId", "owner_id", FieldKind::Reference("users")),
        Field::new("doNotContact", "do_not_contact", FieldKind::Bool),
        Field::new("externalId", "external_id", FieldKind::Text),
        Field::new("tags", "tags", FieldKind::Tags),
        Field::new("customFields", "custom_fields", FieldKind::Custom),
    ];
    const IN_UNITS: bool = true;
    const SEARCHED: bool = true;
    fn moved(tx: &mut Tx<'_>, ids: Vec<Uuid>, unit: &Value, reason: &Reason) -> Result<()> {
        about::follow(tx, "contact_id", ids, unit, reason)
    }

    record_rows!(ContactFields, contacts, search_text);

    fn search_text(fields: &ContactFields) -> String {
        let parts = [&fields.first_name, &fields.last_name, &fields.email];
        let mut text: Vec<_> = parts.into_iter().flatten().cloned().collect();
        text.extend(fields.phone.as_deref().map(digits));
        text.join(" ")
    }

    fn check_new(_tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        if draft.fields().is_nameless() {
            draft.refuse("lastName", "required", NAMELESS);
        }
        Ok(())
    }
}

/// Makes a contact. A signed-in user looks after what they make, unless they say otherwise.
///
/// # Errors
/// [`crate::Error::Forbidden`], [`crate::Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Contact> {
    let patch = patch.owned_by_caller(tx, "ownerId");
    crate::change::create(tx, patch)
}

/// Changes a contact.
///
/// # Errors
/// [`crate::Error::NotFound`], [`crate::Error::Forbidden`], [`crate::Error::Stale`], [`crate::Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<Contact>, patch: Patch) -> Result<Contact> {
    let contact = tx.lock(id)?;
    let mut change = Change::new(tx, contact, patch)?;
    if change.after().is_nameless() {
        change.refuse("lastName", "required", NAMELESS);
    }
    tx.permit(change)?.save(tx)
}
