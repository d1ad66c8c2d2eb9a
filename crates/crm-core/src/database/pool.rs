//! The pool of connections, and the two ways to use one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager};
use diesel::r2d2::{ConnectionManager, CustomizeConnection, HandleError, Pool, PooledConnection, R2D2Connection};
use diesel::{Connection, PgConnection, QueryResult};

use super::{Error, unreachable_server};

/// A connection lent by the pool.
pub type Pooled = PooledConnection<ConnectionManager<PgConnection>>;

/// While waiting for a connection, how often to look whether the server is down.
const LOOK: Duration = Duration::from_millis(100);

/// For how long dead connections are thrown away before a request is told that the database is unavailable.
const PATIENCE: Duration = Duration::from_secs(1);

/// What holds for each connection.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most connections open at a time.
    pub max_size: u32,
    /// The number of idle connections kept ready.
    pub min_idle: u32,
    /// How long a request waits for a connection.
    pub connection_timeout: Duration,
    /// How long a statement may run.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stand open with nothing running.
    pub idle_in_transaction_timeout: Duration,
    /// Whether statements stay prepared on the server. Off behind PgBouncer older than 1.21.
    pub statement_cache: bool,
    /// The name that the server shows for us: letters, digits, `-` and `_`.
    pub application_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: 8,
            min_idle: 1,
            connection_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(30),
            statement_cache: true,
            application_name: "heimdell".to_owned(),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.max_size == 0 || self.min_idle > self.max_size {
            Err(Error::Settings("at least one connection must be allowed, and no more kept idle than allowed"))
        } else if !self.application_name.chars().all(is_plain) {
            Err(Error::Settings("the application's name may hold letters, digits, - and _ only"))
        } else {
            Ok(())
        }
    }
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only: the server refuses a write.
    Read,
    /// Read and write.
    Write,
}

/// How the pool's connections are used at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Connections open, lent or idle.
    pub open: u32,
    /// Connections waiting to be lent.
    pub idle: u32,
    /// The most that may be open.
    pub max: u32,
}

/// The database, cheap to clone. It opens no connection before one is wanted or kept idle, so a program may start
/// while its database is away.
#[derive(Clone)]
pub struct Database {
    pool: Pool<ConnectionManager<PgConnection>>,
    session: Arc<Session>,
    url: Arc<str>,
}

impl Database {
    /// A pool for the database of this URL (or of these libpq keywords).
    ///
    /// # Errors
    /// [`Error::Settings`] for settings that no pool can have.
    pub fn open(url: &str, settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let url = with_limits(url, &settings.application_name);
        let session = Arc::new(Session { settings, is_down: AtomicBool::new(false) });
        let pool = Pool::builder()
            .max_size(session.settings.max_size)
            .min_idle(Some(session.settings.min_idle))
            .connection_timeout(session.settings.connection_timeout.max(LOOK))
            .test_on_check_out(false)
            .connection_customizer(Box::new(Shared(Arc::clone(&session))))
            .error_handler(Box::new(Shared(Arc::clone(&session))))
            .build_unchecked(ConnectionManager::new(url.as_str()));
        Ok(Self { pool, session, url: url.into() })
    }

    /// Runs one transaction: commits what `work` did when it returns `Ok`, rolls it back otherwise.
    ///
    /// `BEGIN` doubles as the test of the connection: the dead ones that a restart of the server leaves behind are
    /// thrown away there, where nothing has been done yet, so a request does not notice them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection can be had; what `work` returns; the failure of the commit.
    pub fn transaction<T, E: From<Error>>(
        &self,
        access: Access,
        work: impl FnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = match access {
            Access::Read => "BEGIN READ ONLY",
            Access::Write => "BEGIN",
        };
        let mut connection =
            self.lend(|connection| AnsiTransactionManager::begin_transaction_sql(connection, begin))?;
        match work(&mut connection) {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(&mut *connection).map_err(Error::from)?;
                Ok(value)
            }
            Err(error) => {
                // A failing rollback marks the connection as broken; the pool then drops it, which rolls back too.
                if let Err(failure) = AnsiTransactionManager::rollback_transaction(&mut *connection) {
                    tracing::debug!("the rollback failed, the connection is dropped: {failure}");
                }
                Err(error)
            }
        }
    }

    /// Lends a connection outside of any transaction, on which `first` has gone well: a statement that may safely be
    /// repeated, and that doubles as the test of the connection as `BEGIN` does for [`Database::transaction`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection can be had; what `first` and `work` return.
    pub fn read<P, T, E: From<Error>>(
        &self,
        first: impl Fn(&mut PgConnection) -> QueryResult<P>,
        work: impl FnOnce(&mut PgConnection, P) -> Result<T, E>,
    ) -> Result<T, E> {
        let found = std::cell::Cell::new(None);
        let mut connection = self.lend(|connection| {
            found.set(Some(first(connection)?));
            Ok(())
        })?;
        match found.take() {
            Some(found) => work(&mut connection, found),
            None => Err(Error::Unavailable("no connection was lent".to_owned()).into()),
        }
    }

    /// Lends a connection outside of any transaction, for a single statement. Asks the server first whether the
    /// connection lives, which costs a round trip that [`Database::transaction`] does not need.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection can be had, and what `work` returns.
    pub fn with<T, E: From<Error>>(&self, work: impl FnOnce(&mut PgConnection) -> Result<T, E>) -> Result<T, E> {
        work(&mut *self.lend(R2D2Connection::ping)?)
    }

    /// A connection of its own, outside the pool, for long jobs: its statements may run for `statement_timeout`
    /// (zero: for ever).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server cannot be reached.
    pub fn long(&self, statement_timeout: Duration) -> Result<PgConnection, Error> {
        let mut connection = PgConnection::establish(&self.url)?;
        self.session.prepare(&mut connection, statement_timeout)?;
        Ok(connection)
    }

    /// Whether the server answers at all, asked on a connection of its own: within two seconds, where the URL does not
    /// say otherwise. A server that refuses the connection answers too.
    pub fn answers(&self) -> bool {
        match PgConnection::establish(&self.url) {
            Ok(_) => true,
            Err(error) => error.to_string().contains("FATAL:"),
        }
    }

    /// How the pool is used, for the metrics.
    pub fn usage(&self) -> Usage {
        let state = self.pool.state();
        Usage { open: state.connections, idle: state.idle_connections, max: self.pool.max_size() }
    }

    /// A connection on which `first` went well. Those on which it breaks are dropped and others are taken.
    fn lend(&self, first: impl Fn(&mut PgConnection) -> QueryResult<()>) -> Result<Pooled, Error> {
        let started = now();
        for _ in 0..=self.pool.max_size() {
            let mut connection = self.check_out()?;
            match first(&mut connection) {
                Ok(()) => return Ok(connection),
                Err(error) if !connection.is_broken() => return Err(error.into()),
                Err(error) if started.elapsed() > PATIENCE => return Err(Error::Unavailable(error.to_string())),
                Err(error) => tracing::debug!("a dead connection is dropped: {error}"),
            }
        }
        Err(Error::Unavailable("each connection breaks at once".to_owned()))
    }

    /// Waits for a connection; not to the end when the server is known to be down.
    fn check_out(&self) -> Result<Pooled, Error> {
        let started = now();
        loop {
            match self.pool.get_timeout(LOOK) {
                Ok(connection) => {
                    metrics::histogram!("db_client_connection_wait_time_seconds").record(started.elapsed());
                    return Ok(connection);
                }
                Err(error) => {
                    let is_down = self.session.is_down.load(Ordering::Relaxed) && self.pool.state().connections == 0;
                    if is_down || started.elapsed() >= self.session.settings.connection_timeout {
                        return Err(unreachable_server(&error.to_string()));
                    }
                }
            }
        }
    }
}

