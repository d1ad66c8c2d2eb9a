//! The register of backups in the database itself, by which the installation knows how old its last good one is.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types as st};

use super::{Backup, Error};
use crate::Id;

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = st::Text)]
    sha256: String,
}

/// The checksums of the backups that were verified, as hexadecimal digits. An older schema has no register.
pub(super) fn verified(connection: &mut PgConnection) -> Result<BTreeSet<String>, Error> {
    if !is_there(connection)? {
        return Ok(BTreeSet::new());
    }
    let sums: Vec<Sum> = sql_query(
        "select encode(sha256, 'hex') as sha256 from backups where verified_at is not null and sha256 is not null",
    )
    .load(connection)?;
    Ok(sums.into_iter().map(|sum| sum.sha256).collect())
}

fn is_there(connection: &mut PgConnection) -> Result<bool, Error> {
    let register: There = sql_query("select to_regclass('backups') is not null as there").get_result(connection)?;
    Ok(register.there)
}

#[derive(QueryableByName)]
struct There {
    #[diesel(sql_type = st::Bool)]
    there: bool,
}

/// Notes a backup, or that it was verified: one row to a dump, however often. An older schema has no register.
pub(super) fn note(
    connection: &mut PgConnection,
    backup: &Backup,
    verified_at: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    if !is_there(connection)? {
        tracing::warn!("the backup is not noted: the schema is older than this program, see `heimdell migrate`");
        return Ok(());
    }
    let manifest = &backup.manifest;
    let sha256 = hex::decode(&manifest.sha256)
        .map_err(|error| Error::Damaged(format!("the checksum in the manifest: {error}")))?;
    let known = sql_query("update backups set verified_at = coalesce($2, verified_at) where sha256 = $1")
        .bind::<st::Binary, _>(&sha256)
        .bind::<st::Nullable<st::Timestamptz>, _>(verified_at)
        .execute(connection)?;
    if known == 0 {
        sql_query(
            "insert into backups (id, file_name, started_at, finished_at, verified_at, bytes, sha256, rows_count) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind::<st::Uuid, _>(Id::<Backup>::new().uuid())
        .bind::<st::Text, _>(&manifest.file)
        .bind::<st::Timestamptz, _>(manifest.started_at)
        .bind::<st::Timestamptz, _>(manifest.finished_at)
        .bind::<st::Nullable<st::Timestamptz>, _>(verified_at)
        .bind::<st::BigInt, _>(i64::try_from(manifest.size).unwrap_or(i64::MAX))
        .bind::<st::Binary, _>(&sha256)
        .bind::<st::BigInt, _>(manifest.rows())
        .execute(connection)?;
    }
    Ok(())
}
