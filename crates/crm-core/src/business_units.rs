//! Business units: brands or companies under one organization, each with its own records and people.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use rust_decimal::{Decimal, RoundingStrategy::MidpointNearestEven};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    Error, Id, Money, Patch, Result, Tx,
    change::{self, Change, Draft},
    deals::Deal,
    gate::{Action, Ask},
    masks::Reveals,
    organizations,
    page::{self, Page},
    pipelines::Pipeline,
    reason_codes,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::business_units,
    select::Condition,
    transfers,
    users::User,
};

/// A business unit.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = business_units)]
pub struct BusinessUnit {
    /// Its id.
    pub id: Id<BusinessUnit>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: BusinessUnitFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a business unit.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = business_units, treat_none_as_null = true)]
pub struct BusinessUnitFields {
    /// What people call it.
    #[validate(length(max = 200))]
    #[schema(example = "Brand Alpha")]
    pub name: String,
    /// Its name in addresses; unique in the organization.
    #[validate(length(max = 60), custom(function = self::slug))]
    #[schema(example = "alpha")]
    pub slug: String,
    /// IANA zone.
    #[validate(custom(function = crate::organizations::timezone))]
    #[schema(example = "Europe/London")]
    pub timezone: String,
    /// ISO 3166-1, two letters.
    #[validate(custom(function = crate::business_units::country))]
    #[schema(example = "GB")]
    pub country: Option<String>,
    /// Where its new deals begin.
    pub default_pipeline_id: Option<Id<Pipeline>>,
    /// Which identity its mail is sent under.
    pub default_email_identity_id: Option<Uuid>,
    /// The number that it calls from.
    #[validate(length(max = 40))]
    pub default_phone: Option<String>,
    /// Inactive units stay readable and take no new records.
    pub is_active: bool,
}

impl Default for BusinessUnitFields {
    fn default() -> Self {
        Self {
            name: String::new(),
            slug: String::new(),
            timezone: "UTC".into(),
            country: None,
            default_pipeline_id: None,
            default_email_identity_id: None,
            default_phone: None,
            is_active: true,
        }
    }
}

fn slug(slug: &str) -> Result<(), ValidationError> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if slug.chars().all(letters) && !slug.starts_with('-') && !slug.ends_with('-') {
        return Ok(());
    }
    let message = "Lower-case letters, digits and `-`, not at the ends.";
    Err(ValidationError::new("invalid_slug").with_message(message.into()))
}

/// Is it a country of ISO 3166-1, in its two capital letters?
pub(crate) fn country(code: &str) -> Result<(), ValidationError> {
    if rust_iso3166::from_alpha2(code).is_some() {
        return Ok(());
    }
    Err(ValidationError::new("unknown_country").with_message("Two capital letters of ISO 3166, such as GB.".into()))
}

impl Record for BusinessUnit {
    const KIND: &'static str = "business_unit";
    const TABLE: &'static str = "business_units";
    const FIELDS: &'static [Field] = &[
        Field::new("name", "name", FieldKind::Text).required().sortable(),
        Field::new("slug", "slug", FieldKind::Text).required(),
        Field::new("timezone", "timezone", FieldKind::Text).required(),
        Field::new("country", "country", FieldKind::Text),
        Field::new("defaultPipelineId", "default_pipeline_id", FieldKind::Reference("pipelines")),
        Field::new("defaultEmailIdentityId", "default_email_identity_id", FieldKind::Json),
        Field::new("defaultPhone", "default_phone", FieldKind::Text),
        Field::new("isActive", "is_active", FieldKind::Bool),
    ];
    const DEFAULT_SORT: &'static str = "name";
    record_rows!(BusinessUnitFields, business_units);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        if tx.ctx.scope.units.is_some() {
            return Err(Error::NotFound);
        }
        if draft.fields().default_email_identity_id.is_some() {
            draft.refuse("defaultEmailIdentityId", "unknown_reference", "There is no such record.");
        }
        Ok(())
    }
}

