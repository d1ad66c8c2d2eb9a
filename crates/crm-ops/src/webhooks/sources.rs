//! Sources: who may send webhooks to us, each with an address and a secret of its own.
use chrono::{DateTime, Utc};
use crm_core::{
    Id, Page, Patch, Record, Result, Tx,
    change::{Change, Draft},
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind},
    record_rows,
    sealed::Keyring,
    sessions::tokens::Secret,
};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::secrets::{self, Owner};
use crate::schema::webhook_sources;

/// Somebody who may send webhooks to us.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhook_sources)]
pub struct WebhookSource {
    /// Its id, which is the end of its address.
    pub id: Id<WebhookSource>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: WebhookSourceFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a source.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhook_sources, treat_none_as_null = true)]
pub struct WebhookSourceFields {
    /// What people call it.
    #[validate(length(max = 200))]
    #[schema(example = "Mail service")]
    pub name: String,
    /// Is anything received from it? Its address answers 404 otherwise.
    pub is_active: bool,
    /// When its secret was last changed.
    pub secret_changed_at: Option<DateTime<Utc>>,
}

impl Default for WebhookSourceFields {
    fn default() -> Self {
        Self { name: String::new(), is_active: true, secret_changed_at: None }
    }
}

impl Record for WebhookSource {
    const KIND: &'static str = "webhook_source";
    const TABLE: &'static str = "webhook_sources";
    const FIELDS: &'static [Field] = &[
        Field::new("name", "name", FieldKind::Text).required(),
        Field::new("isActive", "is_active", FieldKind::Bool),
        Field::new("secretChangedAt", "secret_changed_at", FieldKind::Instant).read_only(),
    ];
    record_rows!(WebhookSourceFields, webhook_sources);
}

/// Where a source posts to.
pub fn path(id: Id<WebhookSource>) -> String {
    format!("/api/webhooks/in/{id}")
}

/// Makes a source. Its secret is told this once.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::Invalid`], also for a name that is taken.
pub fn create(tx: &mut Tx<'_>, keys: &Keyring, patch: Patch) -> Result<(WebhookSource, Secret)> {
    check_may_manage(tx)?;
    let mut draft = Draft::<WebhookSource>::new(tx, patch)?;
    if is_taken(tx, &draft.fields().name, None)? {
        draft.refuse("name", "taken", TAKEN);
    }
    let source = tx.permit_new(draft)?.insert(tx)?;
    let secret = secrets::renew(tx, keys, Owner::Source, source.id.uuid())?;
    Ok((source, secret))
}

/// Changes a source.
///
/// # Errors
/// As [`create`]; [`crm_core::Error::NotFound`], [`crm_core::Error::Stale`].
pub fn update(tx: &mut Tx<'_>, id: Id<WebhookSource>, patch: Patch) -> Result<WebhookSource> {
    check_may_manage(tx)?;
    let source = tx.lock(id)?;
    let mut change = Change::new(tx, source, patch)?;
    if change.touches("name") && is_taken(tx, &change.after().name, Some(id))? {
        change.refuse("name", "taken", TAKEN);
    }
    tx.permit(change)?.save(tx)
}

/// Gives a source a new secret, told this once. For a day the old one is good too.
///
/// # Errors
/// As [`update`].
pub fn renew_secret(
    tx: &mut Tx<'_>,
    keys: &Keyring,
    id: Id<WebhookSource>,
    patch: Patch,
) -> Result<(WebhookSource, Secret)> {
    check_may_manage(tx)?;
    let source = tx.lock(id)?;
    let (mut change, now) = (Change::new(tx, source, patch)?, tx.ctx.now);
    change.amend(|fields| fields.secret_changed_at = Some(now))?;
    let source = tx.permit(change)?.save(tx)?;
    Ok((source, secrets::renew(tx, keys, Owner::Source, id.uuid())?))
}

/// Deletes a source with its messages.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`], [`crm_core::Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<WebhookSource>, patch: &Patch) -> Result<()> {
    check_may_manage(tx)?;
    tx.delete(id, patch).map(drop)
}

/// A page of the organization's sources.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<WebhookSource>> {
    check_may_manage(tx)?;
    page::list(tx, query)
}

/// One source.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<WebhookSource>) -> Result<WebhookSource> {
    check_may_manage(tx)?;
    tx.find(id)
}

const TAKEN: &str = "Another source has this name.";

fn check_may_manage(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, WebhookSource::KIND))
}

fn is_taken(tx: &mut Tx<'_>, name: &str, except: Option<Id<WebhookSource>>) -> Result<bool> {
    let same =
        tx.sql::<st::Uuid>("SELECT id FROM webhook_sources WHERE organization_id = {org} AND lower(name) = lower({})");
    let same = same.with(|s| s.bind(name)).first::<Uuid>(tx)?;
    Ok(same.is_some_and(|id| Some(id.into()) != except))
}
