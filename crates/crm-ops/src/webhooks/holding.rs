//! Holding messages back after the database was restored. What waited to be sent when the backup was made may have arrived
//! since, at endpoints of other people. So it waits until an administrator sends it or discards it; what happens meanwhile
//! waits behind it.
use chrono::TimeDelta;
use crm_core::{
    Id, Patch, Record, Result, Tx,
    alerts::{self, Cause, Severity},
    change::Change,
    jobs,
    select::Condition,
};
use diesel::sql_types as st;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    deliveries::DeliverWebhook,
    dispatch,
    subscriptions::{self, Webhook},
};

/// How often a delivery looks whether its webhook is still held, if nobody wakes it.
pub(super) const LOOK: TimeDelta = TimeDelta::minutes(5);

const FINGERPRINT: &str = "webhooks_held";

/// What becomes of the messages that are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// Are those about what happened before the restore discarded? They are sent otherwise.
    #[serde(default)]
    #[schema(example = true)]
    pub discard: bool,
}

/// Holds back whatever the organization's webhooks would be sent, and tells its administrators. Gives back how many
/// webhooks are held. For a database that nobody works on yet.
///
/// # Errors
/// What the database says.
pub fn hold_all(tx: &mut Tx<'_>) -> Result<usize> {
    let webhooks = subscriptions::active(tx)?;
    if webhooks.is_empty() {
        return Ok(0);
    }
    // What has happened and is no message yet becomes one, so that it is discarded with the others.
    while !dispatch::dispatch(tx)? {}
    for webhook in webhooks.iter().filter(|webhook| webhook.fields.held_at.is_none()) {
        let (now, webhook) = (tx.ctx.now, tx.lock(webhook.id)?);
        let mut change = Change::new(tx, webhook, Patch::default())?;
        change.amend(|fields| fields.held_at = Some(now))?;
        tx.permit(change)?.save(tx)?;
    }
    let cause = Cause {
        fingerprint: FINGERPRINT,
        severity: Severity::Warning,
        source: "webhooks",
        title: "Webhooks are held back",
        message: format!(
            "The database was restored. Messages to {} webhooks wait, since they may have arrived before: release them, or \
             discard them.",
            webhooks.len()
        ),
    };
    alerts::raise(tx, &cause)?;
    Ok(webhooks.len())
}

/// Lets messages go to a webhook again: those that wait, or only those about what has happened since the restore. Where
/// nothing is held back, nothing changes.
///
/// # Errors
/// [`crm_core::Error::Forbidden`], [`crm_core::Error::NotFound`], [`crm_core::Error::Stale`].
pub fn release(tx: &mut Tx<'_>, id: Id<Webhook>, how: Release, patch: Patch) -> Result<Webhook> {
    subscriptions::check_may_manage(tx)?;
    let webhook = tx.lock(id)?;
    patch.check_version(webhook.version)?;
    let Some(held_at) = webhook.fields.held_at else { return Ok(webhook) };
    let mut change = Change::new(tx, webhook, patch)?;
    change.amend(|fields| fields.held_at = None)?;
    let webhook = tx.permit(change)?.save(tx)?;
    if how.discard {
        let now = tx.ctx.now;
        tx.sql::<st::Integer>(
            "UPDATE webhook_events SET status = 'cancelled', next_attempt_at = NULL, finished_at = {}, updated_at = {} \
             WHERE organization_id = {org} AND webhook_id = {} AND status = 'pending' AND occurred_at < {}",
        )
        .with(|s| s.bind(now).bind(now).bind(id).bind(held_at))
        .run(tx)?;
    }
    jobs::bring_forward_all::<DeliverWebhook>(tx, &format!("{id}:"))?;
    if held(tx)?.is_empty() {
        alerts::resolve(tx, FINGERPRINT)?;
    }
    Ok(webhook)
}

/// As [`release`], for all webhooks of the organization. Gives back how many there were.
///
/// # Errors
/// As [`release`].
pub fn release_all(tx: &mut Tx<'_>, how: Release) -> Result<usize> {
    let held = held(tx)?;
    for webhook in &held {
        release(tx, webhook.id, how, Patch::default())?;
    }
    Ok(held.len())
}

fn held(tx: &mut Tx<'_>) -> Result<Vec<Webhook>> {
    let select = tx.records::<Webhook>().and(Condition::IsNull("held_at", false));
    Webhook::load(tx, select)
}
