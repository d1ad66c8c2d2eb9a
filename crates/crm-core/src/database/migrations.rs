//! The schema's migrations, part of the program, run by one process at a time.
//!
//! They run on a connection of their own, under an advisory lock that the server frees with that connection: of any
//! number of processes that start at once, one migrates and the others wait, then find nothing to do. Each migration
//! is one transaction together with its mark in the list of those applied, so none is ever half done.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationConnection, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

/// The files of the folder `migrations/`.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Changes when any migration does.
pub const FINGERPRINT: &str = env!("HEIMDELL_MIGRATIONS_HASH");

/// The advisory lock's key: "Heimdell" in ASCII.
const LOCK: i64 = 0x4865_696d_6465_6c6c;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer or refuses a statement outside the migrations.
    #[error(transparent)]
    Database(#[from] super::Error),
    /// The database holds a migration that this program does not know.
    #[error(
        "the database's schema is newer than this program: it holds migration {0}, which this program does not know. \
         Start the version that made it, or a newer one"
    )]
    Newer(String),
    /// A migration failed and left no trace.
    #[error("migration {name} failed: {reason}")]
    Failed {
        /// The migration's folder.
        name: String,
        /// What the server said.
        reason: String,
    },
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Runs the migrations that the database lacks, oldest first, and gives their names. Takes the URL of the database
/// itself, not of a pooler in front of it.
///
/// # Errors
/// [`Error::Newer`] before anything is changed; [`Error::Failed`] with those before it kept.
pub fn migrate(url: &str) -> Result<Vec<String>, Error> {
    let mut connection = PgConnection::establish(url).map_err(super::Error::from)?;
    connection.batch_execute("set statement_timeout = 0; set lock_timeout = 0")?;
    diesel::sql_query("select pg_advisory_lock($1)").bind::<BigInt, _>(LOCK).execute(&mut connection)?;
    // A migration that waits for a table blocks everyone behind it: rather fail. The second setting lets a Citus
    // cluster take foreign keys to its reference tables; plain PostgreSQL keeps it as a word without meaning.
    connection.batch_execute(
        "set lock_timeout = '5s'; set citus.enable_local_reference_table_foreign_keys = off; set client_min_messages = warning",
    )?;
    let mut done = Vec::new();
    let missing = missing(&mut connection)?;
    if !missing.is_empty() {
        connection.setup()?;
    }
    for migration in missing {
        let name = migration.name().to_string();
        tracing::info!("running migration {name}");
        connection
            .run_migration(&migration)
            .map_err(|error| Error::Failed { name: name.clone(), reason: error.to_string() })?;
        done.push(name);
    }
    Ok(done)
}

/// The names of the migrations that the database lacks, oldest first; for the question whether a server is ready.
/// Changes nothing.
///
/// # Errors
/// [`Error::Newer`] when the database is ahead of the program.
pub fn pending(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    Ok(missing(connection)?.iter().map(|migration| migration.name().to_string()).collect())
}

/// The last migration that the database has had, by its version; `None` in a database without our schema.
///
/// # Errors
/// What the database says.
pub fn current(connection: &mut PgConnection) -> Result<Option<String>, Error> {
    Ok(applied(connection)?.pop_last())
}

/// Whether this program has a migration of this version.
///
/// # Errors
/// [`Error::Failed`] where its own migrations cannot be read.
pub fn is_known(wanted: &str) -> Result<bool, Error> {
    Ok(known()?.iter().any(|migration| version(migration.as_ref()) == wanted))
}

fn known() -> Result<Vec<Box<dyn Migration<Pg>>>, Error> {
    MIGRATIONS.migrations().map_err(|error| Error::Failed { name: "list".to_owned(), reason: error.to_string() })
}

fn missing(connection: &mut PgConnection) -> Result<Vec<Box<dyn Migration<Pg>>>, Error> {
    let mut known = known()?;
    known.sort_by_key(|migration| version(migration.as_ref()));
    let versions: BTreeSet<String> = known.iter().map(|migration| version(migration.as_ref())).collect();
    let applied = applied(connection)?;
    if let Some(unknown) = applied.difference(&versions).last() {
        return Err(Error::Newer(unknown.clone()));
    }
    known.retain(|migration| !applied.contains(&version(migration.as_ref())));
    Ok(known)
}

fn version(migration: &dyn Migration<Pg>) -> String {
    migration.name().version().to_string()
}

#[derive(QueryableByName)]
struct Present {
    #[diesel(sql_type = Bool)]
    present: bool,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

fn applied(connection: &mut PgConnection) -> QueryResult<BTreeSet<String>> {
    let list: Present = diesel::sql_query("select to_regclass('__diesel_schema_migrations') is not null as present")
        .get_result(connection)?;
    if !list.present {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<Applied> =
        diesel::sql_query("select version::text from __diesel_schema_migrations").load(connection)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;

    #[test]
    fn the_schema_goes_down_and_up_again() {
        let database = TestDatabase::new();
        let mut connection = database.connect();
        assert_eq!(pending(&mut connection).unwrap(), Vec::<String>::new());
        connection.revert_all_migrations(MIGRATIONS).unwrap();
        let all = pending(&mut connection).unwrap();
        assert!(all.iter().any(|name| name.ends_with("_extensions")), "{all:?}");
        assert_eq!(migrate(&database.url()).unwrap(), all);
        assert_eq!(migrate(&database.url()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn of_ten_at_once_one_migrates() {
        let database = TestDatabase::new();
        let mut connection = database.connect();
        connection.batch_execute("drop schema public cascade; create schema public").unwrap();
        let all = pending(&mut connection).unwrap();
        let url = database.url();
        let outcomes: Vec<Vec<String>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| migrate(&url).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let runners: Vec<_> = outcomes.iter().filter(|done| !done.is_empty()).collect();
        assert_eq!(runners, vec![&all]);
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let database = TestDatabase::new();
        let mut connection = database.connect();
        connection.batch_execute("insert into __diesel_schema_migrations (version) values ('99990101000000')").unwrap();
        assert!(matches!(pending(&mut connection), Err(Error::Newer(version)) if version == "99990101000000"));
        let refusal = migrate(&database.url()).unwrap_err();
        assert!(refusal.to_string().contains("99990101000000"), "{refusal}");
    }

    #[test]
    fn a_tenant_table_needs_no_cluster() {
        let database = TestDatabase::new();
        let mut connection = database.connect();
        connection.batch_execute("create table sheep (id int); select heimdell_tenant_table('sheep')").unwrap();
    }
}
