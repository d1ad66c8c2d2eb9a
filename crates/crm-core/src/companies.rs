//! Companies: organizations that we sell to.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    Error, Id, Money, Patch, Reason, Result, Tx, about,
    business_units::BusinessUnit,
    change::Change,
    custom_fields::CustomValues,
    organizations,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::companies,
    users::User,
};

/// A company.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = companies)]
pub struct Company {
    /// Its id.
    pub id: Id<Company>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: CompanyFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a company.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = companies, treat_none_as_null = true)]
pub struct CompanyFields {
    /// The business unit that it belongs to; none is seen by all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What people call it.
    #[validate(length(max = 200))]
    #[schema(example = "Acme Corporation")]
    pub name: String,
    /// Its domain on the internet, without a scheme.
    #[validate(length(max = 253), custom(function = self::domain))]
    #[schema(example = "acme.example")]
    pub domain: Option<String>,
    /// What it does.
    #[validate(length(max = 100))]
    pub industry: Option<String>,
    /// How many people work there.
    #[validate(range(min = 0))]
    pub employees: Option<i32>,
    /// What it earns in a year, in the organization's currency.
    #[validate(custom(function = crate::deals::not_negative))]
    #[schema(minimum = 0)]
    pub annual_revenue: Option<Money>,
    /// ISO 3166-1, two letters.
    #[validate(custom(function = crate::business_units::country))]
    #[schema(example = "GB")]
    pub country: Option<String>,
    /// Where it sits.
    #[validate(length(max = 100))]
    pub city: Option<String>,
    /// Who looks after it.
    pub owner_id: Option<Id<User>>,
    /// The company that it belongs to.
    pub parent_company_id: Option<Id<Company>>,
    /// Its id in another system; unique in the organization.
    #[validate(length(max = 200))]
    pub external_id: Option<String>,
    /// Words to find it by.
    #[validate(custom(function = crate::companies::tags))]
    pub tags: Vec<String>,
    /// The organization's own fields.
    pub custom_fields: CustomValues,
}

fn domain(domain: &str) -> Result<(), ValidationError> {
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.chars().all(|c| c.is_alphanumeric() || c == '-');
    if domain.contains('.') && domain.split('.').all(label) {
        return Ok(());
    }
    let message = "A domain without a scheme, such as acme.example.";
    Err(ValidationError::new("invalid_domain").with_message(message.into()))
}

/// At most 50 words of 1 to 50 characters.
pub(crate) fn tags(tags: &[String]) -> Result<(), ValidationError> {
    let word =
        |tag: &String| (1..=50).contains(&tag.chars().count()) && !tag.contains(|c: char| c.is_control() || c == ',');
    if tags.len() <= 50 && tags.iter().all(word) {
        return Ok(());
    }
    let message = "At most 50 words of 1 to 50 characters, without commas.";
    Err(ValidationError::new("invalid_tags").with_message(message.into()))
}

impl Record for Company {
    const KIND: &'static str = "company";
    const TABLE: &'static str = "companies";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("name", "name", FieldKind::Text).required().sortable().searched(),
        Field::new("domain", "domain", FieldKind::Text).searched(),
        Field::new("industry", "industry", FieldKind::Text),
        Field::new("employees", "employees", FieldKind::Int).sortable(),
        Field::new("annualRevenue", "annual_revenue", FieldKind::Decimal).sortable(),
        Field::new("country", "country", FieldKind::Text),
        Field::new("city", "city", FieldKind::Text).searched(),
        Field::new("ownerId", "owner_id", FieldKind::Reference("users")),
        Field::new("parentCompanyId", "parent_company_id", FieldKind::Reference("companies")).scoped(),
        Field::new("externalId", "external_id", FieldKind::Text),
        Field::new("tags", "tags", FieldKind::Tags),
        Field::new("customFields", "custom_fields", FieldKind::Custom),
    ];
    const IN_UNITS: bool = true;
    const SEARCHED: bool = true;
    fn moved(tx: &mut Tx<'_>, ids: Vec<Uuid>, unit: &Value, reason: &Reason) -> Result<()> {
        about::follow(tx, "company_id", ids, unit, reason)
    }

    record_rows!(CompanyFields, companies, search_text);

    fn search_text(fields: &CompanyFields) -> String {
        let parts = [Some(&fields.name), fields.domain.as_ref(), fields.city.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// Makes a company. A signed-in user looks after what they make, unless they say otherwise.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Company> {
    let patch = patch.owned_by_caller(tx, "ownerId");
    crate::change::create(tx, patch)
}

/// How far up a company may stand under others.
const DEEPEST: usize = 20;

/// Changes a company.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`] (a company cannot stand under itself).
pub fn update(tx: &mut Tx<'_>, id: Id<Company>, patch: Patch) -> Result<Company> {
    let company = tx.lock(id)?;
    let mut change = Change::new(tx, company, patch)?;
    if change.touches("parentCompanyId") {
        // Two that see each other's past would close a circle.
        organizations::hold(tx)?;
    }
    if change.touches("parentCompanyId") && stands_under(tx, change.after().parent_company_id, id)? {
        change.refuse("parentCompanyId", "cycle", "A company cannot stand under itself.");
    }
    tx.permit(change)?.save(tx)
}

/// Is `id` among the parents, from `parent` upwards?
fn stands_under(tx: &mut Tx<'_>, mut parent: Option<Id<Company>>, id: Id<Company>) -> Result<bool> {
    for _ in 0..DEEPEST {
        match parent {
            None => return Ok(false),
            Some(parent) if parent == id => return Ok(true),
            Some(above) => match tx.find::<Company>(above) {
                Ok(company) => parent = company.fields.parent_company_id,
                Err(Error::NotFound) => return Ok(false),
                Err(error) => return Err(error),
            },
        }
    }
    Ok(true)
}
