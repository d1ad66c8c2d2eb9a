//! Sealed columns: what they are sealed with, and sealing them anew with another key while the program runs.
//!
//! Whoever seals does so under a shared lock until the end of the transaction, and looks at the keys under it. Whoever
//! changes the keys holds that lock alone. So no secret is sealed with a key of before once the keys have changed, and none
//! appears that the count of what is in use has missed.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use uuid::Uuid;

use super::{Keyring, Sealed};
use crate::{
    Door, Error, Id, Result, Tx,
    database::{self, Access, Database},
    organizations::Organization,
    statement::Statement,
};

/// The advisory lock's key: "Heimseal" in ASCII.
const LOCK: i64 = 0x4865_696d_7365_616c;

/// How many secrets of a column are sealed anew in one transaction.
const BATCH: i64 = 100;

/// A column of sealed secrets. Its names come from the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedColumn {
    /// The table; its rows have an organization and an id.
    pub table: &'static str,
    /// The column; empty and NULL where there is no secret.
    pub column: &'static str,
    /// What its secrets are bound to: see [`row`].
    pub name: &'static str,
}

/// How many secrets are sealed with each key, by its id.
pub type Usage = BTreeMap<String, i64>;

/// What a secret is bound to: its name, the organization, and the row.
pub fn row(name: &str, organization: Id<Organization>, id: Uuid) -> String {
    format!("heimdell/v1|{name}|org={organization}|id={id}")
}

/// Keeps the keys as they are until the transaction ends. To be called before anything is sealed that is written in it.
///
/// # Errors
/// What the database says, where the keys are being changed for too long for instance.
pub fn hold(tx: &mut Tx<'_>) -> Result<()> {
    let lock = Statement::<st::Integer>::new("SELECT pg_advisory_xact_lock_shared({})", None).bind(LOCK);
    lock.execute(tx.conn())?;
    Ok(())
}

/// Does something about the keys while nobody seals, with what is in use of them.
///
/// # Errors
/// What the database or `work` says.
pub fn alone<T, E: From<database::Error>>(
    database: &Database,
    columns: &[SealedColumn],
    work: impl FnOnce(&Usage) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    database.transaction(Access::Write, |conn| {
        let lock = Statement::<st::Integer>::new("SELECT pg_advisory_xact_lock({})", None).bind(LOCK);
        lock.execute(conn).map_err(database::Error::from)?;
        work(&count(conn, columns).map_err(database::Error::from)?)
    })
}

/// How many secrets are sealed with each key.
///
/// # Errors
/// What the database says.
pub fn usage(database: &Database, columns: &[SealedColumn]) -> Result<Usage> {
    database.read(|conn| count(conn, columns), |_, usage| Ok::<_, Error>(usage))
}

fn count(conn: &mut PgConnection, columns: &[SealedColumn]) -> diesel::QueryResult<Usage> {
    let part = |SealedColumn { table, column, .. }: &SealedColumn| {
        format!("SELECT split_part({column}, '.', 2) AS key FROM {table} WHERE {column} LIKE 'v1.%'")
    };
    let parts: Vec<_> = columns.iter().map(part).collect();
    if parts.is_empty() {
        return Ok(Usage::new());
    }
    let text = format!("SELECT key, count(*) FROM ({}) AS sealed GROUP BY key", parts.join(" UNION ALL "));
    let found: Vec<(String, i64)> = Statement::<(st::Text, st::BigInt)>::new(text, None).load(conn)?;
    Ok(found.into_iter().collect())
}

/// What no key of the ring opens: how many secrets there are of that kind in each table that has any. That a key has the
/// name that a secret is sealed with does not say that it is the same.
///
/// # Errors
/// What the database says.
pub fn unopenable(
    database: &Database,
    keys: &Keyring,
    columns: &[SealedColumn],
) -> Result<BTreeMap<&'static str, usize>> {
    let mut lost = BTreeMap::new();
    for SealedColumn { table, column, name } in columns {
        let text = format!("SELECT organization_id, id, {column} FROM {table} WHERE {column} LIKE 'v1.%'");
        let find = Statement::<(st::Uuid, st::Uuid, st::Text)>::new(text, None);
        let found: Vec<(Uuid, Uuid, String)> =
            database.read(|conn| find.clone().load(conn), |_, found| Ok::<_, Error>(found))?;
        let is_lost = |(organization, id, text): &(Uuid, Uuid, String)| {
            keys.open(&Sealed::stored(text.as_str()), &row(name, Id::from(*organization), *id)).is_err()
        };
        match found.iter().filter(|secret| is_lost(secret)).count() {
            0 => {}
            count => *lost.entry(*table).or_default() += count,
        }
    }
    Ok(lost)
}

