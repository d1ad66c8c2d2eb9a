//! What is so about a database, a folder and a clock, for whoever judges whether an installation is in order.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use nix::unistd::geteuid;

use super::{Error, binaries, migrations};
use crate::{clock, jobs::SILENCE, vital_signs::Disk};

/// What is so about a server and the database on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// The server's version, such as 150018.
    pub version: i32,
    /// Whether what is written is brought to the disk.
    pub fsync: bool,
    /// Whether pages survive a crash in the middle of writing one.
    pub full_page_writes: bool,
    /// Whether a commit waits for the disk: `on`, `off`, `local`, `remote_write` or `remote_apply`.
    pub synchronous_commit: String,
    /// How many connections the server has for the likes of us.
    pub connection_limit: i32,
    /// How many connections are open, this one excepted.
    pub connections: i64,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_milliseconds: i64,
    /// The migrations that it lacks, or why they cannot be told.
    pub pending_migrations: Result<Vec<String>, String>,
    /// The extensions that the schema needs and that are not there.
    pub missing_extensions: Vec<String>,
    /// What the tables say; `None` while there are none.
    pub contents: Option<ContentFacts>,
}

/// What is so about what is in the tables.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct ContentFacts {
    /// Time zones of organizations that the server does not know.
    #[diesel(sql_type = Array<Text>)]
    pub unknown_zones: Vec<String>,
    /// For how many seconds the oldest job has waited that could have begun.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub oldest_waiting_seconds: Option<i64>,
    /// Workers that were heard of of late.
    #[diesel(sql_type = BigInt)]
    pub living_workers: i64,
    /// Those of them that do nothing at the moment.
    #[diesel(sql_type = BigInt)]
    pub idle_workers: i64,
    /// Workers that are silent, and have not signed off.
    #[diesel(sql_type = BigInt)]
    pub silent_workers: i64,
    /// Jobs whose worker has given no sign of life for two leases, and active ones without a lease.
    #[diesel(sql_type = BigInt)]
    pub abandoned_jobs: i64,
    /// Jobs that were given up within the last day.
    #[diesel(sql_type = BigInt)]
    pub failed_jobs: i64,
    /// When a backup was last verified.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub backup_verified_at: Option<DateTime<Utc>>,
    /// Whether there is anything to back up: an organization.
    #[diesel(sql_type = Bool)]
    pub is_in_use: bool,
}

#[derive(QueryableByName)]
struct ServerFacts {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Bool)]
    fsync: bool,
    #[diesel(sql_type = Bool)]
    full_page_writes: bool,
    #[diesel(sql_type = Text)]
    synchronous_commit: String,
    #[diesel(sql_type = Integer)]
    connection_limit: i32,
    #[diesel(sql_type = BigInt)]
    connections: i64,
    #[diesel(sql_type = Array<Text>)]
    missing_extensions: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    has_tables: bool,
}

/// Looks at the database of a URL. Changes nothing.
///
/// # Errors
/// [`Error::Unavailable`] where it does not answer.
pub fn of_database(url: &str) -> Result<DatabaseFacts, Error> {
    let mut connection = PgConnection::establish(&super::pool::with_limits(url, "heimdell-doctor"))?;
    connection.batch_execute("set statement_timeout = '30s'; set time zone 'UTC'")?;
    let began = clock::now();
    let server: ServerFacts = sql_query(
        "select current_setting('server_version_num')::int as version, current_setting('fsync')::bool as fsync, \
         current_setting('full_page_writes')::bool as full_page_writes, \
         current_setting('synchronous_commit') as synchronous_commit, \
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connection_limit, \
         (select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()) as connections, \
         array(select wanted from unnest(array['btree_gin', 'pg_trgm']) as wanted \
               where wanted not in (select extname from pg_extension)) as missing_extensions, \
         clock_timestamp() as now, to_regclass('backups') is not null and to_regclass('workers') is not null as has_tables",
    )
    .get_result(&mut connection)?;
    // The server's clock was read somewhere between the two readings of ours.
    let middle = began + (clock::now() - began) / 2;
    let pending_migrations = migrations::pending(&mut connection).map_err(|error| error.to_string());
    let contents = if server.has_tables { Some(of_contents(&mut connection)?) } else { None };
    Ok(DatabaseFacts {
        version: server.version,
        fsync: server.fsync,
        full_page_writes: server.full_page_writes,
        synchronous_commit: server.synchronous_commit,
        connection_limit: server.connection_limit,
        connections: server.connections,
        clock_ahead_milliseconds: (server.now - middle).num_milliseconds(),
        pending_migrations,
        missing_extensions: server.missing_extensions,
        contents,
    })
}

fn of_contents(connection: &mut PgConnection) -> Result<ContentFacts, Error> {
    let facts = sql_query(
        "select array(select distinct timezone from organizations \
                      where timezone not in (select name from pg_timezone_names) order by timezone) as unknown_zones, \
         (select extract(epoch from now() - min(run_at))::bigint from queue_jobs \
          where status = 'waiting' and run_at <= now()) as oldest_waiting_seconds, \
         (select count(*) from workers where heartbeat_at > now() - make_interval(secs => $1)) as living_workers, \
         (select count(*) from workers where heartbeat_at > now() - make_interval(secs => $1) and not exists \
          (select from jsonb_array_elements(queues) as queue where (queue ->> 'running')::int > 0)) as idle_workers, \
         (select count(*) from workers where heartbeat_at <= now() - make_interval(secs => $1)) as silent_workers, \
         (select count(*) from queue_jobs where status = 'active' \
          and (lease_until < now() - interval '30 s' or lease_until is null)) as abandoned_jobs, \
         (select count(*) from queue_jobs where status = 'failed' and updated_at > now() - interval '1 day') as failed_jobs, \
         (select max(verified_at) from backups) as backup_verified_at, exists (select from organizations) as is_in_use",
    );
    Ok(facts.bind::<Double, _>(SILENCE.as_seconds_f64()).get_result(connection)?)
}

/// What is so about a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderFacts {
    /// Its permissions, such as `0o700`.
    pub mode: u32,
    /// The account that it belongs to is the one that asks, or root asks.
    pub is_ours: bool,
    /// The disk that it lies on.
    pub disk: Disk,
}

/// Looks at a folder.
///
/// # Errors
/// What the system says, where it is missing for instance.
pub fn of_folder(path: &Path) -> io::Result<FolderFacts> {
    let facts = std::fs::symlink_metadata(path)?;
    Ok(FolderFacts {
        mode: facts.mode() & 0o777,
        is_ours: facts.is_dir() && (geteuid().is_root() || facts.uid() == geteuid().as_raw()),
        disk: Disk::of(path)?,
    })
}

/// The major version of the `pg_dump` that would back a server of this major version up, or why there is none.
///
/// # Errors
/// A sentence that says what to install.
pub fn of_client_programs(place: &crate::backups::Place, server: u32) -> Result<u32, String> {
    binaries::find_client(place.pg_bin.as_deref(), place.path.as_deref(), server).map(|programs| programs.major)
}
