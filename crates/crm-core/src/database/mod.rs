//! The way to PostgreSQL: a pool of connections, the schema's migrations, and a private server where none is named.
//!
//! ```no_run
//! use crm_core::database::{Access, Database, Error, Settings, check_server, migrations};
//! use crm_core::database::private::{Options, PrivatePostgres};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = PrivatePostgres::start(Options::new(".heimdell"))?;
//! let url = server.url("heimdell_crm");
//! migrations::migrate(&url)?;
//! let database = Database::open(&url, Settings::default())?;
//! database.with(check_server)?;
//! let now: String = database.transaction(Access::Read, |connection| {
//!     diesel::RunQueryDsl::get_result(diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("now()::text")), connection)
//!         .map_err(Error::from)
//! })?;
//! # drop(now);
//! server.stop()?;
//! # Ok(()) }
//! ```

pub mod addresses;
pub(crate) mod binaries;
pub mod facts;
mod folder;
pub mod migrations;
mod pool;
mod postmaster;
pub mod private;
mod server;
mod watchdog;

pub use pool::{Access, Database, Pooled, Settings, Usage};

use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{ConnectionError, PgConnection, QueryableByName, RunQueryDsl};

/// The oldest PostgreSQL major version that the schema runs on.
pub const OLDEST_MAJOR: u32 = 15;

/// Why the database did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be had, or it broke; the same request may succeed a moment later. When a `COMMIT` was
    /// under way, whether it took hold is unknown.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The database URL cannot be read. Its text is left out, since it may hold a password.
    #[error("the database URL is not well formed")]
    MalformedUrl,
    /// No pool can be made of such settings.
    #[error("the settings of the database's pool are not possible: {0}")]
    Settings(&'static str),
    /// A statement, or its wait for a lock, ran over its time limit and was cancelled.
    #[error("the database took longer than allowed: {0}")]
    TimedOut(String),
    /// The server's disk is full: reads work, writes do not until space is freed.
    #[error("the database's disk is full")]
    StorageFull,
    /// The server is one that this program must not run on.
    #[error("the database server is not suitable: {0}")]
    Unsuitable(String),
    /// The statement itself failed.
    #[error("the database refused a statement: {0}")]
    Query(#[source] diesel::result::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::Error::{BrokenTransactionManager, DatabaseError};
        match &error {
            DatabaseError(DatabaseErrorKind::ClosedConnection, information) => {
                Self::Unavailable(information.message().trim().to_owned())
            }
            BrokenTransactionManager => Self::Unavailable("the connection broke within a transaction".to_owned()),
            DatabaseError(_, information) if information.message().starts_with("canceling statement due to") => {
                Self::TimedOut(information.message().to_owned())
            }
            DatabaseError(_, information) if information.message().contains("No space left on device") => {
                Self::StorageFull
            }
            _ => Self::Query(error),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        unreachable_server(&error.to_string())
    }
}

/// Sorts libpq's words about a failed connection. Those about the URL quote pieces of it, a password perhaps.
fn unreachable_server(message: &str) -> Error {
    let about_url = ["connection info string", "URI", "connection option", "invalid integer value", "invalid port"];
    if about_url.iter().any(|words| message.contains(words)) {
        Error::MalformedUrl
    } else {
        Error::Unavailable(message.trim().to_owned())
    }
}

#[derive(QueryableByName)]
struct ServerFacts {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    synchronous_commit: String,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Bool)]
    fsync: bool,
}

/// Refuses a server on which acknowledged writes could be lost or text could be garbled: PostgreSQL
/// [`OLDEST_MAJOR`] or newer, `synchronous_commit` not off, a UTF-8 database.
///
/// # Errors
/// [`Error::Unsuitable`] says what to change.
pub fn check_server(connection: &mut PgConnection) -> Result<(), Error> {
    let facts: ServerFacts = diesel::sql_query(
        "select current_setting('server_version_num')::int as version, \
         current_setting('synchronous_commit') as synchronous_commit, \
         current_setting('server_encoding') as encoding, current_setting('fsync')::bool as fsync",
    )
    .get_result(connection)?;
    if !facts.fsync {
        tracing::warn!("the database server runs with fsync off: a power cut can destroy it");
    }
    judge(&facts).map_or(Ok(()), |reason| Err(Error::Unsuitable(reason)))
}

/// Why a server is refused, or `None`.
fn judge(facts: &ServerFacts) -> Option<String> {
    let major = facts.version / 10_000;
    if u32::try_from(major).unwrap_or(0) < OLDEST_MAJOR {
        Some(format!("it is PostgreSQL {major}, and {OLDEST_MAJOR} or newer is needed"))
    } else if facts.synchronous_commit == "off" {
        Some("synchronous_commit is off, so a crash would lose acknowledged changes; set it to on".to_owned())
    } else if facts.encoding != "UTF8" {
        Some(format!("the database's encoding is {}, and UTF8 is needed", facts.encoding))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unsuitable_servers() {
        let cases = [
            (150_018, "on", "UTF8", None),
            (180_000, "remote_apply", "UTF8", None),
            (140_011, "on", "UTF8", Some("PostgreSQL 14")),
            (150_018, "off", "UTF8", Some("synchronous_commit")),
            (150_018, "on", "LATIN1", Some("LATIN1")),
        ];
        for (version, synchronous_commit, encoding, expected) in cases {
            let facts = ServerFacts {
                version,
                synchronous_commit: synchronous_commit.to_owned(),
                encoding: encoding.to_owned(),
                fsync: true,
            };
            let reason = judge(&facts);
            assert_eq!(reason.is_some(), expected.is_some(), "{reason:?}");
            assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }

    #[test]
    fn an_error_never_quotes_the_url() {
        let quoting = "missing \"=\" after \"postgres//anna:s3cret@db\" in connection info string";
        assert!(matches!(unreachable_server(quoting), Error::MalformedUrl));
        let plain = "connection to server at \"127.0.0.1\", port 1 failed: Connection refused";
        assert!(unreachable_server(plain).to_string().contains("Connection refused"));
    }
}