/// The organizations that have secrets in a column which are sealed with one of these keys.
///
/// # Errors
/// What the database says.
pub fn organizations(database: &Database, column: SealedColumn, keys: &[String]) -> Result<Vec<Id<Organization>>> {
    let SealedColumn { table, column, .. } = column;
    let text = format!(
        "SELECT DISTINCT organization_id FROM {table} WHERE {column} LIKE 'v1.%' \
         AND split_part({column}, '.', 2) = ANY({{}}) ORDER BY organization_id"
    );
    let find = Statement::<st::Uuid>::new(text, None).bind(keys.to_vec());
    let found: Vec<Uuid> = database.read(|conn| find.clone().load(conn), |_, found| Ok::<_, Error>(found))?;
    Ok(found.into_iter().map(Id::from).collect())
}

/// What came of sealing a column anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that are sealed with the first key now.
    pub done: usize,
    /// What could not be opened, and was left as it is: it was not sealed for its row.
    pub broken: usize,
}

/// Seals the secrets of an organization's column anew with the first key of the ring, in transactions of a hundred. Each
/// is whole or not begun, and what is done is not done again, so it may be ended at any moment and begun once more. The
/// nonces are random bytes.
///
/// # Errors
/// What the database says.
pub fn reseal(
    door: &Door,
    organization: Id<Organization>,
    now: DateTime<Utc>,
    keys: &Keyring,
    column: SealedColumn,
    nonce: &mut dyn FnMut() -> [u8; 24],
) -> Result<Resealed> {
    let (mut all, mut after) = (Resealed::default(), Some(Uuid::nil()));
    while let Some(begin) = after {
        let (batch, next) = door.system_write(organization, now, |tx| batch(tx, keys, column, begin, nonce))?;
        all = Resealed { done: all.done + batch.done, broken: all.broken + batch.broken };
        after = next;
    }
    Ok(all)
}

/// Seals one batch anew, of the rows behind `after`. Tells behind which the next one begins.
fn batch(
    tx: &mut Tx<'_>,
    keys: &Keyring,
    SealedColumn { table, column, name }: SealedColumn,
    after: Uuid,
    nonce: &mut dyn FnMut() -> [u8; 24],
) -> Result<(Resealed, Option<Uuid>)> {
    hold(tx)?;
    let old: Vec<String> = keys.ids().into_iter().skip(1).collect();
    let find = tx.sql_text::<(st::Uuid, st::Text)>(format!(
        "SELECT id, {column} FROM {table} WHERE organization_id = {{org}} AND id > {{}} AND {column} LIKE 'v1.%' \
         AND split_part({column}, '.', 2) = ANY({{}}) ORDER BY id LIMIT {BATCH} FOR UPDATE"
    ));
    let found = find.with(|s| s.bind(after).bind(old)).all::<(Uuid, String)>(tx)?;
    let (mut ids, mut sealed) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    for (id, text) in &found {
        let row = row(name, tx.ctx.organization, *id);
        match keys.open(&Sealed::stored(text.as_str()), &row).and_then(|secret| keys.seal(&secret, &row, nonce())) {
            Ok(new) => {
                ids.push(*id);
                sealed.push(new.as_stored().to_owned());
            }
            Err(error) => tracing::warn!(table, column, %id, %error, "a secret cannot be opened"),
        }
    }
    let resealed = Resealed { done: ids.len(), broken: found.len() - ids.len() };
    let write = tx.sql_text::<st::Integer>(format!(
        "UPDATE {table} AS sealed SET {column} = new.text FROM unnest({{}}, {{}}) AS new (id, text) \
         WHERE sealed.organization_id = {{org}} AND sealed.id = new.id"
    ));
    write.with(|s| s.bind(ids).bind(sealed)).run(tx)?;
    Ok((resealed, found.last().map(|(id, _)| *id)))
}