/// Changes a unit.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`], [`Error::Conflict`] for a slug in use.
pub fn update(tx: &mut Tx<'_>, id: Id<BusinessUnit>, patch: Patch) -> Result<BusinessUnit> {
    let unit = tx.lock(id)?;
    let mut change = Change::new(tx, unit, patch)?;
    if change.touches("defaultEmailIdentityId") && change.after().default_email_identity_id.is_some() {
        change.refuse("defaultEmailIdentityId", "unknown_reference", "There is no such record.");
    }
    let deactivates = change.touches("isActive") && !change.after().is_active;
    let permitted = tx.permit(change)?;
    if deactivates {
        refuse_open_deals(tx, id)?;
    }
    permitted.save(tx)
}

/// The active units, as a list like any other.
///
/// # Errors
/// As [`page::list`].
pub fn active(tx: &mut Tx<'_>, mut query: Vec<(String, String)>) -> Result<Page<BusinessUnit>> {
    query.retain(|(name, _)| name != "isActive");
    query.push(("isActive".into(), "true".into()));
    page::list(tx, &query)
}

/// Deactivates a unit. It stays readable. Where another unit is named, all that the unit still works on goes there: its
/// companies and contacts, the leads that are not converted, the open deals, with their activities and tasks, and the
/// open tasks that are about no record. Closed deals and converted leads stay, and the unit's figures with them.
///
/// # Errors
/// [`Error::Conflict`] `has_open_deals` where open deals would be left behind; [`Error::Invalid`] where the unit they
/// should go to is not an active other one.
pub fn deactivate(
    tx: &mut Tx<'_>,
    id: Id<BusinessUnit>,
    transfer_to: Option<Id<BusinessUnit>>,
    mut patch: Patch,
) -> Result<()> {
    let unit = tx.lock(id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Delete, BusinessUnit::KIND))?;
    patch.members.insert("isActive".into(), false.into());
    let reason = patch.reason.clone();
    let change = Change::new(tx, unit, patch)?;
    let permitted = tx.permit(change)?;
    match transfer_to {
        Some(target) => {
            check_target(tx, id, target)?;
            transfers::transfer(tx, id, target, &reason)?;
        }
        None => refuse_open_deals(tx, id)?,
    }
    permitted.save(tx)?;
    Ok(())
}

/// Open deals must not be left behind in a unit that takes nothing new.
fn refuse_open_deals(tx: &mut Tx<'_>, id: Id<BusinessUnit>) -> Result<()> {
    let open: i64 = tx
        .sql::<st::BigInt>(
            "SELECT count(*) FROM deals WHERE organization_id = {org} AND business_unit_id = {} AND status = 'open'",
        )
        .with(|s| s.bind(id))
        .one(tx)?;
    if open == 0 {
        return Ok(());
    }
    let detail = format!("The unit owns {open} open deals. DELETE it with another unit as ?transferTo= to move them.");
    Err(Error::Conflict { code: "has_open_deals", detail })
}

fn check_target(tx: &mut Tx<'_>, from: Id<BusinessUnit>, to: Id<BusinessUnit>) -> Result<()> {
    match tx.find::<BusinessUnit>(to) {
        Ok(unit) if unit.fields.is_active && to != from => Ok(()),
        Ok(_) | Err(Error::NotFound) => {
            Err(Error::invalid("transferTo", "unknown_reference", "There is no such active other unit."))
        }
        Err(error) => Err(error),
    }
}

/// Figures of one unit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitStats {
    /// Leads that belong to the unit.
    pub leads_count: i64,
    /// All its deals.
    pub deals_count: i64,
    /// Those still open.
    pub open_deals_count: i64,
    /// Its companies.
    pub companies_count: i64,
    /// The sum of its open deals in `currency`, at the exchange rates of today.
    pub pipeline_value: Money,
    /// The sum of its won deals in `currency`, each at the exchange rate of the day on which it was won.
    pub won_value: Money,
    /// Won deals in all that closed, 0 to 1; null where none has closed.
    #[schema(value_type = Option<f64>)]
    pub win_rate: Option<Money>,
    /// What was done in the last 30 days of 24 hours.
    pub activities_last30_days: i64,
    /// The organization's currency, in which the sums are.
    pub currency: crate::money::Currency,
    /// Does every open or won deal count in its sum?
    pub complete: bool,
    /// Open and won deals in currencies without an exchange rate, which no sum here counts.
    pub unconverted_deals_count: i64,
}

