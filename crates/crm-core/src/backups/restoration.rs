//! Restoring a backup in the place of a database.
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types as st};

use super::{
    Backup, Error, Place, Progress,
    creation::connect,
    scratch::{self, Scratch, administrator, exists},
};
use crate::{Door, database::migrations};

/// How a backup is to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restoration {
    /// Whether a database that holds something may be replaced.
    pub replaces: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The migrations that were run on it, since the backup was older than this program.
    pub migrations: Vec<String>,
    /// The name of the database that it replaced, which is kept, where that held something.
    pub kept: Option<String>,
}

/// What is done to a restored database before anybody works on it.
pub type Preparation<'p> = &'p dyn Fn(&Door) -> crate::Result<()>;

/// Restores a backup: into a database of its own first, which is compared with the manifest, migrated and prepared, and then
/// takes the place of the other. Until that last moment, nothing is changed.
///
/// # Errors
/// See [`Error`].
pub fn restore(
    place: &Place,
    backup: &Backup,
    how: Restoration,
    prepare: Preparation<'_>,
    progress: &dyn Fn(Progress),
) -> Result<Restored, Error> {
    let was_in_use = is_in_use(place)?;
    if was_in_use && !how.replaces {
        return Err(Error::Refused(format!(
            "the database {} holds data: --replace puts the backup in its place",
            place.database()
        )));
    }
    progress(Progress::Summing);
    backup.check()?;
    let scratch = Scratch::filled(place, backup, progress)?;
    let url = scratch.address.text();
    let migrations = migrations::migrate(&url)?;
    let refused = |error| Error::Refused(format!("the restored database cannot be made ready: {error}"));
    prepare(&scratch::door(&url)?).map_err(refused)?;
    // The workers of the backup's own time do not work on this database, and would be missed.
    sql_query("delete from workers").execute(&mut connect(&scratch.address)?)?;
    let aside = scratch.take_place_of(place.database())?;
    match aside {
        Some(aside) if !was_in_use => {
            Scratch::drop_database(place, &aside)?;
            Ok(Restored { migrations, kept: None })
        }
        kept => Ok(Restored { migrations, kept }),
    }
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = st::Bool)]
    tables: bool,
    #[diesel(sql_type = st::Bool)]
    ours: bool,
}

#[derive(QueryableByName)]
struct Any {
    #[diesel(sql_type = st::Bool)]
    any: bool,
}

/// Whether there is anything in the database that somebody could miss: an organization, or tables that are not ours.
/// One that does not exist holds nothing.
///
/// # Errors
/// What the server says.
pub fn is_in_use(place: &Place) -> Result<bool, Error> {
    if !exists(&mut administrator(place)?, place.database())? {
        return Ok(false);
    }
    holds_anything(&mut connect(&place.address)?)
}

fn holds_anything(connection: &mut PgConnection) -> Result<bool, Error> {
    let held: Held = sql_query(
        "select to_regclass('public.organizations') is not null as ours, exists (select from pg_class c \
         join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' \
         and n.nspname not like 'pg\\_%') as tables",
    )
    .get_result(connection)?;
    if !held.ours {
        return Ok(held.tables);
    }
    let organizations: Any =
        sql_query("select exists (select from public.organizations) as any").get_result(connection)?;
    Ok(organizations.any)
}
