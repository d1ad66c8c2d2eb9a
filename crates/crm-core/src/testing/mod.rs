//! The test kit (feature `testing`): one PostgreSQL to a run, one database to a test, and organizations with people.
//!
//! The server is private to the tests, forgets to sync to the disk, is shared by all test processes of the user (under
//! `cargo test` and `cargo nextest` alike) and ends some seconds after the last of them. A template database is migrated
//! once for each state of the migrations, and each test gets a copy of it in some 50 ms.
//!
//! ```no_run
//! let database = crm_core::testing::TestDatabase::new();
//! let connection = database.connect();
//! # drop(connection);
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `TEST_DATABASE_URL` | use this server, as a role that may create databases, instead of a private one |
//! | `TEST_DATABASE_LINGER` | seconds for which the private server outlives the last test, 5 without it |

mod organization;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::statvfs::statvfs;
use nix::unistd::{Pid, geteuid};

use crate::database::private::{Options, PrivatePostgres};
use crate::database::{Database, Settings, migrations};

pub use organization::{PASSWORD, Person, TestOrganization, body, login_request, now, with_token};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TESTS: &str = "heimdell_test_";
const KEPT: &str = "heimdell_kept_";
const TEMPLATES: &str = "heimdell_template_";

/// The advisory lock under which templates are made and leftovers removed: "Heimtest" in ASCII.
const LOCK: i64 = 0x4865_696d_7465_7374;

static SERVER: OnceLock<std::result::Result<Server, String>> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database with the whole schema and nothing in it, dropped with this value. When the test panicked it is kept, and
/// the command that opens it is printed.
pub struct TestDatabase {
    server: &'static Server,
    name: String,
}

