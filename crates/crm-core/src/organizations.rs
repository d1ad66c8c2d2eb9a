//! Organizations: the tenants.
use std::{str::FromStr, sync::Arc};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    Door, Id, Patch, Result, Tx,
    change::{Change, Draft},
    money::Currency,
    pipelines, reason_codes,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::organizations,
    statement::Statement,
};

/// An organization: a tenant of the house.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = organizations)]
pub struct Organization {
    /// Its id.
    pub id: Id<Organization>,
    /// Its settings.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: OrganizationFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of an organization.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = organizations, treat_none_as_null = true)]
pub struct OrganizationFields {
    /// The name of the company.
    #[validate(length(max = 200))]
    pub name: String,
    /// IANA zone in which days are counted where no unit says otherwise.
    #[validate(custom(function = crate::organizations::timezone))]
    #[schema(example = "Europe/London")]
    pub timezone: String,
    /// The currency of figures over several deals.
    pub base_currency: Currency,
    /// Must a deal be reviewed when it closes?
    pub require_win_loss_review: bool,
}

impl Default for OrganizationFields {
    fn default() -> Self {
        Self {
            name: String::new(),
            timezone: "UTC".into(),
            base_currency: Currency::default(),
            require_win_loss_review: true,
        }
    }
}

impl OrganizationFields {
    /// The calendar day of an instant in the organization's zone.
    pub fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone()).date_naive()
    }

    /// The organization's zone. A zone that a later edition of the database no longer names counts as UTC.
    pub fn zone(&self) -> Tz {
        self.timezone.parse().unwrap_or(Tz::UTC)
    }
}

/// Is it a zone of the IANA time zone database?
pub(crate) fn timezone(name: &str) -> Result<(), ValidationError> {
    if Tz::from_str(name).is_ok() {
        return Ok(());
    }
    Err(ValidationError::new("unknown_timezone").with_message("An IANA zone, such as Europe/London.".into()))
}

impl Record for Organization {
    const KIND: &'static str = "organization";
    const TABLE: &'static str = "organizations";
    const FIELDS: &'static [Field] = &[
        Field::new("name", "name", FieldKind::Text).required(),
        Field::new("timezone", "timezone", FieldKind::Text).required(),
        Field::new("baseCurrency", "base_currency", FieldKind::Text).required(),
        Field::new("requireWinLossReview", "require_win_loss_review", FieldKind::Bool),
    ];
    record_rows!(OrganizationFields, organizations);
}

/// Founds the organization of the transaction's context: its row, its reason codes, a first pipeline and policies. Called by the
/// program itself, never by a request.
///
/// # Errors
/// [`crate::Error::Invalid`] where the name is bad.
pub fn found(tx: &mut Tx<'_>, patch: Patch) -> Result<Organization> {
    let mut draft = Draft::<Organization>::new(tx, patch)?;
    draft.named(tx.ctx.organization);
    let organization = tx.permit_new(draft)?.insert(tx)?;
    reason_codes::seed(tx)?;
    pipelines::seed(tx)?;
    let gates = Arc::clone(&tx.ctx.gates);
    gates.seed(tx)?;
    Ok(organization)
}

/// Notes that the policies of the caller's organization change with this transaction: every process reads them anew at
/// its next request. Other changes of policies wait until this one is committed.
///
/// # Errors
/// What the database says.
pub fn renew_policies(tx: &mut Tx<'_>) -> Result<()> {
    tx.check_writable()?;
    tx.sql::<st::Integer>("UPDATE organizations SET policy_version = policy_version + 1 WHERE organization_id = {org}")
        .run(tx)?;
    Ok(())
}

/// The organization of that name, if there is one; the oldest, where there are several.
pub(crate) fn named(conn: &mut PgConnection, name: &str) -> QueryResult<Option<Id<Organization>>> {
    let rows = organizations::table.filter(organizations::name.eq(name)).order(organizations::id);
    rows.select(organizations::id).first(conn).optional()
}

/// Every organization of the installation, for what is done to all of them from the shell.
///
/// # Errors
/// What the database says.
pub fn every(door: &Door) -> Result<Vec<Id<Organization>>> {
    let all = Statement::<st::Uuid>::new("SELECT id FROM organizations ORDER BY id", None);
    let all: Vec<Uuid> = door.database().with(|conn| Ok::<_, crate::Error>(all.load(conn)?))?;
    Ok(all.into_iter().map(Id::from).collect())
}

/// The caller's own organization.
///
/// # Errors
/// What the database says.
pub fn read(tx: &mut Tx<'_>) -> Result<Organization> {
    tx.find(tx.ctx.organization)
}

/// Holds the caller's organization until the transaction ends, so that one transaction at a time does what depends on the
/// state of more than one record.
pub(crate) fn hold(tx: &mut Tx<'_>) -> Result<()> {
    tx.check_writable()?;
    tx.sql::<st::Uuid>("SELECT id FROM organizations WHERE organization_id = {org} FOR NO KEY UPDATE")
        .first::<uuid::Uuid>(tx)?;
    Ok(())
}

/// The zone in which the caller's organization counts its days.
///
/// # Errors
/// What the database says.
pub fn zone(tx: &mut Tx<'_>) -> Result<chrono_tz::Tz> {
    Ok(read(tx)?.fields.timezone.parse().unwrap_or(chrono_tz::Tz::UTC))
}

/// Changes the caller's own organization.
///
/// # Errors
/// [`crate::Error::Forbidden`], [`crate::Error::Stale`], [`crate::Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, patch: Patch) -> Result<Organization> {
    let organization = tx.lock(tx.ctx.organization)?;
    let change = Change::new(tx, organization, patch)?;
    let moves = change.touches("timezone");
    let permitted = tx.permit(change)?;
    if moves {
        // What policies decide depends on the day and the time of day there.
        renew_policies(tx)?;
    }
    permitted.save(tx)
}
