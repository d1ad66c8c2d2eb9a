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

/// Gives a new secret, in the place of the one before, if there was one. That one is kept for a while, unless it cannot be
/// opened: then nobody could use it, and its key would be asked for as long as it stays.
pub(super) fn renew(tx: &mut Tx<'_>, keys: &Keyring, owner: Owner, id: Uuid) -> Result<Shown> {
    let (mut bytes, mut nonce) = ([0; 32], [0; 24]);
    rand::rng().fill_bytes(&mut bytes);
    rand::rng().fill_bytes(&mut nonce);
    let secret = Secret::from_bytes(&bytes).map_err(|error| Error::Internal(Box::new(error)))?;
    let shown = Shown::new(secret.reveal());
    sealed::hold(tx)?;
    let sealed = keys.seal(&shown, &row(tx, owner, id), nonce).map_err(broken)?;
    let text = either!(owner, "SELECT secret FROM ", " WHERE organization_id = {org} AND id = {} FOR UPDATE");
    let old = tx.sql::<st::Text>(text).with(|s| s.bind(id)).first::<String>(tx)?.filter(|old| !old.is_empty());
    let row = row(tx, owner, id);
    let old = old.filter(|old| match keys.open(&Sealed::stored(old.as_str()), &row) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(?owner, %id, %error, "the secret of before cannot be opened, and is not kept");
            false
        }
    });
    let until = old.is_some().then_some(tx.ctx.now + OVERLAP);
    let text = either!(
        owner,
        "UPDATE ",
        " SET old_secret = {}, old_secret_until = {}, secret = {} WHERE organization_id = {org} AND id = {}"
    );
    tx.sql::<st::Integer>(text).with(|s| s.bind(old).bind(until).bind(sealed.as_stored()).bind(id)).run(tx)?;
    Ok(shown)
}

/// The secrets that are good now, the newest first. An old one that cannot be opened is passed over: the new one was made
/// to take its place.
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
    let parse = |shown: &Shown| Secret::parse(shown.expose()).map_err(|error| Error::Internal(Box::new(error)));
    let mut good = vec![parse(&keys.open(&Sealed::stored(new), &row).map_err(broken)?)?];
    match old.map(|old| keys.open(&Sealed::stored(old), &row)) {
        Some(Ok(old)) => good.push(parse(&old)?),
        Some(Err(error)) => tracing::warn!(?owner, %id, %error, "the old secret cannot be opened, and is passed over"),
        None => {}
    }
    Ok(good)
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

#[cfg(test)]
mod tests {
    use crm_core::testing::{TestDatabase, TestOrganization};

    use super::*;

    #[test]
    fn a_renewed_secret_is_good_whatever_became_of_the_old_one() {
        let ring = |id: &str, byte: &str| Keyring::parse(&format!("{id}:{}", byte.repeat(32))).unwrap();
        let (lost, own, id) = (ring("k1", "01"), ring("k2", "02"), Uuid::from_u128(7));
        let database = TestDatabase::new();
        let acme = TestOrganization::new(&database, "acme");
        let renew = |keys: &Keyring| acme.admin.write(|tx| super::renew(tx, keys, Owner::Source, id)).unwrap();
        let good = |keys: &Keyring| {
            let good = acme.admin.write(|tx| super::good(tx, keys, Owner::Source, id)).ok()?;
            Some(good.iter().map(Secret::reveal).collect::<Vec<_>>())
        };
        let run = |text: &'static str| acme.admin.write(|tx| Ok(tx.sql::<st::Integer>(text).run(tx)?)).unwrap();
        run("INSERT INTO webhook_sources (organization_id, id, name, is_active, secret, created_at, updated_at) \
             VALUES ({org}, '00000000-0000-0000-0000-000000000007', 'mail', true, '', now(), now())");
        let first = renew(&lost).expose().to_owned();
        assert_eq!((good(&lost), good(&own)), (Some(vec![first.clone()]), None));
        run("UPDATE webhook_sources SET old_secret = secret WHERE organization_id = {org}");

        let second = renew(&own).expose().to_owned();
        assert_eq!(good(&own), Some(vec![second.clone()]), "what could not be opened was not kept");
        let third = renew(&own).expose().to_owned();
        assert_eq!(good(&own), Some(vec![third.clone(), second]), "the old one is good for a day");
        // An old one whose key was lost since.
        run(
            "UPDATE webhook_sources SET old_secret = replace(old_secret, 'v1.k2.', 'v1.k1.') WHERE organization_id = {org}",
        );
        assert_eq!(good(&own), Some(vec![third]), "it is passed over");
    }
}