impl TestDatabase {
    /// Copies the template.
    ///
    /// # Panics
    /// When there is no server: a test can do nothing without one.
    #[allow(clippy::new_without_default, reason = "makes a database on a server: no default value")]
    #[allow(clippy::panic, reason = "called by tests alone, where a panic is the way to fail")]
    pub fn new() -> Self {
        match Self::create() {
            Ok(database) => database,
            Err(error) => panic!("no test database: {error}"),
        }
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The database's name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A small pool on the database, so that many tests together stay below the server's limit.
    ///
    /// # Errors
    /// Those of [`Database::open`].
    pub fn open(&self) -> std::result::Result<Database, crate::database::Error> {
        Database::open(&self.url(), Settings { max_size: 3, min_idle: 0, ..Settings::default() })
    }

    /// One connection to the database.
    ///
    /// # Panics
    /// When the server refuses it.
    #[allow(clippy::panic, reason = "called by tests alone, where a panic is the way to fail")]
    pub fn connect(&self) -> PgConnection {
        match PgConnection::establish(&self.url()) {
            Ok(connection) => connection,
            Err(error) => panic!("no connection to {}: {error}", self.name),
        }
    }

    fn create() -> Result<Self> {
        let server = SERVER
            .get_or_init(|| Server::reach().map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)?;
        let name = format!("{TESTS}{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let template = server.template.as_str();
        server.connect("postgres")?.batch_execute(&format!("create database {name} template {template}"))?;
        Ok(Self { server, name })
    }

    fn keep(&self, admin: &mut PgConnection) -> Result<()> {
        let kept = self.name.replacen(TESTS, KEPT, 1);
        diesel::sql_query("select pg_terminate_backend(pid, 2000) from pg_stat_activity where datname = $1")
            .bind::<Text, _>(&self.name)
            .execute(admin)?;
        admin.batch_execute(&format!("alter database {} rename to {kept}", self.name))?;
        eprintln!("the test's database is kept: psql '{}'", self.server.url(&kept));
        Ok(())
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let outcome = self.server.connect("postgres").and_then(|mut admin| {
            if std::thread::panicking() {
                return self.keep(&mut admin);
            }
            Ok(admin.batch_execute(&format!("drop database if exists {} with (force)", self.name))?)
        });
        if let Err(error) = outcome {
            eprintln!("the test's database {} is left behind: {error}", self.name);
        }
    }
}

/// The server of this test process, with the template on it.
struct Server {
    place: Place,
    template: String,
}

enum Place {
    Private(PrivatePostgres),
    Given(String),
}

impl Server {
    fn reach() -> Result<Self> {
        let place = match variable("TEST_DATABASE_URL") {
            Some(url) => Place::Given(url),
            None => Place::Private(PrivatePostgres::start(options())?),
        };
        let server = Self { place, template: format!("{TEMPLATES}{}", migrations::FINGERPRINT) };
        let mut admin = server.connect("postgres")?;
        diesel::sql_query("select pg_advisory_lock($1)").bind::<BigInt, _>(LOCK).execute(&mut admin)?;
        remove_leftovers(&mut admin)?;
        server.make_template(&mut admin)?;
        Ok(server)
    }

    /// Migrates under another name first, so that a template is whole or absent.
    fn make_template(&self, admin: &mut PgConnection) -> Result<()> {
        let template = &self.template;
        if databases(admin, template)?.iter().any(|name| name == template) {
            return Ok(());
        }
        let new = template.replacen(TEMPLATES, "heimdell_new_", 1);
        admin.batch_execute(&format!("drop database if exists {new} with (force)"))?;
        admin.batch_execute(&format!("create database {new}"))?;
        migrations::migrate(&self.url(&new))?;
        Ok(admin.batch_execute(&format!("alter database {new} rename to {template}"))?)
    }

    fn connect(&self, database: &str) -> Result<PgConnection> {
        Ok(PgConnection::establish(&self.url(database))?)
    }

    fn url(&self, database: &str) -> String {
        match &self.place {
            Place::Private(server) => server.url(database),
            Place::Given(url) => renamed(url, database),
        }
    }
}

/// How the tests' server runs: in memory where there is room.
#[allow(clippy::useless_conversion, reason = "macOS counts blocks in 32 bits")]
fn options() -> Options {
    let memory = Path::new("/dev/shm");
    let room =
        statvfs(memory).map_or(0, |facts| u64::from(facts.blocks_available()) * u64::from(facts.fragment_size()));
    let base = if room >= 1 << 30 { memory.to_path_buf() } else { std::env::temp_dir() };
    let linger = variable("TEST_DATABASE_LINGER").and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    Options {
        pg_bin: variable("HEIMDELL_PG_BIN").map(PathBuf::from),
        path: variable("PATH").map(Into::into),
        durable: false,
        linger: Duration::from_secs(linger),
        extra: &[
            ("max_connections", "300"),
            ("shared_buffers", "64MB"),
            ("autovacuum", "off"),
            ("max_wal_size", "1GB"),
        ],
        ..Options::new(base.join(format!("heimdell-test-{}", geteuid())))
    }
}

#[allow(clippy::disallowed_methods, reason = "the test kit has no caller that could read the settings for it")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The databases whose name begins so, oldest first.
fn databases(admin: &mut PgConnection, prefix: &str) -> Result<Vec<String>> {
    let rows: Vec<Named> =
        diesel::sql_query("select datname::text as name from pg_database where starts_with(datname, $1) order by oid")
            .bind::<Text, _>(prefix)
            .load(admin)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Drops the databases of processes that have died, and all but the youngest templates and kept databases. One that is
/// connected to is left alone: on a shared server the process may live on another machine.
fn remove_leftovers(admin: &mut PgConnection) -> Result<()> {
    let mut leftovers = databases(admin, TESTS)?;
    leftovers.retain(|name| owner(name).is_none_or(|pid| kill(pid, None) == Err(Errno::ESRCH)));
    for (prefix, keep) in [(TEMPLATES, 8), (KEPT, 8)] {
        let mut old = databases(admin, prefix)?;
        old.truncate(old.len().saturating_sub(keep));
        leftovers.append(&mut old);
    }
    for name in leftovers {
        if let Err(error) = admin.batch_execute(&format!("drop database if exists {name}")) {
            eprintln!("the leftover database {name} stays: {error}");
        }
    }
    Ok(())
}

/// The process that a test's database belongs to.
fn owner(name: &str) -> Option<Pid> {
    name.strip_prefix(TESTS)?.split('_').next()?.parse().ok().map(Pid::from_raw)
}

/// The URL with another database in it.
fn renamed(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return format!("{url} dbname={database}") };
    let (place, parameters) =
        rest.split_once('?').map_or((rest, String::new()), |(place, more)| (place, format!("?{more}")));
    let host = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}/{database}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_the_database_of_a_url() {
        for (url, expected) in [
            ("postgres://a:b@h:5433/old", "postgres://a:b@h:5433/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgresql://a@/old?host=/tmp/s", "postgresql://a@/new?host=/tmp/s"),
            ("host=h dbname=old", "host=h dbname=old dbname=new"),
        ] {
            assert_eq!(renamed(url, "new"), expected);
        }
    }

    #[test]
    fn a_name_tells_its_process() {
        assert_eq!(owner("heimdell_test_42_7"), Some(Pid::from_raw(42)));
        assert_eq!(owner("heimdell_kept_42_7"), None);
    }
}