/// The figures of a unit that would tell what the caller does not see of single deals.
pub const REVEALS: [Reveals; 6] = [
    Reveals { member: "openDealsCount", kind: Deal::KIND, fields: &["status"] },
    Reveals { member: "pipelineValue", kind: Deal::KIND, fields: &["value", "currency", "status"] },
    Reveals { member: "wonValue", kind: Deal::KIND, fields: &["value", "currency", "status"] },
    Reveals { member: "winRate", kind: Deal::KIND, fields: &["status"] },
    Reveals { member: "complete", kind: Deal::KIND, fields: &["currency", "status"] },
    Reveals { member: "unconvertedDealsCount", kind: Deal::KIND, fields: &["currency", "status"] },
];

/// The deals of a unit. Each is worth its value times the rate that held on the day on which it closed, or holds today.
const DEALS: &str = "SELECT count(*), count(*) FILTER (WHERE d.status = 'open'), \
     count(*) FILTER (WHERE d.status = 'won'), count(*) FILTER (WHERE d.status <> 'open'), \
     coalesce(sum(d.value * x.rate) FILTER (WHERE d.status = 'open'), 0), \
     coalesce(sum(d.value * x.rate) FILTER (WHERE d.status = 'won'), 0), \
     count(*) FILTER (WHERE d.status <> 'lost' AND x.rate IS NULL) \
     FROM deals d LEFT JOIN LATERAL (SELECT 1::numeric AS rate WHERE d.currency = {} UNION ALL \
       (SELECT r.rate FROM exchange_rates r WHERE r.organization_id = {org} AND r.to_currency = {} \
        AND r.from_currency = d.currency AND d.currency <> {} \
        AND r.effective_on <= coalesce((d.closed_at AT TIME ZONE {})::date, {}) \
        ORDER BY r.effective_on DESC LIMIT 1)) x ON TRUE \
     WHERE d.organization_id = {org} AND d.business_unit_id = {}";

/// The figures of a unit, from indexes.
///
/// # Errors
/// [`Error::NotFound`].
pub fn stats(tx: &mut Tx<'_>, id: Id<BusinessUnit>) -> Result<UnitStats> {
    see(tx, id)?;
    let settings = organizations::read(tx)?.fields;
    let (today, currency) = (settings.day_of(tx.ctx.now), settings.base_currency);
    let deals: (i64, i64, i64, i64, Decimal, Decimal, i64) = tx
        .sql::<(st::BigInt, st::BigInt, st::BigInt, st::BigInt, st::Numeric, st::Numeric, st::BigInt)>(DEALS)
        .with(|s| s.bind(currency.code()).bind(currency.code()).bind(currency.code()))
        .with(|s| s.bind(settings.timezone).bind(today).bind(id))
        .one(tx)?;
    let (leads_count, companies_count, activities): (i64, i64, i64) = tx
        .sql::<(st::BigInt, st::BigInt, st::BigInt)>(
            "SELECT (SELECT count(*) FROM leads WHERE organization_id = {org} AND business_unit_id = {}), \
             (SELECT count(*) FROM companies WHERE organization_id = {org} AND business_unit_id = {}), \
             (SELECT count(*) FROM activities WHERE organization_id = {org} AND business_unit_id = {} AND occurred_at > {} AND occurred_at <= {})",
        )
        .with(|s| s.bind(id).bind(id).bind(id).bind(tx.ctx.now - chrono::TimeDelta::days(30)).bind(tx.ctx.now))
        .one(tx)?;
    let (deals_count, open_deals_count, won, closed, pipeline, won_value, unconverted_deals_count) = deals;
    let rate = (closed > 0).then(|| (Decimal::from(won) / Decimal::from(closed)).round_dp(4));
    let rounded = |amount: Decimal| amount.round_dp_with_strategy(currency.digits(), MidpointNearestEven);
    let sum = |amount| Money::new(rounded(amount)).ok_or_else(|| Error::internal("a sum is out of range"));
    Ok(UnitStats {
        leads_count,
        deals_count,
        open_deals_count,
        companies_count,
        pipeline_value: sum(pipeline)?,
        won_value: sum(won_value)?,
        win_rate: rate.and_then(Money::new),
        activities_last30_days: activities,
        currency,
        complete: unconverted_deals_count == 0,
        unconverted_deals_count,
    })
}

