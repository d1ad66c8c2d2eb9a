//! Webhooks as administrators set them up: where to, which events, and as whom.
use chrono::{DateTime, Utc};
use crm_core::{
    Id, Page, Patch, Record, Result, Tx, alerts,
    business_units::BusinessUnit,
    change::{Change, Draft},
    events as outbox,
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind},
    record_rows,
    sealed::Keyring,
    select::Condition,
    sessions::tokens::Secret,
    users::{Role, User},
};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    courier::Courier,
    events,
    secrets::{self, Owner},
};
use crate::schema::webhooks;

/// A subscription to events.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhooks)]
pub struct Webhook {
    /// Its id.
    pub id: Id<Webhook>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: WebhookFields,
    /// Since when every try has failed; null while all is well.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when nothing is sent, since the endpoint could not take more.
    pub paused_until: Option<DateTime<Utc>>,
    /// When a message last arrived.
    pub last_delivered_at: Option<DateTime<Utc>>,
    /// Who made it; policies that speak about the own records take them as the reader.
    pub created_by: Option<Id<User>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = webhooks, treat_none_as_null = true)]
pub struct WebhookFields {
    /// Where messages are posted to: https, on a public host.
    #[validate(length(max = 2000))]
    #[schema(example = "https://hooks.example.com/heimdell")]
    pub url: String,
    /// What it is for.
    #[validate(length(max = 500))]
    pub description: Option<String>,
    /// Which events: names, groups such as `deal.*`, or `*` for all.
    #[schema(example = json!(["deal.*", "lead.converted"]))]
    pub events: Vec<String>,
    /// The role whose rights say what a message shows: fields hidden from it are absent.
    #[schema(example = "SALES_REP")]
    pub role: String,
    /// Only records of this unit, and those of none; null for all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// Are messages sent?
    pub is_active: bool,
    /// Why it was disabled: `gone` where the endpoint answered 410, `failing` after five days of nothing but failures.
    pub disabled_reason: Option<String>,
    /// When its secret was last changed.
    pub secret_changed_at: Option<DateTime<Utc>>,
    /// Since when messages are held back, after the database was restored; null where they are sent.
    pub held_at: Option<DateTime<Utc>>,
}

impl Default for WebhookFields {
    fn default() -> Self {
        Self {
            url: String::new(),
            description: None,
            events: Vec::new(),
            role: Role::Admin.as_str().into(),
            business_unit_id: None,
            is_active: true,
            disabled_reason: None,
            secret_changed_at: None,
            held_at: None,
        }
    }
}

const ROLES: [&str; 3] = ["ADMIN", "MANAGER", "SALES_REP"];
const DISABLED: [&str; 2] = ["gone", "failing"];
/// The most webhooks of an organization: each event is matched with all of them.
const MOST: i64 = 50;
/// The most patterns of one.
const MOST_EVENTS: usize = 50;

impl Record for Webhook {
    const KIND: &'static str = "webhook";
    const TABLE: &'static str = "webhooks";
    const FIELDS: &'static [Field] = &[
        Field::new("url", "url", FieldKind::Text).required(),
        Field::new("description", "description", FieldKind::LongText),
        Field::new("events", "events", FieldKind::Tags).required(),
        Field::new("role", "role", FieldKind::Choice(&ROLES)).required(),
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("isActive", "is_active", FieldKind::Bool),
        Field::new("disabledReason", "disabled_reason", FieldKind::Choice(&DISABLED)).read_only(),
        Field::new("secretChangedAt", "secret_changed_at", FieldKind::Instant).read_only(),
        Field::new("heldAt", "held_at", FieldKind::Instant).read_only(),
    ];
    record_rows!(WebhookFields, webhooks);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        let there: i64 = tx.sql::<st::BigInt>("SELECT count(*) FROM webhooks WHERE organization_id = {org}").one(tx)?;
        if there >= MOST {
            draft.refuse("url", "too_many", format!("An organization can have {MOST} webhooks at most."));
        }
        Ok(())
    }
}

/// Makes a webhook. Its secret is told this once.
///
/// # Errors
/// [`crm_core::Error::Forbidden`]; [`crm_core::Error::Invalid`], also for a host that is not public.
pub fn create(tx: &mut Tx<'_>, keys: &Keyring, courier: &Courier, patch: Patch) -> Result<(Webhook, Secret)> {
    check_may_manage(tx)?;
    let mut draft = Draft::<Webhook>::new(tx, patch)?;
    for (field, code, message) in faults(courier, draft.fields(), true) {
        draft.refuse(field, code, message);
    }
    let webhook = tx.permit_new(draft)?.insert(tx)?;
    let secret = secrets::renew(tx, keys, Owner::Webhook, webhook.id.uuid())?;
    let maker = tx.ctx.actor.user();
    tx.sql::<st::Integer>("UPDATE webhooks SET created_by = {} WHERE organization_id = {org} AND id = {}")
        .with(|s| s.bind(maker).bind(webhook.id))
        .run(tx)?;
    follow(tx)?;
    Ok((tx.find(webhook.id)?, secret))
}

