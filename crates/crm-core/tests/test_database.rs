//! The test kit and the pool on a real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use crm_core::database::{Access, Error, check_server};
use crm_core::testing::TestDatabase;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{PgConnection, QueryableByName, RunQueryDsl};

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

fn ask(connection: &mut PgConnection, sql: &str) -> Result<String, Error> {
    Ok(diesel::sql_query(format!("select ({sql})::text as value")).get_result::<Value>(connection)?.value)
}

fn exists(connection: &mut PgConnection, database: &str) -> bool {
    ask(connection, &format!("select exists (select from pg_database where datname = '{database}')")).unwrap() == "true"
}

#[test]
fn each_test_has_a_database_of_its_own_until_its_end() {
    let (one, two) = (TestDatabase::new(), TestDatabase::new());
    one.connect().batch_execute("create table mine (n int)").unwrap();
    let mut connection = two.connect();
    assert_eq!(ask(&mut connection, "select to_regclass('mine') is null").unwrap(), "true");
    let name = one.name().to_owned();
    assert!(exists(&mut connection, &name));
    drop(one);
    assert!(!exists(&mut connection, &name));
}

#[test]
fn a_panicking_test_keeps_its_database() {
    let other = TestDatabase::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let outcome = std::thread::spawn(move || {
        let database = TestDatabase::new();
        let _open = database.connect();
        sender.send(database.name().replace("heimdell_test_", "heimdell_kept_")).unwrap();
        panic!("as a failing test does");
    })
    .join();
    assert!(outcome.is_err());
    let kept = receiver.recv().unwrap();
    let mut connection = other.connect();
    assert!(exists(&mut connection, &kept));
    connection.batch_execute(&format!("drop database {kept}")).unwrap();
}

#[test]
fn transactions_commit_or_leave_nothing() {
    let test = TestDatabase::new();
    let database = test.open().unwrap();
    database.with(check_server).unwrap();
    database
        .transaction(Access::Write, |connection| Ok::<_, Error>(connection.batch_execute("create table t (n int)")?))
        .unwrap();
    let failed: Result<(), Error> = database.transaction(Access::Write, |connection| {
        connection.batch_execute("insert into t values (1)")?;
        Err(Error::Query(diesel::result::Error::NotFound))
    });
    assert!(matches!(failed, Err(Error::Query(diesel::result::Error::NotFound))));
    let written: Result<(), Error> =
        database.transaction(Access::Read, |connection| Ok(connection.batch_execute("insert into t values (2)")?));
    assert!(matches!(written, Err(Error::Query(_))), "{written:?}");
    let count = database.transaction(Access::Read, |connection| ask(connection, "select count(*) from t"));
    assert_eq!(count.unwrap(), "0");
}

#[test]
fn a_panic_in_a_transaction_rolls_it_back_and_costs_the_connection_only() {
    let test = TestDatabase::new();
    let database = test.open().unwrap();
    let inside = database.clone();
    let outcome = std::thread::spawn(move || {
        let _result: Result<(), Error> = inside.transaction(Access::Write, |connection| {
            connection.batch_execute("create table t (n int)")?;
            panic!("as a faulty handler does");
        });
    })
    .join();
    assert!(outcome.is_err());
    let absent = database.with(|connection| ask(connection, "select to_regclass('t') is null"));
    assert_eq!(absent.unwrap(), "true");
}

#[test]
fn sessions_have_limits_and_utc() {
    let test = TestDatabase::new();
    let database = test.open().unwrap();
    for (setting, expected) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("TimeZone", "UTC"),
        ("application_name", "heimdell"),
    ] {
        let value = database.with(|connection| ask(connection, &format!("current_setting('{setting}')")));
        assert_eq!(value.unwrap(), expected, "{setting}");
    }
    let slow: Result<(), Error> = database.transaction(Access::Read, |connection| {
        Ok(connection.batch_execute("set local statement_timeout = 20; select pg_sleep(60)")?)
    });
    assert!(matches!(slow, Err(Error::TimedOut(_))), "{slow:?}");
    let mut long = database.long(Duration::ZERO).unwrap();
    assert_eq!(ask(&mut long, "current_setting('statement_timeout')").unwrap(), "0");
}

#[test]
fn a_connection_that_breaks_at_work_is_reported_and_replaced() {
    let test = TestDatabase::new();
    let database = test.open().unwrap();
    let suicide = "select pg_terminate_backend(pg_backend_pid())";
    let in_transaction: Result<(), Error> =
        database.transaction(Access::Write, |connection| Ok(connection.batch_execute(suicide)?));
    assert!(matches!(in_transaction, Err(Error::Unavailable(_))), "{in_transaction:?}");
    let alone: Result<(), Error> = database.with(|connection| Ok(connection.batch_execute(suicide)?));
    assert!(matches!(alone, Err(Error::Unavailable(_))), "{alone:?}");
    assert_eq!(database.with(|connection| ask(connection, "select 1")).unwrap(), "1");
    assert_eq!(database.usage().open, 1, "the broken ones are gone");
}

#[test]
fn a_full_pool_says_unavailable() {
    let test = TestDatabase::new();
    let settings = crm_core::database::Settings {
        max_size: 1,
        min_idle: 0,
        connection_timeout: Duration::from_millis(200),
        ..Default::default()
    };
    let database = crm_core::database::Database::open(&test.url(), settings).unwrap();
    let outcome: Result<(), Error> = database.with(|_| database.with(|_| Ok(())));
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
}