/// A unit outside the caller's own is as good as none.
fn see(tx: &mut Tx<'_>, id: Id<BusinessUnit>) -> Result<BusinessUnit> {
    let unit = tx.find(id)?;
    match &tx.ctx.scope.units {
        Some(units) if !units.contains(&id) => Err(Error::NotFound),
        _ => Ok(unit),
    }
}

/// The people who work in a unit, by name.
///
/// # Errors
/// [`Error::NotFound`].
pub fn members(tx: &mut Tx<'_>, id: Id<BusinessUnit>) -> Result<Vec<User>> {
    see(tx, id)?;
    let ids: Vec<Uuid> = tx
        .sql::<st::Uuid>(
            "SELECT user_id FROM business_unit_members WHERE organization_id = {org} AND business_unit_id = {}",
        )
        .with(|s| s.bind(id))
        .all(tx)?;
    let select = tx.records().and(Condition::AnyOf("id", ids.into())).order("name", false);
    User::load(tx, select)
}

/// A unit whose people the caller may set, locked: what is asked before anybody looks at the list.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`].
pub fn lock_to_manage(tx: &mut Tx<'_>, id: Id<BusinessUnit>) -> Result<BusinessUnit> {
    let unit = tx.lock(id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, BusinessUnit::KIND))?;
    Ok(unit)
}

/// Replaces the people who work in a unit. A user without any unit sees all of them.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Invalid`] naming each unknown user.
pub fn set_members(tx: &mut Tx<'_>, id: Id<BusinessUnit>, user_ids: &[Id<User>], patch: &Patch) -> Result<Vec<User>> {
    let unit = lock_to_manage(tx, id)?;
    if patch.expected.is_some_and(|expected| expected != unit.version) {
        return Err(Error::Stale { version: unit.version });
    }
    let before = members(tx, id)?;
    let select = tx.records::<User>().and(Condition::AnyOf("id", user_ids.into()));
    let known = User::load(tx, select)?;
    let unknown = (0..).zip(user_ids).filter(|(_, id)| !known.iter().any(|user| user.id == **id));
    let errors: Vec<_> = unknown
        .map(|(i, _): (usize, _)| {
            crate::error::FieldError::new(format!("userIds[{i}]"), "unknown_reference", "There is no such user.")
        })
        .collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let ids = |users: &[User]| Value::from_iter(users.iter().map(|u| u.id.to_string()).collect::<BTreeSet<_>>());
    let mut diff = change::FieldDiff { field_name: "members".into(), old_value: ids(&before), new_value: ids(&known) };
    if diff.old_value != diff.new_value {
        reason_codes::demand::<BusinessUnit>(tx, &diff, &patch.reason)?;
    }
    tx.sql::<st::Integer>("DELETE FROM business_unit_members WHERE organization_id = {org} AND business_unit_id = {}")
        .with(|s| s.bind(id))
        .run(tx)?;
    for user in &known {
        tx.sql::<st::Integer>(
            "INSERT INTO business_unit_members (organization_id, user_id, business_unit_id) VALUES ({org}, {}, {})",
        )
        .with(|s| s.bind(user.id).bind(id))
        .run(tx)?;
    }
    let after = members(tx, id)?;
    diff.new_value = ids(&after);
    if diff.old_value != diff.new_value {
        crate::history::append(tx, id, unit.version, &[diff], &patch.reason)?;
    }
    Ok(after)
}