/// Changes a webhook. One that is activated again starts as if it had never failed.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`], [`crm_core::Error::Stale`], [`crm_core::Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, courier: &Courier, id: Id<Webhook>, patch: Patch) -> Result<Webhook> {
    check_may_manage(tx)?;
    let webhook = tx.lock(id)?;
    let mut change = Change::new(tx, webhook, patch)?;
    for (field, code, message) in faults(courier, change.after(), change.touches("url")) {
        change.refuse(field, code, message);
    }
    let starts_again = change.after().is_active;
    if starts_again && change.before().fields.disabled_reason.is_some() {
        change.amend(|fields| fields.disabled_reason = None)?;
    }
    if starts_again && (change.touches("isActive") || change.touches("url")) {
        forgive(tx, id)?;
    }
    let webhook = tx.permit(change)?.save(tx)?;
    follow(tx)?;
    tx.find(webhook.id)
}

/// Deletes a webhook with its messages.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`], [`crm_core::Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<Webhook>, patch: &Patch) -> Result<()> {
    check_may_manage(tx)?;
    tx.delete(id, patch)?;
    follow(tx)
}

/// Gives a webhook a new secret, told this once. For a day messages are signed with the old one too.
///
/// # Errors
/// As [`update`].
pub fn renew_secret(tx: &mut Tx<'_>, keys: &Keyring, id: Id<Webhook>, patch: Patch) -> Result<(Webhook, Secret)> {
    check_may_manage(tx)?;
    let webhook = tx.lock(id)?;
    let (mut change, now) = (Change::new(tx, webhook, patch)?, tx.ctx.now);
    change.amend(|fields| fields.secret_changed_at = Some(now))?;
    let webhook = tx.permit(change)?.save(tx)?;
    Ok((webhook, secrets::renew(tx, keys, Owner::Webhook, id.uuid())?))
}

/// A page of the organization's webhooks.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<Webhook>> {
    check_may_manage(tx)?;
    page::list(tx, query)
}

/// One webhook.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<Webhook>) -> Result<Webhook> {
    check_may_manage(tx)?;
    tx.find(id)
}

/// Webhooks tell what is going on in the whole organization, so who may not set them up may not look at them either.
pub(super) fn check_may_manage(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, Webhook::KIND))
}

/// Stops sending, and says why.
pub(super) fn disable(tx: &mut Tx<'_>, id: Id<Webhook>, reason: &'static str) -> Result<Webhook> {
    let webhook = tx.lock(id)?;
    let mut change = Change::new(tx, webhook, Patch::default())?;
    change.amend(|fields| {
        fields.is_active = false;
        fields.disabled_reason = Some(reason.into());
    })?;
    let webhook = tx.permit(change)?.save(tx)?;
    follow(tx)?;
    Ok(webhook)
}

/// The webhooks to which messages are sent. They stay, and hold no other writer up but one that makes sure that nothing is
/// left to be sent.
pub(super) fn active(tx: &mut Tx<'_>) -> Result<Vec<Webhook>> {
    tx.sql::<st::Integer>(
        "SELECT 1 FROM webhooks WHERE organization_id = {org} AND is_active ORDER BY id FOR KEY SHARE",
    )
    .all::<i32>(tx)?;
    let select = tx.records::<Webhook>().and(Condition::Compare("is_active".into(), "=", true.into()));
    Webhook::load(tx, select)
}

/// Events are dispatched while there is a webhook that wants them.
fn follow(tx: &mut Tx<'_>) -> Result<()> {
    let any = "SELECT EXISTS (SELECT FROM webhooks w WHERE w.organization_id = {org} AND w.is_active)";
    let any: bool = tx.sql::<st::Bool>(any).one(tx)?;
    outbox::follow(tx, any)
}

fn forgive(tx: &mut Tx<'_>, id: Id<Webhook>) -> Result<()> {
    tx.sql::<st::Integer>(
        "UPDATE webhooks SET failing_since = NULL, paused_until = NULL WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(id))
    .run(tx)?;
    alerts::resolve(tx, &fingerprint(id)).map(drop)
}

/// What tells the alert about a disabled webhook from others.
pub(super) fn fingerprint(id: Id<Webhook>) -> String {
    format!("webhook_disabled:{id}")
}

/// What is wrong with a webhook: the field, a word for it, and a sentence.
type Fault = (&'static str, &'static str, String);

fn faults(courier: &Courier, fields: &WebhookFields, is_new_url: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(unknown) = fields.events.iter().find(|pattern| !events::is_known(pattern)) {
        let shown: String = unknown.chars().filter(|c| !c.is_control()).take(60).collect();
        faults.push(("events", "unknown_event", format!("There is no event `{shown}`.")));
    }
    if fields.events.is_empty() {
        faults.push(("events", "required", "Name at least one event, or `*` for all.".into()));
    }
    if fields.events.len() > MOST_EVENTS {
        faults.push(("events", "length", format!("At most {MOST_EVENTS} names.")));
    }
    if is_new_url
        && !fields.url.is_empty()
        && let Err(error) = courier.check(&fields.url)
    {
        faults.push(("url", "address_not_allowed", error.to_string()));
    }
    faults
}
