//! The shared secrets of webhooks and sources: shown once, kept sealed, and for a day after a change the old one beside
//! the new.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Error, Result, Tx,
    sealed::{self, Keyring, SealError, Sealed, SealedColumn},
    sessions::tokens::Secret as Shown,
};
use diesel::sql_types as st;
use rand::RngCore;
use uuid::Uuid;

use super::signature::Secret;

/// For how long the old secret is good after a change.
const OVERLAP: TimeDelta = TimeDelta::hours(24);

/// Where the secrets are kept. An old one is bound to its row by the same name as the new one whose place it had.
pub const SEALED_COLUMNS: [SealedColumn; 4] = [
    SealedColumn { table: "webhooks", column: "secret", name: "webhooks.secret" },
    SealedColumn { table: "webhooks", column: "old_secret", name: "webhooks.secret" },
    SealedColumn { table: "webhook_sources", column: "secret", name: "webhook_sources.secret" },
    SealedColumn { table: "webhook_sources", column: "old_secret", name: "webhook_sources.secret" },
];

/// Whose secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Webhook,
    Source,
}

/// One text for either table.
macro_rules! either {
    ($owner:expr, $head:literal, $tail:literal) => {
        match $owner {
            Owner::Webhook => concat!($head, "webhooks", $tail),
            Owner::Source => concat!($head, "webhook_sources", $tail),
        }
    };
}

/// Gives a new secret, in the place of the one before, if there was one.
pub(super) fn renew(tx: &mut Tx<'_>, keys: &Keyring, owner: Owner, id: Uuid) -> Result<Shown> {
    let (mut bytes, mut nonce) = ([0; 32], [0; 24]);
    rand::rng().fill_bytes(&mut bytes);
    rand::rng().fill_bytes(&mut nonce);
    let secret = Secret::from_bytes(&bytes).map_err(|error| Error::Internal(Box::new(error)))?;
    let shown = Shown::new(secret.reveal());
    sealed::hold(tx)?;
    let sealed = keys.seal(&shown, &row(tx, owner, id), nonce).map_err(broken)?;
    let until = tx.ctx.now + OVERLAP;
    let text = either!(
        owner,
        "UPDATE ",
        " SET old_secret = nullif(secret, ''), old_secret_until = {}, secret = {} WHERE organization_id = {org} AND id = {}"
    );
    tx.sql::<st::Integer>(text).with(|s| s.bind(until).bind(sealed.as_stored()).bind(id)).run(tx)?;
    Ok(shown)
}

/// The secrets that are good now, the newest first.
pub(super) fn good(tx: &mut Tx<'_>, keys: &Keyring, owner: Owner, id: Uuid) -> Result<Vec<Secret>> {
    type Row = (String, Option<String>, Option<DateTime<Utc>>);
    let text = either!(
        owner,
        "SELECT secret, old_secret, old_secret_until FROM ",
        " WHERE organization_id = {org} AND id = {}"
    );
    let stored = tx.sql::<(st::Text, st::Nullable<st::Text>, st::Nullable<st::Timestamptz>)>(text);
    let (new, old, until) = stored.with(|s| s.bind(id)).first::<Row>(tx)?.ok_or(Error::NotFound)?;
    let (row, now) = (row(tx, owner, id), tx.ctx.now);
    let old = old.filter(|_| until.is_some_and(|until| now < until));
    let open = |text: String| {
        let shown = keys.open(&Sealed::stored(text), &row).map_err(broken)?;
        Secret::parse(shown.expose()).map_err(|error| Error::Internal(Box::new(error)))
    };
    [Some(new), old].into_iter().flatten().map(open).collect()
}

fn row(tx: &Tx<'_>, owner: Owner, id: Uuid) -> String {
    let name = match owner {
        Owner::Webhook => "webhooks.secret",
        Owner::Source => "webhook_sources.secret",
    };
    sealed::row(name, tx.ctx.organization, id)
}

fn broken(error: SealError) -> Error {
    Error::Internal(Box::new(error))
}