/// What the pool's threads share: the settings, and whether the last attempt to connect failed.
struct Session {
    settings: Settings,
    is_down: AtomicBool,
}

impl Session {
    fn prepare(&self, connection: &mut PgConnection, statement_timeout: Duration) -> QueryResult<()> {
        let settings = &self.settings;
        if !settings.statement_cache {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        connection.batch_execute(&format!(
            "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = {}; \
             set time zone 'UTC'",
            statement_timeout.as_millis(),
            settings.lock_timeout.as_millis(),
            settings.idle_in_transaction_timeout.as_millis(),
        ))
    }
}

#[derive(Clone)]
struct Shared(Arc<Session>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl CustomizeConnection<PgConnection, diesel::r2d2::Error> for Shared {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), diesel::r2d2::Error> {
        self.0.prepare(connection, self.0.settings.statement_timeout).map_err(diesel::r2d2::Error::QueryError)?;
        self.0.is_down.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl HandleError<diesel::r2d2::Error> for Shared {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        if !self.0.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}", unreachable_server(&error.to_string()));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "waits for a connection are measured here, and nothing else")]
fn now() -> Instant {
    Instant::now()
}

/// Adds what lets a dead network be noticed within seconds, unless the URL says otherwise. On a Unix socket libpq
/// ignores all but the name.
pub(super) fn with_limits(url: &str, application_name: &str) -> String {
    let limits = [
        ("application_name", application_name),
        ("connect_timeout", "2"),
        ("tcp_user_timeout", "4000"),
        ("keepalives_idle", "3"),
        ("keepalives_interval", "1"),
        ("keepalives_count", "2"),
    ];
    let is_uri = url.starts_with("postgres://") || url.starts_with("postgresql://");
    limits.into_iter().filter(|(name, _)| !url.contains(&format!("{name}="))).fold(
        url.to_owned(),
        |url, (name, value)| {
            let separator = match (is_uri, url.contains('?')) {
                (true, true) => '&',
                (true, false) => '?',
                (false, _) => ' ',
            };
            format!("{url}{separator}{name}={value}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_and_never_overruled() {
        let tail = |separator: char| {
            ["tcp_user_timeout=4000", "keepalives_idle=3", "keepalives_interval=1", "keepalives_count=2"]
                .map(|limit| format!("{separator}{limit}"))
                .concat()
        };
        let cases = [
            ("postgres://a@h/d", format!("postgres://a@h/d?application_name=x&connect_timeout=2{}", tail('&'))),
            (
                "postgresql://h/d?connect_timeout=9",
                format!("postgresql://h/d?connect_timeout=9&application_name=x{}", tail('&')),
            ),
            ("host=h dbname=d", format!("host=h dbname=d application_name=x connect_timeout=2{}", tail(' '))),
        ];
        for (url, expected) in cases {
            assert_eq!(with_limits(url, "x"), expected);
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        for (max_size, min_idle, application_name) in [(0, 0, "a"), (2, 3, "a"), (2, 1, "a b")] {
            let application_name = application_name.to_owned();
            let settings = Settings { max_size, min_idle, application_name, ..Settings::default() };
            assert!(matches!(Database::open("host=h", settings), Err(Error::Settings(_))));
        }
    }

    #[test]
    fn an_absent_server_is_told_of_before_the_wait_is_over() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = Settings { connection_timeout: Duration::from_secs(600), min_idle: 0, ..Settings::default() };
        let url = format!("postgres://heimdell@127.0.0.1:{}/x", nobody.port());
        let database = Database::open(&url, settings).unwrap();
        let outcome: Result<(), Error> = database.transaction(Access::Read, |_| Ok(()));
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
}
