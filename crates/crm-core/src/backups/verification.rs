//! Proving a backup: restored into a database that nobody uses, compared, and its histories walked along.
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types as st};
use uuid::Uuid;

use super::{
    Backup, Error, Place, Progress,
    creation::connect,
    register,
    scratch::{self, Scratch},
};
use crate::{clock, database::migrations, history};

/// What a verification has found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many tables hold what the manifest says.
    pub tables: usize,
    /// How many rows they hold.
    pub rows: i64,
    /// How many organizations' field histories prove themselves.
    pub histories: usize,
    /// How many rows these have.
    pub history_rows: i64,
}

#[derive(QueryableByName)]
struct Organization {
    #[diesel(sql_type = st::Uuid)]
    id: Uuid,
}

/// Restores a backup into a scratch database on the server of `place`, compares it with the manifest, and verifies the
/// chain of each field history; then notes in the database of `place` that the backup is good. The scratch database is
/// dropped, whatever comes out.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Different`], [`Error::BrokenHistory`]; see [`Error`] for the rest.
pub fn verify(place: &Place, backup: &Backup, progress: &dyn Fn(Progress)) -> Result<Verified, Error> {
    progress(Progress::Summing);
    backup.check()?;
    let scratch = Scratch::filled(place, backup, progress)?;
    progress(Progress::Proving);
    let url = scratch.address.text();
    migrations::migrate(&url)?;
    let organizations: Vec<Organization> =
        sql_query("select id from organizations order by id").load(&mut connect(&scratch.address)?)?;
    let door = scratch::door(&url)?;
    let mut history_rows = 0;
    for Organization { id } in &organizations {
        let found = door.system_read((*id).into(), clock::now(), history::verify)?;
        if let Some(seq) = found.first_broken {
            return Err(Error::BrokenHistory { organization: *id, seq });
        }
        history_rows += found.checked;
    }
    register::note(&mut connect(&place.address)?, backup, Some(clock::now()))?;
    let manifest = &backup.manifest;
    Ok(Verified { tables: manifest.tables.len(), rows: manifest.rows(), histories: organizations.len(), history_rows })
}
